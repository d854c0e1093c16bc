import { roundHalfAway } from '../../../core/numbers.js';
import type { Quantization } from '../../../formats/tflite/graph.js';

/** Smallest and largest value seen. */
export interface Range {
  low: number;
  high: number;
  /** Scale and zero point chosen by another program, which an int8 activation uses instead of those from the range. */
  given?: Quantization;
}

function clamp(x: number, low: number, high: number): number {
  return x < low ? low : x > high ? high : x;
}

/** The range in single precision, extended to include 0; ∓10⁻⁶ for a tensor that is always 0 or nearly so. */
function widened({ low, high }: Range): Range {
  const [lo, hi] = [Math.min(Math.fround(low), 0), Math.max(Math.fround(high), 0)];
  return hi - lo < 2e-6 ? { low: Math.min(lo, -1e-6), high: Math.max(hi, 1e-6) } : { low: lo, high: hi };
}

/**
 * Scale and zero point of an int8 activation, computed in single precision as in TensorFlow 2.18's converter. The range is extended to
 * include 0, so that padding and a ReLU's zero are exact.
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

/** Values as int8 with this scale and zero point. */
export function quantizeValues(values: Float32Array, quantization: Quantization): Int8Array {
  return Int8Array.from(values, rounding(quantization, -128, 127));
}

/** Values as int16 with this scale. */
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

/** The quantization with its scale increased to at least `least`; the range still includes the original lower end. */
export function withLeastScale(quantization: Quantization, least: number): Quantization {
  const [scale = 0, zeroPoint = 0] = [quantization.scale[0], quantization.zeroPoint[0]];
  if (scale >= least) return quantization;
  const wider = Math.fround(least);
  if (zeroPoint === 0) return { scale: [wider], zeroPoint: [0], axis: 0 };
  const low = (-128 - zeroPoint) * scale;
  return { scale: [wider], zeroPoint: [clamp(roundHalfAway(-128 - low / wider), -128, 127)], axis: 0 };
}

interface QuantizedLayer {
  weights: Int8Array;
  weightQuantization: Quantization;
  bias: Int32Array;
  biasQuantization: Quantization;
}

/** Maximum |bias| in units of its scale. Above this limit, int32 sums could overflow. */
const biasLimit = 2 ** 30;

/** Substitute for the largest weight of a channel in which all weights are 0. */
const deadChannel = 5e-7;

/**
 * Per-channel symmetric int8 weights and int32 biases, with the arithmetic of TensorFlow 2.18's converter. Weights: s_w = max|w| / 127, q = round(w /
 * s_w) in [−127, 127]. Biases: s_b = s_in · s_w, q_b = round(b · (1 / s_b)), reciprocal and product in single precision. If |b| would exceed 2³⁰
 * units, that channel's s_w is enlarged.
 * @param weights channel `c` of element `i` is `i / block mod channels` (block = elements between two channels)
 * @param axis dimension of the channels
 * @param scales s_w of each channel, if another program chose it
 */
export function quantizeLayer(
  weights: Float32Array,
  bias: Float32Array,
  channels: number,
  block: number,
  axis: number,
  inputScale: number,
  scales: readonly number[] = channelScales(weights, channels, block),
): QuantizedLayer {
  const scale = scales.map((plain, c) => {
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

/** s_w = max|w| / 127 for each output channel, in single precision. Layout as in `quantizeLayer`. */
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

/** Maximum distance of a weight from a whole number of steps, in steps. Single precision moves weights by less. */
const onGrid = 1e-3;

/**
 * Scales of previously quantized weights, with which each weight is an integer number of steps from −127 to 127. One scale for all channels
 * if possible, otherwise one per channel. Layout as in `quantizeLayer`.
 * @returns undefined if there are no such scales, for example because the zero point was not 0
 */
export function gridScales(weights: Float32Array, channels: number, block: number): number[] | undefined {
  const whole = gridScale(weights);
  if (whole !== undefined) return new Array<number>(channels).fill(whole);
  const own = Array.from({ length: channels }, (_, c) =>
    gridScale(weights.filter((_, i) => Math.floor(i / block) % channels === c)),
  );
  return own.every((scale) => scale !== undefined) ? (own as number[]) : undefined;
}

/** The largest magnitude divided by the greatest number of steps (at most 127) such that all values are multiples. */
function gridScale(values: Float32Array): number | undefined {
  const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  if (most === 0) return Math.fround(deadChannel / 127);
  for (let steps = 127; steps > 0; steps--) {
    const scale = most / steps;
    if (values.every((value) => Math.abs(value / scale - Math.round(value / scale)) < onGrid))
      return Math.fround(scale);
  }
  return undefined;
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
