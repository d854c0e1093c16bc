import type { NetworkOutput } from '../network/types.js';
import { hasClasses } from './fit/part.js';
import { fitStandardization } from './standardize.js';
import type { Lesson } from './types.js';

/** What a linear model reaches, on the examples that the network's validation figures are of; null where it has no such figure. */
export interface Baseline {
  valAccuracy: number | null;
  /** In the unit of the values. */
  valRmse: number | null;
}

const steps = 300;
/** Products of one step (examples × inputs × outputs): beyond, only some examples are learned from, so that it takes a second. */
const mostProducts = 4e6;

/**
 * A linear model beside every training: multinomial logistic regression, or ridge regression of values, of standardized inputs
 * with the penalty |W|² / 2 (scikit-learn's default, C = 1), by Nesterov's accelerated gradient with steps of 1 / L (Nesterov 1983).
 * A network that is no better than it is too large for its data, or learns from too few. Reads the examples and leaves them as they are.
 * @returns null for a reconstruction, and where a part is empty
 */
export function linearBaseline(train: Lesson, validation: Lesson, output: NetworkOutput): Baseline | null {
  if (output.kind === 'reconstruction' || train.classes.length === 0 || validation.classes.length === 0)
    return null;
  const classes = hasClasses(output.kind);
  const outputs = output.kind === 'classes' ? output.count : output.kind === 'probability' ? 2 : 1;
  const size = train.inputSize + 1;
  const most = Math.max(1, Math.floor(mostProducts / (size * outputs)));
  const every = Math.ceil(train.classes.length / most);
  const { mean, deviation } = fitStandardization(train);
  const rowOf = ({ inputs, inputSize }: Lesson, at: number, row = new Float64Array(size)) => {
    for (let k = 0; k < inputSize; k++) row[k] = (inputs[at * inputSize + k]! - mean[k]!) / deviation[k]!;
    row[inputSize] = 1;
    return row;
  };
  const rows = Array.from({ length: Math.ceil(train.classes.length / every) }, (_, i) =>
    rowOf(train, i * every),
  );
  const center = train.values ? average(train.values) : 0;
  const target = (i: number, o: number) =>
    classes ? (train.classes[i * every] === o ? 1 : 0) : train.values![i * every]! - center;
  const weights = fitted(rows, outputs, classes, target);
  const count = validation.classes.length;
  let [right, squares] = [0, 0];
  // One row at a time: a large table's validation part is not held twice.
  const own = new Float64Array(size);
  for (let at = 0; at < count; at++) {
    const scores = outputsOf(weights, rowOf(validation, at, own), outputs);
    if (classes) right += scores.indexOf(Math.max(...scores)) === validation.classes[at] ? 1 : 0;
    else squares += (scores[0]! + center - validation.values![at]!) ** 2;
  }
  return classes
    ? { valAccuracy: right / count, valRmse: null }
    : { valAccuracy: null, valRmse: Math.sqrt(squares / count) };
}

/** Weights [outputs × inputs], the last input being the constant 1. */
function fitted(
  rows: Float64Array[],
  outputs: number,
  classes: boolean,
  target: (row: number, output: number) => number,
): Float64Array {
  const size = rows[0]!.length;
  const penalty = 1 / rows.length;
  const rate = 1 / (largestCurvature(rows) * (classes ? 0.5 : 1) + penalty);
  let weights = new Float64Array(outputs * size);
  let ahead = weights.slice();
  for (let step = 0; step < steps; step++) {
    const gradient = ahead.map((w, i) => ((i + 1) % size === 0 ? 0 : penalty * w));
    for (const [i, row] of rows.entries()) {
      const scores = outputsOf(ahead, row, outputs);
      if (classes) softmax(scores);
      for (let o = 0; o < outputs; o++) {
        const error = (scores[o]! - target(i, o)) / rows.length;
        for (let k = 0; k < size; k++) gradient[o * size + k]! += error * row[k]!;
      }
    }
    const moved = ahead.map((w, i) => w - rate * gradient[i]!);
    const momentum = step / (step + 3);
    ahead = moved.map((w, i) => w + momentum * (w - weights[i]!));
    weights = moved;
  }
  return weights;
}

function outputsOf(weights: Float64Array, row: Float64Array, outputs: number): number[] {
  return Array.from({ length: outputs }, (_, o) => {
    let sum = 0;
    for (let k = 0; k < row.length; k++) sum += weights[o * row.length + k]! * row[k]!;
    return sum;
  });
}

function softmax(scores: number[]): void {
  const most = Math.max(...scores);
  let sum = 0;
  scores.forEach((score, o) => {
    scores[o] = Math.exp(score - most);
    sum += scores[o]!;
  });
  scores.forEach((share, o) => {
    scores[o] = share / sum;
  });
}

/** The largest eigenvalue of XᵀX / N, by the power method, and a tenth more for what it has not reached. */
function largestCurvature(rows: Float64Array[]): number {
  const size = rows[0]!.length;
  let vector = new Float64Array(size).map((_, k) => 1 + (k % 7) / 7);
  let value = 0;
  for (let turn = 0; turn < 30; turn++) {
    const next = new Float64Array(size);
    for (const row of rows) {
      let dot = 0;
      for (let k = 0; k < size; k++) dot += row[k]! * vector[k]!;
      for (let k = 0; k < size; k++) next[k]! += (dot * row[k]!) / rows.length;
    }
    value = Math.hypot(...next) / Math.hypot(...vector);
    const length = Math.hypot(...next) || 1;
    vector = next.map((x) => x / length);
  }
  return 1.1 * value;
}

function average(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value / values.length, 0);
}
