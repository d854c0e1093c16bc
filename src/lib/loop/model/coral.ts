import { join } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { makeFolder, writeFileAtomic } from '../../core/files.js';
import type { Invoker } from '../../model/bundle/predictor.js';
import type { Bundle } from '../../model/bundle/types.js';
import { buildFiles } from '../../model/files.js';
import { compileEdgeTpu, readEdgeTpu } from '../../model/quantize/edgetpu.js';
import type { Settings } from './options.js';

/** The parts of the two packages that are used here. The packages' types exist only if they are installed. */
interface Runner {
  getInputs(): { data(): ArrayBufferView }[];
  getOutputs(): { data(): ArrayBufferView }[];
  infer(): boolean;
}

interface Packages {
  TFLiteNodeModelRunner: new (
    model: ArrayBuffer,
    options: { threads: number; delegate: { path: string; options: [string, string][] } },
  ) => Runner;
  CoralDelegate: new () => { node: { path: string }; options: [string, string][] };
}

/** Imports a package by name: the real package, or a test's substitute. */
type ImportPackage = (name: string) => Promise<Record<string, unknown>>;

const runtime = 'tfjs-tflite-node';
const plugin = 'coral-tflite-delegate';

/**
 * Opens a bundle's model on a Coral Edge TPU, through the npm packages tfjs-tflite-node and coral-tflite-delegate (versions 0.0.2 and
 * 0.0.1 have this interface).
 * @throws AIOT_BACKEND_MISSING (a package, or libedgetpu or the stick itself), AIOT_MODEL_UNFIT, AIOT_PROGRAM_NOT_FOUND,
 * AIOT_EDGETPU_FAILED
 */
export async function openCoral(
  bundle: Bundle,
  settings: Settings,
  load: ImportPackage = (name) => import(name),
): Promise<Invoker> {
  const { input, output, name } = bundle.info;
  if (input.type !== 'int8' || output.type !== 'int8') {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${name} has ${input.type} inputs, but the Edge TPU supports only int8`,
      { next: 'Quantize it with `aiot model quantize --mode int8 --target edgetpu`, then push it again.' },
    );
  }
  const { TFLiteNodeModelRunner, CoralDelegate } = await packages(load);
  const compiled = await compiledOf(bundle, settings);
  // The model needs a separate buffer, because one from Node's pool would start with unrelated data.
  const model = Uint8Array.from(compiled).buffer;
  try {
    const { node, options } = new CoralDelegate();
    const runner = new TFLiteNodeModelRunner(model, { threads: 1, delegate: { path: node.path, options } });
    return invokerOf(runner, model);
  } catch (error) {
    throw new AiotError('AIOT_BACKEND_MISSING', `the Edge TPU could not be opened (${reasonOf(error)})`, {
      cause: error,
      next: 'Install libedgetpu1-std, add this user to the group plugdev, and connect the accelerator.',
    });
  }
}

function invokerOf(runner: Runner, _model: ArrayBuffer): Invoker {
  const view = (data: ArrayBufferView) => new Int8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    invoke: <T extends ArrayBufferView>(values: T): T => {
      // This reference keeps the model in memory, because the runner only contains a pointer to it.
      void _model;
      view(runner.getInputs()[0]!.data()).set(view(values));
      if (!runner.infer()) {
        throw new AiotError('AIOT_BACKEND_MISSING', 'the Edge TPU returned no result', {
          next: 'Reconnect the accelerator to a USB 3 port and start the loop again, or omit --delegate coral.',
        });
      }
      return view(runner.getOutputs()[0]!.data()).slice() as unknown as T;
    },
  } as Invoker;
}

async function packages(load: ImportPackage): Promise<Packages> {
  try {
    const [tflite, coral] = await Promise.all([load(runtime), load(plugin)]);
    return { ...defaultOf(tflite), ...defaultOf(coral) } as unknown as Packages;
  } catch (error) {
    throw new AiotError(
      'AIOT_BACKEND_MISSING',
      `${runtime} or ${plugin} is not installed or cannot be loaded`,
      {
        cause: error,
        next: `Run \`npm install ${runtime} ${plugin}\`.`,
      },
    );
  }
}

/** The exports of a CommonJS package. */
function defaultOf(module: Record<string, unknown>): Record<string, unknown> {
  const { default: inner } = module;
  return { ...module, ...(typeof inner === 'object' ? inner : {}) };
}

/** Returns the model compiled for the Edge TPU: from build/ or the cache, or compiled now if the compiler is available. */
async function compiledOf(bundle: Bundle, { project, cache, onStep }: Settings): Promise<Uint8Array> {
  const from = digestOf(bundle.model);
  const folder = join(cache, 'loop', 'edgetpu');
  const own = join(folder, `${from.slice(7)}.tflite`);
  const cached = join(folder, `${from.slice(7)}_edgetpu.tflite`);
  const beside = project ? [join(buildFiles(project).folder, 'model.int8_edgetpu.tflite')] : [];
  for (const file of [...beside, cached]) {
    const found = await readEdgeTpu(file, from);
    if (found) return found;
  }
  await makeFolder(folder);
  await writeFileAtomic(own, bundle.model);
  try {
    onStep?.('compiling for the Edge TPU');
    await compileEdgeTpu(own, { out: cached });
  } catch (error) {
    if (!hasCode(error, 'AIOT_PROGRAM_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `${bundle.info.name} was not compiled for the Edge TPU`, {
      cause: error,
      next: `On an x86-64 machine, run \`aiot model quantize --target edgetpu\` and copy build/model.int8_edgetpu.tflite and .json here; or run edgetpu_compiler there on ${own}.`,
    });
  }
  return (await readEdgeTpu(cached, from))!;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
