import type { Scalar, Tensor, Tensor2D } from '@tensorflow/tfjs-core';
import { gaussian, type Random } from '../../core/index.js';
import type { Core, LayerNetwork } from './types.js';

/** Standardized windows [count × inputs] and their classes. */
export interface Part {
  inputs: Float32Array;
  classes: Int32Array;
}

/** Inputs of the rows named, as the network takes them. `noise` = deviation of Gaussian noise added to each, 0 = none. */
export function inputBatch(
  tf: Core,
  spec: LayerNetwork,
  inputs: Float32Array,
  rows: number[],
  noise = 0,
  random: Random = () => 0,
): Tensor {
  const size = spec.inputShape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    data.set(inputs.subarray(row * size, (row + 1) * size), i * size);
  });
  if (noise > 0) for (let i = 0; i < data.length; i++) data[i]! += noise * gaussian(random);
  return tf.tensor(data, [rows.length, ...spec.inputShape]);
}

/** One-hot targets [rows, classes], each row scaled by the weight of its class. */
export function targetBatch(tf: Core, classes: Int32Array, rows: number[], weights: Float32Array): Tensor2D {
  const data = new Float32Array(rows.length * weights.length);
  rows.forEach((row, i) => {
    const c = classes[row]!;
    data[i * weights.length + c] = weights[c]!;
  });
  return tf.tensor2d(data, [rows.length, weights.length]);
}

/** −Σ targets · log softmax(logits), divided by the number of rows. */
export function crossEntropy(tf: Core, logits: Tensor2D, targets: Tensor2D): Scalar {
  const total = tf.sum(tf.mul(targets, tf.logSoftmax(logits)));
  return tf.div(total, -targets.shape[0]) as Scalar;
}

/** total / (classes · count): every class weighs the same in the loss, however many windows it has. */
export function classWeights(classes: Int32Array, count: number): Float32Array {
  const seen = new Float64Array(count);
  for (const c of classes) seen[c]! += 1;
  return Float32Array.from(seen, (n) => (n === 0 ? 0 : classes.length / (count * n)));
}
