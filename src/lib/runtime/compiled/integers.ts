import { elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import { activationRange, channelMultipliers, scaleOf } from '../interpreter/fixed-point.js';
import { type Axis, depthwiseFilter, windowAxes } from '../interpreter/geometry.js';
import type { Node } from '../interpreter/node.js';
import {
  type Code,
  f32x4,
  get,
  i8x16,
  i16x8,
  i32,
  i32x4,
  i64x2,
  Kernel,
  type Local,
  repeatWhile,
  set,
  storeBytes,
} from './assembler.js';
import type { Compiler } from './compiler.js';
import { type Blocks, blocksFor, heightOf, product, range, step, windowsOf } from './products.js';

/** FULLY_CONNECTED on int8 with constant weights. */
export function fullyConnected8(
  node: Node<OperatorOptions['FULLY_CONNECTED']>,
  compiler: Compiler,
): (() => void) | undefined {
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  const blocks = blocksFor(rows, outputs);
  const windows = { runs: [0], length: inputs, outputs };
  const scaling = scalingOf(node, outputs, 0);
  if (!scaling || !compiler.hasRoom(packedSize(windows, scaling), wideSize(rows * inputs))) return undefined;
  const kernel = new Kernel(`f${node.index}`, []);
  const x = compiler.shorts(rows * inputs).byteOffset;
  widen(kernel, { x: node.int8(0), zero: scaling.inputZero, to: x, rows: 1, line: 0 });
  return compiler.add(
    product(kernel, blocks, integers(kernel, scaling), {
      ...{ lines: 1, lineBytes: 0, pixels: rows, pixelBytes: inputs * 2, runs: [0], outputs, x },
      length: Math.ceil(inputs / 2),
      y: node.int8Output.byteOffset,
      packed: pack(compiler, node, windows, blocks, scaling),
    }),
  );
}

/** CONV_2D on int8 with constant weights and one group. */
export function convolution8(
  node: Node<OperatorOptions['CONV_2D']>,
  compiler: Compiler,
): (() => void) | undefined {
  const windows = windowsOf(node, 2);
  if (windows === undefined) return undefined;
  const { rows, columns, channels, outputs, line, length } = windows;
  const scaling = scalingOf(node, outputs, 0);
  if (!scaling || !compiler.hasRoom(packedSize(windows, scaling), wideSize(windows.size))) return undefined;
  const kernel = new Kernel(`f${node.index}`, []);
  const image = compiler.shorts(windows.size).byteOffset;
  widen(kernel, {
    ...{ x: node.int8(0), zero: scaling.inputZero, line },
    to: image + rows.before * line + columns.before * channels * 2,
    rows: windows.bordered ? rows.input : 1,
  });
  const blocks = blocksFor(windows.pixels, outputs);
  return compiler.add(
    product(kernel, blocks, integers(kernel, scaling), {
      ...windows,
      ...{ x: image, y: node.int8Output.byteOffset, length: Math.ceil(length / 2) },
      packed: pack(compiler, node, windows, blocks, scaling),
    }),
  );
}

/** How sums become int8 values. */
interface Scaling {
  /** See `channelMultipliers`. */
  multipliers: Int32Array;
  shifts: Int32Array;
  /** Whether sums are multiplied by 2^shift first, and divided by 2^−shift at last. */
  left: boolean;
  right: boolean;
  low: number;
  high: number;
  zeroPoint: number;
  inputZero: number;
}

/** Undefined if a shift is so large that no usual network has it. */
function scalingOf(
  node: Node<OperatorOptions['CONV_2D' | 'DEPTHWISE_CONV_2D' | 'FULLY_CONNECTED']>,
  outputs: number,
  axis: number,
): Scaling | undefined {
  const { multipliers, shifts } = channelMultipliers(node, outputs, axis);
  if (shifts.some((shift) => shift < -mostShift)) return undefined;
  return {
    ...{ multipliers, shifts },
    left: shifts.some((shift) => shift > 0),
    right: shifts.some((shift) => shift < 0),
    ...activationRange(node, node.options.activation),
    zeroPoint: scaleOf(node, node.output).zeroPoint,
    inputZero: scaleOf(node, node.input(0)).zeroPoint,
  };
}

/** A division by 2^e is a multiplication by 2^(30 − e) before the low 30 bits are dropped. */
export const mostShift = 30;

/** The parameters of an output: its multiplier, then its powers of two where they are needed. */
function parametersOf({ multipliers, shifts, left, right }: Scaling, output: number): number[] {
  const shift = shifts[output]!;
  return [
    multipliers[output]!,
    ...(left ? [shift > 0 ? 1 << shift : 1] : []),
    ...(right ? [1 << (mostShift + Math.min(shift, 0))] : []),
  ];
}

const parameterCount = ({ left, right }: Scaling) => 1 + Number(left) + Number(right);

/** The arithmetic of products of int16 pairs, from int32 sums to int8. */
function integers(kernel: Kernel, scaling: Scaling): Parameters<typeof product>[2] {
  const [multiply, shift] = [multiplierOf(kernel, scaling), clampOf(kernel, scaling)];
  return {
    multiplyAdd: (sum, value, weight) => i32x4.add(sum, i32x4.dotShorts(value, weight)),
    outputBytes: 1,
    parameters: parameterCount(scaling),
    finish: (sum, parameter, address, lanes, offset) => {
      const narrow = i16x8.narrow(get(sum), get(sum));
      return [
        ...multiply(sum, parameter),
        ...shift(sum),
        ...storeBytes(address, i8x16.narrow(narrow, narrow), lanes, offset),
      ];
    },
  };
}

/** A local with a constant, which is set here, before loops. */
export function constant(kernel: Kernel, value: Code): Local {
  const local = kernel.local('v128');
  kernel.write(set(local, value));
  return local;
}

/**
 * Code for `multiplyByQuantized` of four int32, in place.
 * @returns a function whose `parameter` is the code for each of `parametersOf`
 */
export function multiplierOf(kernel: Kernel, { left, right }: Pick<Scaling, 'left' | 'right'>) {
  const sign = kernel.local('v128');
  const [half30, half29] = [30n, 29n].map((bit) => constant(kernel, i64x2.splat(2n ** bit))) as [
    Local,
    Local,
  ];
  const highHalves = (low: Code, high: Code, half: Local, by: number): Code => {
    const rounded = (product: Code) => i64x2.shl(i64x2.add(product, get(half)), by);
    return i64x2.highHalves(rounded(low), rounded(high));
  };
  return (sum: Local, parameter: (index: number) => Code): Code => {
    const [x, by] = [get(sum), parameter(0)];
    const power = right ? parameter(left ? 2 : 1) : [];
    return [
      ...(left ? set(sum, i32x4.mul(x, parameter(1))) : []),
      // The bits from 31 of x · multiplier + 2^30.
      ...set(sum, highHalves(i64x2.lowProducts(x, by), i64x2.highProducts(x, by), half30, 1)),
      ...(right
        ? [
            // The absolute value is rounded, because halves are rounded away from zero.
            ...set(sign, i32x4.sign(x)),
            ...set(sum, i32x4.abs(x)),
            ...set(
              sum,
              highHalves(
                i64x2.lowUnsignedProducts(x, power),
                i64x2.highUnsignedProducts(x, power),
                half29,
                2,
              ),
            ),
            ...set(sum, i32x4.sub(i32x4.xor(x, get(sign)), get(sign))),
          ]
        : []),
    ];
  };
}

/**
 * Code that clamps four int32 to the activation's range and adds the zero point, in place. Clamping comes first, so that the addition cannot
 * overflow.
 */
export function clampOf(
  kernel: Kernel,
  { low, high, zeroPoint }: Pick<Scaling, 'low' | 'high' | 'zeroPoint'>,
) {
  const [least, most, zero] = [low - zeroPoint, high - zeroPoint, zeroPoint].map((value) =>
    constant(kernel, i32x4.splat(value)),
  ) as [Local, Local, Local];
  return (sum: Local): Code =>
    set(sum, i32x4.add(i32x4.min(i32x4.max(get(sum), get(least)), get(most)), get(zero)));
}

interface Widening {
  x: Int8Array;
  /** Number that is subtracted, so that a border of 0 represents the zero point. */
  zero: number;
  /** Address of the first value, and the distance between rows, of which `x` has `rows` of equal length. */
  to: number;
  rows: number;
  line: number;
}

/** Adds to a kernel: copies int8 values as int16. */
function widen(kernel: Kernel, { x, zero, to, rows, line }: Widening): void {
  const [from, at, left, count] = range(4, () => kernel.local('i32')) as [Local, Local, Local, Local];
  const length = x.length / rows;
  const [eights, rest] = [Math.floor(length / 8), length % 8];
  const eight = (source: Code, target: Code): Code =>
    i16x8.store(target, i16x8.sub(i16x8.loadBytes(source), i16x8.splat(zero)));
  const last: Code =
    eights > 0
      ? eight(i32.sub(get(from), i32.const(8 - rest)), i32.sub(get(at), i32.const(16 - 2 * rest)))
      : range(rest, (i) =>
          i32.store16(get(at), i32.sub(i32.load8(get(from), i), i32.const(zero)), 2 * i),
        ).flat();
  kernel.write(
    set(from, i32.const(x.byteOffset)),
    set(at, i32.const(to)),
    set(left, i32.const(rows)),
    repeatWhile(
      [
        ...(eights > 0
          ? [
              ...set(count, i32.const(eights)),
              ...repeatWhile(
                [...eight(get(from), get(at)), ...step(from, 8), ...step(at, 16), ...step(count, -1)],
                get(count),
              ),
            ]
          : []),
        ...(rest > 0 ? last : []),
        ...step(from, rest),
        ...step(at, line - eights * 16),
        ...step(left, -1),
      ],
      get(left),
    ),
  );
}

/** Room for int16 values, in numbers of four bytes. */
const wideSize = (values: number) => Math.ceil(values / 2);

interface Packing {
  runs: readonly number[];
  length: number;
  outputs: number;
}

function packedSize({ runs, length, outputs }: Packing, scaling: Scaling): number {
  return Math.ceil(outputs / 4) * 4 * (1 + runs.length * Math.ceil(length / 2) + parameterCount(scaling));
}

/**
 * For each block of 4 × `vectors` outputs: the biases, then pairs of weights of each run of a window, then the parameters of each group.
 * The second weight of an incomplete pair is 0, and so are missing outputs.
 */
function pack(
  compiler: Compiler,
  node: Node<OperatorOptions['CONV_2D' | 'FULLY_CONNECTED']>,
  windows: Packing,
  { vectors }: Blocks,
  scaling: Scaling,
): number {
  const { runs, length, outputs } = windows;
  const [weights, bias] = [node.int8(1), node.int32Bias(2, outputs)];
  const packed = compiler.addresses(packedSize(windows, scaling));
  const terms = runs.length * length;
  let to = 0;
  for (let first = 0; first < outputs; first += 4 * vectors) {
    const end = first + Math.ceil(Math.min(4 * vectors, outputs - first) / 4) * 4;
    for (let out = first; out < end; out++) packed[to++] = out < outputs ? bias[out]! : 0;
    for (let run = 0; run < runs.length; run++)
      for (let i = 0; i < length; i += 2)
        for (let out = first; out < end; out++) {
          const at = out * terms + run * length + i;
          const second = i + 1 < length ? weights[at + 1]! : 0;
          packed[to++] = out < outputs ? pairOf(weights[at]!, second) : 0;
        }
    for (let group = first; group < end; group += 4)
      for (let index = 0; index < parameterCount(scaling); index++)
        for (let out = group; out < group + 4; out++)
          packed[to++] = out < outputs ? parametersOf(scaling, out)[index]! : 0;
  }
  return packed.byteOffset;
}

function pairOf(first: number, second: number): number {
  return (first & 0xffff) | (second << 16);
}

/** Maximum number of cells in a window, each of which has its own code. */
export const mostCells = 64;

/**
 * DEPTHWISE_CONV_2D on int8 with constant weights and as many outputs as channels: eight channels at a time, and two cells of the window
 * in each product.
 */
export function depthwise8(
  node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>,
  compiler: Compiler,
): (() => void) | undefined {
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW, multiplier } = depthwiseFilter(node, channels);
  if (multiplier !== 1) return undefined;
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], channels);
  const cells = filterH * filterW;
  if (batches !== 1 || cells > mostCells) return undefined;
  const scaling = scalingOf(node, channels, 3);
  const [tall, wide] = [heightOf(rows), heightOf(columns)];
  const groups = Math.ceil(channels / 8);
  const groupVectors = 2 * (1 + Math.ceil(cells / 2) + (scaling ? parameterCount(scaling) : 0));
  if (!scaling || !compiler.hasRoom(groups * groupVectors * 4, wideSize(tall * wide * channels)))
    return undefined;
  const line = wide * channels * 2;
  const image = compiler.shorts(tall * wide * channels).byteOffset;
  const kernel = new Kernel(`f${node.index}`, []);
  widen(kernel, {
    ...{ x: node.int8(0), zero: scaling.inputZero, line },
    to: image + rows.before * line + columns.before * channels * 2,
    rows: tall !== rows.input || wide !== columns.input ? rows.input : 1,
  });
  const packed = packDepthwise(compiler, node, cells, scaling);
  const [low, high, one, other] = range(4, () => kernel.local('v128')) as [Local, Local, Local, Local];
  const [multiply, clamp] = [multiplierOf(kernel, scaling), clampOf(kernel, scaling)];
  const places = placesOf([filterH, filterW], rows, columns, line, channels * 2);
  const narrow = i16x8.narrow(get(low), get(high));
  overChannels(
    kernel,
    { rows, columns, channels },
    { lanes: 8, bytes: 2, image, line, y: node.int8Output },
    {
      at: packed,
      bytes: groupVectors * 16,
      pixel: (x, y, weights) => {
        const each = (code: (half: Local, parameter: (index: number) => Code, h: number) => Code): Code =>
          [low, high].flatMap((half, h) =>
            code(half, (index) => f32x4.load(get(weights), (2 * index + h) * 16), h),
          );
        const pair = (index: number): Code => {
          const [first, second = first] = places.slice(2 * index, 2 * index + 2) as [number, number?];
          return [
            ...set(one, i16x8.load(get(x), first)),
            ...set(other, second === first ? get(one) : i16x8.load(get(x), second)),
            ...each((half, parameter, h) => {
              const interleave = h === 0 ? i16x8.interleaveLow : i16x8.interleaveHigh;
              const product = i32x4.dotShorts(interleave(get(one), get(other)), parameter(1 + index));
              return set(half, i32x4.add(get(half), product));
            }),
          ];
        };
        const pairs = Math.ceil(cells / 2);
        return [
          ...each((half, parameter) => set(half, parameter(0))),
          ...range(pairs, pair).flat(),
          ...each((half, parameter) => multiply(half, (index) => parameter(1 + pairs + index))),
          ...each(clamp),
          ...storeBytes(get(y), i8x16.narrow(narrow, narrow), Math.min(8, channels)),
        ];
      },
    },
  );
  return compiler.add(kernel);
}

