import type { ProjectConfig } from '../../../core/project-schema.js';
import type { Standardization } from '../../../signal/spec.js';
import type { Backend } from '../../engine/types.js';
import { fieldsOf, standardizationFor, standardizeInPlace } from '../examples/standardize.js';
import type { Plan } from '../plan.js';
import type { EpochFigures, Lesson } from '../types.js';
import { augmenter } from './augment.js';
import { pictureAugmenter } from './augment-pictures.js';
import type { Checkpoint } from './checkpoint.js';
import type { Fitted, fitNetwork } from './fit-network.js';
import type { Part } from './part.js';

export interface LessonOptions {
  plan: Plan;
  /** The fields of model.train in aiot.yaml. */
  train: ProjectConfig['model']['train'];
  backend: Backend;
  from?: Checkpoint;
  onCheckpoint?: (checkpoint: Checkpoint) => Promise<void>;
  onEpoch?: (figures: EpochFigures) => void;
  signal?: AbortSignal;
}

/** Mean and deviation that standardize target values for training, so that their unit has no effect. */
interface TargetScale {
  mean: number;
  deviation: number;
}

/** A fitted model, with its input and output scales. */
interface FittedLesson {
  fitted: Fitted;
  standardization: Standardization;
  /** null if the network does not predict values. */
  target: TargetScale | null;
  /** The training set in the form used for fitting. */
  train: Part;
}

/**
 * Fits a network, or a linear model, to examples. Standardizes the examples' inputs in place, by the training set's own mean and deviation.
 * @param validation null = the last epoch is used
 */
export async function fitLesson(
  training: Lesson,
  validation: Lesson | null,
  { plan, train, ...rest }: LessonOptions,
  fitter: typeof fitNetwork,
): Promise<FittedLesson> {
  const { network, windows, signal, noise } = plan;
  const { inputSize } = training;
  const standardization = standardizationFor(training, plan);
  const target = targetScale(training.values);
  const own = partOf(training, standardization, target);
  const fields = fieldsOf(signal);
  const window = windows && !signal.image ? { samples: inputSize / fields, fields } : null;
  const picture = windows && signal.image ? { ...signal.image, channels: fields } : null;
  const augmentation = { ...train.augment, noise: train.augment.noise ?? noise };
  // `from` is excluded: it names the backbone in aiot.yaml, but a checkpoint in the fitter's options.
  const { from: _, ...settings } = train;
  const fitted = await fitter({
    ...settings,
    ...rest,
    spec: network,
    backbone: plan.backbone,
    train: own,
    validation: validation && partOf(validation, standardization, target),
    augment: picture
      ? pictureAugmenter(augmentation, picture, standardization)
      : augmenter(augmentation, inputSize, standardization, window),
  });
  return { fitted, standardization, target, train: own };
}

/** @returns null if the network does not predict values */
export function targetScale(values: Float32Array | null): TargetScale | null {
  if (values === null) return null;
  let mean = 0;
  for (const value of values) mean += value / values.length;
  let variance = 0;
  for (const value of values) variance += (value - mean) ** 2 / values.length;
  const deviation = Math.sqrt(variance);
  return { mean, deviation: deviation > 0 ? deviation : 1 };
}

/** Converts examples to a part for training. Standardizes their inputs in place. */
export function partOf(examples: Lesson, by: Standardization, target: TargetScale | null): Part {
  const { inputSize, classes, values, objects } = examples;
  const inputs = standardizeInPlace(examples, by);
  const scaled = target && values ? values.map((value) => (value - target.mean) / target.deviation) : null;
  return { inputs, inputSize, classes, values: scaled, objects };
}

/** The rows of both lessons concatenated, as a copy. */
export function together(a: Lesson, b: Lesson): Lesson {
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

/** A copy of these rows. */
export function someOf({ inputs, inputSize, classes, values }: Lesson, rows: readonly number[]): Lesson {
  const own = new Float32Array(rows.length * inputSize);
  rows.forEach((row, i) => {
    own.set(inputs.subarray(row * inputSize, (row + 1) * inputSize), i * inputSize);
  });
  const taken = (of: Int32Array | Float32Array) => rows.map((row) => of[row]!);
  return {
    inputs: own,
    inputSize,
    classes: Int32Array.from(taken(classes)),
    values: values && Float32Array.from(taken(values)),
  };
}
