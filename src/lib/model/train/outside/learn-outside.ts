import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { AiotError, hasCode, readBytes, requireFile } from '../../../core/index.js';
import { type Graph, writeTflite } from '../../../formats/index.js';
import { openLiteRt } from '../../../runtime/index.js';
import type { Standardization } from '../../../signal/index.js';
import { type NetworkSpec, outputSize } from '../../network/layers.js';
import { answersOf, errorQuantile } from '../answers.js';
import { assess } from '../fit/loss.js';
import type { Part } from '../fit/part.js';
import { type Learned, type LearnOptions, normalOnly, requireExamples } from '../learn.js';
import { standardizationFor, standardizeInPlace } from '../standardize.js';
import type { Lesson } from '../types.js';
import { runCommand } from './run-command.js';
import { networkFrom } from './take-network.js';
import { writeTask } from './write-task.js';

/**
 * As `learn`, by the program of model.train.command: it gets the rows in a folder and leaves a float .tflite there, which is
 * checked, simplified and measured as if it were our own. The contract is in docs/project.md.
 * @throws AIOT_TRAINING_COMMAND, AIOT_TFLITE_*, AIOT_MODEL_UNFIT, and what `signal` was aborted with
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
