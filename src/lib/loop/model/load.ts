import { AiotError } from '../../core/index.js';
import { type Bundle, checkGolden, createPredictor } from '../../model/index.js';
import type { LoadedModel } from '../model-types.js';
import { type Contract, requireContract } from './contract.js';

/** Which one it is, beside what is in it. */
export interface Identity {
  version: number | null;
  digest: string;
}

export interface LoadOptions {
  /** null = whatever it asks for. */
  contract: Contract | null;
}

/** `har@3`, or for a file of this machine its name and the first digits of its digest. */
export function titleOf({ name, version, digest }: Pick<LoadedModel, 'name' | 'version' | 'digest'>): string {
  return version === null ? `${name} (${digest.slice(7, 19)})` : `${name}@${version}`;
}

/**
 * A bundle made ready to run: it fits the contract, and its golden vectors come out right on this machine.
 * @throws AIOT_MODEL_UNFIT, AIOT_GOLDEN_MISMATCH, AIOT_TFLITE_UNSUPPORTED
 */
export async function loadModel(
  bundle: Bundle,
  { version, digest }: Identity,
  { contract }: LoadOptions,
): Promise<LoadedModel> {
  const { info } = bundle;
  const what = titleOf({ name: info.name, version, digest });
  if (contract) requireContract(info, contract, what);
  const { passed, failures } = checkGolden(bundle);
  if (failures[0] || passed === 0) {
    const why = failures[0]
      ? `the golden vector of ${failures[0].recording}: ${failures[0].reason}`
      : 'it has no golden vectors, and nobody has tried it';
    throw new AiotError('AIOT_GOLDEN_MISMATCH', `${what}: ${why}`);
  }
  return {
    name: info.name,
    version,
    digest,
    info,
    delegate: 'cpu',
    createPredictor: () => createPredictor(bundle),
    bundle,
  };
}
