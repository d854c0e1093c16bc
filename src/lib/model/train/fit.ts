import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Scalar, Tensor, Tensor2D, Variable } from '@tensorflow/tfjs-core';
import type { Sequential } from '@tensorflow/tfjs-layers';
import { type Random, seededRandom, shuffled } from '../../core/index.js';
import { confusionOf, macroF1Of } from '../evaluate/metrics.js';
import { buildNetwork, copyWeights } from './network.js';
import { loadTensorFlow, type TensorFlow } from './tensorflow.js';
import type { EpochFigures, LayerWeights, NetworkSpec, TrainedNetwork } from './types.js';

/** Standardized windows [count × inputs] and their classes. */
export interface Part {
  inputs: Float32Array;
  classes: Int32Array;
}

export interface FitOptions {
  spec: NetworkSpec;
  train: Part;
  /** Decides which epoch's weights are kept; empty = the last epoch's. */
  validation: Part;
  epochs: number;
  batch: number;
  learningRate: number;
  seed: number;
  onEpoch?: (figures: EpochFigures) => void;
  signal?: AbortSignal;
}

export interface Fitted {
  network: TrainedNetwork;
  history: EpochFigures[];
  /** From 1: the epoch whose weights these are. */
  bestEpoch: number;
}

/**
 * Adam on the class-weighted cross-entropy; the epoch with the highest validation macro-F1, then the lowest validation
 * loss, wins. Equal data, options and seed give equal weights: initialisers and order are seeded, the backend has one thread.
 * @throws what `signal` was aborted with
 */
export async function fitNetwork(options: FitOptions): Promise<Fitted> {
  const { spec, train, validation, epochs, seed, signal } = options;
  const tensorflow = await loadTensorFlow();
  const { tf } = tensorflow;
  const random = seededRandom(seed);
  const model = buildNetwork(tensorflow, spec, seed);
  const optimizer = tf.train.adam(options.learningRate);
  const weights = classWeights(train.classes, spec.classes);
  const history: EpochFigures[] = [];
  let best: { f1: number; loss: number; epoch: number; layers: LayerWeights[] } | undefined;
  try {
    for (let epoch = 1; epoch <= epochs; epoch++) {
      signal?.throwIfAborted();
      const { loss, accuracy } = trainEpoch(tensorflow, model, optimizer, options, weights, random);
      const checked =
        validation.classes.length > 0 ? assess(tensorflow, model, spec, validation, weights) : null;
      const figures = {
        epoch,
        epochs,
        loss,
        accuracy,
        valLoss: checked?.loss ?? null,
        valAccuracy: checked?.accuracy ?? null,
      };
      history.push(figures);
      options.onEpoch?.(figures);
      const f1 = checked?.macroF1 ?? 0;
      const lossNow = checked?.loss ?? -epoch;
      if (!best || f1 > best.f1 || (f1 === best.f1 && lossNow < best.loss)) {
        best = { f1, loss: lossNow, epoch, layers: copyWeights(model) };
      }
      await nextTurn();
    }
  } finally {
    optimizer.dispose();
    model.dispose();
  }
  if (!best) throw new Error('no epoch was run');
  return { network: { spec, layers: best.layers }, history, bestEpoch: best.epoch };
}

/** total / (classes · count): every class weighs the same in the loss, however many windows it has. */
export function classWeights(classes: Int32Array, count: number): Float32Array {
  const seen = new Float64Array(count);
  for (const c of classes) seen[c]! += 1;
  return Float32Array.from(seen, (n) => (n === 0 ? 0 : classes.length / (count * n)));
}

function trainEpoch(
  tensorflow: TensorFlow,
  model: Sequential,
  optimizer: ReturnType<TensorFlow['tf']['train']['adam']>,
  { spec, train, batch }: FitOptions,
  weights: Float32Array,
  random: Random,
): { loss: number; accuracy: number } {
  const { tf } = tensorflow;
  const count = train.classes.length;
  const order = shuffled(
    Array.from({ length: count }, (_, i) => i),
    random,
  );
  const variables = model.trainableWeights.map((w) => w.read() as Variable);
  let loss = 0;
  let right = 0;
  for (let start = 0; start < count; start += batch) {
    const rows = order.slice(start, start + batch);
    tf.tidy(() => {
      const inputs = gather(tensorflow, spec, train.inputs, rows);
      const targets = weightedTargets(tensorflow, train.classes, rows, weights);
      let logits: Tensor2D | undefined;
      const cost = optimizer.minimize(
        () => {
          logits = model.apply(inputs, { training: true }) as Tensor2D;
          return crossEntropy(tensorflow, logits, targets);
        },
        true,
        variables,
      );
      loss += (cost?.dataSync()[0] ?? 0) * rows.length;
      const winners = argMaxRows(logits!.dataSync() as Float32Array, spec.classes);
      right += rows.filter((row, i) => winners[i] === train.classes[row]).length;
    });
  }
  return { loss: loss / count, accuracy: right / count };
}

/** −Σ wᵢ · log softmax(logits)ᵢ over the rows, divided by their number; the class weights stand in the targets. */
function crossEntropy({ tf }: TensorFlow, logits: Tensor2D, targets: Tensor2D) {
  const total = tf.sum(tf.mul(targets, tf.logSoftmax(logits)));
  return tf.div(total, -targets.shape[0]) as Scalar;
}

function gather({ tf }: TensorFlow, spec: NetworkSpec, inputs: Float32Array, rows: number[]): Tensor {
  const size = spec.inputShape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(rows.length * size);
  rows.forEach((row, i) => data.set(inputs.subarray(row * size, (row + 1) * size), i * size));
  return tf.tensor(data, [rows.length, ...spec.inputShape]);
}

function weightedTargets({ tf }: TensorFlow, classes: Int32Array, rows: number[], weights: Float32Array) {
  const data = new Float32Array(rows.length * weights.length);
  rows.forEach((row, i) => {
    const c = classes[row]!;
    data[i * weights.length + c] = weights[c]!;
  });
  return tf.tensor2d(data, [rows.length, weights.length]);
}

function assess(
  tensorflow: TensorFlow,
  model: Sequential,
  spec: NetworkSpec,
  part: Part,
  weights: Float32Array,
) {
  const { tf } = tensorflow;
  const rows = Array.from(part.classes, (_, i) => i);
  return tf.tidy(() => {
    const logits = model.apply(gather(tensorflow, spec, part.inputs, rows)) as Tensor2D;
    const loss = crossEntropy(tensorflow, logits, weightedTargets(tensorflow, part.classes, rows, weights));
    const winners = argMaxRows(logits.dataSync() as Float32Array, spec.classes);
    const confusion = confusionOf(part.classes, winners, spec.classes);
    const right = winners.filter((c, i) => c === part.classes[i]).length;
    return { loss: loss.dataSync()[0]!, accuracy: right / rows.length, macroF1: macroF1Of(confusion) };
  });
}

/** Index of the largest value of each row; the first of equals. */
export function argMaxRows(values: ArrayLike<number>, columns: number): Int32Array {
  const out = new Int32Array(values.length / columns);
  for (let row = 0; row < out.length; row++) {
    let best = 0;
    for (let c = 1; c < columns; c++) {
      if (values[row * columns + c]! > values[row * columns + best]!) best = c;
    }
    out[row] = best;
  }
  return out;
}
