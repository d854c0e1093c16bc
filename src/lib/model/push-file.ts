import { basename } from 'node:path';
import { AiotError, readBytes } from '../core/index.js';
import { networkBundle } from './bundle/network-bundle.js';
import { packBundle, requireBundle, unpackAny } from './bundle/pack.js';

/** Whether what was typed is a file to push rather than a name: by how it ends, or because it is a path. */
export function isModelFile(text: string): boolean {
  return /\.(aiot|tflite)$/i.test(text) || /[/\\]/.test(text);
}

/**
 * The content of a file that is to be pushed: of a .aiot file as it is (signatures left out), of a .tflite file as a network
 * alone. Another name makes other content of it, for the name is in it.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_BUNDLE_MALFORMED, AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export async function bundleOfFile(
  path: string,
  name?: string,
): Promise<{ name: string; content: Uint8Array; kind: 'model' | 'network' }> {
  const bytes = await readBytes(path);
  // By the contents, not the name: a TFLite file has its mark at byte 4.
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3' || /\.tflite$/i.test(path)) {
    const own = name ?? basename(path).replace(/\.[^.]*$/, '');
    return { name: own, content: networkBundle(own, bytes, path), kind: 'network' };
  }
  requireBundle(bytes, path);
  try {
    const bundle = unpackAny(bytes, path);
    bundle.info.name = name ?? bundle.info.name;
    return { name: bundle.info.name, content: packBundle(bundle), kind: bundle.info.kind };
  } catch (error) {
    if (!(error instanceof AiotError) || error.message.startsWith(path)) throw error;
    throw new AiotError(error.code, `${path}: ${error.message}`, { cause: error, next: error.next });
  }
}
