import type { Operator } from '../../../formats/tflite/graph.js';
import { limitsOf, type Slot, type TrainNode } from './node.js';
import type { Planner } from './planner.js';

type Pool = Extract<Operator, { op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D' }>;

/** The maximum or the mean of each window, without the padding. */
export function pool(plan: Planner, operator: Pool): TrainNode {
  const { options } = operator;
  const x = plan.input(operator, 0);
  const y = plan.output(operator);
  const cells = plan.windowCells(operator, options, [options.filterH, options.filterW]);
  const { low, high, fused } = limitsOf(options.activation);
  const forward = operator.op === 'MAX_POOL_2D' ? greatest : mean;
  const winners = operator.op === 'MAX_POOL_2D' ? new Int32Array(plan.rows * y.size) : undefined;
  return {
    forward: ({ kernels, rows }) => {
      forward(x.value.data, y.value.data, rows, [x.size, y.size], cells, winners);
      if (fused) kernels.clamp(y.value.at, rows * y.size, low, high);
    },
    backward: ({ kernels, rows }) => {
      if (fused) kernels.mask(y.gradient!.at, y.value.at, rows * y.size, low, high);
      if (!x.gradient) return;
      const [dx, dy] = [x.gradient.data, y.gradient!.data];
      if (winners) for (let i = 0; i < rows * y.size; i++) dx[winners[i]!]! += dy[i]!;
      else spread(dx, dy, rows, [x.size, y.size], cells);
    },
  };
}

/** The image cells (positions in channel 0) under each output position, and their number. */
export interface Cells {
  /** For position p: `places[starts[p]]` up to `places[starts[p + 1]]`. */
  places: Int32Array;
  starts: Int32Array;
  channels: number;
}

type Sizes = [x: number, y: number];

function greatest(
  x: Float32Array,
  y: Float32Array,
  rows: number,
  [xSize, ySize]: Sizes,
  { places, starts, channels }: Cells,
  winners: Int32Array | undefined,
): void {
  const positions = starts.length - 1;
  for (let row = 0; row < rows; row++) {
    const image = row * xSize;
    let to = row * ySize;
    for (let p = 0; p < positions; p++) {
      const [from, end] = [starts[p]!, starts[p + 1]!];
      for (let c = 0; c < channels; c++, to++) {
        let best = image + places[from]! + c;
        let most = x[best]!;
        for (let i = from + 1; i < end; i++) {
          const at = image + places[i]! + c;
          if (x[at]! <= most) continue;
          best = at;
          most = x[at]!;
        }
        y[to] = most;
        winners![to] = best;
      }
    }
  }
}

function mean(
  x: Float32Array,
  y: Float32Array,
  rows: number,
  [xSize, ySize]: Sizes,
  { places, starts, channels }: Cells,
): void {
  for (let row = 0; row < rows; row++) {
    let to = row * ySize;
    for (let p = 0; p + 1 < starts.length; p++) {
      const [from, end] = [starts[p]!, starts[p + 1]!];
      for (let c = 0; c < channels; c++, to++) {
        let sum = 0;
        for (let i = from; i < end; i++) sum += x[row * xSize + places[i]! + c]!;
        y[to] = sum / (end - from);
      }
    }
  }
}

function spread(
  dx: Float32Array,
  dy: Float32Array,
  rows: number,
  [xSize, ySize]: Sizes,
  { places, starts, channels }: Cells,
): void {
  for (let row = 0; row < rows; row++) {
    let to = row * ySize;
    for (let p = 0; p + 1 < starts.length; p++) {
      const [from, end] = [starts[p]!, starts[p + 1]!];
      for (let c = 0; c < channels; c++, to++) {
        const share = dy[to]! / (end - from);
        for (let i = from; i < end; i++) dx[row * xSize + places[i]! + c]! += share;
      }
    }
  }
}

type Reduce = Extract<Operator, { op: 'MEAN' | 'REDUCE_MAX' }>;

/** The mean, or the maximum, over some axes of an example. */
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

/** For each element, the element of the result to which it contributes. */
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

type Sum = Extract<Operator, { op: 'ADD' | 'SUB' | 'MUL' }>;

/** ADD, SUB and MUL of two tensors of an example, or of a tensor and a constant, with broadcasting. */
export function sum(plan: Planner, operator: Sum): TrainNode {
  const [a, b] = [plan.input(operator, 0), plan.input(operator, 1)];
  const y = plan.output(operator);
  const shape = plan.shape(operator.outputs[0]!);
  const [aPlaces, bPlaces] = operator.inputs.map((index) => broadcastPlaces(plan.shape(index), shape));
  const { low, high, fused } = limitsOf(operator.options.activation);
  const { op } = operator;
  if (op === 'ADD' && [a, b].every((slot) => !slot.constant && slot.size === y.size))
    return residual(a, b, y, { low, high, fused });
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

/** The sum of two tensors of the same size, as at the end of a residual block. No positions have to be looked up. */
function residual(a: Slot, b: Slot, y: Slot, { low, high, fused }: ReturnType<typeof limitsOf>): TrainNode {
  return {
    forward: ({ kernels, rows }) => {
      const [av, bv, yv] = [a.value.data, b.value.data, y.value.data];
      const count = rows * y.size;
      for (let i = 0; i < count; i++) yv[i] = av[i]! + bv[i]!;
      if (fused) kernels.clamp(y.value.at, count, low, high);
    },
    backward: ({ kernels, rows }) => {
      const count = rows * y.size;
      if (fused) kernels.mask(y.gradient!.at, y.value.at, count, low, high);
      const dy = y.gradient!.data;
      for (const { gradient } of [a, b]) {
        if (!gradient) continue;
        const into = gradient.data;
        for (let i = 0; i < count; i++) into[i]! += dy[i]!;
      }
    },
  };
}

/** For each output element, the corresponding element of an input with the shape `shape`. */
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
function placesOf(shape: readonly number[], strides: readonly number[]): Int32Array {
  let places = Int32Array.of(0);
  for (const [axis, size] of shape.entries()) {
    const wider = new Int32Array(places.length * size);
    for (let i = 0; i < wider.length; i++)
      wider[i] = places[Math.floor(i / size)]! + (i % size) * strides[axis]!;
    places = wider;
  }
  return places;
}
