/**
 * The integer primitives of TFLite's reference kernels ("double rounding", the default of TFLite Micro and of LiteRT):
 * every function gives the same int32 as the C++ templates of gemmlowp's fixedpoint.h and TFLite's common.h.
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
  // log2 rounds: just below or at a power of two it may be one off.
  if (fraction >= 1) {
    fraction /= 2;
    exponent += 1;
  } else if (fraction < 0.5) {
    fraction *= 2;
    exponent -= 1;
  }
  return { fraction, exponent };
}

/** TFLite's QuantizeMultiplier for r ≥ 0: 31 fraction bits, rounded half away from zero; below 2^−32 it is 0. */
export function quantizeMultiplier(r: number): QuantizedMultiplier {
  if (r === 0) return { multiplier: 0, shift: 0 };
  const { fraction, exponent } = frexp(r);
  const rounded = Math.round(fraction * 2 ** 31);
  const [multiplier, shift] = rounded === 2 ** 31 ? [2 ** 30, exponent + 1] : [rounded, exponent];
  return shift < -31 ? { multiplier: 0, shift: 0 } : { multiplier, shift };
}

/**
 * Saturating rounding doubling high multiply: ⌊(a·b + 2^30) / 2^31⌋ of the exact 64-bit product, for int32 a and b.
 * The product does not fit a double, so a is split into halves; every part stays below 2^48.
 */
export function doublingHighMultiply(a: number, b: number): number {
  // Below 2^22 the product is exact in a double: the usual case of an accumulator.
  if (a < 4194304 && a > -4194304) return Math.floor((a * b + 1073741824) / 2147483648);
  const low = Math.floor(((a & 0xffff) * b + 1073741824) / 65536);
  const high = Math.floor(((a >> 16) * b + low) / 32768);
  return high > 2147483647 ? 2147483647 : high;
}

/** x / 2^exponent, rounded to nearest with ties away from zero; exponent 0 … 31. */
export function roundingShiftRight(x: number, exponent: number): number {
  if (exponent === 0) return x;
  // exponent 31 makes the mask 2^31 − 1, which `1 << 31` minus 1 gives only after wrapping.
  const mask = ((1 << exponent) - 1) | 0;
  const threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

/** x·2^exponent saturated to int32, exponent > 0. */
export function saturatingShiftLeft(x: number, exponent: number): number {
  const shifted = x * 2 ** exponent;
  return shifted > 2147483647 ? 2147483647 : shifted < -2147483648 ? -2147483648 : shifted;
}

/** x · multiplier · 2^(shift − 31) for int32 x, as MultiplyByQuantizedMultiplier rounds it (twice). */
export function multiplyByQuantized(x: number, multiplier: number, shift: number): number {
  return shift > 0
    ? doublingHighMultiply(Math.imul(x, 1 << shift), multiplier)
    : roundingShiftRight(doublingHighMultiply(x, multiplier), -shift);
}

/**
 * MultiplyByQuantizedMultiplier for 64-bit x (|x| < 2^47), as int16 layers use it: 15 bits of the multiplier, rounded
 * half up.
 */
export function multiply64(x: number, multiplier: number, shift: number): number {
  const reduced = multiplier < 0x7fff0000 ? (multiplier + 32768) >> 16 : 0x7fff;
  const total = 15 - shift;
  // Below 2^38 the product is exact in a double: the usual case.
  if (x < 274877906944 && x > -274877906944)
    return Math.floor((x * reduced + 2 ** (total - 1)) / 2 ** total) | 0;
  const rounded = BigInt(x) * BigInt(reduced) + (1n << BigInt(total - 1));
  return Number(BigInt.asIntN(32, rounded >> BigInt(total)));
}
