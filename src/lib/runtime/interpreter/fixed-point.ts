import { roundHalfAway } from '../../core/numbers.js';
import type { Activation, TensorType } from '../../formats/tflite/graph.js';
import type { Node, Operand } from './node.js';

/** Largest zero point plus one, by type. */
const zeroPoints: Readonly<Partial<Record<TensorType, number>>> = { int16: 2 ** 15, int32: 2 ** 31 };

/** Scale and zero point of a tensor with a single scale. */
export function scaleOf(node: Node, { tensor }: Operand): { scale: number; zeroPoint: number } {
  const { scale, zeroPoint } = tensor.quantization ?? { scale: [], zeroPoint: [] };
  if (scale.length !== 1 || !(scale[0]! > 0))
    throw node.malformed(`expected one positive scale of tensor ${tensor.name}, got ${scale.length}`);
  const limit = zeroPoints[tensor.type] ?? 128;
  if (zeroPoint[0]! < -limit || zeroPoint[0]! >= limit)
    throw node.malformed(
      `zero point ${zeroPoint[0]} of tensor ${tensor.name} is not in the range ${-limit} to ${limit - 1}`,
    );
  return { scale: scale[0]!, zeroPoint: zeroPoint[0]! };
}

/** Range of the output's type. */
export function typeRange({ output }: Node): { low: number; high: number } {
  return output.values instanceof Int16Array ? { low: -32768, high: 32767 } : { low: -128, high: 127 };
}

/** Converts a real number to steps of a scale in single precision, as the reference kernels do. The result must fit in 32 bits. */
export function stepsOf(node: Node, real: number, scale: number): number {
  const steps = Math.fround(real / scale);
  if (Math.abs(steps) < 2 ** 31) return roundHalfAway(steps);
  throw node.malformed(`${real} is ${steps} steps of the scale ${scale}, but the limit is 2^31`);
}

/** Range of a fused activation in quantized output values. */
export function activationRange(node: Node, activation: Activation): { low: number; high: number } {
  const { scale, zeroPoint } = scaleOf(node, node.output);
  const least = typeRange(node).low;
  const most = typeRange(node).high;
  const quantized = (real: number) => zeroPoint + stepsOf(node, real, scale);
  let [low, high] = [least, most];
  if (activation === 'relu') low = zeroPoint;
  if (activation === 'relu6') [low, high] = [zeroPoint, quantized(6)];
  if (activation === 'relu_n1_to_1') [low, high] = [quantized(-1), quantized(1)];
  return { low: Math.max(least, low), high: Math.min(most, high) };
}

/**
 * Multiplier and shift per output channel: input scale × weight scale / output scale. There is either one weight scale, or one scale for
 * each channel along `axis`.
 */
export function channelMultipliers(node: Node, channels: number, axis: number) {
  const weights = node.input(1).tensor;
  const scales = weights.quantization?.scale ?? [];
  if (scales.length !== 1 && scales.length !== channels)
    throw node.malformed(`expected 1 or ${channels} weight scales, got ${scales.length}`);
  if (scales.length > 1 && weights.quantization!.axis !== axis)
    throw node.unsupported(`weight scales along dimension ${weights.quantization!.axis}`);
  const input = scaleOf(node, node.input(0)).scale;
  const output = scaleOf(node, node.output).scale;
  const single =
    node.ratioPrecision === 'single' && node.operator.op === 'FULLY_CONNECTED' && scales.length === 1;
  const multipliers = new Int32Array(channels);
  const shifts = new Int32Array(channels);
  for (let channel = 0; channel < channels; channel++) {
    const product = input * scales[scales.length === 1 ? 0 : channel]!;
    const { multiplier, shift } = ratio(node, (single ? Math.fround(product) : product) / output);
    multipliers[channel] = multiplier;
    shifts[channel] = shift;
  }
  return { multipliers, shifts };
}

/** Converts a ratio of scales to an integer multiplier and a shift. */
export function ratio(node: Node, value: number) {
  const result = quantizeMultiplier(value);
  if (!(result.shift <= 30)) throw node.malformed(`the ratio of its scales, ${value}, is too large`);
  return result;
}

/**
 * The integer primitives of TFLite's reference kernels ("double rounding", the default in TFLite Micro and in LiteRT). Every function
 * returns the same int32 as the C++ templates in gemmlowp's fixedpoint.h and TFLite's common.h.
 */

/** A real multiplier as an integer: r ≈ multiplier · 2^(shift − 31). */
export interface QuantizedMultiplier {
  multiplier: number;
  shift: number;
}

