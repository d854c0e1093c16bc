import type { ProjectConfig } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import type { Standardization } from '../../signal/index.js';
import { finishGraph } from '../lower/finish.js';
import type { NetworkSpec } from '../network/types.js';
import { type Answers, answersOf, errorQuantile } from './answers.js';
import type { Backend } from './engine/types.js';
import { unfit } from './examples.js';
import { augmenter } from './fit/augment.js';
import type { Checkpoint } from './fit/checkpoint.js';
import { fitNetwork } from './fit/fit-network.js';
import { hasClasses, type Part } from './fit/part.js';
import type { Plan } from './plan.js';
import { scaledOutput } from './scaled-output.js';
import { standardizationFor, standardizeInPlace } from './standardize.js';
import type { EpochFigures, Lesson } from './types.js';

/** How to train; the fields of model.train in aiot.yaml. */
export type TrainConfig = ProjectConfig['model']['train'];

export interface LearnOptions {
  plan: Plan;
  train: TrainConfig;
  backend: Backend;
  /** Goes into the file. */
  description: string;
  /** The project's: where a command that trains runs. */
  folder: string;
  from?: Checkpoint;
  onCheckpoint?: (checkpoint: Checkpoint) => Promise<void>;
  onEpoch?: (figures: EpochFigures) => void;
  /** What is being done besides epochs, in a few words. */
  onStep?: (text: string) => void;
  /**
   * Trains once more, on the training and validation rows of a small table together, for as many epochs as did best. Its figures
   * are those of the first training, which knew nothing of the validation rows.
   */
  refit?: boolean;
  signal?: AbortSignal;
}

/** Rows of a table that is small: a quarter more of them to learn from decides more than it costs. */
const smallTable = 10_000;

/** What came of a training. */
export interface Learned {
  /** The float network to write; it takes standardized inputs. */
  graph: Graph;
  standardization: Standardization;
  /** See TrainingFile. */
  threshold: number | null;
  history: EpochFigures[];
  bestEpoch: number;
  interrupted: boolean;
  backend: string;
  /** Examples that the network was trained on again, validation among them; null where that was not done. */
  refitted: number | null;
  /** Root of the mean squared error on the validation part, in the unit of the values; null for other outputs. */
  valRmse: number | null;
  /**
   * What the network answers to examples, whose inputs it standardizes in place: the class named, or the value. Of a
   * reconstruction the class follows from the threshold.
   */
  answers(examples: Lesson): Answers;
  /** The same by the network that the validation part chose, which was not trained on it. */
  chosenAnswers(examples: Lesson): Answers;
  dispose(): void;
}

/**
 * Trains one network on examples. Their inputs are standardized in place, by the training part's own mean and deviation.
 * @throws AIOT_TRAINING_DATA_UNFIT, AIOT_TRAINING_DIVERGED, AIOT_MODEL_UNFIT
 */
export async function learn(
  examples: { train: Lesson; validation: Lesson },
  options: LearnOptions,
): Promise<Learned> {
  const { network, rows } = options.plan;
  const { train: training, validation } = normalOnly(examples, network);
  requireExamples({ train: training, validation }, options.plan);
  const count = training.classes.length + validation.classes.length;
  const again = options.refit && rows && network.output.kind !== 'reconstruction' && count <= smallTable;
  // Before the inputs are standardized in place.
  const both = again ? together(training, validation) : null;
  const first = await learnFrom(training, validation, options);
  const { history, bestEpoch, interrupted } = first;
  const own = { history, bestEpoch, interrupted, backend: first.backend, valRmse: first.valRmse };
  const only = { ...first, ...own, refitted: null, chosenAnswers: first.answers };
  if (both === null || interrupted) return only;
  options.onStep?.(`training and validation rows together, ${bestEpoch} epochs`);
  try {
    const { plan, train, backend, description, folder, signal } = options;
    const settings = { ...train, epochs: bestEpoch, patience: undefined };
    const last = await learnFrom(both, null, { plan, backend, description, folder, signal, train: settings });
    if (last.interrupted) {
      last.dispose();
      return only;
    }
    const dispose = () => {
      first.dispose();
      last.dispose();
    };
    return { ...last, ...own, refitted: count, chosenAnswers: first.answers, dispose };
  } catch (error) {
    // Ctrl-C before its first epoch: what was chosen is kept.
    if (options.signal?.aborted) return { ...only, interrupted: true };
    first.dispose();
    throw error;
  }
}

/** Rows of both, one after the other, in memory of their own. */
function together(a: Lesson, b: Lesson): Lesson {
  const inputs = new Float32Array(a.inputs.length + b.inputs.length);
  inputs.set(a.inputs);
  inputs.set(b.inputs, a.inputs.length);
  return {
    inputs,
    inputSize: a.inputSize,
    classes: Int32Array.of(...a.classes, ...b.classes),
    values: a.values && b.values && Float32Array.of(...a.values, ...b.values),
  };
}

