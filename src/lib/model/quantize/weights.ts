import type { Quantization } from '../../formats/index.js';
import { clamp, roundAway } from './numbers.js';

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
  const largest = new Float64Array(channels);
  const channelOf = (i: number) => Math.floor(i / block) % channels;
  for (let i = 0; i < weights.length; i++) {
    largest[channelOf(i)] = Math.max(largest[channelOf(i)]!, Math.abs(weights[i]!));
  }
  const scale = Array.from(largest, (most, c) => {
    const plain = Math.fround((most || deadChannel) / 127);
    const b = Math.abs(bias[c]!);
    return b / (inputScale * plain) > biasLimit ? Math.fround(b / (inputScale * biasLimit)) : plain;
  });
  const biasScale = scale.map((s) => Math.fround(inputScale * s));
  return {
    weights: Int8Array.from(weights, (w, i) => clamp(roundAway(w / scale[channelOf(i)]!), -127, 127)),
    weightQuantization: { scale, zeroPoint: scale.map(() => 0), axis },
    bias: Int32Array.from(bias, (b, c) => {
      const q = roundAway(Math.fround(b * Math.fround(1 / biasScale[c]!)));
      return clamp(q, -biasLimit, biasLimit);
    }),
    biasQuantization: { scale: biasScale, zeroPoint: scale.map(() => 0), axis: 0 },
  };
}
