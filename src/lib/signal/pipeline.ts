import { featureSetOf } from './features/select.js';
import { createLowpass } from './lowpass.js';
import { createResampler } from './resample.js';
import type { SignalSpec } from './types.js';

export interface Pipeline {
  /**
   * Takes one sample (one value a field, in the spec's order) and returns the features of a window each time one is
   * complete, null otherwise. The array returned is the pipeline's own and is overwritten by the next window: copy it to
   * keep it. A sample that only completes a window counts to it; nothing is allocated.
   */
  push(sample: ArrayLike<number>): Float32Array | null;
  /** Forgets all samples: the next one is the first of a new recording. */
  reset(): void;
}

/** Samples in, features out, as a device does it: low-pass → resample → window → features. */
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
  // Samples to pass over before the next window, when the stride is longer than the window.
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
      filled = 0;
      skip = 0;
    },
  };
}
