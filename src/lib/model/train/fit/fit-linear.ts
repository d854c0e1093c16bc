import { openEngine } from '../../engine/open-engine.js';
import { buildTrainable } from '../../network/build.js';
import { type NetworkOutput, outputSize } from '../../network/layers.js';
import type { FitOptions, Fitted } from './fit-network.js';
import { type Assessment, assess } from './loss.js';
import { classFactors, fillBatch, lossOf, type Part } from './part.js';

const mostSteps = 1000;
/** Maximum number of products over all steps (examples × inputs × outputs each). These take about a second. */
const mostProducts = 4e8;
/** Minimum number of steps that the budget must allow; otherwise, evenly spaced rows are omitted. */
const fewestSteps = 200;
/** Convergence threshold: below this largest gradient entry, the metrics no longer change visibly. */
const flat = 1e-5;

/** A layer's weights in the layout of a dense layer: [outputs × inputs], and one bias per output. */
export interface Linear {
  weights: Float32Array;
  bias: Float32Array;
}

/**
 * One dense layer, fitted as logistic regression or, for values, ridge regression. The objective is the loss of the network's own output
 * plus |W|² / 2 over the examples (scikit-learn's default, C = 1). Its single minimum is found by Nesterov's accelerated gradient with
 * steps of 1 / L (Nesterov 1983), restarted if the objective increases (O'Donoghue and Candès 2015).
 * @param factors one factor per class, for the losses of the class's examples; null = 1
 */
export function linearLayer(part: Part, output: NetworkOutput, factors: Float32Array | null): Linear {
  const units = outputSize({ output, inputShape: [part.inputSize] });
  const inputs = part.inputSize;
  const all = part.classes.length;
  const most = Math.max(1, Math.floor(mostProducts / fewestSteps / ((inputs + 1) * units)));
  const every = Math.ceil(all / most);
  const rows = Array.from({ length: Math.ceil(all / every) }, (_, i) => i * every);
  const x = new Float32Array(rows.length * inputs);
  const targets = new Float32Array(rows.length * units);
  const spec = { kind: 'mlp' as const, inputShape: [inputs], layers: [], output };
  fillBatch(part, spec, rows, { inputs: x, targets });
  const weightOf = Float64Array.from(rows, (row) => (factors?.[part.classes[row]!] ?? 1) / rows.length);
  // With two classes, only the difference of the weights matters, which halves the penalty.
  const penalty = (output.kind === 'classes' && units === 2 ? 2 : 1) / rows.length;
  const size = inputs + 1;
  const bend = output.kind === 'classes' ? 0.5 : output.kind === 'probability' ? 0.25 : 1;
  const rate = 1 / (bend * largestCurvature(x, inputs, weightOf) + penalty);
  const steps = Math.min(mostSteps, Math.ceil(mostProducts / (rows.length * size * units)));
  // Each output's weights, followed by its bias.
  let at = new Float64Array(units * size);
  let ahead = at.slice();
  const scores = new Float64Array(units);
  let run = 0;
  for (let step = 0; step < steps; step++) {
    const gradient = ahead.map((w, i) => ((i + 1) % size === 0 ? 0 : penalty * w));
    for (let row = 0; row < rows.length; row++) {
      for (let o = 0; o < units; o++) {
        let sum = ahead[o * size + inputs]!;
        for (let k = 0; k < inputs; k++) sum += ahead[o * size + k]! * x[row * inputs + k]!;
        scores[o] = sum;
      }
      activate(scores, output.kind);
      for (let o = 0; o < units; o++) {
        const error = (scores[o]! - targets[row * units + o]!) * weightOf[row]!;
        for (let k = 0; k < inputs; k++) gradient[o * size + k]! += error * x[row * inputs + k]!;
        gradient[o * size + inputs]! += error;
      }
    }
    const next = ahead.map((w, i) => w - rate * gradient[i]!);
    let [largest, uphill] = [0, 0];
    for (let i = 0; i < next.length; i++) {
      largest = Math.max(largest, Math.abs(gradient[i]!));
      uphill += gradient[i]! * (next[i]! - at[i]!);
    }
    run = uphill > 0 ? 0 : run + 1;
    const momentum = run / (run + 3);
    ahead = next.map((w, i) => w + momentum * (w - at[i]!));
    at = next;
    if (largest < flat) break;
  }
  const weights = new Float32Array(units * inputs);
  for (let o = 0; o < units; o++)
    for (let k = 0; k < inputs; k++) weights[o * inputs + k] = at[o * size + k]!;
  return { weights, bias: Float32Array.from({ length: units }, (_, o) => at[o * size + inputs]!) };
}