/** Distances in bytes from a window's first cell to each cell. */
export function placesOf(
  [height, width]: readonly [number, number],
  rows: Axis,
  columns: Axis,
  line: number,
  pixelBytes: number,
): number[] {
  return range(height * width, (cell) => {
    const [r, c] = [Math.floor(cell / width), cell % width];
    return r * rows.dilation * line + c * columns.dilation * pixelBytes;
  });
}

interface Image {
  /** Number of channels that are computed at a time. */
  lanes: number;
  /** Size of a value in the image, which has the border that the windows reach. */
  bytes: 1 | 2;
  /** Address of the image, and the distance between its rows. */
  image: number;
  line: number;
  y: Int8Array;
}

interface Pixel {
  /** Address of the first group's weights, and the distance between groups. */
  at: number;
  bytes: number;
  /** Computes the outputs of one group and window from the addresses in these locals. */
  pixel(x: Local, y: Local, weights: Local): Code;
}

/** Adds to a kernel: an operator that computes each channel from the same channel of the window. */
export function overChannels(
  kernel: Kernel,
  { rows, columns, channels }: { rows: Axis; columns: Axis; channels: number },
  { lanes, bytes, image, line, y }: Image,
  weights: Pixel,
): void {
  const [row, xLine, yLine, group, at, xAt, yAt, wAt, column] = range(9, () =>
    kernel.local('i32'),
  ) as unknown as Nine;
  kernel.write(
    set(xLine, i32.const(image)),
    set(yLine, i32.const(y.byteOffset)),
    set(row, i32.const(rows.output)),
    repeatWhile(
      [
        ...set(group, i32.const(0)),
        ...set(wAt, i32.const(weights.at)),
        // The last group begins earlier if fewer channels remain; its first results are then computed twice.
        ...repeatWhile(
          [
            ...set(at, i32.least(get(group), i32.const(Math.max(channels - lanes, 0)))),
            ...set(xAt, i32.add(get(xLine), i32.mul(get(at), i32.const(bytes)))),
            ...set(yAt, i32.add(get(yLine), get(at))),
            ...set(column, i32.const(columns.output)),
            ...repeatWhile(
              [
                ...weights.pixel(xAt, yAt, wAt),
                ...step(xAt, columns.stride * channels * bytes),
                ...step(yAt, channels),
                ...step(column, -1),
              ],
              get(column),
            ),
            ...step(wAt, weights.bytes),
            ...step(group, lanes),
          ],
          i32.less(get(group), i32.const(channels)),
        ),
        ...step(xLine, rows.stride * line),
        ...step(yLine, columns.output * channels),
        ...step(row, -1),
      ],
      get(row),
    ),
  );
}

type Nine = [Local, Local, Local, Local, Local, Local, Local, Local, Local];

/** For each group of eight channels, in two halves each: the biases, pairs of weights, and the parameters. */
function packDepthwise(
  compiler: Compiler,
  node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>,
  cells: number,
  scaling: Scaling,
): number {
  const channels = scaling.multipliers.length;
  const [weights, bias] = [node.int8(1), node.int32Bias(2, channels)];
  const numbers: number[] = [];
  for (let group = 0; group < channels; group += 8) {
    const first = Math.max(0, Math.min(group, channels - 8));
    const each = (value: (channel: number) => number) => {
      for (let c = first; c < first + 8; c++) numbers.push(c < channels ? value(c) : 0);
    };
    each((c) => bias[c]!);
    for (let cell = 0; cell < cells; cell += 2)
      each((c) =>
        pairOf(weights[cell * channels + c]!, cell + 1 < cells ? weights[(cell + 1) * channels + c]! : 0),
      );
    for (let index = 0; index < parameterCount(scaling); index++)
      each((c) => parametersOf(scaling, c)[index]!);
  }
  const packed = compiler.addresses(numbers.length);
  packed.set(numbers);
  return packed.byteOffset;
}
