import type { OperatorOptions } from '../../formats/tflite/graph.js';
import { floatRange } from '../interpreter/float.js';
import { type Axis, depthwiseFilter, endCell, firstCell, windowAxes } from '../interpreter/geometry.js';
import { realPlaces, resizeOf } from '../interpreter/images.js';
import type { Node } from '../interpreter/node.js';
import {
  type Code,
  clampFour,
  f32x4,
  get,
  i32,
  Kernel,
  type Local,
  largerOfFour,
  multiplyAddFour,
  number,
  repeatWhile,
  set,
} from './assembler.js';
import type { Compiler } from './compiler.js';
import { range, step, storeLanes } from './products.js';

/** DEPTHWISE_CONV_2D on float32 with constant weights and as many outputs as channels. */
export function depthwise(
  node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>,
  compiler: Compiler,
): (() => void) | undefined {
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW, multiplier } = depthwiseFilter(node, channels);
  if (multiplier !== 1) return undefined;
  const bias = node.float32Bias(2, channels);
  if (!compiler.hasRoom(bias.length, node.float32(1).length)) return undefined;
  return windowKernel(node, compiler, {
    filter: [filterH, filterW],
    channels,
    kind: 'product',
    outside: 0,
    weights: compiler.addressOf(node.float32(1)),
    bias: compiler.addressOf(bias),
  });
}

/** MAX_POOL_2D and AVERAGE_POOL_2D on float32. */
export function pool(kind: 'largest' | 'mean') {
  return (node: Node<OperatorOptions['MAX_POOL_2D']>, compiler: Compiler): (() => void) | undefined => {
    const { filterH, filterW } = node.options;
    return windowKernel(node, compiler, {
      filter: [filterH, filterW],
      channels: node.shape(node.input(0), 4)[3]!,
      kind,
      outside: kind === 'mean' ? 0 : Number.NEGATIVE_INFINITY,
    });
  };
}

interface Windowed {
  filter: [number, number];
  channels: number;
  kind: 'product' | 'largest' | 'mean';
  /** Value of cells outside the image. */
  outside: number;
  /** Addresses, for products. */
  weights?: number;
  bias?: number;
}

/** Maximum number of cells in a window, each of which has its own code. */
const mostCells = 64;

/** Maximum number of cells whose weights are loaded once for each line. */
const heldWeights = 9;

/** Output columns that are computed together. */
const together = 4;

/**
 * An operator that combines the cells of each window channel by channel, four channels at a time. A table contains the addresses of the
 * image lines that each output line reads; lines outside the image are the address of an empty line. Columns at the edges have separate
 * code, so that the code for all other columns makes no comparisons.
 */
