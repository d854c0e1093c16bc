import type { OperatorOptions } from '../../formats/tflite/graph.js';
import { activationRange, scaleOf, typeRange } from '../interpreter/fixed-point.js';
import { windowAxes } from '../interpreter/geometry.js';
import { meanScaling, sumScaling } from '../interpreter/integer.js';
import type { Node } from '../interpreter/node.js';
import {
  type Code,
  clampFour,
  copyBytes,
  f32x4,
  get,
  i8x16,
  i16x8,
  i32,
  i32x4,
  Kernel,
  type Local,
  largerOfFour,
  number,
  repeatWhile,
  set,
  storeBytes,
} from './assembler.js';
import type { Compiler } from './compiler.js';
import { clampOf, constant, mostCells, mostShift, multiplierOf, overChannels, placesOf } from './integers.js';
import { heightOf, range, step } from './products.js';
import { adjacentAxes } from './vectors.js';

/** MAX_POOL_2D on int8, and AVERAGE_POOL_2D whose windows are inside the image. */
export function pool8(kind: 'largest' | 'mean') {
  return (node: Node<OperatorOptions['MAX_POOL_2D']>, compiler: Compiler): (() => void) | undefined => {
    const channels = node.shape(node.input(0), 4)[3]!;
    const { filterH, filterW } = node.options;
    const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], channels);
    const cells = filterH * filterW;
    const [tall, wide] = [heightOf(rows), heightOf(columns)];
    const bordered = tall !== rows.input || wide !== columns.input;
    const size = bordered ? tall * wide * channels : 0;
    if (batches !== 1 || cells > mostCells || (kind === 'mean' && bordered)) return undefined;
    if (!compiler.hasRoom(Math.ceil(size / 4))) return undefined;
    const kernel = new Kernel(`f${node.index}`, []);
    const x = node.int8(0).byteOffset;
    const line = wide * channels;
    // The smallest number does not affect a maximum.
    const image = bordered ? compiler.bytes(size).fill(-128).byteOffset : x;
    if (bordered) {
      const start = image + rows.before * line + columns.before * channels;
      const bytes = columns.input * channels;
      for (let row = 0; row < rows.input; row++)
        kernel.write(copyBytes(i32.const(start + row * line), i32.const(x + row * bytes), i32.const(bytes)));
    }
    const places = placesOf([filterH, filterW], rows, columns, line, channels);
    const outputs = (kind === 'mean' ? meanOf : largestOf)(kernel, places, node);
    const lanes = kind === 'mean' ? 8 : 16;
    overChannels(
      kernel,
      { rows, columns, channels },
      { lanes, bytes: 1, image, line, y: node.int8Output },
      {
        ...{ at: 0, bytes: 0 },
        pixel: (from, to) => [
          ...outputs.compute(from),
          ...storeBytes(get(to), outputs.result, Math.min(lanes, channels)),
        ],
      },
    );
    return compiler.add(kernel);
  };
}

interface Outputs {
  compute(x: Local): Code;
  /** int8 */
  result: Code;
}

function largestOf(kernel: Kernel, places: number[], node: Node<OperatorOptions['MAX_POOL_2D']>): Outputs {
  const { low, high } = activationRange(node, node.options.activation);
  const [least, most] = [low, high].map((value) => constant(kernel, i8x16.splat(value))) as [Local, Local];
  const result = kernel.local('v128');
  const clamped = i8x16.min(i8x16.max(get(result), get(least)), get(most));
  return {
    compute: (x) => [
      ...places.flatMap((place, cell) => {
        const value = i8x16.load(get(x), place);
        return set(result, cell === 0 ? value : i8x16.max(get(result), value));
      }),
      ...set(result, clamped),
    ],
    result: get(result),
  };
}

/** The mean, of which halves are rounded away from zero. */
function meanOf(kernel: Kernel, places: number[], node: Node<OperatorOptions['AVERAGE_POOL_2D']>): Outputs {
  const sum = kernel.local('v128');
  const halves = range(2, () => kernel.local('v128')) as [Local, Local];
  const sign = kernel.local('v128');
  const half = constant(kernel, i32x4.splat(places.length >> 1));
  const count = constant(kernel, f32x4.splat(number(places.length)));
  const clamp = clampOf(kernel, { ...activationRange(node, node.options.activation), zeroPoint: 0 });
  const narrow = i16x8.narrow(get(halves[0]), get(halves[1]));
  return {
    compute: (x) => [
      // A sum of at most `mostCells` numbers fits in 16 bits.
      ...places.flatMap((place, cell) => {
        const value = i16x8.loadBytes(get(x), place);
        return set(sum, cell === 0 ? value : i16x8.add(get(sum), value));
      }),
      ...set(halves[0], i32x4.lowShorts(get(sum))),
      ...set(halves[1], i32x4.highShorts(get(sum))),
      ...halves.flatMap((part) => [
        ...set(sign, i32x4.sign(get(part))),
        // A quotient of such small integers is an integer in single precision only if it is one.
        ...set(
          part,
          i32x4.ofFloats(f32x4.div(i32x4.toFloats(i32x4.add(i32x4.abs(get(part)), get(half))), get(count))),
        ),
        ...set(part, i32x4.sub(i32x4.xor(get(part), get(sign)), get(sign))),
        ...clamp(part),
      ]),
    ],
    result: i8x16.narrow(narrow, narrow),
  };
}

