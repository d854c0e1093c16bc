import { roundHalfAway, seededRandom } from '../../../core/numbers.js';
import type { Operator } from '../../../formats/tflite/graph.js';
import type { BatchNorm, Dropout, FakeRange } from '../types.js';
import { limitsOf, type Slot, type TrainNode } from './node.js';
import type { Planner } from './planner.js';

type Unary = Extract<Operator, { op: 'RELU' | 'RELU6' | 'LEAKY_RELU' | 'TANH' | 'LOGISTIC' }>;

/** Functions applied to each number separately. */
export function unary(plan: Planner, operator: Unary): TrainNode {
  const x = plan.input(operator, 0);
  const y = plan.output(operator);
  const { value, slope } = functionOf(operator);
  return {
    forward: ({ rows }) => {
      const [from, to] = [x.value.data, y.value.data];
      for (let i = 0; i < rows * y.size; i++) to[i] = value(from[i]!);
    },
    backward: ({ rows }) => {
      if (!x.gradient) return;
      const [dx, dy, from, to] = [x.gradient.data, y.gradient!.data, x.value.data, y.value.data];
      for (let i = 0; i < rows * y.size; i++) dx[i]! += dy[i]! * slope(from[i]!, to[i]!);
    },
  };
}

/** An operator's function, and its derivative, computed from the argument and the function's value. */
function functionOf(operator: Unary): {
  value: (x: number) => number;
  slope: (x: number, y: number) => number;
} {
  switch (operator.op) {
    case 'RELU':
    case 'RELU6': {
      const { low, high } = limitsOf(operator.op === 'RELU' ? 'relu' : 'relu6');
      return {
        value: (x) => (x < low ? low : x > high ? high : x),
        slope: (x) => (x > low && x < high ? 1 : 0),
      };
    }
    case 'LEAKY_RELU': {
      const { alpha } = operator.options;
      return { value: (x) => (x > 0 ? x : alpha * x), slope: (x) => (x > 0 ? 1 : alpha) };
    }
    case 'TANH':
      return { value: Math.tanh, slope: (_, y) => 1 - y * y };
    case 'LOGISTIC':
      return { value: (x) => 1 / (1 + Math.exp(-x)), slope: (_, y) => y * (1 - y) };
  }
}

/** Softmax over the last axis. */
export function softmax(plan: Planner, operator: Extract<Operator, { op: 'SOFTMAX' }>): TrainNode {
  const x = plan.input(operator, 0);
  const y = plan.output(operator);
  const width = plan.shape(operator.inputs[0]!).at(-1) ?? 1;
  const { beta } = operator.options;
  return {
    forward: ({ rows }) => {
      for (let from = 0; from < rows * y.size; from += width) {
        const z = x.value.data.subarray(from, from + width);
        const most = z.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
        const powers = Array.from(z, (value) => Math.exp(beta * (value - most)));
        const sum = powers.reduce((a, b) => a + b, 0);
        for (let i = 0; i < width; i++) y.value.data[from + i] = powers[i]! / sum;
      }
    },
    backward: ({ rows }) => {
      if (!x.gradient) return;
      const [p, dy] = [y.value.data, y.gradient!.data];
      for (let from = 0; from < rows * y.size; from += width) {
        let mean = 0;
        for (let i = from; i < from + width; i++) mean += p[i]! * dy[i]!;
        for (let i = from; i < from + width; i++) x.gradient.data[i]! += beta * p[i]! * (dy[i]! - mean);
      }
    },
  };
}

type Add = Extract<Operator, { op: 'ADD' }>;

/**
 * Combines a batch norm's MUL and ADD: y = γ(x − μ)/√(σ² + ε) + β. In training, the batch's mean and variance are used, and they update
 * `note.mean` and `note.variance`. Inference uses the latter two. Source: Ioffe and Szegedy, 2015, arXiv:1502.03167, section 3. Per-channel
 * numbers are computed here; kernels compute everything that covers the whole batch.
 */