function windowKernel(
  node: Node<OperatorOptions['MAX_POOL_2D'] | OperatorOptions['DEPTHWISE_CONV_2D']>,
  compiler: Compiler,
  { filter, channels, kind, outside, weights = 0, bias = 0 }: Windowed,
): (() => void) | undefined {
  const { batches, rows, columns } = windowAxes(node, node.options, filter, channels);
  const [cells, edges] = [filter[0] * filter[1], edgesOf(columns)];
  const outsideEdges = edges.first + columns.output - edges.end;
  if (batches !== 1 || cells > mostCells || outsideEdges * cells > 4 * mostCells) return undefined;
  const lineSize = columns.input * channels;
  if (!compiler.hasRoom(rows.output * filter[0], lineSize, rows.output)) return undefined;
  const { low, high } = floatRange(node.options.activation);
  const table = lineTable(node.float32(0).byteOffset, compiler, rows, lineSize, outside);
  const shares = kind === 'mean' ? compiler.floats(rows.output) : undefined;
  if (shares)
    for (let row = 0; row < rows.output; row++) shares[row] = 1 / (endCell(rows, row) - firstCell(rows, row));

  const kernel = new Kernel(`f${node.index}`, []);
  const [line, entry, group, at, yLine, yAt, count, share] = range(8, () =>
    kernel.local('i32'),
  ) as unknown as Eight;
  const lines = range(filter[0], () => kernel.local('i32'));
  const starts = range(filter[0], () => kernel.local('i32'));
  const held = kind === 'product' && cells <= heldWeights ? range(cells, () => kernel.local('v128')) : [];
  const results = range(together, () => kernel.local('v128'));
  const values: Local[] = [];
  const [first, factor] = [kernel.local('v128'), kernel.local('v128')];
  const pixelBytes = channels * 4;
  const lanes = Math.min(4, channels);

  const weight = (cell: number): Code =>
    held.length > 0 ? get(held[cell]!) : f32x4.load(i32.add(get(at), i32.const(weights)), cell * pixelBytes);
  const combined = (result: Local, value: Code, cell: number, start: boolean): Code => {
    if (kind === 'product') {
      return multiplyAddFour(
        get(start ? first : result),
        value,
        held.length > 0 ? weight(cell) : get(factor),
      );
    }
    if (start) return value;
    return kind === 'mean' ? f32x4.add(get(result), value) : largerOfFour(get(result), value);
  };
  /** Computes output columns; `since` is the column of the current addresses. Cells that several windows share are read once. */
  const outputs = (wanted: readonly number[], since: number): Code => {
    const origin = since > 0 ? since * columns.stride - columns.before : 0;
    const windows = wanted.map((column) => ({
      input: column * columns.stride - columns.before - origin,
      output: (column - since) * pixelBytes,
      from: firstCell(columns, column),
      end: endCell(columns, column),
    }));
    const code: Code[] = [];
    for (let r = 0; r < filter[0]; r++) {
      const read = new Map<number, Local>();
      const valueAt = (column: number): Code => {
        const known = read.get(column);
        if (known) return get(known);
        const local = values[read.size] ?? kernel.local('v128');
        values[read.size] = local;
        read.set(column, local);
        code.push(set(local, f32x4.load(get(starts[r]!), column * pixelBytes)));
        return get(local);
      };
      for (let c = 0; c < filter[1]; c++) {
        const cell = r * filter[1] + c;
        if (kind === 'product' && held.length === 0) code.push(set(factor, weight(cell)));
        windows.forEach(({ input, from, end }, p) => {
          if (c < from || c >= end) return;
          const value = valueAt(input + c * columns.dilation);
          code.push(set(results[p]!, combined(results[p]!, value, cell, r === 0 && c === from)));
        });
      }
    }
    const stores = windows.map(({ output, from, end }, p) => {
      const result = results[p]!;
      const scaled =
        kind === 'mean'
          ? f32x4.mul(get(result), f32x4.mul(get(factor), f32x4.splat(number(1 / (end - from)))))
          : get(result);
      return [...set(result, clampFour(scaled, low, high)), ...storeLanes(get(yAt), result, lanes, output)];
    });
    return [...code, ...stores].flat();
  };
  /** Output columns without a loop, some at a time. */
  const unrolled = (from: number, end: number, since: number): Code =>
    range(Math.ceil((end - from) / together), (i) => {
      const start = from + i * together;
      return outputs(
        range(Math.min(together, end - start), (p) => start + p),
        since,
      );
    }).flat();
  const inner = edges.end - edges.first;
  // A short line has no loop, so that the columns at its edges share their cells with the others.
  const looped = columns.output > 2 * together || held.length === 0 ? Math.floor(inner / together) : 0;
  const [begin, rest] = [edges.first, edges.first + looped * together];
  const groupCode: Code = [
    ...set(at, i32.least(get(group), i32.const(Math.max(channels - 4, 0) * 4))),
    ...starts.flatMap((start, r) => set(start, i32.add(get(lines[r]!), get(at)))),
    ...set(yAt, i32.add(get(yLine), get(at))),
    ...held.flatMap((local, cell) =>
      set(local, f32x4.load(i32.add(get(at), i32.const(weights)), cell * pixelBytes)),
    ),
    ...(kind === 'product' ? set(first, f32x4.load(i32.add(get(at), i32.const(bias)))) : []),
    ...(kind === 'mean' ? set(factor, f32x4.loadSplat(get(share))) : []),
    ...(looped > 0
      ? [
          ...unrolled(0, begin, 0),
          ...starts.flatMap((start) =>
            step(start, begin > 0 ? (begin * columns.stride - columns.before) * pixelBytes : 0),
          ),
          ...step(yAt, begin * pixelBytes),
          ...set(count, i32.const(looped)),
          ...repeatWhile(
            [
              ...outputs(
                range(together, (p) => begin + p),
                begin,
              ),
              ...starts.flatMap((start) => step(start, together * columns.stride * pixelBytes)),
              ...step(yAt, together * pixelBytes),
              ...step(count, -1),
            ],
            get(count),
          ),
          ...unrolled(rest, columns.output, rest),
        ]
      : unrolled(0, columns.output, 0)),
    ...step(group, 16),
  ];
  kernel.write(
    set(yLine, i32.const(node.float32Output.byteOffset)),
    set(entry, i32.const(table)),
    set(share, i32.const(shares?.byteOffset ?? 0)),
    set(line, i32.const(rows.output)),
    repeatWhile(
      [
        ...lines.flatMap((local, r) => set(local, i32.load(get(entry), r * 4))),
        ...set(group, i32.const(0)),
        // The last group begins earlier if fewer than four channels remain; its first results are then computed twice.
        ...repeatWhile(groupCode, i32.less(get(group), i32.const(pixelBytes))),
        ...step(yLine, columns.output * pixelBytes),
        ...step(entry, filter[0] * 4),
        ...step(share, 4),
        ...step(line, -1),
      ],
      get(line),
    ),
  );
  return compiler.add(kernel);
}

type Eight = [Local, Local, Local, Local, Local, Local, Local, Local];

