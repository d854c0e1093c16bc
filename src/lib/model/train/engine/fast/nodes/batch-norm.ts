import type { Operator } from '../../../../../formats/index.js';
import type { BatchNorm } from '../../types.js';
import { limitsOf, type Slot, type TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

type Add = Extract<Operator, { op: 'ADD' }>;

/**
 * The MUL and ADD of a batch norm as one: in training y = γ(x − μ)/√(σ² + ε) + β with mean and variance of the batch, which also
 * move `note.mean` and `note.variance`; else with those. (Ioffe and Szegedy, 2015, arXiv:1502.03167, section 3.)
 */
export function batchNorm(plan: Planner, note: BatchNorm, gamma: Slot, beta: Slot): TrainNode {
  const multiply = plan.graph.operators[note.multiply]!;
  const add = plan.graph.operators[note.add] as Add;
  const x = plan.input(multiply, 0);
  const y = plan.activation(x.size, true);
  plan.bind(add.outputs[0]!, y);
  const channels = gamma.size;
  const { low, high, fused } = limitsOf(add.options.activation);
  const [mean, inverse] = [new Float64Array(channels), new Float64Array(channels)];
  return {
    forward: ({ kernels, rows, training }) => {
      const count = rows * x.size;
      const [from, to] = [x.value.data, y.value.data];
      if (training) {
        const variance = moments(from, count, mean);
        for (let c = 0; c < channels; c++) {
          inverse[c] = 1 / Math.sqrt(variance[c]! + note.epsilon);
          note.mean[c] = note.momentum * note.mean[c]! + (1 - note.momentum) * mean[c]!;
          note.variance[c] = note.momentum * note.variance[c]! + (1 - note.momentum) * variance[c]!;
        }
      } else {
        mean.set(note.mean);
        for (let c = 0; c < channels; c++) inverse[c] = 1 / Math.sqrt(note.variance[c]! + note.epsilon);
      }
      const [g, b] = [gamma.value.data, beta.value.data];
      for (let i = 0, c = 0; i < count; i++, c = c + 1 === channels ? 0 : c + 1)
        to[i] = g[c]! * (from[i]! - mean[c]!) * inverse[c]! + b[c]!;
      if (fused) kernels.clamp(y.value.at, count, low, high);
    },
    backward: ({ kernels, rows }) => {
      const count = rows * x.size;
      const [from, dy] = [x.value.data, y.gradient!.data];
      if (fused) kernels.mask(y.gradient!.at, y.value.at, count, low, high);
      const [sum, product] = [new Float64Array(channels), new Float64Array(channels)];
      for (let i = 0, c = 0; i < count; i++, c = c + 1 === channels ? 0 : c + 1) {
        sum[c]! += dy[i]!;
        product[c]! += dy[i]! * (from[i]! - mean[c]!) * inverse[c]!;
      }
      for (let c = 0; c < channels; c++) {
        beta.gradient!.data[c]! += sum[c]!;
        gamma.gradient!.data[c]! += product[c]!;
      }
      if (!x.gradient) return;
      const [dx, g, n] = [x.gradient.data, gamma.value.data, count / channels];
      for (let i = 0, c = 0; i < count; i++, c = c + 1 === channels ? 0 : c + 1) {
        const normal = (from[i]! - mean[c]!) * inverse[c]!;
        dx[i]! += g[c]! * inverse[c]! * (dy[i]! - (sum[c]! + normal * product[c]!) / n);
      }
    },
  };
}

/** Mean per channel into `mean`; returns the population variances. */
function moments(x: Float32Array, count: number, mean: Float64Array): Float64Array {
  const channels = mean.length;
  const n = count / channels;
  mean.fill(0);
  for (let i = 0, c = 0; i < count; i++, c = c + 1 === channels ? 0 : c + 1) mean[c]! += x[i]!;
  for (let c = 0; c < channels; c++) mean[c]! /= n;
  const variance = new Float64Array(channels);
  for (let i = 0, c = 0; i < count; i++, c = c + 1 === channels ? 0 : c + 1)
    variance[c]! += (x[i]! - mean[c]!) ** 2;
  return variance.map((value) => value / n);
}
