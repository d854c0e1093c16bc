/** Largest finite value of IEEE 754 binary16. */
export const largestFloat16 = 65504;

/** IEEE 754 binary16 words as numbers. */
export function float16Values(words: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(words, float16Value);
}

/** One of them. */
export function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * Numbers as IEEE 754 binary16 words, rounded to nearest, ties to even (IEEE 754-2019, 4.3.1). What is beyond ±65504 by
 * half a step or more becomes infinite; NaN stays NaN.
 */
export function float16Words(values: Float32Array): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, float16Word);
}

function float16Word(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= largestFloat16 + 16) return sign | 0x7c00;
  // Steps of 2^(exponent − 10), and of 2^−24 below the smallest normal number.
  const exponent = Math.max(Math.floor(Math.log2(size || 1)), -14);
  const steps = roundEven(size / 2 ** (exponent - 10));
  // 2048 steps are one exponent more, 1024 the first normal number: the word counts on by itself.
  return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

function roundEven(x: number): number {
  const whole = Math.floor(x);
  const rest = x - whole;
  if (rest !== 0.5) return rest < 0.5 ? whole : whole + 1;
  return whole % 2 === 0 ? whole : whole + 1;
}
