import { AiotError, hasCode } from '../../core/errors.js';
import type { Project } from '../../core/project.js';
import { readTflite } from '../../formats/tflite/read.js';
import { checkGolden } from '../../model/bundle/golden.js';
import { createPredictor, type Invoker } from '../../model/bundle/predictor.js';
import type { Bundle, BundleInfo } from '../../model/bundle/types.js';
import { type EdgeLiteRtSession, openEdgeLiteRtSession } from '../../runtime/edge-litert.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import type { Interpreter } from '../../runtime/interpreter/node.js';
import type { LoadedModel } from '../types.js';
import { openCoral } from './coral.js';
import type { Settings } from './options.js';

/** Identity of the model, apart from its contents. */
export interface Identity {
  version: number | null;
  digest: string;
}

interface LoadOptions {
  /** The requirements that the model must meet; null = none. */
  contract: Contract | null;
  settings: Settings;
}

/** Maximum difference in quantization steps. Other backends round differently from the interpreter, but predictions must be the same. */
const roundingSteps = 2;

/** `har@3`, or for a local file its name and the first digits of its digest. */
export function titleOf({ name, version, digest }: Pick<LoadedModel, 'name' | 'version' | 'digest'>): string {
  return version === null ? `${name} (${digest.slice(7, 19)})` : `${name}@${version}`;
}

/**
 * Loads a bundle and verifies it: it must fit the contract, and reproduce its golden vectors on this machine. If it fails in the requested
 * backend, it runs in the interpreter, and an event reports that.
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
  const backend = settings.delegate === 'cpu' ? null : await backendOf(bundle, what, settings);
  return {
    name: info.name,
    version,
    digest,
    info,
    get delegate() {
      return backend && !backend.lost?.() ? settings.delegate : 'cpu';
    },
    createPredictor: () => {
      // Variables still have the values of the golden vectors, or of an earlier predictor.
      backend?.reset?.();
      return createPredictor(bundle, backend ?? undefined);
    },
    ...(backend?.close && { release: backend.close }),
    bundle,
  };
}

function requireGolden(bundle: Bundle, what: string, runs?: Invoker & { steps: number }): void {
  const { passed, failures } = checkGolden(bundle, runs);
  if (!failures[0] && passed > 0) return;
  const why = failures[0]
    ? `the test vector of ${failures[0].recording}: ${failures[0].reason}`
    : 'it has no test vectors, so it is untested';
  throw new AiotError('AIOT_GOLDEN_MISMATCH', `${what}: ${why}`);
}

/** Runs a model instead of the interpreter. */
type Backend = Invoker & {
  /** Ends its process. The next run starts it again. */
  close?(): void;
  /** Whether it failed, and the interpreter runs the model. */
  lost?(): boolean;
};

/** Opens the model in the requested backend. Returns null if it has to run in the interpreter, after reporting the reason. */
async function backendOf(bundle: Bundle, what: string, settings: Settings): Promise<Backend | null> {
  const coral = settings.delegate === 'coral';
  let opened: EdgeLiteRtSession | undefined;
  try {
    if (!coral) opened = openEdgeLiteRtSession(readTflite(bundle.model));
    const backend: Backend = opened ?? (await openCoral(bundle, settings, settings.importPackage));
    const place = coral ? 'on the Edge TPU' : 'in ai-edge-litert';
    requireGolden(bundle, `${what} ${place}`, { ...backend, steps: roundingSteps });
    return opened ? orInterpreter(opened, bundle, what, settings) : backend;
  } catch (error) {
    const instead = coral ? 'on the CPU instead of coral' : 'in the interpreter instead of ai-edge-litert';
    settings.tell('note', `${what} runs ${instead}: ${withNext(error)}`);
    return null;
  } finally {
    // The model may never be used. Its first prediction starts Python again.
    opened?.close();
  }
}

/** Runs a model in Python and, once Python fails, in the interpreter. Python's failure is not the model's, so it is only reported. */
function orInterpreter(
  session: EdgeLiteRtSession,
  bundle: Bundle,
  what: string,
  settings: Settings,
): Backend {
  let interpreter: Interpreter | null = null;
  return {
    invoke(input) {
      try {
        if (interpreter === null) return session.invoke(input);
      } catch (error) {
        if (!hasCode(error, 'AIOT_LITERT_FAILED') && !hasCode(error, 'AIOT_BACKEND_MISSING')) throw error;
        session.close();
        interpreter = createInterpreter(readTflite(bundle.model));
        settings.tell('note', `${what} continues in the interpreter: ${withNext(error)}`);
      }
      return interpreter.invoke(input);
    },
    reset: () => (interpreter ?? session).reset(),
    close: session.close,
    lost: () => interpreter !== null,
  };
}

const withNext = (error: unknown) => `${told(error)}.${error instanceof AiotError ? ` ${error.next}` : ''}`;

/** The input that a loop provides to a model, and the output it expects. */
export interface Contract {
  /** Source of the contract, for errors. */
  who: string;
  /** Required fields, in order; null = any. */
  fields: readonly string[] | null;
  rateHz: number;
  /** Required class names, in any order; null = any. */
  classes: readonly string[] | null;
}

/** The contract defined by aiot.yaml. Classes are required only if aiot.yaml groups labels and the model outputs classes. */
export function contractOfProject({ config, file }: Project): Contract {
  const names = Object.keys(config.model.labels);
  const told = names.length > 0 && config.model.output !== 'value' && config.model.kind !== 'autoencoder';
  const fields = Object.keys(config.stream.fields);
  return {
    who: file,
    fields: fields.length > 0 ? fields : null,
    rateHz: config.signal.rate,
    classes: told ? names : null,
  };
}

/** Contract without a project: successors of the first model must accept the same input and have the same classes. */
export function contractOfModel({ name, signal, classes }: BundleInfo): Contract {
  return { who: `the first ${name}`, fields: signal.fields, rateHz: signal.rateHz, classes };
}

/**
 * Checks that a model accepts the stream's input and returns the expected output. Window, stride and features are up to the model.
 * @throws AIOT_MODEL_UNFIT
 */
function requireContract(info: BundleInfo, contract: Contract, what: string): void {
  const { who, fields, rateHz, classes } = contract;
  const refuse = (of: string, wanted: string, got: string) => {
    throw new AiotError('AIOT_MODEL_UNFIT', `${what}: ${of}: expected ${wanted} as in ${who}, got ${got}`, {
      next: 'Start the loop with the project that this model was trained for, or promote a version from this project.',
    });
  };
  if (fields && info.signal.fields.join() !== fields.join()) {
    refuse('fields', fields.join(', '), info.signal.fields.join(', '));
  }
  if (fields && info.signal.rateHz !== rateHz) refuse('rate', `${rateHz} Hz`, `${info.signal.rateHz} Hz`);
  if (classes === null) return;
  const [wanted, got] = [[...classes].sort(), [...info.classes].sort()];
  if (wanted.join('\n') !== got.join('\n')) {
    refuse('classes', wanted.join(', ') || 'none', got.join(', ') || 'none');
  }
}

/** Whether an error may be temporary: the platform is unreachable, or denies access. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof AiotError)) return false;
  return (
    error.family === 'outside' || error.code === 'AIOT_TOKEN_INVALID' || error.code === 'AIOT_NOT_ALLOWED'
  );
}

/** Text of an error, preceded by its code if it has one. */
export function told(error: unknown): string {
  if (error instanceof AiotError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
