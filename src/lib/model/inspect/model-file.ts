import { digestOf } from '../../core/crypto.js';
import { hasCode } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { requireBundle, unpackAny } from '../bundle/pack.js';
import type { Bundle } from '../bundle/types.js';

/** A model on disk: a bare network, or a bundle that contains one. */
export interface ModelFile {
  file: string;
  kind: 'tflite' | 'aiot';
  /** Size of the whole file in bytes. */
  bytes: number;
  digest: string;
  /** The .tflite file, either bare or from the bundle. */
  network: Uint8Array;
  /** Null for a bare network, and for a network-only bundle. */
  bundle: Bundle | null;
}

/**
 * Reads a .tflite or .aiot file. The contents determine the type: a TFLite file has an identifier at byte 4.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_BUNDLE_MALFORMED
 */
export async function readModelFile(file: string): Promise<ModelFile> {
  return modelFileOf(file, await readModelBytes(file));
}

/** Opens a model's file; a version in the registry must be pulled first. @throws AIOT_FILE_NOT_FOUND */
export async function readModelBytes(file: string): Promise<Uint8Array> {
  return await readBytes(file).catch((error: unknown) => {
    const [, name, version] = /^([A-Za-z0-9._-]+)@([A-Za-z0-9]+)$/.exec(file) ?? [];
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND') || name === undefined) throw error;
    const message = `expected a .tflite or .aiot file, got the version ${file} of a registry`;
    const next = `Download it first with \`aiot model pull ${file} --out ${name}-${version}\`.`;
    throw error.reworded(message, { cause: error, next });
  });
}

/** Like `readModelFile`, but for bytes already in memory. @throws AIOT_BUNDLE_MALFORMED */
export function modelFileOf(file: string, bytes: Uint8Array): ModelFile {
  const common = { file, bytes: bytes.length, digest: digestOf(bytes) };
  if (Buffer.from(bytes.subarray(4, 8)).toString('latin1') === 'TFL3' || file.endsWith('.tflite'))
    return { ...common, kind: 'tflite', network: bytes, bundle: null };
  requireBundle(bytes, file);
  const bundle = unpackAny(bytes, file);
  const whole = bundle.info.kind === 'model' ? (bundle as Bundle) : null;
  return { ...common, kind: 'aiot', network: bundle.model, bundle: whole };
}
