import { digestOf, readBytes } from '../../core/index.js';
import { requireBundle, unpackAny } from '../bundle/pack.js';
import type { Bundle } from '../bundle/types.js';

/** A model on disk: a network by itself, or a bundle with one. */
export interface ModelFile {
  file: string;
  kind: 'tflite' | 'aiot';
  /** Of the whole file. */
  bytes: number;
  digest: string;
  /** The .tflite file: itself, or the one in the bundle. */
  network: Uint8Array;
  /** Null for a network by itself, and a bundle of one. */
  bundle: Bundle | null;
}

/**
 * Reads a .tflite or .aiot file; which of them it is, its contents say: a TFLite file has its mark at byte 4.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_BUNDLE_MALFORMED
 */
export async function readModelFile(file: string): Promise<ModelFile> {
  return modelFileOf(file, await readBytes(file));
}

/** The same of bytes that were read already. @throws AIOT_BUNDLE_MALFORMED */
export function modelFileOf(file: string, bytes: Uint8Array): ModelFile {
  const common = { file, bytes: bytes.length, digest: digestOf(bytes) };
  if (Buffer.from(bytes.subarray(4, 8)).toString('latin1') === 'TFL3' || file.endsWith('.tflite'))
    return { ...common, kind: 'tflite', network: bytes, bundle: null };
  requireBundle(bytes, file);
  const bundle = unpackAny(bytes, file);
  const whole = bundle.info.kind === 'model' ? (bundle as Bundle) : null;
  return { ...common, kind: 'aiot', network: bundle.model, bundle: whole };
}
