import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { readBytes, requireFile, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { startProgram } from '../../core/process.js';
import { onAbort } from '../../core/tasks.js';
import { writeCsv } from '../../formats/csv/table.js';
import { elementCount, type Graph } from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/reader.js';
import { writeTflite } from '../../formats/tflite/writer.js';
import { openLiteRt } from '../../runtime/litert.js';
import { featureNames, type Standardization } from '../../signal/spec.js';
import { type NetworkSpec, outputSize } from '../network/layers.js';
import { simplifyGraph } from '../network/simplify.js';
import { standardizationFor, standardizeInPlace } from './examples/standardize.js';
import { answersOf, assess, errorQuantile } from './fit/loss.js';
import type { Part } from './fit/part.js';
import {
  type Learned,
  type LearnOptions,
  learn,
  normalOnly,
  requireExamples,
  type TrainConfig,
} from './learn.js';
import type { Plan } from './plan.js';
import type { Lesson } from './types.js';

/** The trainer: our own engines, or the program that aiot.yaml names. */
export function trainerOf({ command }: TrainConfig): typeof learn {
  return command ? learnOutside : learn;
}

/**
 * As `learn`, by the program of model.train.command: it gets the rows in a folder and leaves a float .tflite there, which is
 * checked, simplified and measured as if it were our own. The contract is in docs/project.md.
 * @throws AIOT_TRAINING_COMMAND, AIOT_TFLITE_*, AIOT_MODEL_UNFIT, and what `signal` was aborted with
 */
async function learnOutside(
  examples: { train: Lesson; validation: Lesson },
  options: LearnOptions,
): Promise<Learned> {
  const { plan, train: config, folder, signal } = options;
  const { network } = plan;
  const parts = normalOnly(examples, network);
  requireExamples(parts, plan);
  const standardization = standardizationFor(parts.train, plan);
  const train = partOf(parts.train, standardization);
  const validation = partOf(parts.validation, standardization);
  const work = await mkdtemp(join(tmpdir(), 'aiot-train-'));
  let graph: Graph;
  try {
    const model = await writeTask(work, { plan, config, train, validation });
    signal?.throwIfAborted();
    await runCommand([...config.command!, work], { folder, onLine: options.onStep, signal });
    const program = config.command!.join(' ');
    graph = networkFrom(await leftBy(program, model), program, network, options.description);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return await measured(
    graph,
    standardization,
    { train, validation },
    options,
    `command ${config.command![0]}`,
  );
}

/** The file that a program had to leave. @throws AIOT_TRAINING_COMMAND when it is not there */
async function leftBy(program: string, file: string): Promise<Uint8Array> {
  try {
    // A pipe would be waited for.
    await requireFile(file);
    return await readBytes(file);
  } catch (error) {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    const what = `the training program ${program} ended well and left no ${basename(file)} in the folder it was given`;
    throw new AiotError('AIOT_TRAINING_COMMAND', what, { cause: error });
  }
}

/**
 * A network that others trained, with what training tells of our own: losses, accuracies, threshold.
 * @param parts standardized
 * @param backend who trained it
 */
export async function measured(
  graph: Graph,
  standardization: Standardization,
  parts: { train: Part; validation: Part },
  { plan: { network }, train: { quantile } }: Pick<LearnOptions, 'plan' | 'train'>,
  backend: string,
): Promise<Learned> {
  const litert = await openLiteRt(writeTflite(graph));
  const forward = (inputs: Float32Array) => {
    const size = litert.inputs;
    const outputs = new Float32Array((inputs.length / size) * litert.outputs);
    for (let row = 0; row * size < inputs.length; row++) {
      outputs.set(litert.predict(inputs.subarray(row * size, (row + 1) * size)), row * litert.outputs);
    }
    return outputs;
  };
  const kind = network.output.kind;
  const own = (part: Part) => assess(beforeEnding(forward(part.inputs), network), network, part, null);
  const [train, validation] = [own(parts.train), own(parts.validation)];
  const threshold =
    kind === 'reconstruction'
      ? errorQuantile(forward(parts.train.inputs), parts.train.inputs, network, quantile)
      : kind === 'probability'
        ? 0.5
        : null;
  const figures = {
    epoch: 1,
    epochs: 1,
    ...train,
    valLoss: validation.loss,
    valAccuracy: validation.accuracy,
  };
  const answers = (asked: Lesson) => {
    const inputs = standardizeInPlace(asked, standardization);
    return answersOf(forward(inputs), inputs, network, threshold);
  };
  return {
    network,
    graph,
    standardization,
    threshold,
    history: [figures],
    bestEpoch: 1,
    interrupted: false,
    backend,
    refitted: null,
    choice: null,
    valRmse: kind === 'value' ? Math.sqrt(validation.loss) : null,
    answers,
    chosen: { graph, standardization, answers },
    dispose: () => litert.close(),
  };
}

export function partOf(examples: Lesson, standardization: Standardization): Part {
  const { inputSize, classes, values } = examples;
  return { inputs: standardizeInPlace(examples, standardization), inputSize, classes, values };
}

/** Shares and probabilities as the logits whose softmax or sigmoid they are: the losses are of those. */
function beforeEnding(outputs: Float32Array, network: NetworkSpec): Float32Array {
  const least = 1e-7;
  const { kind } = network.output;
  if (kind === 'classes' && outputSize(network) > 1)
    return outputs.map((share) => Math.log(Math.max(share, least)));
  if (kind === 'probability') {
    return outputs.map((p) => Math.log(Math.max(p, least)) - Math.log(Math.max(1 - p, least)));
  }
  return outputs;
}

/**
 * Writes what a training program needs into its folder: train.csv and validation.csv (one column an input, standardized, and
 * `label`: the number of the class, or the value; none for a reconstruction) and task.json, which says the rest.
 * @returns the file that the program is to leave
 */
async function writeTask(
  folder: string,
  { plan, config, train, validation }: { plan: Plan; config: TrainConfig; train: Part; validation: Part },
): Promise<string> {
  const { network, classes, signal } = plan;
  // A row of a table is a window of one sample: its columns have names of their own.
  const names = plan.rows && signal.windowSamples === 1 ? signal.fields : featureNames(signal);
  await writeFileAtomic(join(folder, 'train.csv'), csvOf(train, names, network.output.kind));
  await writeFileAtomic(join(folder, 'validation.csv'), csvOf(validation, names, network.output.kind));
  const { epochs, batch, seed, learningRate } = config;
  await writeJsonAtomic(join(folder, 'task.json'), {
    spec: 'aiot-train-task/1',
    train: 'train.csv',
    validation: 'validation.csv',
    model: 'model.tflite',
    inputShape: network.inputShape,
    output: network.output,
    classes: classes.names,
    epochs,
    batch,
    seed,
    learningRate,
  });
  return join(folder, 'model.tflite');
}

function csvOf({ inputs, inputSize, classes, values }: Part, names: string[], output: string): string {
  const rows = classes.length;
  const columns: ArrayLike<number>[] = names.map((_, c) =>
    Float32Array.from({ length: rows }, (__, row) => inputs[row * inputSize + c]!),
  );
  if (output === 'reconstruction') return writeCsv(names, columns);
  return writeCsv([...names, 'label'], [...columns, values ?? classes]);
}

/** How long a program may take to end after it was asked to, ms. */
const graceMs = 5000;

/** How long its output is waited for after it has ended: what it has started may keep the output open for ever, ms. */
const outputMs = 2000;

/** Lines of its output that are told when it fails. */
const lastLines = 6;

/**
 * Runs a training program to its end. When `signal` is aborted it is ended, with all that it started.
 * @param onLine each line that it prints
 * @throws AIOT_TRAINING_COMMAND with its last lines; what `signal` was aborted with
 */
export async function runCommand(
  [program = '', ...args]: string[],
  { folder, onLine, signal }: { folder: string; onLine?: (line: string) => void; signal?: AbortSignal },
): Promise<void> {
  // A group of its own: what it starts in turn can be ended with it.
  const child = startProgram(program, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
  });
  const last: string[] = [];
  const take = (line: string) => {
    if (line.trim() === '') return;
    last.push(line);
    if (last.length > lastLines) last.shift();
    onLine?.(line);
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', take);
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    end(child, 'SIGTERM');
    timer = setTimeout(() => end(child, 'SIGKILL'), graceMs);
  };
  const leave = onAbort(signal, stop);
  try {
    const { code, by } = await ended(child, program);
    signal?.throwIfAborted();
    if (code !== 0) throw failed(program, by ? `was ended by ${by}` : `ended with code ${code}`, last);
  } finally {
    clearTimeout(timer);
    leave();
  }
}

function ended(child: ChildProcess, program: string): Promise<{ code: number | null; by: string | null }> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => {
      reject(failed(program, `could not be started (${systemCode(error) ?? error.message})`, [], error));
    });
    let timer: NodeJS.Timeout | undefined;
    child.on('exit', (code, by) => {
      timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve({ code, by });
      }, outputMs);
    });
    // `close` comes after the last of its output.
    child.on('close', (code, by) => {
      clearTimeout(timer);
      resolve({ code, by });
    });
  });
}

