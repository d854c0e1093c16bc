import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { AiotError, readBytes, readJson } from '../core/index.js';
import { networkBundle } from './bundle/network-bundle.js';
import { packBundle, requireBundle, unpackAny } from './bundle/pack.js';

/** Whether what was typed is a file to push rather than a name: by how it ends, or because it is a path. */
export function isModelFile(text: string): boolean {
  return /\.(aiot|tflite)$/i.test(text) || /[/\\]/.test(text);
}

/**
 * The content of a file that is to be pushed: of a .aiot file as it is (signatures left out), of a .tflite file as a network
 * alone, named after the model in whose build folder it lies, else after the file. Another name makes other content of it, for the name is in it.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_BUNDLE_MALFORMED, AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export async function bundleOfFile(
  path: string,
  name?: string,
): Promise<{ name: string; content: Uint8Array; kind: 'model' | 'network' }> {
  const bytes = await readBytes(path);
  // By the contents, not the name: a TFLite file has its mark at byte 4.
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3' || /\.tflite$/i.test(path)) {
    const own = name ?? (await projectOf(path)) ?? basename(path).replace(/\.[^.]*$/, '');
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

const named = z.object({ spec: z.string().startsWith('aiot-training/'), model: z.string() });

/** The model of the build folder that a file lies in: all of them call their networks alike. */
async function projectOf(path: string): Promise<string | undefined> {
  const training = await readJson(join(dirname(path), 'training.json')).catch(() => null);
  const read = named.safeParse(training);
  return read.success ? read.data.model : undefined;
}
