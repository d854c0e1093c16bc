import type { Operator } from '../../../../../formats/index.js';
import { limitsOf, type TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

type Pool = Extract<Operator, { op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D' }>;

/** The greatest or the mean of each window; padding counts for neither. */
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

/** Cells of the image (places of channel 0) under each position, and how many numbers one has. */
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