function end({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal);
  } catch (error) {
    // It has ended by itself meanwhile.
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

function failed(program: string, how: string, lines: string[], cause?: unknown): AiotError {
  const said = lines.length > 0 ? `; its last lines:\n${lines.map((line) => `  ${line}`).join('\n')}` : '';
  return new AiotError('AIOT_TRAINING_COMMAND', `the training program ${program} ${how}${said}`, { cause });
}

/**
 * The network that a training program left, checked against what was asked of it, and simplified.
 * @param program for messages
 * @throws AIOT_TFLITE_*, AIOT_MODEL_UNFIT
 */
function networkFrom(bytes: Uint8Array, program: string, network: NetworkSpec, description: string): Graph {
  const whose = `the network that ${program} left`;
  const graph = readLeft(bytes, whose);
  checkEnds(graph, whose, network);
  return simplifyGraph({ ...graph, description });
}

function readLeft(bytes: Uint8Array, whose: string): Graph {
  try {
    return readTflite(bytes);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw new AiotError(error.code, `${whose}: ${error.message}`, {
      cause: error,
      next: 'It has to leave a float32 .tflite file; docs/project.md describes it.',
    });
  }
}

/**
 * One float32 input and output of the sizes that a project's network has.
 * @param what for messages
 * @throws AIOT_MODEL_UNFIT
 */
export function checkEnds(graph: Graph, whose: string, network: NetworkSpec): void {
  const expected = [network.inputShape.reduce((a, b) => a * b, 1), outputSize(network)];
  for (const [i, [what, indices]] of (
    [
      ['input', graph.inputs],
      ['output', graph.outputs],
    ] as const
  ).entries()) {
    const tensor = graph.tensors[indices[0] ?? -1];
    const size = tensor ? elementCount(tensor.shape) : 0;
    if (indices.length === 1 && tensor?.type === 'float32' && size === expected[i]) continue;
    const got = tensor ? `${tensor.type} [${tensor.shape.join(', ')}]` : 'none';
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${whose}: expected one float32 ${what} of ${expected[i]} numbers, got ${indices.length === 1 ? got : `${indices.length} of them`}`,
      { next: 'task.json in its folder says what is asked for; docs/project.md describes it.' },
    );
  }
}
