import { elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import { floatRange } from '../interpreter/float.js';
import { type Axis, windowAxes } from '../interpreter/geometry.js';
import type { Node } from '../interpreter/node.js';
import {
  type Code,
  clampFour,
  copyBytes,
  exitUnless,
  f32x4,
  get,
  hasFusedProducts,
  i32,
  Kernel,
  type Local,
  multiplyAddFour,
  repeatUnless,
  repeatWhile,
  set,
  storeHalf,
  storeLane,
} from './assembler.js';
import type { Compiler } from './compiler.js';

/** FULLY_CONNECTED on float32 with constant weights. */
export function fullyConnected(
  node: Node<OperatorOptions['FULLY_CONNECTED']>,
  compiler: Compiler,
): (() => void) | undefined {
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  const blocks = blocksFor(rows, outputs, hasFusedProducts());
  if (!compiler.hasRoom(packedSize(outputs, inputs))) return undefined;
  const packed = pack(compiler, node.float32(1), node.float32Bias(2, outputs), outputs, inputs, blocks);
  return compiler.add(
    product(new Kernel(`f${node.index}`, []), blocks, floats(node), {
      lines: 1,
      lineBytes: 0,
      pixels: rows,
      pixelBytes: inputs * 4,
      runs: [0],
      length: inputs,
      outputs,
      x: node.float32(0).byteOffset,
      y: node.float32Output.byteOffset,
      packed,
    }),
  );
}

/** CONV_2D on float32 with constant weights: a product of the windows and the filters, without copying the windows. */
export function convolution(
  node: Node<OperatorOptions['CONV_2D']>,
  compiler: Compiler,
): (() => void) | undefined {
  const windows = windowsOf(node, 4);
  if (windows === undefined) return undefined;
  const { rows, columns, channels, outputs, terms, bordered, line } = windows;
  const size = bordered ? windows.size : 0;
  if (!compiler.hasRoom(packedSize(outputs, terms), size)) return undefined;
  const image = bordered ? compiler.floats(size).byteOffset : node.float32(0).byteOffset;
  const blocks = blocksFor(windows.pixels, outputs, hasFusedProducts());
  const packed = pack(compiler, node.float32(1), node.float32Bias(2, outputs), outputs, terms, blocks);
  const kernel = new Kernel(`f${node.index}`, []);
  if (bordered) kernel.write(borderCopy(node.float32(0).byteOffset, image, rows, columns, channels, line));
  return compiler.add(
    product(kernel, blocks, floats(node), {
      ...windows,
      x: image,
      y: node.float32Output.byteOffset,
      packed,
    }),
  );
}

/**
 * The windows of a CONV_2D of one group and one image, in an image with the border that the windows reach. Undefined if they consist of too
 * many separate runs of values.
 * @param bytes size of a value
 */
export function windowsOf(node: Node<OperatorOptions['CONV_2D']>, bytes: 2 | 4) {
  const [batches, , , channels] = node.shape(node.input(0), 4) as Shape4;
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as Shape4;
  const { rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  if (batches !== 1 || taken !== channels) return undefined;
  const flat = filterH * filterW * rows.stride * columns.stride === 1;
  // Windows of one row are contiguous unless they are dilated.
  const across = columns.dilation === 1 ? 1 : filterW;
  if (filterH * across > mostRuns) return undefined;
  const [tall, wide] = [heightOf(rows), heightOf(columns)];
  const line = wide * channels * bytes;
  return {
    ...{ rows, columns, channels, outputs, line },
    terms: filterH * filterW * channels,
    bordered: tall !== rows.input || wide !== columns.input,
    /** Number of values in the image with its border. */
    size: tall * wide * channels,
    lines: flat ? 1 : rows.output,
    lineBytes: rows.stride * line,
    pixels: flat ? rows.output * columns.output : columns.output,
    pixelBytes: columns.stride * channels * bytes,
    runs: range(filterH * across, (run) => {
      const [r, c] = [Math.floor(run / across), run % across];
      return r * rows.dilation * line + c * columns.dilation * channels * bytes;
    }),
    length: (filterW / across) * channels,
  };
}

type Shape4 = [number, number, number, number];

/** Maximum number of separate runs of values in a window, each of which has its own code. */
const mostRuns = 16;

/** Number of cells along an axis, including the border that windows reach. */
export function heightOf({ input, output, filter, stride, dilation, before }: Axis): number {
  return Math.max(before + input, (output - 1) * stride + (filter - 1) * dilation + 1);
}

/** Copies the image into the middle of a larger one, whose border stays 0. */
function borderCopy(from: number, to: number, rows: Axis, columns: Axis, channels: number, line: number) {
  const start = to + rows.before * line + columns.before * channels * 4;
  const bytes = columns.input * channels * 4;
  return range(rows.input, (row) =>
    copyBytes(i32.const(start + row * line), i32.const(from + row * bytes), i32.const(bytes)),
  ).flat();
}

/** Size of the blocks of results that stay in registers: rows of x × groups of four outputs. */
export interface Blocks {
  height: number;
  vectors: number;
}

/**
 * Eight or nine groups hide the latency of an addition, and leave registers for the factors and for a product. Without products that need
 * a register, up to twelve groups fit, whose factors are read less often.
 */
export function blocksFor(pixels: number, outputs: number, fused = false): Blocks {
  const vectors = Math.ceil(outputs / 4);
  if (vectors === 1) return { height: Math.min(8, pixels), vectors };
  const computed = (height: number) => Math.ceil(pixels / height) * height;
  const [height] = (fused ? [6, 5, 4] : [4])
    .map((most) => Math.min(most, pixels))
    .sort((a, b) => computed(a) - computed(b)) as [number];
  return { height, vectors: Math.min(vectors, [8, 4, 3][height - 1] ?? 2) };
}

function packedSize(outputs: number, inputs: number): number {
  return Math.ceil(outputs / 4) * 4 * (inputs + 1);
}

/** The arithmetic of a product whose terms have four bytes: a float32, or two int16. */
interface Arithmetic {
  /** sum + value · weight */
  multiplyAdd(sum: Code, value: Code, weight: Code): Code;
  /** Size of an output. */
  outputBytes: number;
  /** Number of vectors of parameters, after a block's weights, for each group of four outputs. */
  parameters: number;
  /** Converts a group of sums, and stores the first `lanes` outputs. `parameter` is the code of a vector of parameters. */
  finish(sum: Local, parameter: (index: number) => Code, address: Code, lanes: number, offset: number): Code;
}

function floats(node: Node<{ activation: Parameters<typeof floatRange>[0] }>): Arithmetic {
  const { low, high } = floatRange(node.options.activation);
  return {
    multiplyAdd: multiplyAddFour,
    outputBytes: 4,
    parameters: 0,
    finish: (sum, _, address, lanes, offset) => [
      ...set(sum, clampFour(get(sum), low, high)),
      ...storeLanes(address, sum, lanes, offset),
    ],
  };
}

interface Product {
  /** Output lines, and the distance between their windows. */
  lines: number;
  lineBytes: number;
  /** Outputs' positions in a line, and the distance between their windows. */
  pixels: number;
  pixelBytes: number;
  /** Where the contiguous runs of a window begin, in bytes, and how many terms each has. */
  runs: readonly number[];
  length: number;
  outputs: number;
  /** Addresses of the first window, of the outputs, and of the biases, weights and parameters. */
  x: number;
  y: number;
  packed: number;
}

/** Adds to a kernel: y = finish(bias + windows of x · weightsᵀ). */
export function product(
  kernel: Kernel,
  { height, vectors }: Blocks,
  { multiplyAdd, outputBytes, parameters, finish }: Arithmetic,
  { lines, lineBytes, pixels, pixelBytes, runs, length, outputs, x, y, packed }: Product,
): Kernel {
  const terms = runs.length * length;
  const unroll = vectors > 1 && length > 3 ? (height > 4 ? 4 : 2) : 1;
  const [line, xLine, yLine, pixel, place, xAt, yAt, wAt, from, end, column] = Array.from(
    { length: 11 },
    () => kernel.local('i32'),
  ) as Local[] as [Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local];
  const sums = Array.from({ length: height * vectors }, () => kernel.local('v128'));
  const factors = Array.from({ length: vectors }, () => kernel.local('v128'));
  const value = kernel.local('v128');

  /** Adds term `k`, counted from the current addresses, of `width` × 4 outputs. */
  const term = (k: number, width: number, at: Local, offset: number): Code => {
    const weight = (v: number) => f32x4.load(get(wAt), (k * width + v) * 16);
    const code: Code[] = height === 1 ? [] : range(width, (v) => set(factors[v]!, weight(v)));
    for (let r = 0; r < height; r++) {
      code.push(set(value, f32x4.loadSplat(get(at), offset + k * 4 + r * pixelBytes)));
      for (let v = 0; v < width; v++) {
        const sum = sums[r * vectors + v]!;
        const factor = height === 1 ? weight(v) : get(factors[v]!);
        code.push(set(sum, multiplyAdd(get(sum), get(value), factor)));
      }
    }
    return code.flat();
  };
  const allTerms = (width: number): Code => {
    if (terms <= unrolledTerms) {
      const each = runs.flatMap((start, run) =>
        range(length, (k) => term(run * length + k, width, xAt, start - run * length * 4)),
      );
      return [...each.flat(), ...step(wAt, terms * width * 16)];
    }
    return runs.flatMap((start) => [
      ...set(from, i32.add(get(xAt), i32.const(start))),
      ...(length >= unroll
        ? [
            ...set(end, i32.add(get(from), i32.const(Math.floor(length / unroll) * unroll * 4))),
            ...repeatUnless(
              // No address is 0. The test separates the terms: V8 would otherwise read the values of all of them before it adds any,
              // for which there are too few registers.
              [
                ...range(unroll, (k) => [k > 0 ? exitUnless(get(from)) : [], term(k, width, from, 0)]),
                ...step(from, unroll * 4),
                ...step(wAt, unroll * width * 16),
              ],
              i32.lessUnsigned(get(from), get(end)),
            ),
          ]
        : []),
      ...range(length % unroll, (k) => term(k, width, from, 0)).flat(),
      ...step(wAt, (length % unroll) * width * 16),
    ]);
  };
  /** One block of `width` × 4 outputs, of which the last group may have fewer than four. */
  const block = (width: number, last: number): Code => [
    ...range(width, (v) =>
      range(height, (r) => set(sums[r * vectors + v]!, f32x4.load(get(wAt), v * 16))).flat(),
    ).flat(),
    ...step(wAt, width * 16),
    ...allTerms(width),
    ...range(height, (r) =>
      range(width, (v) =>
        finish(
          sums[r * vectors + v]!,
          (index) => f32x4.load(get(wAt), (v * parameters + index) * 16),
          get(yAt),
          v === width - 1 ? last : 4,
          (r * outputs + v * 4) * outputBytes,
        ),
      ).flat(),
    ).flat(),
    ...step(wAt, width * parameters * 16),
    ...step(yAt, width * 4 * outputBytes),
  ];
  const full = Math.floor(outputs / (4 * vectors));
  const rest = outputs - full * 4 * vectors;
  const tile: Code = [
    ...set(place, i32.least(get(pixel), i32.const(pixels - height))),
    ...set(xAt, i32.add(get(xLine), i32.mul(get(place), i32.const(pixelBytes)))),
    ...set(yAt, i32.add(get(yLine), i32.mul(get(place), i32.const(outputs * outputBytes)))),
    ...set(wAt, i32.const(packed)),
    ...(full > 1
      ? [
          ...set(column, i32.const(full)),
          ...repeatWhile([...block(vectors, 4), ...step(column, -1)], get(column)),
        ]
      : full === 1
        ? block(vectors, 4)
        : []),
    ...(rest > 0 ? block(Math.ceil(rest / 4), ((rest - 1) % 4) + 1) : []),
    ...step(pixel, height),
  ];
  kernel.write(
    set(xLine, i32.const(x)),
    set(yLine, i32.const(y)),
    set(line, i32.const(lines)),
    repeatWhile(
      [
        ...set(pixel, i32.const(0)),
        // The last tile of a line begins earlier if fewer positions remain; its first results are then computed twice.
        ...repeatWhile(tile, i32.less(get(pixel), i32.const(pixels))),
        ...step(xLine, lineBytes),
        ...step(yLine, pixels * outputs * outputBytes),
        ...step(line, -1),
      ],
      get(line),
    ),
  );
  return kernel;
}

/** Windows with at most this many terms have no loop. */
const unrolledTerms = 0;

/**
 * The weights [outputs, terms] in the order in which blocks read them: for each block of 4 × `vectors` outputs, the bias and then the
 * weights of each term. Missing outputs of the last group are 0.
 */
function pack(
  compiler: Compiler,
  weights: Float32Array,
  bias: Float32Array,
  outputs: number,
  terms: number,
  { vectors }: Blocks,
): number {
  const packed = compiler.floats(packedSize(outputs, terms));
  let to = 0;
  for (let first = 0; first < outputs; first += 4 * vectors) {
    const width = Math.ceil(Math.min(4 * vectors, outputs - first) / 4) * 4;
    for (let term = -1; term < terms; term++)
      for (let out = first; out < first + width; out++)
        packed[to++] = out >= outputs ? 0 : term < 0 ? bias[out]! : weights[out * terms + term]!;
  }
  return packed.byteOffset;
}

/** Stores the first `lanes` lanes. */
export function storeLanes(address: Code, value: Local, lanes: number, offset: number): Code {
  if (lanes === 4) return f32x4.store(address, get(value), offset);
  return [
    ...(lanes === 1 ? storeLane(0, address, get(value), offset) : storeHalf(address, get(value), offset)),
    ...(lanes === 3 ? storeLane(2, address, get(value), offset) : []),
  ];
}

/** `name += by` */
export function step(name: Local, by: number): Code {
  return by === 0 ? [] : set(name, i32.add(get(name), i32.const(by)));
}

export function range<T>(length: number, make: (index: number) => T): T[] {
  return Array.from({ length }, (_, index) => make(index));
}