/** `multiplyByQuantized` with one multiplier for all; undefined if the shift is too large. */
function uniform(kernel: Kernel, { multiplier: by, shift }: { multiplier: number; shift: number }) {
  if (shift < -mostShift) return undefined;
  const [left, right] = [shift > 0, shift < 0];
  const parameters = [by, ...(left ? [1 << shift] : []), ...(right ? [1 << (mostShift + shift)] : [])].map(
    (value) => constant(kernel, i32x4.splat(value)),
  );
  const multiply = multiplierOf(kernel, { left, right });
  return (sum: Local): Code => multiply(sum, (index) => get(parameters[index]!));
}

/** MEAN on int8 over adjacent axes, of which the last axis is not one. */
export function mean8(node: Node<OperatorOptions['MEAN']>, compiler: Compiler): (() => void) | undefined {
  const axes = adjacentAxes(node);
  if (axes === undefined) return undefined;
  const { outer, count, inner } = axes;
  const scaling = meanScaling(node);
  const kernel = new Kernel(`f${node.index}`, []);
  const multiply = uniform(kernel, scaling);
  if (multiply === undefined) return undefined;
  const clamp = clampOf(kernel, { ...typeRange(node), zeroPoint: scaling.zeroPoint });
  const start = constant(kernel, i32x4.splat(-scaling.offset | 0));
  const [line, xLine, yLine, group, at, xAt, left] = range(7, () => kernel.local('i32')) as unknown as Seven;
  const [low, high, value] = range(3, () => kernel.local('v128')) as [Local, Local, Local];
  const narrow = i16x8.narrow(get(low), get(high));
  kernel.write(
    set(xLine, i32.const(node.int8(0).byteOffset)),
    set(yLine, i32.const(node.int8Output.byteOffset)),
    set(line, i32.const(outer)),
    repeatWhile(
      [
        ...set(group, i32.const(0)),
        ...repeatWhile(
          [
            ...set(at, i32.least(get(group), i32.const(Math.max(inner - 8, 0)))),
            ...set(xAt, i32.add(get(xLine), get(at))),
            ...set(low, get(start)),
            ...set(high, get(start)),
            ...set(left, i32.const(count)),
            ...repeatWhile(
              [
                ...set(value, i16x8.loadBytes(get(xAt))),
                ...set(low, i32x4.add(get(low), i32x4.lowShorts(get(value)))),
                ...set(high, i32x4.add(get(high), i32x4.highShorts(get(value)))),
                ...step(xAt, inner),
                ...step(left, -1),
              ],
              get(left),
            ),
            ...[low, high].flatMap((sum) => [...multiply(sum), ...clamp(sum)]),
            ...storeBytes(i32.add(get(yLine), get(at)), i8x16.narrow(narrow, narrow), Math.min(8, inner)),
            ...step(group, 8),
          ],
          i32.less(get(group), i32.const(inner)),
        ),
        ...step(xLine, count * inner),
        ...step(yLine, inner),
        ...step(line, -1),
      ],
      get(line),
    ),
  );
  return compiler.add(kernel);
}

type Seven = [Local, Local, Local, Local, Local, Local, Local];

/** QUANTIZE from float32 to int8. */
export function quantize8(node: Node, compiler: Compiler): (() => void) | undefined {
  const { scale, zeroPoint } = scaleOf(node, node.output);
  if (Math.fround(scale) !== scale) return undefined;
  const kernel = new Kernel(`f${node.index}`, []);
  const by = constant(kernel, f32x4.splat(number(scale)));
  const clamp = clampOf(kernel, { ...typeRange(node), zeroPoint });
  const [low, high, real] = range(3, () => kernel.local('v128')) as [Local, Local, Local];
  const position = kernel.local('i32');
  const narrow = i16x8.narrow(get(low), get(high));
  const x = i32.add(i32.mul(get(position), i32.const(4)), i32.const(node.float32(0).byteOffset));
  const y = node.int8Output;
  kernel.write(
    set(position, i32.const(0)),
    repeatWhile(
      [
        ...[low, high].flatMap((steps, half) => [
          // Values beyond these limits are clamped in any case. NaN becomes the lower limit, because it is not greater.
          ...set(
            real,
            clampFour(
              largerOfFour(f32x4.splat(number(-farSteps)), f32x4.div(f32x4.load(x, 16 * half), get(by))),
              Number.NEGATIVE_INFINITY,
              farSteps,
            ),
          ),
          ...set(steps, i32x4.ofFloats(get(real))),
          // Twice the remainder is at least 1 if it is rounded away from zero.
          ...set(
            steps,
            i32x4.add(get(steps), i32x4.ofFloats(twice(f32x4.sub(get(real), i32x4.toFloats(get(steps)))))),
          ),
          ...clamp(steps),
        ]),
        ...storeBytes(i32.add(get(position), i32.const(y.byteOffset)), i8x16.narrow(narrow, narrow), 8),
        ...step(position, 8),
      ],
      i32.less(get(position), i32.const(y.length)),
    ),
  );
  return compiler.add(kernel);
}