/** r = fraction · 2^exponent with 0.5 ≤ fraction < 1, for r > 0. */
export function frexp(r: number): { fraction: number; exponent: number } {
  let exponent = Math.floor(Math.log2(r)) + 1;
  let fraction = r / 2 ** exponent;
  // log2 is rounded, so at or just below a power of two, the exponent may be off by one.
  if (fraction >= 1) {
    fraction /= 2;
    exponent += 1;
  } else if (fraction < 0.5) {
    fraction *= 2;
    exponent -= 1;
  }
  return { fraction, exponent };
}

/** TFLite's QuantizeMultiplier for r ≥ 0. The multiplier has 31 fraction bits, rounded half away from zero. Values below 2^−32 become 0. */
export function quantizeMultiplier(r: number): QuantizedMultiplier {
  if (r === 0) return { multiplier: 0, shift: 0 };
  const { fraction, exponent } = frexp(r);
  const rounded = Math.round(fraction * 2 ** 31);
  const [multiplier, shift] = rounded === 2 ** 31 ? [2 ** 30, exponent + 1] : [rounded, exponent];
  return shift < -31 ? { multiplier: 0, shift: 0 } : { multiplier, shift };
}

/**
 * Saturating rounding doubling high multiply: ⌊(a·b + 2^30) / 2^31⌋ with the exact 64-bit product, for int32 a and b. The product may
 * exceed a double's exact range, so a is split into halves, which keeps every part below 2^48.
 */
export function doublingHighMultiply(a: number, b: number): number {
  // If |a| is below 2^22, as is usual for an accumulator, the product is exact in a double.
  if (a < 4194304 && a > -4194304) return Math.floor((a * b + 1073741824) / 2147483648);
  const low = Math.floor(((a & 0xffff) * b + 1073741824) / 65536);
  const high = Math.floor(((a >> 16) * b + low) / 32768);
  return high > 2147483647 ? 2147483647 : high;
}

