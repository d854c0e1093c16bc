import { AiotError, hasCode } from '../../core/index.js';
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
  const model = await readModelFile(file).catch((error: unknown) => {
    throw hasCode(error, 'AIOT_FILE_NOT_FOUND') ? notAFile(file, error) : error;
  });
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

/** A version of the registry is inspected once it was pulled; other paths keep their refusal. */
function notAFile(file: string, error: AiotError): AiotError {
  const [, name, version] = /^([A-Za-z0-9._-]+)@([A-Za-z0-9]+)$/.exec(file) ?? [];
  if (name === undefined) return error;
  const message = `expected a .tflite or .aiot file, got the version ${file} of a registry`;
  const next = `aiot model pull ${file} --out ${name}-${version}`;
  return new AiotError(error.code, message, { cause: error, next });
}
