import { createBandPower } from './bands.js';
import { emptyMoments, momentsOf } from './moments.js';
import type { FeatureSetMaker } from './set.js';

/** Octaves below half the rate, as parts of it: 0–1/16, 1/16–1/8, 1/8–1/4, 1/4–1/2, 1/2–1. */
const octaves = [0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1];

/**
 * Ten features a field, as people use them on machines: RMS, deviation (RMS of what moves), peak to peak, kurtosis
 * (impacts: 3 = none), peak frequency in Hz, and the share of power in each of five octaves below half the rate.
 */
export const spectralSet: FeatureSetMaker = ({ fields, windowSamples: n, resampleHz }) => {
  const bands = createBandPower(
    n,
    resampleHz,
    octaves.map((part) => (part * resampleHz) / 2),
    'hann',
  );
  const moments = emptyMoments();
  const measures = ['rms', 'deviation', 'p2p', 'kurtosis', 'peak_hz'];
  for (let b = 1; b < octaves.length; b++) measures.push(`share_octave${b}`);
  return {
    names: fields.flatMap((field) => measures.map((measure) => `${field}_${measure}`)),
    compute(window, out) {
      let at = 0;
      for (let f = 0; f < window.length; f++) {
        const signal = window[f]!;
        momentsOf(signal, moments);
        bands.compute(signal, moments);
        let low = signal[0]!;
        let high = low;
        for (let i = 1; i < n; i++) {
          if (signal[i]! < low) low = signal[i]!;
          if (signal[i]! > high) high = signal[i]!;
        }
        out[at++] = Math.sqrt(moments.mean * moments.mean + moments.variance);
        out[at++] = moments.deviation;
        out[at++] = high - low;
        out[at++] = moments.kurtosis;
        out[at++] = bands.peakHz;
        for (let b = 0; b < bands.shares.length; b++) out[at++] = bands.shares[b]!;
      }
    },
  };
};
