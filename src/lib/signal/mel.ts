import type { FeatureSet } from './feature-sets.js';
import { createFourier } from './fourier.js';
import { exponential, naturalLog } from './logarithm.js';
import type { SignalSpec } from './spec.js';
import { turn } from './turn.js';

/** A spectrogram on the mel scale: frames of a window, each transformed and summed into bands. */
export interface MelSpec {
  /** Number of samples in a frame, after resampling. */
  frameSamples: number;
  /** Number of samples from the start of one frame to the next. */
  hopSamples: number;
  /** Length of the transform, to which frames are padded with zeros. */
  fftSamples: number;
  bands: number;
  /** Edges of the lowest and the highest band, Hz. */
  lowHz: number;
  highHz: number;
  /** `mfcc`: number of cepstral coefficients; otherwise null. Absent in a stream, so that readers that do not know `state` reject it. */
  coefficients?: number | null | undefined;
  /** `microfrontend`: whether the noise estimate continues from window to window; absent = it restarts in each window. */
  state?: 'stream' | undefined;
}

/** Minimum power of a band, −100 dB, so that digital silence has a finite level. */
const leastPower = 1e-10;

/** 10/ln 10: decibels per unit of the natural logarithm of power. */
const perNeper = 4.342944819032518;

/** Number of frames in one window. */
export function frameCount({ windowSamples }: Pick<SignalSpec, 'windowSamples'>, mel: MelSpec): number {
  return 1 + Math.floor((windowSamples - mel.frameSamples) / mel.hopSamples);
}

/** Number of values in one frame. */
export function frameValues({ bands, coefficients }: MelSpec): number {
  return coefficients ?? bands;
}

/** The reason why a mel spectrogram cannot be computed with these settings; null if it can. */
export function melMisfit(spec: SignalSpec, mel: MelSpec): string | null {
  const { bands, coefficients = null } = mel;
  const problem = frameMisfit(spec, mel);
  if (problem !== null) return problem;
  if (coefficients !== null && coefficients > bands)
    return `expects at most as many coefficients as bands, ${bands}, got ${coefficients}`;
  const empty = filtersOf(mel, spec.resampleHz).findIndex(({ weights }) => weights.length === 0);
  return empty < 0 ? null : emptyBand(empty, mel);
}

/** Like the function above, but only for frames, stride and frequencies, which all sound feature sets have. */
export function frameMisfit(
  { fields, resampleHz, windowSamples, strideSamples }: SignalSpec,
  mel: MelSpec,
): string | null {
  const { frameSamples, hopSamples, fftSamples, lowHz, highHz } = mel;
  if (fields.length !== 1)
    return `expects one field, the samples of a microphone, got ${fields.length}: ${fields.join(', ')}`;
  if (frameSamples > windowSamples)
    return `expects a frame of at most the window, ${windowSamples} samples, got ${frameSamples}`;
  if (fftSamples < frameSamples)
    return `expects an FFT of at least the frame, ${frameSamples} samples, got ${fftSamples}`;
  if (strideSamples < windowSamples && strideSamples % hopSamples !== 0)
    return `expects a stride of whole hops of ${hopSamples} samples, got ${strideSamples}`;
  if (highHz > resampleHz / 2)
    return `expects bands up to at most half the rate, ${resampleHz / 2} Hz, got ${highHz}`;
  if (lowHz >= highHz) return `expects its lowest frequency below the highest, ${highHz} Hz, got ${lowHz}`;
  return null;
}

/** Describes a band that would always be silent. */
export function emptyBand(band: number, { bands, fftSamples }: MelSpec): string {
  return `has no FFT bin in band ${band + 1} of ${bands}: use fewer bands, or an FFT of more than ${fftSamples} samples`;
}

/**
 * Each frame's mel band levels in dB, frame after frame; for `mfcc`, the levels' cosine transform.
 *
 * Matches librosa's `power_to_db(melspectrogram(…, center=False), top_db=None)` and `mfcc` with their defaults: a periodic Hann window over
 * the frame, power, the mel scale from Slaney's Auditory Toolbox (1998), and triangles of equal area. Levels are 10·log₁₀ with a
 * floor of 1e-10, and the transform is the orthonormal DCT-II (Davis and Mermelstein 1980). In C: firmware/core/src/signal/mel.c.
 */
