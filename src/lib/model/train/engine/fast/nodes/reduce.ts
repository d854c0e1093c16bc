import type { Operator } from '../../../../../formats/index.js';
import type { TrainNode } from '../node.js';
import type { Planner } from '../planner.js';
import { placesOf } from './sums.js';

type Reduce = Extract<Operator, { op: 'MEAN' | 'REDUCE_MAX' }>;

/** The mean, or the greatest, over some axes of an example. */
export function reduce(plan: Planner, operator: Reduce): TrainNode {
  const x = plan.input(operator, 0);
  const y = plan.output(operator);
  const places = targets(plan.shape(operator.inputs[0]!), plan.integers(operator.inputs[1]!));
  const share = y.size / x.size;
  if (operator.op === 'MEAN') {
    return {
      forward: ({ rows }) => {
        y.value.data.fill(0);
        for (let row = 0, from = 0; row < rows; row++)
          for (let i = 0; i < x.size; i++, from++)
            y.value.data[row * y.size + places[i]!]! += x.value.data[from]! * share;
      },
      backward: ({ rows }) => {
        if (!x.gradient) return;
        for (let row = 0, to = 0; row < rows; row++)
          for (let i = 0; i < x.size; i++, to++)
            x.gradient.data[to]! += y.gradient!.data[row * y.size + places[i]!]! * share;
      },
    };
  }
  const winners = new Int32Array(plan.rows * y.size);
  return {
    forward: ({ rows }) => {
      y.value.data.fill(Number.NEGATIVE_INFINITY);
      for (let row = 0, from = 0; row < rows; row++) {
        for (let i = 0; i < x.size; i++, from++) {
          const to = row * y.size + places[i]!;
          if (x.value.data[from]! <= y.value.data[to]!) continue;
          y.value.data[to] = x.value.data[from]!;
          winners[to] = from;
        }
      }
    },
    backward: ({ rows }) => {
      if (!x.gradient) return;
      for (let i = 0; i < rows * y.size; i++) x.gradient.data[winners[i]!]! += y.gradient!.data[i]!;
    },
  };
}

/** For each element, the element of the result that it goes into. */
function targets(shape: readonly number[], axes: readonly number[]): Int32Array {
  const reduced = new Set(axes.map((axis) => (axis < 0 ? axis + shape.length : axis)));
  let stride = 1;
  const strides = shape.map(() => 0);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (reduced.has(axis)) continue;
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return placesOf(shape, strides);
}
