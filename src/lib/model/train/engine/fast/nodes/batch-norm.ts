import type { Operator } from '../../../../../formats/index.js';
import type { BatchNorm } from '../../types.js';
import { limitsOf, type Slot, type TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

type Add = Extract<Operator, { op: 'ADD' }>;

/**
 * The MUL and ADD of a batch norm as one: in training y = γ(x − μ)/√(σ² + ε) + β with mean and variance of the batch, which also
 * move `note.mean` and `note.variance`; else with those. (Ioffe and Szegedy, 2015, arXiv:1502.03167, section 3.) Numbers per
 * channel are computed here, whatever goes over the batch by kernels.
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
  /** 1/√(σ² + ε) of the last pass. */
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
