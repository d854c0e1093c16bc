import { roundHalfAway } from '../../core/index.js';
import type { Quantization } from '../../formats/index.js';

/** Smallest and largest value seen. */
export interface Range {
  low: number;
  high: number;
}

export function clamp(x: number, low: number, high: number): number {
  return x < low ? low : x > high ? high : x;
}

/** The range as single precision, widened to hold 0, and ∓10⁻⁶ for a tensor that is always 0, or as good as. */
function widened({ low, high }: Range): Range {
  const [lo, hi] = [Math.min(Math.fround(low), 0), Math.max(Math.fround(high), 0)];
  return hi - lo < 2e-6 ? { low: Math.min(lo, -1e-6), high: Math.max(hi, 1e-6) } : { low: lo, high: hi };
}

/**
 * Scale and zero point of an int8 activation, as TensorFlow 2.18's converter computes them: the range is widened to hold
 * 0 (so that padding and a ReLU's zero are exact), the scale formed in single precision.
 */
export function activationQuantization(range: Range): Quantization {
  const { low, high } = widened(range);
  const scale = Math.fround(Math.fround(high - low) / 255);
  const zeroPoint = clamp(roundHalfAway(-128 - low / scale), -128, 127);
  return { scale: [scale], zeroPoint: [zeroPoint], axis: 0 };
}

/** Scale of an int16 activation, symmetric about 0: max(|low|, |high|) / 32767 in single precision (TensorFlow 2.18). */
export function wideQuantization(range: Range): Quantization {
  const { low, high } = widened(range);
  return { scale: [Math.fround(Math.max(-low, high) / 32767)], zeroPoint: [0], axis: 0 };
}

/** Values as int8 of this scale and zero point. */
export function quantizeValues(values: Float32Array, quantization: Quantization): Int8Array {
  return Int8Array.from(values, rounding(quantization, -128, 127));
}

/** Values as int16 of this scale. */
export function quantizeWide(values: Float32Array, quantization: Quantization): Int16Array {
  return Int16Array.from(values, rounding(quantization, -32768, 32767));
}

function rounding({ scale, zeroPoint }: Quantization, least: number, most: number) {
  const [s, z] = [scale[0]!, zeroPoint[0]!];
  return (value: number) => clamp(roundHalfAway(Math.fround(value / s)) + z, least, most);
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
  if (zeroPoint === 0) return { scale: [wider], zeroPoint: [0], axis: 0 };
  const low = (-128 - zeroPoint) * scale;
  return { scale: [wider], zeroPoint: [clamp(roundHalfAway(-128 - low / wider), -128, 127)], axis: 0 };
}
