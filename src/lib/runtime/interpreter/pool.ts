import type { OperatorOptions } from '../../formats/index.js';
import { endCell, firstCell, windowAxes } from './geometry.js';
import type { Node } from './node.js';
import type { Activations } from './types.js';

/** How a pool takes the cells of a window together. */
export interface Pooling {
  /** The largest cell, or the sum of all. */
  take: 'largest' | 'sum';
  start: number;
  /** From what was taken over `count` cells to the output. */
  finish: (taken: number, count: number) => number;
}

/** MAX_POOL_2D and AVERAGE_POOL_2D over NHWC: only cells inside the image count. */
export function poolKernel<T extends Activations>(
  node: Node<OperatorOptions['MAX_POOL_2D']>,
  x: T,
  y: T,
  { take, start, finish }: Pooling,
): () => void {
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW } = node.options;
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], channels);
  // All channels of a cell lie side by side, so they are taken together: one pass over memory a window.
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
