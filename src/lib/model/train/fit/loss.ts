import { quantile } from '../../../core/numbers.js';
import { type NetworkSpec, outputSize } from '../../network/layers.js';
import { fillCells, hasClasses, type Part } from './part.js';

/** Mean weighted loss over rows, and the share of correct predictions if there are classes. */
export interface Assessment {
  loss: number;
  accuracy: number | null;
}

/**
 * Loss of an engine's outputs (logits, values, a reconstruction), as the engine computes it. This is −log softmax of the true class,
 * the sigmoid's cross-entropy, or the mean squared error over the outputs.
 * @param weights one per class, preceded by that of the background if there are objects; null = 1
 */
export function assess(
  outputs: Float32Array,
  spec: NetworkSpec,
  part: Part,
  weights: Float32Array | null,
): Assessment {
  const width = outputSize(spec);
  const rows = outputs.length / width;
  if (spec.output.kind === 'objects')
    return { loss: cellLoss(outputs, spec.output, part, weights!), accuracy: null };
  let loss = 0;
  let right = 0;
  for (let row = 0; row < rows; row++) {
    const own = outputs.subarray(row * width, (row + 1) * width);
    loss += (weights?.[part.classes[row]!] ?? 1) * rowLoss(own, spec, part, row);
    if (isRight(own, spec, part.classes[row]!)) right++;
  }
  return { loss: loss / rows, accuracy: hasClasses(spec.output.kind) ? right / rows : null };
}

/** Mean weighted cross-entropy of the cells, over pictures. */
function cellLoss(
  outputs: Float32Array,
  output: Extract<NetworkSpec['output'], { kind: 'objects' }>,
  { objects = [] }: Part,
  weights: Float32Array,
): number {
  const { grid, count } = output;
  const size = grid[0] * grid[1] * count;
  const targets = new Float32Array(size);
  let loss = 0;
  objects.forEach((own, row) => {
    fillCells(own, output, weights, targets);
    for (let from = 0; from < size; from += count) {
      const z = outputs.subarray(row * size + from, row * size + from + count);
      const most = Math.max(...z);
      const total = most + Math.log(z.reduce((sum, each) => sum + Math.exp(each - most), 0));
      for (let c = 0; c < count; c++) loss += targets[from + c]! * (total - z[c]!);
    }
  });
  return loss / Math.max(1, objects.length * grid[0] * grid[1]);
}

export function rowLoss(outputs: Float32Array, { output }: NetworkSpec, part: Part, row: number): number {
  switch (output.kind) {
    case 'classes': {
      let largest = Number.NEGATIVE_INFINITY;
      for (const z of outputs) if (z > largest) largest = z;
      let sum = 0;
      for (const z of outputs) sum += Math.exp(z - largest);
      return Math.log(sum) + largest - outputs[part.classes[row]!]!;
    }
    case 'probability': {
      const z = outputs[0]!;
      // log(1 + e^z) − t·z, without overflow.
      return Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - part.classes[row]! * z;
    }
    case 'value':
      return (outputs[0]! - part.values![row]!) ** 2;
    case 'reconstruction':
      return distance(outputs, part.inputs, row);
    case 'objects':
      throw new Error('the loss of objects is that of all cells');
  }
}

/** Mean squared distance between a reconstruction and its row of inputs. */
function distance(outputs: Float32Array, inputs: Float32Array, row: number): number {
  const size = outputs.length;
  let sum = 0;
  for (let i = 0; i < size; i++) sum += (outputs[i]! - inputs[row * size + i]!) ** 2;
  return sum / size;
}

/** The class predicted by a row of logits. */
export function classOf(outputs: Float32Array, { output }: Pick<NetworkSpec, 'output'>): number {
  if (output.kind === 'probability') return outputs[0]! >= 0 ? 1 : 0;
  let best = 0;
  for (let c = 1; c < outputs.length; c++) if (outputs[c]! > outputs[best]!) best = c;
  return best;
}

function isRight(outputs: Float32Array, spec: NetworkSpec, truth: number): boolean {
  return hasClasses(spec.output.kind) && classOf(outputs, spec) === truth;
}