export function melSet({ fields, resampleHz, windowSamples }: SignalSpec, mel: MelSpec): FeatureSet {
  const { frameSamples, hopSamples, fftSamples, bands, coefficients = null } = mel;
  const frames = frameCount({ windowSamples }, mel);
  const fourier = createFourier(fftSamples);
  const taper = Float64Array.from({ length: frameSamples }, (_, i) => 0.5 - 0.5 * turn(i, frameSamples).cos);
  const filters = filtersOf(mel, resampleHz);
  const cosines = coefficients === null ? null : cosineTable(coefficients, bands);
  const padded = new Float64Array(fftSamples);
  const power = new Float64Array(Math.floor(fftSamples / 2) + 1);
  const levels = new Float64Array(bands);
  const width = frameValues(mel);
  const prefix = `${fields[0]}_${coefficients === null ? 'mel' : 'mfcc'}`;
  return {
    names: Array.from(
      { length: frames * width },
      (_, i) => `${prefix}${i % width}[${Math.floor(i / width)}]`,
    ),
    compute([window], out) {
      for (let frame = 0; frame < frames; frame++) {
        for (let i = 0; i < frameSamples; i++) padded[i] = window![frame * hopSamples + i]! * taper[i]!;
        fourier.transform(padded);
        for (let k = 0; k < power.length; k++)
          power[k] = fourier.re[k]! * fourier.re[k]! + fourier.im[k]! * fourier.im[k]!;
        for (let b = 0; b < bands; b++) levels[b] = decibel(filtered(power, filters[b]!));
        const to = frame * width;
        if (cosines === null) out.set(levels, to);
        else for (let c = 0; c < width; c++) out[to + c] = dot(cosines, c * bands, levels);
      }
    },
  };
}

/** Number of weights of all bands together. */
export function melWeightCount(mel: MelSpec, rateHz: number): number {
  return filtersOf(mel, rateHz).reduce((sum, { weights }) => sum + weights.length, 0);
}

function decibel(power: number): number {
  return perNeper * naturalLog(power > leastPower ? power : leastPower);
}

function filtered(power: Float64Array, { first, weights }: Filter): number {
  let sum = 0;
  for (let k = 0; k < weights.length; k++) sum += weights[k]! * power[first + k]!;
  return sum;
}

function dot(table: Float64Array, from: number, values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += table[from + i]! * values[i]!;
  return sum;
}

/** [coefficients × bands]: cos(π·c·(2b + 1)/(2·bands)), scaled so that the transform is orthonormal. */
function cosineTable(coefficients: number, bands: number): Float64Array {
  const table = new Float64Array(coefficients * bands);
  for (let c = 0; c < coefficients; c++) {
    const scale = Math.sqrt((c === 0 ? 1 : 2) / bands);
    for (let b = 0; b < bands; b++)
      table[c * bands + b] = scale * turn((c * (2 * b + 1)) % (4 * bands), 4 * bands).cos;
  }
  return table;
}

/** Weights of consecutive FFT bins. */
interface Filter {
  /** First bin with a positive weight. */
  first: number;
  weights: Float64Array;
}

/** Triangles between neighboring edges on the mel scale, each with an area of 1 Hz. */
function filtersOf({ bands, lowHz, highHz, fftSamples }: MelSpec, rateHz: number): Filter[] {
  const [low, high] = [melOf(lowHz), melOf(highHz)];
  const step = (high - low) / (bands + 1);
  const edges = Array.from({ length: bands + 2 }, (_, i) => hertzOf(i === bands + 1 ? high : low + step * i));
  return Array.from({ length: bands }, (_, b) => {
    const [from, top, to] = [edges[b]!, edges[b + 1]!, edges[b + 2]!];
    const area = 2 / (to - from);
    let first = -1;
    const weights: number[] = [];
    for (let k = 0; k <= fftSamples / 2; k++) {
      const hz = (k * rateHz) / fftSamples;
      const rising = (hz - from) / (top - from);
      const falling = (to - hz) / (to - top);
      const weight = rising < falling ? rising : falling;
      if (weight <= 0) continue;
      if (first < 0) first = k;
      weights.push(weight * area);
    }
    return { first, weights: Float64Array.from(weights) };
  });
}

/** Frequency in Hz up to which the mel scale is linear; it is logarithmic above. */
const bend = 1000;
const hertzPerMel = 200 / 3;
/** The bend on the mel scale: 15 mel. */
const bendMel = bend / hertzPerMel;
/** Each mel above the bend multiplies the frequency by the 27th root of 6.4. */
const logStep = naturalLog(6.4) / 27;

function melOf(hz: number): number {
  return hz < bend ? hz / hertzPerMel : bendMel + naturalLog(hz / bend) / logStep;
}

function hertzOf(mel: number): number {
  return mel < bendMel ? hertzPerMel * mel : bend * exponential(logStep * (mel - bendMel));
}
