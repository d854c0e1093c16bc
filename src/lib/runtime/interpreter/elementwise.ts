import { AiotError } from '../../core/errors.js';
import { roundHalfEven } from '../../core/numbers.js';
import type { OperatorOptions } from '../../formats/tflite/graph.js';
import {
  activationRange,
  doublingHighMultiply,
  inverseSquareRoot,
  multiplyByQuantized,
  quantizeMultiplier,
  ratio,
  reciprocalOfOnePlus,
  roundingShiftRight,
  scaleOf,
  typeRange,
} from './fixed-point.js';
import { binary, elementwise } from './float.js';
import { perElement } from './integer.js';
import { broadcastPlaces } from './moves.js';
import type { Kernel, Node } from './node.js';

/** ABS on int8 and int16. If the scales are equal, no multiplication is needed. */
export function abs(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const distance = (q: number) => Math.abs(q - input.zeroPoint);
  if (input.scale === output.scale) return perElement(node, (q) => distance(q) + output.zeroPoint);
  const quotient = input.scale / output.scale;
  const { multiplier, shift } = ratio(
    node,
    node.ratioPrecision === 'single' ? Math.fround(quotient) : quotient,
  );
  return perElement(node, (q) => multiplyByQuantized(distance(q), multiplier, shift) + output.zeroPoint);
}

/** Number of fraction bits of the intermediate value in an integer RSQRT. */
const rsqrtBits = 20;

/**
 * RSQRT on int8 and int16. TFLite Micro rejects negative values at run time. On int8, only the zero point −128 is supported, which allows
 * none. On int16, they yield the largest output, as 0 does.
 */
export function rsqrt(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const { low, high } = typeRange(node);
  if (low === -128 && input.zeroPoint !== low)
    throw node.unsupported(
      `a zero point of ${input.zeroPoint}, which allows negative inputs (expected −128)`,
    );
  const scale = 1 / (Math.sqrt(input.scale) * output.scale);
  const { multiplier, shift } = ratio(node, scale);
  if (shift < rsqrtBits - 31) throw node.unsupported(`an output scale of ${output.scale}`);
  return perElement(node, (q) => {
    if (q <= input.zeroPoint) return high;
    const inverse = inverseSquareRoot(q - input.zeroPoint);
    const data = multiplyByQuantized(1, inverse.multiplier, inverse.shift + rsqrtBits);
    return multiplyByQuantized(data, multiplier, shift - rsqrtBits) + output.zeroPoint;
  });
}

/** ELU on int8, with a table of results computed in single precision, as in TFLite Micro. */
export function elu(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  // TFLite Micro converts the quotients to int32 without saturation.
  const largest = Math.max(1, Math.fround(Math.fround(input.scale) * (127 - input.zeroPoint)));
  if (!(Math.fround(largest / output.scale) < 2 ** 31))
    throw node.unsupported(`an output scale of ${output.scale} with an input scale of ${input.scale}`);
  const inverse = Math.fround(1 / output.scale);
  return perElement(node, (q) => {
    const x = Math.fround(input.scale * (q - input.zeroPoint));
    const value = x < 0 ? Math.fround(Math.fround(Math.exp(x)) - 1) : x;
    const scaled = Math.fround(value * inverse);
    return Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5) + output.zeroPoint;
  });
}

/** HARD_SWISH on int8: x · relu6(x + 3) / 6 in 16-bit fixed point. */
export function hardSwish(node: Node): () => void {
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const hires = Math.fround(input.scale / 128);
  const last = halfMultiplier(node, Math.fround(hires / output.scale));
  // Multiplying by the factor converts the real value 3 to 32768.
  const factor = halfMultiplier(node, Math.fround(hires / Math.fround(3 / 32768)));
  if (last.shift > 0) throw node.malformed(`an output scale of ${output.scale} is too small for its input`);
  return perElement(node, (q) => {
    const wide = (q - input.zeroPoint) * 128;
    let share = factor.shift > 0 ? saturated(wide * 2 ** (factor.shift - 1)) : wide;
    share = highMultiply16(share, factor.multiplier);
    if (factor.shift > 0) share = saturated(2 * share);
    if (factor.shift < 0) share = roundingShiftRight(share, -factor.shift);
    // Maps [−1, 1] to [0, 1].
    const relu = (share + 32768) >> 1;
    const product = Math.trunc((relu * highMultiply16(wide, last.multiplier)) / 32768);
    return roundingShiftRight(product, -last.shift) + output.zeroPoint;
  });
}

