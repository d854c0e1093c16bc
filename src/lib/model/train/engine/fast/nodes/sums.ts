import type { Operator } from '../../../../../formats/index.js';
import { limitsOf, type Slot, type TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

type Sum = Extract<Operator, { op: 'ADD' | 'SUB' | 'MUL' }>;

/** ADD, SUB and MUL of two tensors of an example, or of one and a constant; shapes broadcast. */
export function sum(plan: Planner, operator: Sum): TrainNode {
  const [a, b] = [plan.input(operator, 0), plan.input(operator, 1)];
  const y = plan.output(operator);
  const shape = plan.shape(operator.outputs[0]!);
  const [aPlaces, bPlaces] = operator.inputs.map((index) => broadcastPlaces(plan.shape(index), shape));
  const { low, high, fused } = limitsOf(operator.options.activation);
  const { op } = operator;
  const steps = (slot: Slot) => (slot.constant ? 0 : slot.size);
  const [aStep, bStep] = [steps(a), steps(b)];
  return {
    forward: ({ kernels, rows }) => {
      const [av, bv, yv] = [a.value.data, b.value.data, y.value.data];
      for (let row = 0, to = 0; row < rows; row++) {
        for (let i = 0; i < y.size; i++, to++) {
          const left = av[row * aStep + aPlaces![i]!]!;
          const right = bv[row * bStep + bPlaces![i]!]!;
          yv[to] = op === 'MUL' ? left * right : op === 'ADD' ? left + right : left - right;
        }
      }
      if (fused) kernels.clamp(y.value.at, rows * y.size, low, high);
    },
    backward: ({ kernels, rows }) => {
      if (fused) kernels.mask(y.gradient!.at, y.value.at, rows * y.size, low, high);
      const dy = y.gradient!.data;
      const add = (
        into: Slot,
        step: number,
        places: Int32Array,
        factor: (row: number, i: number) => number,
      ) => {
        const gradient = into.gradient?.data;
        if (!gradient) return;
        for (let row = 0, from = 0; row < rows; row++) {
          for (let i = 0; i < y.size; i++, from++)
            gradient[row * step + places[i]!]! += dy[from]! * factor(row, i);
        }
      };
      const [av, bv] = [a.value.data, b.value.data];
      if (op === 'MUL') {
        add(a, aStep, aPlaces!, (row, i) => bv[row * bStep + bPlaces![i]!]!);
        add(b, bStep, bPlaces!, (row, i) => av[row * aStep + aPlaces![i]!]!);
      } else {
        add(a, aStep, aPlaces!, () => 1);
        const sign = op === 'SUB' ? -1 : 1;
        add(b, bStep, bPlaces!, () => sign);
      }
    },
  };
}

/** For each element of the output, the element of an input of `shape` that it is made of. */
export function broadcastPlaces(shape: readonly number[], output: readonly number[]): Int32Array {
  const padded = [...new Array<number>(output.length - shape.length).fill(1), ...shape];
  let stride = 1;
  const strides = padded.map(() => 0);
  for (let axis = padded.length - 1; axis >= 0; axis--) {
    strides[axis] = padded[axis] === 1 ? 0 : stride;
    stride *= padded[axis]!;
  }
  return placesOf(output, strides);
}

/** Σ index · stride for every index of a shape, in order. */
export function placesOf(shape: readonly number[], strides: readonly number[]): Int32Array {
  let places = Int32Array.of(0);
  for (const [axis, size] of shape.entries()) {
    const wider = new Int32Array(places.length * size);
    for (let i = 0; i < wider.length; i++)
      wider[i] = places[Math.floor(i / size)]! + (i % size) * strides[axis]!;
    places = wider;
  }
  return places;
}