/** @param validation null = the last epoch is kept */
async function learnFrom(
  training: Lesson,
  validation: Lesson | null,
  { plan, train, backend, description, ...rest }: LearnOptions,
): Promise<Omit<Learned, 'refitted' | 'chosenAnswers'>> {
  const { network, windows } = plan;
  const standardization = standardizationFor(training, plan);
  const target = targetScale(training.values);
  const parts = {
    train: partOf(training, standardization, target),
    validation: validation && partOf(validation, standardization, target),
  };
  const augmentation = { ...train.augment, noise: train.augment.noise ?? plan.noise };
  const { inputSize } = training;
  const window = windows
    ? { samples: inputSize / plan.signal.fields.length, fields: plan.signal.fields.length }
    : null;
  const fitted = await fitNetwork({
    ...train,
    ...rest,
    spec: network,
    ...parts,
    augment: augmenter(augmentation, inputSize, standardization, window),
    backend,
  });
  const kind = network.output.kind;
  const { forward } = fitted;
  const threshold =
    kind === 'reconstruction'
      ? errorQuantile(
          forward(parts.train.inputs, parts.train.classes.length),
          parts.train.inputs,
          network,
          train.quantile,
        )
      : null;
  const ending = kind === 'classes' ? 'SOFTMAX' : kind === 'probability' ? 'LOGISTIC' : 'none';
  const trained = target === null ? fitted.trained : scaledOutput(fitted.trained, target);
  const { history, bestEpoch, interrupted } = fitted;
  return {
    graph: finishGraph(trained, { ending }, description),
    standardization,
    threshold: kind === 'probability' ? 0.5 : threshold,
    history,
    bestEpoch,
    interrupted,
    backend: fitted.backend,
    valRmse: target && Math.sqrt(history[bestEpoch - 1]!.valLoss) * target.deviation,
    answers: (asked) => {
      const inputs = standardizeInPlace(asked, standardization);
      const outputs = forward(inputs, asked.classes.length);
      const scaled = target ? outputs.map((z) => z * target.deviation + target.mean) : outputs;
      // The engine's outputs come before the sigmoid, whose half is at 0.
      return answersOf(scaled, inputs, network, threshold ?? 0);
    },
    dispose: () => fitted.dispose(),
  };
}

/** A network that is to know what is normal learns from nothing else. */
export function normalOnly<T extends Record<string, Lesson>>(examples: T, { output }: NetworkSpec): T {
  if (output.kind !== 'reconstruction') return examples;
  const entries = Object.entries(examples).map(([name, own]) => [name, withoutAnomalies(own)]);
  return Object.fromEntries(entries) as T;
}

function withoutAnomalies(examples: Lesson): Lesson {
  if (!examples.classes.some((c) => c !== 0)) return examples;
  const { inputs, inputSize, classes } = examples;
  const rows = [...classes.keys()].filter((row) => classes[row] === 0);
  rows.forEach((row, i) => {
    inputs.copyWithin(i * inputSize, row * inputSize, (row + 1) * inputSize);
  });
  return {
    inputs: inputs.subarray(0, rows.length * inputSize),
    inputSize,
    classes: new Int32Array(rows.length),
    values: null,
  };
}

export function requireExamples(parts: Record<'train' | 'validation', Lesson>, plan: Plan): void {
  const { network, classes, signal } = plan;
  const needed = hasClasses(network.output.kind) ? classes.names : [];
  for (const [part, { classes: found }] of Object.entries(parts)) {
    const missing = needed.filter((_, c) => !found.includes(c));
    if (found.length > 0 && (missing.length === 0 || part !== 'train')) continue;
    const of = missing.length > 0 ? ` of class ${missing.join(', ')}` : '';
    throw unfit(
      plan.rows
        ? `the ${part} part has no row${of}`
        : `the ${part} part has no window${of}: its recordings are shorter than one window (${signal.windowSamples} samples at ${signal.resampleHz} Hz), or there are none`,
    );
  }
}

interface Scale {
  mean: number;
  deviation: number;
}

/** Values are learned standardized: their unit decides nothing then. */
function targetScale(values: Float32Array | null): Scale | null {
  if (values === null) return null;
  let mean = 0;
  for (const value of values) mean += value / values.length;
  let variance = 0;
  for (const value of values) variance += (value - mean) ** 2 / values.length;
  const deviation = Math.sqrt(variance);
  return { mean, deviation: deviation > 0 ? deviation : 1 };
}

function partOf(examples: Lesson, standardization: Standardization, target: Scale | null): Part {
  const { inputSize, classes, values } = examples;
  const inputs = standardizeInPlace(examples, standardization);
  const scaled = target && values ? values.map((value) => (value - target.mean) / target.deviation) : null;
  return { inputs, inputSize, classes, values: scaled };
}