/** x / 2^exponent, rounded to nearest with ties away from zero; exponent 0 … 31. */
export function roundingShiftRight(x: number, exponent: number): number {
  if (exponent === 0) return x;
  // For the exponent 31, the mask is 2^31 − 1. `1 << 31` is negative, so subtracting 1 yields this mask only after conversion to int32.
  const mask = ((1 << exponent) - 1) | 0;
  const threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

/** x·2^exponent saturated to int32, exponent > 0. */
export function saturatingShiftLeft(x: number, exponent: number): number {
  const shifted = x * 2 ** exponent;
  return shifted > 2147483647 ? 2147483647 : shifted < -2147483648 ? -2147483648 : shifted;
}

/** x · multiplier · 2^(shift − 31) for int32 x, rounded twice, as in MultiplyByQuantizedMultiplier. */
export function multiplyByQuantized(x: number, multiplier: number, shift: number): number {
  return shift > 0
    ? doublingHighMultiply(Math.imul(x, 1 << shift), multiplier)
    : roundingShiftRight(doublingHighMultiply(x, multiplier), -shift);
}

/**
 * MultiplyByQuantizedMultiplier for 64-bit x (|x| < 2^47), as used by int16 layers. The multiplier has 15 bits, and the result is rounded
 * half up.
 */
export function multiply64(x: number, multiplier: number, shift: number): number {
  const reduced = multiplier < 0x7fff0000 ? (multiplier + 32768) >> 16 : 0x7fff;
  const total = 15 - shift;
  // If |x| is below 2^38, as is usual, the product is exact in a double.
  if (x < 274877906944 && x > -274877906944)
    return Math.floor((x * reduced + 2 ** (total - 1)) / 2 ** total) | 0;
  const rounded = BigInt(x) * BigInt(reduced) + (1n << BigInt(total - 1));
  return Number(BigInt.asIntN(32, rounded >> BigInt(total)));
}

const most = 2147483647;

/** e^−(2^k) for k = −2 … 4, in Q0.31. */
const exponentials = [1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242];

/** e^a for a ≤ 0 in Q`integerBits`.(31 − integerBits), as Q0.31 (gemmlowp's exp_on_negative_values). */
export function exponential(a: number, integerBits: number): number {
  if (a === 0) return most;
  const fractionBits = 31 - integerBits;
  const quarter = 1 << (fractionBits - 2);
  // a = m − rem with m in [−1/4, 0). The result is a polynomial in m, multiplied by one factor for each bit set in rem.
  const m = (a & (quarter - 1)) - quarter;
  const x = saturatingShiftLeft(m, integerBits) + (1 << 28);
  const x2 = doublingHighMultiply(x, x);
  const x3 = doublingHighMultiply(x2, x);
  const x4 = doublingHighMultiply(x2, x2);
  const cubic = doublingHighMultiply(roundingShiftRight(x4, 2) + x3, 715827883) + x2;
  const constant = 1895147668;
  let result = constant + doublingHighMultiply(constant, x + roundingShiftRight(cubic, 1));
  const remainder = m - a;
  exponentials.forEach((factor, index) => {
    const exponent = index - 2;
    if (exponent < integerBits && (remainder >> (fractionBits + exponent)) & 1)
      result = doublingHighMultiply(result, factor);
  });
  return integerBits > 5 && a < -(2 ** (36 - integerBits)) ? 0 : result;
}

/** 1/(1 + a) in Q2.29 for a in [0, 1] in Q0.31, by three Newton-Raphson steps. */
function halfDenominatorInverse(a: number): number {
  const half = Math.floor((a + most + 1) / 2);
  let x = 1515870810 + doublingHighMultiply(half, -1010580540);
  for (let step = 0; step < 3; step++) {
    const error = (1 << 29) - doublingHighMultiply(half, x);
    x += saturatingShiftLeft(doublingHighMultiply(x, error), 2);
  }
  return x;
}

/** 1/(1 + a) in Q0.31, for a in Q0.31. */
export function reciprocalOfOnePlus(a: number): number {
  return saturatingShiftLeft(halfDenominatorInverse(a), 1);
}

/**
 * ln x for x of at least 1: Q12.19 → Q5.26 (TFLite's log_x_for_x_greater_than_or_equal_to_1). The power of two whose quotient is closest to
 * 1 is split off, and a rational function yields the logarithm of the rest.
 */
export function logarithm(x: number): number {
  const product = doublingHighMultiply;
  const [halfRoot, quarterRoot] = [1518500250, 1805811301];
  const headroom = Math.clz32(x) - 1;
  // The power is rounded in two ways, which differ by half; the larger result is exact.
  const first = saturatingShiftLeft(product(saturatingShiftLeft(x, headroom), halfRoot), 1);
  const firstPower = saturatingShiftLeft(11 - headroom, 25) + (1 << 23);
  const room = Math.clz32(product(x, halfRoot)) - 1;
  const secondPower = saturatingShiftLeft(12 - room, 25) - (1 << 23);
  const r = Math.min(first, saturatingShiftLeft(x, room));
  const power = Math.max(firstPower, secondPower);
  const sum = r + quarterRoot;
  const p = Math.trunc((sum + (sum >= 0 ? 1 : -1)) / 2);
  const q = 2 * (r - quarterRoot);
  const square = product(q, q);
  const above = product(q, r) + product(product(q, square), 117049297);
  const below = product(p, 1057819769 + q + product(127690142, square)) + product(638450708, q);
  const rest = product(roundingShiftRight(above, 6), reciprocalOfOnePlus(below));
  return saturatingShiftLeft(product(power, 1488522236) + rest, 1);
}

/**
 * 1/√x for a positive integer, as multiplier · 2^(shift − 31). Five Newton-Raphson steps with three integer bits are computed with x
 * shifted to [1/4, 1) (TFLite's GetInvSqrtQuantizedMultiplierExp). 0 is treated as 1.
 */
export function inverseSquareRoot(x: number): QuantizedMultiplier {
  if (x <= 1) return { multiplier: most, shift: 0 };
  let value = x;
  let down = 11;
  for (; value >= 2 ** 29; down++) value = Math.trunc(value / 4);
  const pairs = ((Math.clz32(value) - 1) >> 1) - 1;
  down -= pairs;
  const input = (value << (2 * pairs)) >> 1;
  const half = roundingShiftRight(input, 1);
  const threeHalves = 2 ** 28 + 2 ** 27;
  let root = 2 ** 28;
  for (let step = 0; step < 5; step++) {
    const cube = saturatingShiftLeft(doublingHighMultiply(doublingHighMultiply(root, root), root), 6);
    root = saturatingShiftLeft(doublingHighMultiply(threeHalves, root) - doublingHighMultiply(half, cube), 3);
  }
  // √2 / 2 in Q0.31.
  const result = doublingHighMultiply(root, 1518500250);
  return down < 0 ? { multiplier: result << -down, shift: 0 } : { multiplier: result, shift: 0 - down };
}

/** 1/(1 + e^−v) in Q0.31, for v in Q4.27. */
export function logistic(v: number): number {
  if (v === 0) return 1 << 30;
  const positive = reciprocalOfOnePlus(exponential(-Math.abs(v), 4));
  return v > 0 ? positive : most - positive;
}

/** tanh(v) in Q0.31, for v in Q4.27: (1 − e^−2v)/(1 + e^−2v). Interpreted as Q5.26, the bits of v represent 2v. */
export function tanh(v: number): number {
  if (v === 0) return 0;
  const inverse = halfDenominatorInverse(exponential(-Math.abs(v), 5));
  const positive = saturatingShiftLeft(inverse - (1 << 29), 2);
  return v > 0 ? positive : -positive;
}
