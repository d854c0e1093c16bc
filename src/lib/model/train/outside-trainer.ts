import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { readBytes, requireFile, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import { runProgram } from '../../core/process.js';
import { writeCsv } from '../../formats/csv/table.js';
import { elementCount, type Graph, hasState, type Tensor } from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { writeTflite } from '../../formats/tflite/write.js';
import { featureNames, type Standardization } from '../../signal/spec.js';
import { openNetwork, predictRows, sessionsOf } from '../evaluate/predict.js';
import { mainOutput } from '../network/join-ends.js';
import { type NetworkSpec, outputSize } from '../network/layers.js';
import { simplifyGraph } from '../network/simplify.js';
import { isQuantized } from '../quantize/graph/quantize-graph.js';
import { standardizationFor, standardizeInPlace } from './examples/standardize.js';
import { answersOf, assess, errorQuantile } from './fit/loss.js';
import type { Part } from './fit/part.js';
import { type Learned, type LearnOptions, normalOnly, requireExamples, type TrainConfig } from './learn.js';
import type { Plan } from './plan.js';
import type { Lesson } from './types.js';

/**
 * Like `learn`, but runs the program in model.train.command. The program reads the rows from a folder and writes a float .tflite file
 * there, which is validated, simplified and evaluated like aiot's own networks. See docs/reference/project.md for the contract.
 * @throws AIOT_TRAINING_COMMAND, AIOT_TFLITE_*, AIOT_MODEL_UNFIT, and the abort reason of `signal`
 */
export async function learnOutside(
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

/** Reads the file that a training program had to write. @throws AIOT_TRAINING_COMMAND if the file is missing */
async function leftBy(program: string, file: string): Promise<Uint8Array> {
  try {
    // Reading a pipe would block.
    await requireFile(file);
    return await readBytes(file);
  } catch (error) {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    const what = `the training program ${program} succeeded but wrote no ${basename(file)} to the given folder`;
    throw new AiotError('AIOT_TRAINING_COMMAND', what, { cause: error });
  }
}

/**
 * Evaluates a forest, or an externally trained network, in the same way as aiot's own networks: losses, accuracies, threshold.
 * @param parts standardized parts
 * @param backend name of the trainer
 */
export async function measured(
  graph: Graph,
  standardization: Standardization,
  parts: { train: Part; validation: Part },
  { plan: { network, state }, train: { quantile } }: Pick<LearnOptions, 'plan' | 'train'>,
  backend: string,
): Promise<Learned> {
  const runtime = await openNetwork(
    writeTflite(mainOutput(graph)),
    hasState(graph) || isQuantized(graph) ? 'device' : undefined,
  );
  const forward = ({ inputs, recordings }: Pick<Lesson, 'inputs' | 'recordings'>) =>
    predictRows(runtime, inputs, undefined, 0, sessionsOf(recordings, state));
  const kind = network.output.kind;
  const own = (part: Part) => assess(beforeEnding(forward(part), network), network, part, null);
  const [train, validation] = [own(parts.train), own(parts.validation)];
  const threshold =
    kind === 'reconstruction'
      ? errorQuantile(forward(parts.train), parts.train.inputs, network, quantile)
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
    return answersOf(forward({ inputs, recordings: asked.recordings }), inputs, network, threshold);
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
    dispose: () => runtime.close(),
  };
}

export function partOf(examples: Lesson, standardization: Standardization): Part {
  const { inputSize, classes, values, recordings } = examples;
  return { inputs: standardizeInPlace(examples, standardization), inputSize, classes, values, recordings };
}

/** Converts shares and probabilities back to logits (the inverse of softmax or sigmoid), because the losses need logits. */
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
 * Writes the input of a training program into its folder: train.csv, validation.csv and task.json. The CSV files have one standardized
 * column per input, and `label`, the number of the class or the value; a reconstruction has no labels. task.json contains everything else.
 * @returns the file that the program must write
 */
async function writeTask(
  folder: string,
  { plan, config, train, validation }: { plan: Plan; config: TrainConfig; train: Part; validation: Part },
): Promise<string> {
  const { network, classes, signal } = plan;
  // A table row is a window of one sample, so the columns' own names are used.
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

/** Number of output lines that are reported if the program fails. */
const lastLines = 6;

/**
 * Runs a training program to completion. If `signal` is aborted, the program is terminated with all its child processes.
 * @param onLine called with each output line
 * @throws AIOT_TRAINING_COMMAND with the last output lines; the abort reason of `signal`
 */
export async function runCommand(
  [program = '', ...args]: string[],
  { folder, onLine, signal }: { folder: string; onLine?: (line: string) => void; signal?: AbortSignal },
): Promise<void> {
  const last: string[] = [];
  const take = (line: string) => {
    if (line.trim() === '') return;
    last.push(line);
    if (last.length > lastLines) last.shift();
    onLine?.(line);
  };
  const begun = { stdout: '', stderr: '' };
  const onOutput = (text: string, from: 'stdout' | 'stderr') => {
    const lines = (begun[from] + text).split(/\r\n|\n|\r/);
    begun[from] = lines.pop() ?? '';
    lines.forEach(take);
  };
  const { code, endedBy } = await runProgram(program, args, {
    ...{ cwd: folder, signal, group: true, onOutput },
  }).catch((error: Error) => {
    signal?.throwIfAborted();
    throw failed(program, `could not be started (${systemCode(error) ?? error.message})`, [], error);
  });
  Object.values(begun).forEach(take);
  if (code !== 0)
    throw failed(program, endedBy ? `was killed by ${endedBy}` : `exited with code ${code}`, last);
}

function failed(program: string, how: string, lines: string[], cause?: unknown): AiotError {
  const said =
    lines.length > 0 ? `; its last lines of output:\n${lines.map((line) => `  ${line}`).join('\n')}` : '';
  return new AiotError('AIOT_TRAINING_COMMAND', `the training program ${program} ${how}${said}`, { cause });
}

/**
 * The network written by a training program, validated against its task, and simplified.
 * @param program for messages
 * @throws AIOT_TFLITE_*, AIOT_MODEL_UNFIT
 */
function networkFrom(bytes: Uint8Array, program: string, network: NetworkSpec, description: string): Graph {
  const whose = `the model that ${program} wrote`;
  const graph = readLeft(bytes, whose);
  checkEnds(graph, whose, network);
  return simplifyGraph({ ...graph, description });
}

function readLeft(bytes: Uint8Array, whose: string): Graph {
  try {
    return readTflite(bytes);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw error.reworded(`${whose}: ${error.message}`, {
      cause: error,
      next: 'The program must write a float32 .tflite file. For all requirements, run `aiot docs project`.',
    });
  }
}

/** The input or output of a network that does not fit the project. */
export interface UnfitEnd {
  end: 'input' | 'output';
  /** Number of values; null if their number is not the only problem. */
  size: number | null;
}

interface EndRules {
  types?: readonly Tensor['type'][];
  /** The next step for an input or output that does not fit. */
  next?: (unfit: UnfitEnd) => string;
}

const seeTask = () =>
  "For the requirements, see task.json in the program's folder, or run `aiot docs project`.";

/**
 * Requires a single input and output of an accepted type, and of the sizes in the project's network.
 * @param whose for messages
 * @throws AIOT_MODEL_UNFIT
 */
export function checkEnds(
  graph: Graph,
  whose: string,
  network: NetworkSpec,
  { types = ['float32'], next = seeTask }: EndRules = {},
): void {
  const expected = [network.inputShape.reduce((a, b) => a * b, 1), outputSize(network)];
  for (const [i, [end, indices]] of (
    [
      ['input', graph.inputs],
      ['output', graph.outputs],
    ] as const
  ).entries()) {
    const tensor = graph.tensors[indices[0] ?? -1];
    const size = tensor ? elementCount(tensor.shape) : 0;
    const isTyped = indices.length === 1 && tensor !== undefined && types.includes(tensor.type);
    if (isTyped && size === expected[i]) continue;
    const got = tensor ? `${tensor.type} [${tensor.shape.join(', ')}]` : 'none';
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${whose}: expected one ${isTyped ? '' : `${types[0]} `}${end} of ${expected[i]} numbers, got ${indices.length === 1 ? got : `${indices.length} of them`}`,
      { next: next({ end, size: isTyped ? size : null }) },
    );
  }
}
