import { createLowpass, featureNames, featureRows, type SignalSpec } from '../../signal/index.js';
import { maxAgeMs, windowRateHz } from './layout.js';

/** Windows of samples that follow each other, and the original's 115 features of each. */
export interface Windows {
  readonly names: readonly string[];
  /** Samples of the window that is being filled. */
  readonly filled: number;
  /**
   * @param sample three values in g
   * @param time ms since 1970
   * @returns the features of the window that this sample completes
   */
  push(sample: readonly [number, number, number], time: number): Float64Array | null;
  /** Whether a sample of this time belongs to what there is: after a pause longer than messages live it does not. */
  continues(time: number): boolean;
  reset(): void;
}

/**
 * @param samples in one window, without overlap: 500 for the original's containers
 * @param lowpassHz of the axes before; null = none, as the original
 */
export function createWindows(samples: number, lowpassHz: number | null = null): Windows {
  const spec: SignalSpec = {
    fields: ['x', 'y', 'z'],
    rateHz: windowRateHz,
    lowpassHz: null,
    resampleHz: windowRateHz,
    windowSamples: samples,
    strideSamples: samples,
    features: 'har',
  };
  const columns = spec.fields.map(() => new Float64Array(samples));
  // Over the windows' ends, as in training.
  const filters = spec.fields.map(() => createLowpass(lowpassHz, windowRateHz));
  let filled = 0;
  let last = Number.NaN;
  return {
    names: featureNames(spec),
    get filled() {
      return filled;
    },
    continues: (time) => filled === 0 || time - last <= maxAgeMs,
    push(sample, time) {
      last = time;
      columns.forEach((column, a) => {
        column[filled] = filters[a]!.step(sample[a]!);
      });
      if (++filled < samples) return null;
      filled = 0;
      return featureRows(spec, columns).rows[0]!;
    },
    reset() {
      filled = 0;
      for (const filter of filters) filter.reset();
    },
  };
}
