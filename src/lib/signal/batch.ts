import { createHar } from './features/har/har.js';
import { featureSetOf } from './features/select.js';
import { createLowpass } from './lowpass.js';
import { createResampler, resampledCount } from './resample.js';
import type { SignalSpec } from './types.js';

/**
 * Low-pass and resampling over a whole recording.
 * @param columns one a field, all of the same length; left unchanged
 * @returns one column a field, at `resampleHz`
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
    return out;
  });
}

/** Windows that a recording of so many samples (before resampling) gives. */
export function windowCount(spec: SignalSpec, samples: number): number {
  const resampled = resampledCount(samples, spec.rateHz, spec.resampleHz);
  return Math.max(0, Math.floor((resampled - spec.windowSamples) / spec.strideSamples) + 1);
}

/**
 * Features of all windows of a recording: exactly what a freshly reset pipeline gives for the same samples.
 * @param columns one a field in the spec's order, all of the same length (samples at `rateHz`)
 * @returns one array a window, each of `featureNames(spec).length` values; none when the recording is too short
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

export interface FeatureRows {
  names: string[];
  /** One a window, in double precision. */
  rows: Float64Array[];
  /** First sample (after resampling) of each window. */
  starts: number[];
}

/**
 * As `windowFeatures`, in double precision and with the place of each window.
 * @param unfilled whether a last window that the recording does not fill counts too, as in the original of the `har` set:
 *   bands that it is too short for are NaN there, and the original's reasons to drop one hold
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
  // Its autoregression and its bands need seven samples.
  if (!unfilled || spec.features !== 'har' || length - start < 7) return result;
  const row = new Float64Array(set.names.length);
  if (createHar(length - start, spec.resampleHz).compute(part(start, length), row)) {
    result.rows.push(row);
    result.starts.push(start);
  }
  return result;
}
