import type { Operator } from '../../../../../formats/index.js';
import { limitsOf, type TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

type Unary = Extract<Operator, { op: 'RELU' | 'RELU6' | 'LEAKY_RELU' | 'TANH' | 'LOGISTIC' }>;

/** Functions of each number by itself. */
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

/** A function, and its slope from its argument and its value. */
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
