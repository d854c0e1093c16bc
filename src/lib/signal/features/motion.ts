import { createBandPower } from './bands.js';
import { emptyMoments, momentsOf } from './moments.js';
import type { FeatureSetMaker } from './set.js';

/**
 * Hz. People's steps come at 1 to 3 Hz with harmonics; a wrist or waist moves little above 12 Hz, and what a sensor
 * shows there is noise and the artefacts of its recorder.
 */
export const motionBandsHz = [0, 1, 2, 3.5, 5.5, 8, 12] as const;

const parts = ['magnitude', 'along', 'across'] as const;

const measures = [
  'deviation',
  'step',
  'peak_hz',
  ...motionBandsHz.slice(1).map((high, b) => `share_${motionBandsHz[b]}_${high}hz`),
  'log_power',
  'skewness',
  'kurtosis',
];

/**
 * 36 features of a three-axis accelerometer that do not depend on how it is worn: 12 of the magnitude, 12 of the part
 * along gravity (the mean vector of the window), 12 of the size of the part across it.
 * deviation and mean absolute step from sample to sample in the field's unit; peak frequency in Hz; six shares of the
 * power in 0..12 Hz; log10 of the variance (floored at 1e-9); skewness; kurtosis (3 = normal).
 */
export const motionSet: FeatureSetMaker = ({ windowSamples: n, resampleHz }) => {
  const bands = createBandPower(n, resampleHz, motionBandsHz, 'none');
  const moments = emptyMoments();
  const signals = parts.map(() => new Float64Array(n));
  return {
    names: parts.flatMap((part) => measures.map((measure) => `${part}_${measure}`)),
    compute(window, out) {
      resolve(window, signals);
      let at = 0;
      for (let p = 0; p < signals.length; p++) {
        const signal = signals[p]!;
        momentsOf(signal, moments);
        bands.compute(signal, moments);
        out[at++] = moments.deviation;
        out[at++] = meanStep(signal);
        out[at++] = bands.peakHz;
        for (let b = 0; b < bands.shares.length; b++) out[at++] = bands.shares[b]!;
        out[at++] = Math.log10(moments.variance + 1e-9);
        out[at++] = moments.skewness;
        out[at++] = moments.kurtosis;
      }
    },
  };
};

/** Splits the vectors of a window into magnitude, part along the mean vector, and size of the part across it. */
function resolve(window: Float64Array[], [magnitude, along, across]: Float64Array[]): void {
  const [x, y, z] = window as [Float64Array, Float64Array, Float64Array];
  const n = x.length;
  let gx = 0;
  let gy = 0;
  let gz = 0;
  for (let i = 0; i < n; i++) {
    gx += x[i]!;
    gy += y[i]!;
    gz += z[i]!;
  }
  const length = Math.sqrt(gx * gx + gy * gy + gz * gz);
  // Free fall, or gravity taken out already: there is no direction, and all of the motion counts as across.
  const scale = length > 1e-9 * n ? 1 / length : 0;
  gx *= scale;
  gy *= scale;
  gz *= scale;
  for (let i = 0; i < n; i++) {
    const a = x[i]! * gx + y[i]! * gy + z[i]! * gz;
    const dx = x[i]! - a * gx;
    const dy = y[i]! - a * gy;
    const dz = z[i]! - a * gz;
    magnitude![i] = Math.sqrt(x[i]! * x[i]! + y[i]! * y[i]! + z[i]! * z[i]!);
    along![i] = a;
    across![i] = Math.sqrt(dx * dx + dy * dy + dz * dz);
  }
}

function meanStep(signal: Float64Array): number {
  if (signal.length < 2) return 0;
  let sum = 0;
  for (let i = 1; i < signal.length; i++) sum += Math.abs(signal[i]! - signal[i - 1]!);
  return sum / (signal.length - 1);
}
