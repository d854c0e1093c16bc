import { checkGolden } from '../bundle/golden.js';
import { readModelFile } from './model-file.js';
import { inspectNetwork } from './network.js';
import type { Inspection } from './result.js';

/**
 * What a .tflite or .aiot file holds and what running it costs, whether its operators are known here or not. A bundle is
 * checked and its golden vectors are run.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED with the byte offset, AIOT_BUNDLE_MALFORMED
 */
export async function inspectModel(file: string): Promise<Inspection> {
  const model = await readModelFile(file);
  const { kind, bytes, digest, network, bundle } = model;
  const golden = bundle && checkGolden(bundle);
  return {
    file,
    kind,
    bytes,
    networkBytes: network.length,
    digest,
    ...inspectNetwork(network),
    bundle:
      bundle && golden
        ? { info: bundle.info, golden: { vectors: golden.vectors, passed: golden.passed } }
        : null,
  };
}
