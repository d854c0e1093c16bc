import { roundHalfAway } from '../core/index.js';
import type { Standardization } from './types.js';

/** Scale and zero point of an int8 tensor: real = scale · (q − zeroPoint). */
export interface InputQuantization {
  scale: number;
  zeroPoint: number;
}

/** out = (feature − mean) / deviation, for each input. `out` may be `features` itself. Returns `out`. */
export function standardize<T extends Float32Array | Float64Array>(
  features: ArrayLike<number>,
  { mean, deviation }: Standardization,
  out: T,
): T {
  for (let i = 0; i < out.length; i++) out[i] = (features[i]! - mean[i]!) / deviation[i]!;
  return out;
}

/**
 * The network's int8 input: q = clamp(round((feature − mean) / deviation / scale) + zeroPoint), halves rounded away from
 * zero as TensorFlow Lite does (TfLiteRound), in double precision.
 * @param out taken instead of a new array where nothing may be allocated
 */
export function quantizeInput(
  features: ArrayLike<number>,
  { mean, deviation }: Standardization,
  { scale, zeroPoint }: InputQuantization,
  out: Int8Array = new Int8Array(features.length),
): Int8Array {
  for (let i = 0; i < out.length; i++) {
    const q = roundHalfAway((features[i]! - mean[i]!) / deviation[i]! / scale) + zeroPoint;
    out[i] = q < -128 ? -128 : q > 127 ? 127 : q;
  }
  return out;
}
