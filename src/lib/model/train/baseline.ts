import { type Answers, answersOf } from './answers.js';
import { linearLayer, linearOutputs } from './fit/fit-linear.js';
import { classFactors, hasClasses } from './fit/part.js';
import { targetScale } from './fit-lesson.js';
import type { TrainConfig } from './learn.js';
import type { Plan } from './plan.js';
import { fitStandardization, standardizeAll } from './standardize.js';
import type { Lesson } from './types.js';

/** What a linear model reaches on the examples that the network's figures are of; null where it has no such figure. */
export interface Baseline {
  /** On the validation part, learned from the training part. */
  valAccuracy: number | null;
  /** In the unit of the values. */
  valRmse: number | null;
  /** On the test part, learned from the rows that the network that was written has learned from. */
  testAccuracy?: number | null;
  testRmse?: number | null;
}

/** Says what a linear model answers; the examples stay as they are. */
export type LinearModel = (asked: Lesson) => Answers;

/**
 * A linear model beside every training, `linearLayer` of standardized inputs: a network that is no better is too large for its data, or
 * learns from too few. Classes have the weights that the network gives them.
 * @returns null for a reconstruction, and where there is nothing to learn from
 */
export function linearModel(
  train: Lesson,
  { network }: Pick<Plan, 'network'>,
  classWeights: TrainConfig['classWeights'],
): LinearModel | null {
  if (network.output.kind === 'reconstruction' || train.classes.length === 0) return null;
  const by = fitStandardization(train);
  const target = targetScale(train.values);
  const values = target && train.values!.map((value) => (value - target.mean) / target.deviation);
  const part = { ...train, inputs: standardizeAll(train, by), values };
  const layer = linearLayer(part, network.output, classFactors(train.classes, network, classWeights));
  return (asked) => {
    const inputs = standardizeAll(asked, by);
    const outputs = linearOutputs(layer, inputs);
    const scaled = target ? outputs.map((z) => z * target.deviation + target.mean) : outputs;
    // The half of a sigmoid is at 0.
    return answersOf(scaled, inputs, network, 0);
  };
}

/** The share that a model gets right, or its root mean squared error; both null where there are no examples. */
export function figuresOf(
  model: LinearModel,
  { network }: Pick<Plan, 'network'>,
  pieces: Iterable<Lesson>,
): { accuracy: number | null; rmse: number | null } {
  const classes = hasClasses(network.output.kind);
  let [count, right, squares] = [0, 0, 0];
  for (const piece of pieces) {
    const answers = model(piece);
    count += piece.classes.length;
    for (let row = 0; row < piece.classes.length; row++) {
      if (classes) right += answers.classes[row] === piece.classes[row] ? 1 : 0;
      else squares += (answers.values[row]! - piece.values![row]!) ** 2;
    }
  }
  if (count === 0) return { accuracy: null, rmse: null };
  return { accuracy: classes ? right / count : null, rmse: classes ? null : Math.sqrt(squares / count) };
}