/** The output columns whose windows are completely inside the image: from `first` to before `end`. */
function edgesOf(columns: Axis): { first: number; end: number } {
  const whole = range(columns.output, (column) => column).filter(
    (column) => firstCell(columns, column) === 0 && endCell(columns, column) === columns.filter,
  );
  const [first = columns.output] = whole;
  return { first, end: whole.length > 0 ? whole.at(-1)! + 1 : columns.output };
}

/** Address of a table with the address of each image line that each output line reads. */
function lineTable(x: number, compiler: Compiler, rows: Axis, lineSize: number, outside: number): number {
  const table = compiler.addresses(rows.output * rows.filter);
  const empty = compiler.floats(lineSize).fill(outside).byteOffset;
  for (let row = 0; row < rows.output; row++)
    for (let r = 0; r < rows.filter; r++) {
      const line = row * rows.stride - rows.before + r * rows.dilation;
      table[row * rows.filter + r] = line >= 0 && line < rows.input ? x + line * lineSize * 4 : empty;
    }
  return table.byteOffset;
}

/** RESIZE_BILINEAR on float32, four channels at a time. Two tables contain, for each output line and column, the two inputs and their shares. */
export function bilinear(
  node: Node<OperatorOptions['RESIZE_BILINEAR']>,
  compiler: Compiler,
): (() => void) | undefined {
  const { batches, channels, input, output } = resizeOf(node);
  if (batches !== 1 || !compiler.hasRoom(4 * output[0], 4 * output[1])) return undefined;
  const x = compiler.addressOf(node.float32(0));
  const pixelBytes = channels * 4;
  const tables = ([0, 1] as const).map((axis) => {
    const table = compiler.floats(4 * output[axis]);
    const addresses = new Int32Array(table.buffer, table.byteOffset, table.length);
    const distance = axis === 0 ? input[1] * pixelBytes : pixelBytes;
    realPlaces(input[axis], output[axis], node.options).forEach(({ low, high, part }, at) => {
      const start = axis === 0 ? x : 0;
      addresses.set([start + low * distance, start + high * distance], 4 * at);
      table.set([1 - part, part], 4 * at + 2);
    });
    return table.byteOffset;
  }) as [number, number];
  const kernel = new Kernel(`f${node.index}`, []);
  const [rowEntry, entry, group, at, y, row, column] = range(7, () =>
    kernel.local('i32'),
  ) as unknown as Seven;
  const [a, b, c, d] = range(4, () => kernel.local('i32')) as [Local, Local, Local, Local];
  const [up, down, left, right, sum] = range(5, () => kernel.local('v128')) as unknown as Five;
  const share = (place: Local, across: Local, along: Local) =>
    f32x4.mul(f32x4.mul(f32x4.load(i32.add(get(place), get(at))), get(across)), get(along));
  const lanes = Math.min(4, channels);
  kernel.write(
    set(y, i32.const(node.float32Output.byteOffset)),
    set(rowEntry, i32.const(tables[0])),
    set(row, i32.const(output[0])),
    repeatWhile(
      [
        ...set(up, f32x4.loadSplat(get(rowEntry), 8)),
        ...set(down, f32x4.loadSplat(get(rowEntry), 12)),
        ...set(entry, i32.const(tables[1])),
        ...set(column, i32.const(output[1])),
        ...repeatWhile(
          [
            ...set(a, i32.add(i32.load(get(rowEntry)), i32.load(get(entry)))),
            ...set(b, i32.add(i32.load(get(rowEntry), 4), i32.load(get(entry)))),
            ...set(c, i32.add(i32.load(get(rowEntry)), i32.load(get(entry), 4))),
            ...set(d, i32.add(i32.load(get(rowEntry), 4), i32.load(get(entry), 4))),
            ...set(left, f32x4.loadSplat(get(entry), 8)),
            ...set(right, f32x4.loadSplat(get(entry), 12)),
            ...set(group, i32.const(0)),
            ...repeatWhile(
              [
                ...set(at, i32.least(get(group), i32.const(Math.max(channels - 4, 0) * 4))),
                ...set(
                  sum,
                  f32x4.add(
                    f32x4.add(f32x4.add(share(a, up, left), share(b, down, left)), share(c, up, right)),
                    share(d, down, right),
                  ),
                ),
                ...storeLanes(i32.add(get(y), get(at)), sum, lanes, 0),
                ...step(group, 16),
              ],
              i32.less(get(group), i32.const(pixelBytes)),
            ),
            ...step(y, pixelBytes),
            ...step(entry, 16),
            ...step(column, -1),
          ],
          get(column),
        ),
        ...step(rowEntry, 16),
        ...step(row, -1),
      ],
      get(row),
    ),
  );
  return compiler.add(kernel);
}

type Five = [Local, Local, Local, Local, Local];

type Seven = [...Five, Local, Local];