export function batchNorm(plan: Planner, note: BatchNorm, gamma: Slot, beta: Slot): TrainNode {
  const multiply = plan.graph.operators[note.multiply]!;
  const add = plan.graph.operators[note.add] as Add;
  const x = plan.input(multiply, 0);
  const y = plan.activation(x.size, true);
  plan.bind(add.outputs[0]!, y);
  const channels = gamma.size;
  const { low, high, fused } = limitsOf(add.options.activation);
  const vector = () => plan.arena.floats(channels);
  const [mean, variance, factor, sum, product, away, shift] = Array.from({ length: 7 }, vector) as Seven;
  /** 1/√(σ² + ε) from the last pass. */
  const inverse = new Float64Array(channels);
  return {
    forward: ({ kernels, rows, training }) => {
      const [count, cells] = [rows * x.size, (rows * x.size) / channels];
      if (training) {
        mean.data.fill(0);
        variance.data.fill(0);
        kernels.addRows(x.value.at, mean.at, cells, channels);
        for (let c = 0; c < channels; c++) mean.data[c]! /= cells;
        kernels.addSquares(x.value.at, mean.at, variance.at, cells, channels);
        for (let c = 0; c < channels; c++) {
          variance.data[c]! /= cells;
          note.mean[c] = note.momentum * note.mean[c]! + (1 - note.momentum) * mean.data[c]!;
          note.variance[c] = note.momentum * note.variance[c]! + (1 - note.momentum) * variance.data[c]!;
        }
      } else {
        mean.data.set(note.mean);
        variance.data.set(note.variance);
      }
      for (let c = 0; c < channels; c++) {
        inverse[c] = 1 / Math.sqrt(variance.data[c]! + note.epsilon);
        factor.data[c] = gamma.value.data[c]! * inverse[c]!;
      }
      kernels.normalize(x.value.at, y.value.at, mean.at, factor.at, beta.value.at, cells, channels);
      if (fused) kernels.clamp(y.value.at, count, low, high);
    },
    backward: ({ kernels, rows }) => {
      const [count, cells] = [rows * x.size, (rows * x.size) / channels];
      const dy = y.gradient!.at;
      if (fused) kernels.mask(dy, y.value.at, count, low, high);
      sum.data.fill(0);
      product.data.fill(0);
      kernels.addRows(dy, sum.at, cells, channels);
      kernels.addProducts(x.value.at, dy, mean.at, product.at, cells, channels);
      for (let c = 0; c < channels; c++) {
        beta.gradient!.data[c]! += sum.data[c]!;
        gamma.gradient!.data[c]! += product.data[c]! * inverse[c]!;
        // dx = γ/σ · (dy − Σdy/n − (x − μ)/σ² · Σ dy(x − μ)/n)
        away.data[c] = (-factor.data[c]! * product.data[c]! * inverse[c]! ** 2) / cells;
        shift.data[c] = (-factor.data[c]! * sum.data[c]!) / cells;
      }
      if (!x.gradient) return;
      const vectors = [mean.at, factor.at, away.at, shift.at] as const;
      kernels.addNormGradient(x.value.at, dy, x.gradient.at, ...vectors, cells, channels);
    },
  };
}

type Seven = [Floats, Floats, Floats, Floats, Floats, Floats, Floats];

type Floats = ReturnType<Planner['arena']['floats']>;

/** Factors for one step's dropout: 0, or 1 / (1 − rate). They depend only on the seed, the step and the tensor. */
export function dropoutFactors(
  count: number,
  { tensor, rate }: Dropout,
  seed: number,
  steps: number,
): Float32Array {
  const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(steps + 1, 0x85ebca6b) ^ tensor);
  return Float32Array.from({ length: count }, () => (random() < rate ? 0 : 1 / (1 - rate)));
}

export function dropout(plan: Planner, note: Dropout, seed: number): TrainNode {
  const x = plan.slot(note.tensor);
  const y = plan.activation(x.size, x.gradient !== undefined);
  plan.bind(note.tensor, y);
  let factors = new Float32Array(0);
  return {
    forward: ({ rows, training, steps }) => {
      const [from, to] = [x.value.data, y.value.data];
      if (!training) {
        to.set(from.subarray(0, rows * x.size));
        return;
      }
      factors = dropoutFactors(rows * x.size, note, seed, steps) as Float32Array<ArrayBuffer>;
      for (let i = 0; i < factors.length; i++) to[i] = from[i]! * factors[i]!;
    },
    backward: () => {
      if (!x.gradient) return;
      const [dx, dy] = [x.gradient.data, y.gradient!.data];
      for (let i = 0; i < factors.length; i++) dx[i]! += dy[i]! * factors[i]!;
    },
  };
}

/**
 * The weights as int8 would represent them: per output channel, symmetric, scale max|w| / 127. The gradient is applied to the unrounded
 * weights, as if there were no rounding.
 */
export function fakeWeights(plan: Planner, weights: Slot, shape: readonly number[], axis: number): Slot {
  const channels = shape[axis]!;
  const block = axis === 0 ? weights.size / channels : 1;
  const rounded: Slot = { ...weights, value: plan.arena.floats(weights.size) };
  plan.before.push({
    forward: () => {
      const [from, to] = [weights.value.data, rounded.value.data];
      const largest = new Float64Array(channels);
      for (let i = 0; i < from.length; i++) {
        const c = Math.floor(i / block) % channels;
        largest[c] = Math.max(largest[c]!, Math.abs(from[i]!));
      }
      for (let i = 0; i < from.length; i++) {
        const scale = Math.fround(largest[Math.floor(i / block) % channels]! / 127);
        to[i] = scale === 0 ? 0 : roundHalfAway(from[i]! / scale) * scale;
      }
    },
  });
  return rounded;
}

/** An activation as int8 would represent it; outside its range, the gradient is 0. */
export function fakeActivation(
  plan: Planner,
  index: number,
  { scale, zeroPoint, least, most }: FakeRange,
): TrainNode {
  const x = plan.slot(index);
  const y = plan.activation(x.size, x.gradient !== undefined);
  plan.bind(index, y);
  const [low, high] = [(least - zeroPoint) * scale, (most - zeroPoint) * scale];
  return {
    forward: ({ rows }) => {
      const [from, to] = [x.value.data, y.value.data];
      for (let i = 0; i < rows * x.size; i++) {
        const q = roundHalfAway(from[i]! / scale) + zeroPoint;
        to[i] = ((q < least ? least : q > most ? most : q) - zeroPoint) * scale;
      }
    },
    backward: ({ rows }) => {
      if (!x.gradient) return;
      const [from, dx, dy] = [x.value.data, x.gradient.data, y.gradient!.data];
      for (let i = 0; i < rows * x.size; i++) if (from[i]! >= low && from[i]! <= high) dx[i]! += dy[i]!;
    },
  };
}