/** Outputs of a linear layer for standardized inputs, in the form of an engine's outputs: logits or values. */
export function linearOutputs({ weights, bias }: Linear, inputs: Float32Array): Float32Array {
  const units = bias.length;
  const size = weights.length / units;
  const outputs = new Float32Array((inputs.length / size) * units);
  for (let i = 0; i < outputs.length; i++) {
    const from = Math.floor(i / units) * size;
    const own = (i % units) * size;
    let sum = bias[i % units]!;
    for (let k = 0; k < size; k++) sum += weights[own + k]! * inputs[from + k]!;
    outputs[i] = sum;
  }
  return outputs;
}

/**
 * Like `fitNetwork`, but without hidden layers. Finds the minimum directly, so there is only one epoch, and no randomness. Epochs, batch,
 * learning rate, seed, members and augmentation have no effect here.
 */
export async function fitLinear(options: FitOptions): Promise<Fitted> {
  const { train, validation, backend, learningRate, seed, signal } = options;
  signal?.throwIfAborted();
  const spec = { ...options.spec, layers: [] };
  const { kind } = spec.output;
  const factors = classFactors(train.classes, spec, options.classWeights);
  const { weights, bias } = linearLayer(train, spec.output, factors);
  const engine = await openEngine(buildTrainable(spec, seed), {
    ...{ backend, learningRate, loss: lossOf(kind), seed },
  });
  const { first, second, statistics } = engine.save();
  const values = Float32Array.of(...weights, ...bias);
  engine.load({ steps: 0, values, first, second, statistics });
  const own = (part: Part): Assessment =>
    assess(engine.forward(part.inputs, part.classes.length), spec, part, factors);
  const trained = own(train);
  const { loss: valLoss, accuracy: valAccuracy } = validation ? own(validation) : trained;
  return {
    trained: engine.graph(),
    history: [{ epoch: 1, epochs: 1, ...trained, valLoss, valAccuracy }],
    bestEpoch: 1,
    interrupted: false,
    backend: engine.name,
    forward: (inputs, rows) => engine.forward(inputs, rows),
    dispose: () => engine.dispose(),
  };
}

function activate(scores: Float64Array, kind: NetworkOutput['kind']): void {
  if (kind === 'probability') scores[0] = 1 / (1 + Math.exp(-scores[0]!));
  if (kind !== 'classes') return;
  let most = Number.NEGATIVE_INFINITY;
  for (let o = 0; o < scores.length; o++) if (scores[o]! > most) most = scores[o]!;
  let sum = 0;
  for (let o = 0; o < scores.length; o++) sum += scores[o] = Math.exp(scores[o]! - most);
  for (let o = 0; o < scores.length; o++) scores[o]! /= sum;
}

/** Length of a vector. Math.hypot does not accept as many arguments as a picture has values. */
function lengthOf(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

/**
 * The largest eigenvalue of Σ w·x·xᵀ, where 1 is appended to x, by the power method. Increased by a tenth to allow for incomplete
 * convergence.
 */
function largestCurvature(x: Float32Array, inputs: number, weightOf: Float64Array): number {
  let vector = Float64Array.from({ length: inputs + 1 }, (_, k) => 1 + (k % 7) / 7);
  let value = 0;
  for (let turn = 0; turn < 30; turn++) {
    const next = new Float64Array(inputs + 1);
    for (let row = 0; row < weightOf.length; row++) {
      let dot = vector[inputs]!;
      for (let k = 0; k < inputs; k++) dot += vector[k]! * x[row * inputs + k]!;
      dot *= weightOf[row]!;
      for (let k = 0; k < inputs; k++) next[k]! += dot * x[row * inputs + k]!;
      next[inputs]! += dot;
    }
    const length = lengthOf(next);
    value = length / lengthOf(vector);
    vector = next.map((y) => y / (length || 1));
  }
  return 1.1 * value;
}