/** A network's predictions for examples. */
export interface Answers {
  /** Class of each example; empty if values are predicted. */
  classes: Int32Array;
  /** The predicted values, the reconstruction errors, or the single outputs that determined the classes. Empty for several classes. */
  values: Float64Array;
}

/**
 * Predictions from a network's outputs [rows × outputs].
 * @param inputs standardized, [rows × inputs]: the reference for a reconstruction
 * @param from threshold of the second class: for a single output (0 for a logit, 0.5 for a probability), or for the reconstruction error
 */
export function answersOf(
  outputs: Float32Array,
  inputs: Float32Array,
  network: NetworkSpec,
  from: number | null,
): Answers {
  const width = outputSize(network);
  const rows = outputs.length / width;
  const own = (row: number) => outputs.subarray(row * width, (row + 1) * width);
  const none = new Float64Array(0);
  switch (network.output.kind) {
    case 'classes':
      return { classes: Int32Array.from({ length: rows }, (_, row) => largest(own(row))), values: none };
    case 'probability':
      return {
        classes: Int32Array.from(outputs, (output) => (output >= (from ?? 0.5) ? 1 : 0)),
        values: Float64Array.from(outputs),
      };
    case 'objects':
      return { classes: new Int32Array(0), values: none };
    case 'value':
      return { classes: new Int32Array(0), values: Float64Array.from(outputs) };
    case 'reconstruction': {
      const errors = Float64Array.from({ length: rows }, (_, row) => distance(own(row), inputs, row));
      return {
        classes: Int32Array.from(errors, (error) => (error > (from ?? Infinity) ? 1 : 0)),
        values: errors,
      };
    }
  }
}

/** The reconstruction error that this share of the rows does not exceed. */
export function errorQuantile(
  outputs: Float32Array,
  inputs: Float32Array,
  network: NetworkSpec,
  share: number,
): number {
  return quantile(answersOf(outputs, inputs, network, null).values.sort(), share);
}

function largest(row: Float32Array): number {
  let best = 0;
  for (let c = 1; c < row.length; c++) if (row[c]! > row[best]!) best = c;
  return best;
}

/** Range of plausible temperatures. Others result from too little data. */
const temperatures = { least: 0.25, most: 10 };

/**
 * The temperature at which the predicted probabilities match how often predictions are correct. Outputs are divided by the temperature
 * before the softmax or sigmoid, without changing the predicted class. Minimizes the cross-entropy over rows that were not trained on (Guo
 * et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2). Targets are smoothed as by Platt, so that a few rows without
 * errors do not lead to full confidence.
 * @param outputs before the softmax [rows × classes], or before the sigmoid [rows]
 */
export function temperatureOf(outputs: ArrayLike<number>, classes: Int32Array): number {
  const width = outputs.length / classes.length;
  const { least, most } = temperatures;
  // The cross-entropy has a single minimum over 1 / temperature, and therefore over the temperature's logarithm.
  const ratio = (Math.sqrt(5) - 1) / 2;
  const costAt = (power: number) => crossEntropy(outputs, classes, width, Math.exp(power));
  let [low, high] = [Math.log(least), Math.log(most)];
  for (let turn = 0; turn < 40; turn++) {
    const [a, b] = [high - ratio * (high - low), low + ratio * (high - low)];
    if (costAt(a) < costAt(b)) high = b;
    else low = a;
  }
  return Number(Math.exp((low + high) / 2).toPrecision(4));
}

function crossEntropy(
  outputs: ArrayLike<number>,
  classes: Int32Array,
  width: number,
  temperature: number,
): number {
  const count = Math.max(2, width);
  const rows = classes.length;
  const [right, wrong] = [(rows + 1) / (rows + count), 1 / (rows + count)];
  // A single output is the input of a sigmoid; the other class's logit is 0.
  const at = (row: number, c: number) =>
    (width > 1 ? outputs[row * width + c]! : c === 1 ? outputs[row]! : 0) / temperature;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < count; c++) largest = Math.max(largest, at(row, c));
    let total = 0;
    for (let c = 0; c < count; c++) total += Math.exp(at(row, c) - largest);
    const logTotal = largest + Math.log(total);
    for (let c = 0; c < count; c++) sum += (c === classes[row] ? right : wrong) * (logTotal - at(row, c));
  }
  return sum / rows;
}