/** A multiplier with 15 bits instead of 31. */
function halfMultiplier(node: Node, real: number): { multiplier: number; shift: number } {
  const { multiplier, shift } = ratio(node, real);
  if (shift < -15) throw node.unsupported(`a ratio of scales of ${real}`);
  return { multiplier: multiplier >= 2147483647 - 32768 ? 32767 : (multiplier + 32768) >> 16, shift };
}

function saturated(x: number): number {
  return x > 32767 ? 32767 : x < -32768 ? -32768 : x;
}

/** a · b / 2^15 for int16, rounded half up. */
function highMultiply16(a: number, b: number): number {
  if (a === -32768 && b === -32768) return 32767;
  const product = a * b;
  return Math.trunc((product + (product >= 0 ? 16384 : 1 - 16384)) / 32768);
}

/** MAXIMUM and MINIMUM. Inputs and output have the same scale, so the values are compared without rescaling. */
export function choice(second: (a: number, b: number) => boolean): Kernel {
  return (node) => {
    const [x0, x1, y] = [node.input(0).values, node.input(1).values, node.output.values];
    const [places0, places1] = broadcastPlaces(node);
    return () => {
      for (let i = 0; i < y.length; i++) {
        const [a, b] = [x0[places0[i]!]!, x1[places1[i]!]!];
        y[i] = second(a, b) ? b : a;
      }
    };
  };
}