/** More steps of a scale than int8 has. */
const farSteps = 1000;

const twice = (value: Code): Code => f32x4.mul(value, f32x4.splat(number(2)));

/** DEQUANTIZE from int8 to float32. */
export function dequantize8(node: Node, compiler: Compiler): (() => void) | undefined {
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  if (Math.fround(scale) !== scale) return undefined;
  const kernel = new Kernel(`f${node.index}`, []);
  const by = constant(kernel, f32x4.splat(number(scale)));
  const zero = constant(kernel, i16x8.splat(zeroPoint));
  const shorts = kernel.local('v128');
  const position = kernel.local('i32');
  const x = node.int8(0);
  const y = i32.add(i32.mul(get(position), i32.const(4)), i32.const(node.float32Output.byteOffset));
  kernel.write(
    set(position, i32.const(0)),
    repeatWhile(
      [
        ...set(
          shorts,
          i16x8.sub(i16x8.loadBytes(i32.add(get(position), i32.const(x.byteOffset))), get(zero)),
        ),
        ...[i32x4.lowShorts, i32x4.highShorts].flatMap((wide, half) =>
          f32x4.store(y, f32x4.mul(i32x4.toFloats(wide(get(shorts))), get(by)), 16 * half),
        ),
        ...step(position, 8),
      ],
      i32.less(get(position), i32.const(x.length)),
    ),
  );
  return compiler.add(kernel);
}

/** ADD (sign 1) and SUB (sign −1) on int8 of equal shapes. */
export function sum8(sign: 1 | -1) {
  return (node: Node<OperatorOptions['ADD' | 'SUB']>, compiler: Compiler): (() => void) | undefined => {
    const [x0, x1, y] = [node.int8(0), node.int8(1), node.int8Output];
    if (x0.length !== y.length || x1.length !== y.length) return undefined;
    if (!compiler.hasRoom(Math.ceil(x1.length / 4))) return undefined;
    const { a, b, bits, multiplierA, multiplierB, multiplierY, ...output } = sumScaling(node, sign);
    const kernel = new Kernel(`f${node.index}`, []);
    const own = [multiplierA, multiplierB, multiplierY].map((each) => uniform(kernel, each));
    const [scaleA, scaleB, scaleY] = own;
    if (!scaleA || !scaleB || !scaleY) return undefined;
    const clamp = clampOf(kernel, output);
    const [zeroA, zeroB] = [a, b].map(({ zeroPoint }) => constant(kernel, i16x8.splat(zeroPoint))) as [
      Local,
      Local,
    ];
    const [position] = range(1, () => kernel.local('i32')) as [Local];
    const [shortsA, shortsB, low, high, other] = range(5, () => kernel.local('v128')) as unknown as Five;
    const address = (values: Int8Array) => i32.add(get(position), i32.const(compiler.addressOf(values)));
    const narrow = i16x8.narrow(get(low), get(high));
    kernel.write(
      set(position, i32.const(0)),
      repeatWhile(
        [
          ...set(shortsA, i16x8.sub(i16x8.loadBytes(address(x0)), get(zeroA))),
          ...set(shortsB, i16x8.sub(i16x8.loadBytes(address(x1)), get(zeroB))),
          ...[low, high].flatMap((sum, half) => {
            const wide = half === 0 ? i32x4.lowShorts : i32x4.highShorts;
            return [
              ...set(sum, i32x4.shl(wide(get(shortsA)), bits)),
              ...scaleA(sum),
              ...set(other, i32x4.shl(wide(get(shortsB)), bits)),
              ...scaleB(other),
              ...set(sum, (sign === 1 ? i32x4.add : i32x4.sub)(get(sum), get(other))),
              ...scaleY(sum),
              ...clamp(sum),
            ];
          }),
          ...storeBytes(address(y), i8x16.narrow(narrow, narrow), 8),
          ...step(position, 8),
        ],
        i32.less(get(position), i32.const(y.length)),
      ),
    );
    return compiler.add(kernel);
  };
}

type Five = [Local, Local, Local, Local, Local];
