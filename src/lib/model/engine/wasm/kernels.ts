import { type Memory, moduleOf, webAssembly } from '../../../runtime/compiled/assembler.js';
import { gemm, transpose } from './matrix.js';
import {
  adam,
  addNormGradient,
  addProducts,
  addRows,
  addSquares,
  clampAll,
  fillRows,
  mask,
  normalize,
} from './vector.js';
import {
  columnsToWindows,
  depthwise,
  depthwiseFilter,
  depthwiseImages,
  windowsToColumns,
} from './windows.js';

type Numbers<Names extends string[]> = { [Index in keyof Names]: number };

type Kernel<Names extends string[]> = (...values: Numbers<Names>) => void;

type Windows = Kernel<
  [
    ...['x', 'w', 'y', 'images', 'height', 'width', 'channels', 'filterH', 'filterW'],
    ...['strideH', 'strideW', 'dilationH', 'dilationW', 'top', 'left', 'outH', 'outW'],
  ]
>;

/** Kernels emitted by matrix.ts, vector.ts and windows.ts. Addresses and matrix strides are in bytes. */
export interface Kernels {
  gemm: Kernel<
    [
      ...['m', 'n', 'k', 'a', 'aRow', 'aColumn', 'b', 'bRow', 'c', 'cRow'],
      ...['bias', 'low', 'high', 'accumulate'],
    ]
  >;
  transpose: Kernel<['from', 'to', 'rows', 'columns']>;
  clamp: Kernel<['x', 'count', 'low', 'high']>;
  mask: Kernel<['dy', 'y', 'count', 'low', 'high']>;
  addRows: Kernel<['from', 'to', 'rows', 'columns']>;
  fillRows: Kernel<['from', 'to', 'rows', 'columns']>;
  adam: Kernel<['w', 'm', 'v', 'g', 'count', 'rate', 'beta1', 'beta2', 'epsilon', 'c1', 'c2']>;
  addSquares: Kernel<['x', 'mean', 'sums', 'rows', 'columns']>;
  normalize: Kernel<['x', 'y', 'mean', 'factor', 'offset', 'rows', 'columns']>;
  addProducts: Kernel<['x', 'dy', 'mean', 'sums', 'rows', 'columns']>;
  addNormGradient: Kernel<['x', 'dy', 'dx', 'mean', 'a', 'b', 'c', 'rows', 'columns']>;
  windowsToColumns: Windows;
  columnsToWindows: Windows;
  depthwise: Windows;
  depthwiseImages: Windows;
  depthwiseFilter: Windows;
}

let compiled: object | undefined;

/** All kernels over one memory. The module is assembled and compiled once per process (a few milliseconds). */
export function kernelsOver(memory: Memory): Kernels {
  compiled ??= new webAssembly.Module(
    moduleOf([
      ...[gemm(), transpose(), clampAll(), mask(), addRows(), fillRows(), adam()],
      ...[addSquares(), normalize(), addProducts(), addNormGradient()],
      ...[windowsToColumns(), columnsToWindows(), depthwise(), depthwiseImages(), depthwiseFilter()],
    ]),
  );
  const { exports } = new webAssembly.Instance(compiled, { env: { memory } });
  return exports as unknown as Kernels;
}