/** SQUARED_DIFFERENCE on int8 and int16. Both inputs are rescaled to twice the larger scale; for int8, with 7 additional fraction bits. */
export function squaredDifference(node: Node): () => void {
  const [x0, x1, y] = [node.integers(0), node.integers(1), node.integerOutput];
  const [a, b, output] = [
    scaleOf(node, node.input(0)),
    scaleOf(node, node.input(1)),
    scaleOf(node, node.output),
  ];
  const bits = y instanceof Int16Array ? 0 : 7;
  const twice = 2 * Math.max(a.scale, b.scale);
  const [ma, mb] = [ratio(node, a.scale / twice), ratio(node, b.scale / twice)];
  const mo = ratio(node, (twice * twice) / (2 ** (2 * bits) * output.scale));
  const { low, high } = typeRange(node);
  const [places0, places1] = broadcastPlaces(node);
  return () => {
    for (let i = 0; i < y.length; i++) {
      const u = multiplyByQuantized((x0[places0[i]!]! - a.zeroPoint) << bits, ma.multiplier, ma.shift);
      const v = multiplyByQuantized((x1[places1[i]!]! - b.zeroPoint) << bits, mb.multiplier, mb.shift);
      const value = multiplyByQuantized(Math.imul(u - v, u - v), mo.multiplier, mo.shift) + output.zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** PRELU on int8 and int16. The slopes are broadcast int8 constants. */
export function prelu(node: Node): () => void {
  const [x, slopes, y] = [node.integers(0), node.int8Weights(1), node.integerOutput];
  const [input, slope, output] = [
    scaleOf(node, node.input(0)),
    scaleOf(node, node.input(1)),
    scaleOf(node, node.output),
  ];
  const positive = ratio(node, input.scale / output.scale);
  const negative = ratio(node, (input.scale * slope.scale) / output.scale);
  const { low, high } = typeRange(node);
  const [places0, places1] = broadcastPlaces(node);
  return () => {
    for (let i = 0; i < y.length; i++) {
      const d = x[places0[i]!]! - input.zeroPoint;
      const value =
        output.zeroPoint +
        (d >= 0
          ? multiplyByQuantized(d, positive.multiplier, positive.shift)
          : multiplyByQuantized(
              d * (slopes[places1[i]!]! - slope.zeroPoint),
              negative.multiplier,
              negative.shift,
            ));
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** PRELU on float32. */
export function floatPrelu(node: Node): () => void {
  if (node.input(1).tensor.data === undefined) throw node.unsupported('slopes that are not constant');
  return binary((x, slope) => (x >= 0 ? x : x * slope))(node as Node<OperatorOptions['MUL']>);
}

/** Number of fraction bits with which int8 values are compared. */
const comparisonBits = 8;

/** A comparison. int8 values are first rescaled; their scales are the multipliers. */
export function comparison(holds: (a: number, b: number) => boolean): Kernel {
  return (node) => {
    const [x0, x1, y] = [node.input(0).values, node.input(1).values, node.boolOutput];
    const [places0, places1] = broadcastPlaces(node);
    const [first, second] = [0, 1].map((place) => comparable(node, place)) as [Comparable, Comparable];
    return () => {
      for (let i = 0; i < y.length; i++)
        y[i] = holds(first(x0[places0[i]!]!), second(x1[places1[i]!]!)) ? 1 : 0;
    };
  };
}

type Comparable = (x: number) => number;

function comparable(node: Node, place: number): Comparable {
  if (!(node.input(place).values instanceof Int8Array)) return (x) => x;
  const { scale, zeroPoint } = scaleOf(node, node.input(place));
  if (scale >= 1)
    throw node.unsupported(`a comparison of values with the scale ${scale} (expected less than 1)`);
  const { multiplier, shift } = quantizeMultiplier(scale);
  return (q) => multiplyByQuantized((q - zeroPoint) << comparisonBits, multiplier, shift);
}

/** SELECT_V2: the second input if the condition is true, otherwise the third. All three are broadcast. */
export function select(node: Node): () => void {
  const [condition, x, y] = [node.bools(0), node.input(1).values, node.input(2).values];
  const output = node.output.values;
  const [c, a, b] = broadcastPlaces(node, [0, 1, 2]) as [Int32Array, Int32Array, Int32Array];
  return () => {
    for (let i = 0; i < output.length; i++) output[i] = condition[c[i]!] !== 0 ? x[a[i]!]! : y[b[i]!]!;
  };
}

/** A binary operator on int32. Like the reference kernels, it wraps at 32 bits. */
export function wide(compute: (a: number, b: number) => number): (node: Node) => () => void {
  return (node) => {
    const { activation = 'none' } = node.options as { activation?: string };
    if (activation !== 'none') throw node.unsupported(`a fused ${activation} on int32`);
    const [a, b, y] = [node.input(0).values, node.input(1).values, node.output.values];
    const [first, second] = broadcastPlaces(node);
    return () => {
      for (let i = 0; i < y.length; i++) y[i] = compute(a[first[i]!]!, b[second[i]!]!);
    };
  };
}

/** DIV of int32: the quotient is truncated. The reference kernel crashes if a divisor is 0. */
export function quotient(node: Node): () => void {
  const divisor = node.input(1).values;
  const divide = wide((a, b) => Math.trunc(a / b))(node);
  return () => {
    if ((divisor as Int32Array).includes(0))
      throw new AiotError('AIOT_TFLITE_INPUT', `operator ${node.index} (DIV): a division by 0`);
    divide();
  };
}

/** Largest shift of the ratio of scales in an int8 DIV. The highest bit of a difference of two int8 values is at most bit 7. */
const largestQuotientShift = 23;

/**
 * DIV on int8. The dividend, without its leading zeros, is multiplied by the reciprocal of the divisor in Q0.31, and then by the ratio of
 * the scales. TFLite Micro shifts small dividends by more than 31 bits if the output scale is large, which is undefined; here, they yield
 * 0. It does not check for divisors of 0 either.
 */
export function integerQuotient(node: Node<OperatorOptions['DIV']>): () => void {
  const [x0, x1, y] = [node.int8(0), node.int8(1), node.int8Output];
  const [first, second] = [scaleOf(node, node.input(0)), scaleOf(node, node.input(1))];
  const output = scaleOf(node, node.output);
  const { multiplier, shift } = ratio(node, first.scale / (second.scale * output.scale));
  if (shift > largestQuotientShift) throw node.unsupported(`an output scale of ${output.scale}`);
  const { low, high } = activationRange(node, node.options.activation);
  const [places0, places1] = broadcastPlaces(node);
  const inverses = Int32Array.from({ length: 256 }, (_, d) =>
    d === 0 ? 0 : reciprocalOfOnePlus(d * 2 ** Math.clz32(d) - 2 ** 31),
  );
  return () => {
    for (let i = 0; i < y.length; i++) {
      const divisor = x1[places1[i]!]! - second.zeroPoint;
      if (divisor === 0)
        throw new AiotError('AIOT_TFLITE_INPUT', `operator ${node.index} (DIV): a division by 0`);
      const distance = x0[places0[i]!]! - first.zeroPoint;
      const [a, b] = divisor < 0 ? [-distance, -divisor] : [distance, divisor];
      const headroom = Math.clz32(a < 0 ? ~a : a) - 1;
      const scaled = doublingHighMultiply(doublingHighMultiply(a << headroom, inverses[b]!), multiplier);
      const exponent = headroom + 31 - Math.clz32(b) - shift;
      const value = (exponent > 31 ? 0 : roundingShiftRight(scaled, exponent)) + output.zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** Whether TFLite Micro's int8 DIV is defined for all dividends: it shifts a dividend of 0 by 31 bits, and by the divisor's bits. */
export function isQuotientDefined(ratio: number, largestDivisor: number): boolean {
  return quantizeMultiplier(ratio).shift >= 31 - Math.clz32(largestDivisor);
}

/** LOGICAL_AND and LOGICAL_OR. Any byte except 0 is true, also in a file's constants. */
export function logical(combine: (a: boolean, b: boolean) => boolean): Kernel {
  return (node) => {
    const [a, b, y] = [node.bools(0), node.bools(1), node.boolOutput];
    const [first, second] = broadcastPlaces(node);
    return () => {
      for (let i = 0; i < y.length; i++) y[i] = Number(combine(a[first[i]!] !== 0, b[second[i]!] !== 0));
    };
  };
}

/** LOGICAL_NOT. */
export function not(node: Node): () => void {
  const [x, y] = [node.bools(0), node.boolOutput];
  node.expectOutput(...node.input(0).tensor.shape);
  return () => {
    for (let i = 0; i < y.length; i++) y[i] = x[i] === 0 ? 1 : 0;
  };
}

/** CAST: converts stored values like a C cast, without scales. Numbers are truncated, and any number except 0 is true. */
function cast(node: Node): () => void {
  const [x, y] = [node.input(0).values, node.output.values];
  node.expectOutput(...node.input(0).tensor.shape);
  const toBool = node.output.tensor.type === 'bool';
  return () => {
    for (let i = 0; i < y.length; i++) y[i] = toBool ? Number(x[i] !== 0) : x[i]!;
  };
}

const castTypes = ['float32', 'int8', 'int16', 'int32', 'bool'] as const;

/** CAST between any two types. */
export const casts: Record<string, Kernel> = Object.fromEntries(
  castTypes.flatMap((from) => castTypes.map((to) => [`${from} ${to}`, cast])),
);
for (const type of ['int8', 'int16', 'int32', 'float32'] as const) {
  casts[`uint32 ${type}`] = cast;
  // In C, the conversion of a negative float32 to uint32 is undefined.
  if (type !== 'float32') casts[`${type} uint32`] = cast;
}

const { fround } = Math;

/** Unary operators on float32. Each intermediate value is in single precision, as in TFLite Micro. */
export const floatUnary = {
  ABS: elementwise(Math.abs),
  NEG: elementwise((x) => -x),
  SQRT: elementwise(Math.sqrt),
  RSQRT: elementwise((x) => 1 / fround(Math.sqrt(x))),
  SQUARE: elementwise((x) => x * x),
  EXP: elementwise(Math.exp),
  LOG: elementwise(Math.log),
  ELU: elementwise((x) => (x < 0 ? Math.expm1(x) : x)),
  SIN: elementwise(Math.sin),
  COS: elementwise(Math.cos),
  FLOOR: elementwise(Math.floor),
  CEIL: elementwise(Math.ceil),
  ROUND: elementwise(roundHalfEven),
  HARD_SWISH: elementwise((x) => fround(x * Math.min(6, Math.max(0, fround(x + 3)))) / 6),
};

/** SQUARED_DIFFERENCE on float32. */
export const floatSquaredDifference = binary((a, b) => fround(a - b) ** 2);

/** FLOOR_MOD on float32: the remainder of a division that is rounded down. */
export const floatFloorMod = binary((a, b) => {
  const remainder = a % b;
  return remainder !== 0 && b < 0 !== remainder < 0 ? remainder + b : remainder;
});
