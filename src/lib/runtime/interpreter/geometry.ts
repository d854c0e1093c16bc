import type { OperatorOptions, Padding } from '../../formats/tflite/graph.js';
import type { Activations, Node } from './node.js';

/**
 * Maximum stride, dilation and filter size. Larger values indicate a damaged file. Products of values up to this maximum fit in 32 bits on
 * a device.
 */
const largestStep = 4096;

/** One spatial axis of a convolution or pool. */
export interface Axis {
  input: number;
  output: number;
  filter: number;
  stride: number;
  dilation: number;
  /** Number of padding cells before the first cell. */
  before: number;
}

interface Window {
  padding: Padding;
  strideH: number;
  strideW: number;
  dilationH?: number;
  dilationW?: number;
}

/**
 * Output size and padding along one axis, for SAME and VALID as defined by TensorFlow. If a VALID window is larger than its input, the
 * output size is below 1.
 */
export function axisOf(
  input: number,
  filter: number,
  stride: number,
  dilation: number,
  padding: Padding,
): Axis {
  const span = (filter - 1) * dilation + 1;
  const output = padding === 'same' ? Math.ceil(input / stride) : Math.floor((input - span) / stride) + 1;
  const total = padding === 'same' ? Math.max((output - 1) * stride + span - input, 0) : 0;
  return { input, output, filter, stride, dilation, before: total >> 1 };
}

/** Rejects unrealistically large windows, because their products may not fit in int32 on a device. */
export function requireSteps(node: Node, filter: readonly number[], steps: readonly number[]): void {
  if ([...filter, ...steps].some((step) => step > largestStep))
    throw node.malformed(
      `expected a window and steps of at most ${largestStep}, got a window of ${filter} with steps of ${steps}`,
    );
}

/** Axes of a filterH × filterW window over input 0 (NHWC). The output must have `channels` channels. */
export function windowAxes(node: Node, window: Window, filter: [number, number], channels: number) {
  const [batches, height, width] = node.shape(node.input(0), 4) as [number, number, number, number];
  const { padding, strideH, strideW, dilationH = 1, dilationW = 1 } = window;
  requireSteps(node, filter, [strideH, strideW, dilationH, dilationW]);
  const rows = axisOf(height, filter[0], strideH, dilationH, padding);
  const columns = axisOf(width, filter[1], strideW, dilationW, padding);
  if (rows.output < 1 || columns.output < 1)
    throw node.malformed(`a window of ${filter} does not fit into ${height},${width}`);
  node.expectOutput(batches, rows.output, columns.output, channels);
  return { batches, rows, columns };
}

/**
 * Checks the filter [1, kh, kw, out] of a depthwise convolution for this number of channels. The shapes and an option both specify the
 * number of outputs per channel. They must agree, because some interpreters use the shapes and others use the option.
 */
export function depthwiseFilter(node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>, channels: number) {
  const [one, filterH, filterW, outputs] = node.shape(node.input(1), 4) as [number, number, number, number];
  const multiplier = outputs / channels;
  if (one !== 1 || !Number.isInteger(multiplier))
    throw node.malformed(
      `its filter [${one},${filterH},${filterW},${outputs}] does not match ${channels} input channels`,
    );
  if (multiplier !== node.options.depthMultiplier)
    throw node.malformed(
      `depthMultiplier is ${node.options.depthMultiplier}, but ${channels} channels become ${outputs}`,
    );
  return { filterH, filterW, outputs, multiplier };
}

/** First filter cell inside the image for output position `at`. */
export function firstCell({ before, stride, dilation }: Axis, at: number): number {
  const start = at * stride - before;
  return start >= 0 ? 0 : Math.ceil(-start / dilation);
}

/** The position after the last filter cell inside the image, for output position `at`. */
export function endCell({ input, filter, before, stride, dilation }: Axis, at: number): number {
  const cells = Math.ceil((input - (at * stride - before)) / dilation);
  return cells < filter ? cells : filter;
}

/**
 * Copies the input cells under one window into `patch` ([filter rows][filter columns][channels]). Cells outside the image become `outside`.
 * `x` is NHWC with `width` columns and `channels` channels. The patch takes `taken` of these channels, starting at `firstChannel`. With a
 * patch, a convolution is one dot product per output channel.
 */
export function fillPatch<T extends Activations>(
  patch: T,
  x: T,
  batchStart: number,
  rows: Axis,
  columns: Axis,
  row: number,
  column: number,
  channels: number,
  firstChannel: number,
  taken: number,
  outside: number,
): void {
  let to = 0;
  for (let r = 0; r < rows.filter; r++) {
    const y = row * rows.stride - rows.before + r * rows.dilation;
    const inside = y >= 0 && y < rows.input;
    for (let c = 0; c < columns.filter; c++) {
      const at = column * columns.stride - columns.before + c * columns.dilation;
      const end = to + taken;
      if (inside && at >= 0 && at < columns.input) {
        let from = batchStart + (y * columns.input + at) * channels + firstChannel;
        while (to < end) patch[to++] = x[from++]!;
      } else {
        while (to < end) patch[to++] = outside;
      }
    }
  }
}

/** How a pooling operator combines the cells of a window. */
interface Pooling {
  /** Whether the cells are combined by maximum or by sum. */
  take: 'largest' | 'sum';
  start: number;
  /** Converts the combined value of `count` cells to the output value. */
  finish: (taken: number, count: number) => number;
}

/** MAX_POOL_2D and AVERAGE_POOL_2D on NHWC. Cells outside the image are ignored. */
export function poolKernel<T extends Activations>(
  node: Node<OperatorOptions['MAX_POOL_2D']>,
  x: T,
  y: T,
  { take, start, finish }: Pooling,
): () => void {
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW } = node.options;
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], channels);
  // A cell's channels are adjacent in memory, so all channels are combined in one pass per window.
  const taken = new Float64Array(channels);
  const add = take === 'sum' ? addCell : keepLargest;
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++) {
      for (let row = 0; row < rows.output; row++) {
        const top = row * rows.stride - rows.before;
        const [rowStart, rowEnd] = [firstCell(rows, row), endCell(rows, row)];
        for (let column = 0; column < columns.output; column++) {
          const left = column * columns.stride - columns.before;
          const columnStart = firstCell(columns, column);
          const columnEnd = endCell(columns, column);
          const count = (rowEnd - rowStart) * (columnEnd - columnStart);
          taken.fill(start);
          for (let r = rowStart; r < rowEnd; r++) {
            const line = (batch * rows.input + top + r) * columns.input + left;
            for (let c = columnStart; c < columnEnd; c++) add(taken, x, (line + c) * channels);
          }
          for (let channel = 0; channel < channels; channel++) y[to++] = finish(taken[channel]!, count);
        }
      }
    }
  };
}

function addCell(taken: Float64Array, x: Activations, at: number): void {
  for (let channel = 0; channel < taken.length; channel++) taken[channel]! += x[at + channel]!;
}

function keepLargest(taken: Float64Array, x: Activations, at: number): void {
  for (let channel = 0; channel < taken.length; channel++) {
    const value = x[at + channel]!;
    if (value > taken[channel]!) taken[channel] = value;
  }
}
