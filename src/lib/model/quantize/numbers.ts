import type { Quantization } from '../../formats/index.js';

/** Smallest and largest value seen. */
export interface Range {
  low: number;
  high: number;
}

/** As C's round(): halves away from zero. */
export function roundAway(x: number): number {
  // Adding 0 turns −0 into 0, which is what an integer can hold.
  const whole = Math.trunc(x) + 0;
  if (Math.abs(x - whole) < 0.5) return whole;
  return x < 0 ? whole - 1 : whole + 1;
}

export function clamp(x: number, low: number, high: number): number {
  return x < low ? low : x > high ? high : x;
}

/**
 * Scale and zero point of an int8 activation, as TensorFlow 2.18's converter computes them: the range is widened to hold
 * 0 (so that padding and a ReLU's zero are exact), the scale formed in single precision. A tensor that is always 0,
 * or as good as, gets the range ∓10⁻⁶.
 */
export function activationQuantization({ low, high }: Range): Quantization {
  let lo = Math.min(Math.fround(low), 0);
  let hi = Math.max(Math.fround(high), 0);
  if (hi - lo < 2e-6) [lo, hi] = [-1e-6, 1e-6];
  const scale = Math.fround(Math.fround(hi - lo) / 255);
  const zeroPoint = clamp(roundAway(-128 - lo / scale), -128, 127);
  return { scale: [scale], zeroPoint: [zeroPoint], axis: 0 };
}

/** Values as int8 of this scale and zero point. */
export function quantizeValues(values: Float32Array, { scale, zeroPoint }: Quantization): Int8Array {
  return Int8Array.from(values, (value) =>
    clamp(roundAway(Math.fround(value / scale[0]!)) + zeroPoint[0]!, -128, 127),
  );
}

export function rangeOf(values: Float32Array): Range {
  const range = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };
  for (const value of values) {
    range.low = Math.min(range.low, value);
    range.high = Math.max(range.high, value);
  }
  return range;
}

/** The same, or with a scale of `least` when it is smaller; the lower end stays covered. */
export function withLeastScale(quantization: Quantization, least: number): Quantization {
  const [scale = 0, zeroPoint = 0] = [quantization.scale[0], quantization.zeroPoint[0]];
  if (scale >= least) return quantization;
  const wider = Math.fround(least);
  const low = (-128 - zeroPoint) * scale;
  return { scale: [wider], zeroPoint: [clamp(roundAway(-128 - low / wider), -128, 127)], axis: 0 };
}

/** Outputs whose scale the int8 kernels fix. */
export const fixedOutputs = {
  SOFTMAX: { scale: [1 / 256], zeroPoint: [-128], axis: 0 },
  LOGISTIC: { scale: [1 / 256], zeroPoint: [-128], axis: 0 },
  TANH: { scale: [1 / 128], zeroPoint: [0], axis: 0 },
} satisfies Record<string, Quantization>;
