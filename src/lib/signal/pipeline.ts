import { featureSetOf } from './feature-sets.js';
import { createHar } from './har.js';
import { createLowpass } from './lowpass.js';
import type { SignalSpec } from './spec.js';

interface Pipeline {
  /**
   * Takes one sample (one value per field, in the spec's order). Returns a window's features if the sample completes the window, otherwise
   * null. The pipeline owns the returned array, and the next window overwrites it. Nothing is allocated.
   */
  push(sample: ArrayLike<number>): Float32Array | null;
  /** Discards all samples, so that the next sample starts a new recording. */
  reset(): void;
}

/** Samples in, features out, as on a device: low-pass → resample → window → features. */
export function createPipeline(spec: SignalSpec): Pipeline {
  const { windowSamples, strideSamples } = spec;
  const fields = spec.fields.length;
  const set = featureSetOf(spec);
  const filters = spec.fields.map(() => createLowpass(spec.lowpassHz, spec.rateHz));
  const resampler = createResampler(spec.rateHz, spec.resampleHz);
  const previous = new Float64Array(fields);
  const window = spec.fields.map(() => new Float64Array(windowSamples));
  const wide = new Float64Array(set.names.length);
  const out = new Float32Array(set.names.length);
  let filled = 0;
  // Number of samples to skip before the next window, if the stride is longer than the window.
  let skip = 0;
  return {
    push(sample) {
      const output = resampler.advance();
      const keep = output && skip === 0;
      for (let f = 0; f < fields; f++) {
        const current = filters[f]!.step(sample[f]!);
        if (keep) window[f]![filled] = resampler.value(previous[f]!, current);
        previous[f] = current;
      }
      if (!output) return null;
      if (!keep) {
        skip--;
        return null;
      }
      if (++filled < windowSamples) return null;
      set.compute(window, wide);
      out.set(wide);
      if (strideSamples < windowSamples) {
        for (let f = 0; f < fields; f++) window[f]!.copyWithin(0, strideSamples);
        filled = windowSamples - strideSamples;
      } else {
        filled = 0;
        skip = strideSamples - windowSamples;
      }
      return out;
    },
    reset() {
      for (let f = 0; f < fields; f++) filters[f]!.reset();
      resampler.reset();
      set.restart?.();
      filled = 0;
      skip = 0;
    },
  };
}

/**
 * Low-pass filters and resamples a whole recording.
 * @param columns one per field, all of the same length; left unchanged
 * @returns one column per field, at `resampleHz`
 */
export function conditioned(spec: SignalSpec, columns: Float64Array[]): Float64Array[] {
  return columns.map((column) => {
    const filter = createLowpass(spec.lowpassHz, spec.rateHz);
    const resampler = createResampler(spec.rateHz, spec.resampleHz);
    const out = new Float64Array(resampledCount(column.length, spec.rateHz, spec.resampleHz));
    let length = 0;
    let previous = 0;
    for (let i = 0; i < column.length; i++) {
      const current = filter.step(column[i]!);
      if (resampler.advance()) out[length++] = resampler.value(previous, current);
      previous = current;
    }
    // With a rate such as 1/60 Hz, rounding may make the estimate of the count too high by one.
    return length < out.length ? out.slice(0, length) : out;
  });
}

/** Number of windows in a recording of this many samples (before resampling). */
export function windowCount(spec: SignalSpec, samples: number): number {
  const resampled = resampledCount(samples, spec.rateHz, spec.resampleHz);
  return Math.max(0, Math.floor((resampled - spec.windowSamples) / spec.strideSamples) + 1);
}

/**
 * Features of all windows in a recording. A freshly reset pipeline gives the same features for the same samples.
 * @param columns one per field in the spec's order, all of the same length (samples at `rateHz`)
 * @returns one array per window, each of `featureNames(spec).length` values; none if the recording is too short
 */
export function windowFeatures(spec: SignalSpec, columns: Float64Array[]): Float32Array[] {
  const set = featureSetOf(spec);
  const ready = conditioned(spec, columns);
  const length = ready[0]?.length ?? 0;
  const wide = new Float64Array(set.names.length);
  const windows: Float32Array[] = [];
  for (let start = 0; start + spec.windowSamples <= length; start += spec.strideSamples) {
    const window = ready.map((column) => column.subarray(start, start + spec.windowSamples));
    set.compute(window, wide);
    windows.push(Float32Array.from(wide));
  }
  return windows;
}

interface FeatureRows {
  names: string[];
  /** One row per window, in double precision. */
  rows: Float64Array[];
  /** First sample of each window, after resampling. */
  starts: number[];
}

/**
 * Like `windowFeatures`, but in double precision and with the position of each window.
 * @param unfilled whether a partially filled last window is included, as in the original of the `har` set. Bands for which this window is
 * too short are NaN. The window is dropped if the original would drop it.
 */
export function featureRows(spec: SignalSpec, columns: Float64Array[], unfilled = false): FeatureRows {
  const set = featureSetOf(spec);
  const ready = conditioned(spec, columns);
  const length = ready[0]?.length ?? 0;
  const result: FeatureRows = { names: set.names, rows: [], starts: [] };
  const part = (from: number, to: number) => ready.map((column) => column.subarray(from, to));
  let start = 0;
  for (; start + spec.windowSamples <= length; start += spec.strideSamples) {
    const row = new Float64Array(set.names.length);
    set.compute(part(start, start + spec.windowSamples), row);
    result.rows.push(row);
    result.starts.push(start);
  }
  // The autoregression and bands in the `har` set need seven samples.
  if (!unfilled || spec.features !== 'har' || length - start < 7) return result;
  const row = new Float64Array(set.names.length);
  if (createHar(length - start, spec.resampleHz).compute(part(start, length), row)) {
    result.rows.push(row);
    result.starts.push(start);
  }
  return result;
}

/**
 * Maps output samples to input samples: the k-th output sample is at input position k·rate/resample. Two input samples have at most one
 * output sample between them, because resampling never raises the rate.
 */
interface Resampler {
  /** Notifies the resampler of the next input sample. Returns true if an output sample is at or before it. */
  advance(): boolean;
  /** The value of that output sample, interpolated linearly between the last two input samples. */
  value(previous: number, current: number): number;
  reset(): void;
}

/** @param rateHz the input's rate @param resampleHz the output's rate, at most rateHz; equal = identity */
function createResampler(rateHz: number, resampleHz: number): Resampler {
  let inputs = 0;
  let outputs = 0;
  let share = 1;
  return {
    advance() {
      const at = inputs++;
      const position = (outputs * rateHz) / resampleHz;
      if (position > at) return false;
      outputs++;
      share = position - (at - 1);
      return true;
    },
    value: (previous, current) => (share === 1 ? current : previous + (current - previous) * share),
    reset() {
      inputs = 0;
      outputs = 0;
    },
  };
}

/** Number of output samples for this many input samples: all k with k·rate/resample ≤ inputs − 1. */
function resampledCount(inputs: number, rateHz: number, resampleHz: number): number {
  if (inputs === 0) return 0;
  let count = Math.floor(((inputs - 1) * resampleHz) / rateHz);
  // If the rates are not divisible, rounding may make the estimate wrong by one.
  if ((count * rateHz) / resampleHz > inputs - 1) count--;
  while (((count + 1) * rateHz) / resampleHz <= inputs - 1) count++;
  return count + 1;
}
