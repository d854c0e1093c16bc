import { roundHalfAway } from '../../core/index.js';
import type { Quantization } from '../../formats/index.js';
import { clamp } from './numbers.js';

export interface QuantizedLayer {
  weights: Int8Array;
  weightQuantization: Quantization;
  bias: Int32Array;
  biasQuantization: Quantization;
}

/** Largest |bias| in units of its scale: above it, int32 sums could overflow. */
const biasLimit = 2 ** 30;
/** Stands for the largest weight of a channel whose weights are all 0. */
const deadChannel = 5e-7;

/**
 * Per-channel symmetric int8 weights and int32 biases, with the arithmetic of TensorFlow 2.18's converter: s_w = max|w| / 127,
 * q = round(w / s_w) in [−127, 127]; s_b = s_in · s_w, q_b = round(b · (1 / s_b)), reciprocal and product in single
 * precision. Where |b| would pass 2³⁰ units, that channel's s_w is enlarged.
 *
 * @param weights channel `c` of element `i` is `i / block mod channels` (block = elements between two channels)
 * @param axis dimension of the channels
 */
export function quantizeLayer(
  weights: Float32Array,
  bias: Float32Array,
  channels: number,
  block: number,
  axis: number,
  inputScale: number,
): QuantizedLayer {
  const scale = channelScales(weights, channels, block).map((plain, c) => {
    const b = Math.abs(bias[c]!);
    return b / (inputScale * plain) > biasLimit ? Math.fround(b / (inputScale * biasLimit)) : plain;
  });
  const biasScale = scale.map((s) => Math.fround(inputScale * s));
  return {
    weights: quantizeWeights(weights, scale, block),
    weightQuantization: { scale, zeroPoint: scale.map(() => 0), axis },
    bias: Int32Array.from(bias, (b, c) => {
      const q = roundHalfAway(Math.fround(b * Math.fround(1 / biasScale[c]!)));
      return clamp(q, -biasLimit, biasLimit);
    }),
    biasQuantization: { scale: biasScale, zeroPoint: scale.map(() => 0), axis: 0 },
  };
}

/** s_w = max|w| / 127 of each output channel, in single precision; layout as in `quantizeLayer`. */
export function channelScales(weights: Float32Array, channels: number, block: number): number[] {
  const largest = new Float64Array(channels);
  for (let start = 0, c = 0; start < weights.length; start += block, c = c + 1 === channels ? 0 : c + 1) {
    let most = largest[c]!;
    for (let i = start; i < start + block; i++) {
      const size = Math.abs(weights[i]!);
      if (size > most) most = size;
    }
    largest[c] = most;
  }
  return Array.from(largest, (most) => Math.fround((most || deadChannel) / 127));
}

/** q = round(w / s_w[c]), in [−127, 127]. */
export function quantizeWeights(
  weights: Float32Array,
  scale: readonly number[],
  block: number,
): Int8Array<ArrayBuffer> {
  const out = new Int8Array(weights.length);
  for (let start = 0, c = 0; start < weights.length; start += block, c = c + 1 === scale.length ? 0 : c + 1) {
    const s = scale[c]!;
    for (let i = start; i < start + block; i++) out[i] = clamp(roundHalfAway(weights[i]! / s), -127, 127);
  }
  return out;
}
