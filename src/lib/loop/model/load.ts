import { AiotError } from '../../core/index.js';
import { type Bundle, checkGolden, createPredictor, type Invoker } from '../../model/index.js';
import type { LoadedModel } from '../model-types.js';
import { type Contract, requireContract } from './contract.js';
import { openCoral } from './delegate/coral.js';
import { told } from './failures.js';
import type { Settings } from './options.js';

/** Which one it is, beside what is in it. */
export interface Identity {
  version: number | null;
  digest: string;
}

export interface LoadOptions {
  /** null = whatever it asks for. */
  contract: Contract | null;
  settings: Settings;
}

/** The Edge TPU rounds where the interpreter rounds, and may come out next to it; its answers must be the same. */
const coralSteps = 2;

/** `har@3`, or for a file of this machine its name and the first digits of its digest. */
export function titleOf({ name, version, digest }: Pick<LoadedModel, 'name' | 'version' | 'digest'>): string {
  return version === null ? `${name} (${digest.slice(7, 19)})` : `${name}@${version}`;
}

/**
 * A bundle made ready to run: it fits the contract, and its golden vectors come out right on this machine, also on the accelerator
 * where one is asked for. Without that one it runs on the CPU, which an event tells.
 * @throws AIOT_MODEL_UNFIT, AIOT_GOLDEN_MISMATCH, AIOT_TFLITE_UNSUPPORTED
 */
export async function loadModel(
  bundle: Bundle,
  { version, digest }: Identity,
  { contract, settings }: LoadOptions,
): Promise<LoadedModel> {
  const { info } = bundle;
  const what = titleOf({ name: info.name, version, digest });
  if (contract) requireContract(info, contract, what);
  requireGolden(bundle, what);
  const coral = settings.delegate === 'coral' ? await coralOf(bundle, what, settings) : null;
  return {
    name: info.name,
    version,
    digest,
    info,
    delegate: coral ? 'coral' : 'cpu',
    createPredictor: () => createPredictor(bundle, coral ?? undefined),
    bundle,
  };
}

function requireGolden(bundle: Bundle, what: string, runs?: Invoker & { steps: number }): void {
  const { passed, failures } = checkGolden(bundle, runs);
  if (!failures[0] && passed > 0) return;
  const why = failures[0]
    ? `the golden vector of ${failures[0].recording}: ${failures[0].reason}`
    : 'it has no golden vectors, and nobody has tried it';
  throw new AiotError('AIOT_GOLDEN_MISMATCH', `${what}: ${why}`);
}

/** null = it has to be the CPU, and why was told. */
async function coralOf(bundle: Bundle, what: string, settings: Settings): Promise<Invoker | null> {
  try {
    const coral = await openCoral(bundle, settings, settings.importPackage);
    requireGolden(bundle, `${what} on the Edge TPU`, { ...coral, steps: coralSteps });
    return coral;
  } catch (error) {
    const next = error instanceof AiotError ? ` ${error.next}` : '';
    settings.tell('note', `${what} runs on the CPU and not on coral: ${told(error)}.${next}`);
    return null;
  }
}
