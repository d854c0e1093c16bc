import type { LastLayer } from './last-layer.js';

/** Examples as the last layer sees them. */
export interface Hidden {
  /** [count × inputs], row-major. */
  values: Float64Array;
  classes: Int32Array;
  /** How much each counts; they sum to 1. */
  weights: Float64Array;
}

export interface FitOptions {
  /** Leaves the weights as they are. */
  biasOnly: boolean;
  /** How much it costs to leave the layer that it began with. */
  stay: number;
  iterations: number;
  /** Called now and then: samples may be waiting. */
  breathe?: () => Promise<void>;
}

/** Iterations between two breaths. */
const stretch = 10;

/**
 * Fits the layer to examples: cross-entropy of softmax (or of a sigmoid, where there is one output) plus
 * stay/2 · |new − old|², by accelerated gradient steps of 1/L (Nesterov 1983; Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding
 * Algorithm", SIAM J. Imaging Sci. 2, 2009, section 4). Convex: there is one answer, and nothing to tune.
 */
export async function fitSoftmax(
  start: LastLayer,
  examples: Hidden,
  options: FitOptions,
): Promise<LastLayer> {
  const { outputs, inputs } = start;
  const size = outputs * (inputs + 1);
  const origin = new Float64Array(size);
  origin.set(start.weights);
  origin.set(start.bias, outputs * inputs);
  let at = origin.slice();
  const ahead = origin.slice();
  const step = 1 / (curvature(examples, inputs, options.biasOnly) + options.stay);
  const gradient = new Float64Array(size);
  let momentum = 1;
  for (let i = 0; i < options.iterations; i++) {
    if (i % stretch === 0) await options.breathe?.();
    gradientAt(ahead, examples, { outputs, inputs }, gradient);
    if (options.biasOnly) gradient.fill(0, 0, outputs * inputs);
    const next = new Float64Array(size);
    for (let p = 0; p < size; p++) {
      next[p] = ahead[p]! - step * (gradient[p]! + options.stay * (ahead[p]! - origin[p]!));
    }
    const later = (1 + Math.sqrt(1 + 4 * momentum * momentum)) / 2;
    const factor = (momentum - 1) / later;
    for (let p = 0; p < size; p++) ahead[p] = next[p]! + factor * (next[p]! - at[p]!);
    [at, momentum] = [next, later];
  }
  return { ...start, weights: at.slice(0, outputs * inputs), bias: at.slice(outputs * inputs) };
}

/** Outputs of the layer for one example, before softmax or sigmoid. */
export function layerOutputs(
  { weights, bias, inputs, outputs }: Pick<LastLayer, 'weights' | 'bias' | 'inputs' | 'outputs'>,
  hidden: Float64Array,
  from: number,
  out: Float64Array,
): Float64Array {
  for (let o = 0; o < outputs; o++) {
    let sum = bias[o]!;
    for (let i = 0; i < inputs; i++) sum += weights[o * inputs + i]! * hidden[from + i]!;
    out[o] = sum;
  }
  return out;
}

type Size = Pick<LastLayer, 'outputs' | 'inputs'>;

function gradientAt(
  parameters: Float64Array,
  { values, classes, weights: counts }: Hidden,
  { outputs, inputs }: Size,
  gradient: Float64Array,
): void {
  gradient.fill(0);
  const [weights, bias] = [parameters.subarray(0, outputs * inputs), parameters.subarray(outputs * inputs)];
  const z = new Float64Array(outputs);
  for (let row = 0; row < classes.length; row++) {
    layerOutputs({ weights, bias, inputs, outputs }, values, row * inputs, z);
    const error = outputs === 1 ? sigmoidError(z, classes[row]!) : softmaxError(z, classes[row]!);
    for (let o = 0; o < outputs; o++) {
      const e = error[o]! * counts[row]!;
      for (let i = 0; i < inputs; i++) {
        const p = o * inputs + i;
        gradient[p] = gradient[p]! + e * values[row * inputs + i]!;
      }
      const p = outputs * inputs + o;
      gradient[p] = gradient[p]! + e;
    }
  }
}

/** Share − truth, in place. */
function softmaxError(z: Float64Array, truth: number): Float64Array {
  const most = z.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (let o = 0; o < z.length; o++) {
    z[o] = Math.exp(z[o]! - most);
    sum += z[o]!;
  }
  for (let o = 0; o < z.length; o++) z[o] = z[o]! / sum - (o === truth ? 1 : 0);
  return z;
}

function sigmoidError(z: Float64Array, truth: number): Float64Array {
  z[0] = 1 / (1 + Math.exp(-z[0]!)) - truth;
  return z;
}

/** An upper bound of the loss's curvature: half of the largest eigenvalue of the examples' second moments, by power iteration. */
function curvature({ values, weights: counts }: Hidden, inputs: number, biasOnly: boolean): number {
  if (biasOnly) return 0.5;
  let vector = new Float64Array(inputs + 1).fill(1 / Math.sqrt(inputs + 1));
  let largest = 1;
  for (let turn = 0; turn < 12; turn++) {
    const next = new Float64Array(inputs + 1);
    for (let row = 0; row < counts.length; row++) {
      let dot = vector[inputs]!;
      for (let i = 0; i < inputs; i++) dot += vector[i]! * values[row * inputs + i]!;
      dot *= counts[row]!;
      for (let i = 0; i < inputs; i++) next[i] = next[i]! + dot * values[row * inputs + i]!;
      next[inputs] = next[inputs]! + dot;
    }
    largest = Math.hypot(...next);
    if (largest === 0) return 1;
    vector = next.map((value) => value / largest);
  }
  // Twelve turns come within some percent of it, from below.
  return 0.6 * largest;
}
