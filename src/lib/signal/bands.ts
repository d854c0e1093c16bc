import { createFourier } from './fourier.js';
import { turn } from './turn.js';

interface BandPower {
  /** Frequency of the strongest bin within the bands, in Hz; 0 if the signal is flat. */
  peakHz: number;
  /** Power in each band as a share of the power in all bands; all 0 if the signal is flat. */
  shares: Float64Array;
  compute(signal: Float64Array, moments: Moments): void;
}

/**
 * Shares of power by frequency band, and the peak frequency, for a signal of n samples without its mean.
 * @param taper `hann` keeps a strong component, such as a machine's spectral line, from leaking into every band. `none` weights the whole
 *   window equally, which suits events such as steps (HAR recordings, five folds: macro-F1 0.968 without the taper, 0.965 with it).
 * @param edgesHz ascending; band b contains edges[b] < f ≤ edges[b+1]. Bands above half the rate stay 0.
 */
export function createBandPower(
  n: number,
  rateHz: number,
  edgesHz: readonly number[],
  taper: 'hann' | 'none',
): BandPower {
  const fourier = createFourier(n);
  const weight = new Float64Array(n).fill(1);
  if (taper === 'hann') for (let i = 0; i < n; i++) weight[i] = 0.5 - 0.5 * turn(i, n).cos;
  const work = new Float64Array(n);
  const bands = edgesHz.length - 1;
  const bandOf = new Int32Array(Math.floor(n / 2) + 1).fill(-1);
  for (let k = 1; k < bandOf.length; k++) {
    const hz = (k * rateHz) / n;
    for (let b = 0; b < bands; b++) if (hz > edgesHz[b]! && hz <= edgesHz[b + 1]!) bandOf[k] = b;
  }
  const result: BandPower = {
    peakHz: 0,
    shares: new Float64Array(bands),
    compute(signal, moments) {
      result.peakHz = 0;
      result.shares.fill(0);
      if (moments.flat) return;
      for (let i = 0; i < n; i++) work[i] = (signal[i]! - moments.mean) * weight[i]!;
      fourier.transform(work);
      let total = 0;
      let strongest = 0;
      for (let k = 1; k < bandOf.length; k++) {
        const band = bandOf[k]!;
        if (band < 0) continue;
        const power = fourier.re[k]! * fourier.re[k]! + fourier.im[k]! * fourier.im[k]!;
        result.shares[band] = result.shares[band]! + power;
        total += power;
        if (power > strongest) {
          strongest = power;
          result.peakHz = (k * rateHz) / n;
        }
      }
      if (total > 0) for (let b = 0; b < bands; b++) result.shares[b] = result.shares[b]! / total;
    },
  };
  return result;
}

/** Moments of a signal. `variance` and the values derived from it are population statistics (1/n). */
interface Moments {
  mean: number;
  variance: number;
  deviation: number;
  /** Mean cube of the standardized signal; 0 if the signal is flat. */
  skewness: number;
  /** Mean fourth power of the standardized signal (3 = normal); 0 if the signal is flat. */
  kurtosis: number;
  /** Whether the signal is constant except for rounding errors. Shares and shape would then be meaningless, and are 0. */
  flat: boolean;
}

/** Writes into `out`, so that the hot path allocates nothing. */
export function momentsOf(signal: Float64Array, out: Moments): void {
  const n = signal.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += signal[i]!;
  centralMoments(signal, sum / n, out);
}

/** Like `momentsOf`, but with a known mean. */
export function centralMoments(signal: Float64Array, mean: number, out: Moments): void {
  const n = signal.length;
  let m2 = 0;
  let m3 = 0;
  let m4 = 0;
  for (let i = 0; i < n; i++) {
    const d = signal[i]! - mean;
    m2 += d * d;
    m3 += d * d * d;
    m4 += d * d * d * d;
  }
  out.mean = mean;
  out.variance = m2 / n;
  out.deviation = Math.sqrt(out.variance);
  // A millionth of the mean is below any sensor's resolution, and above single-precision rounding errors.
  out.flat = out.variance <= 1e-12 * mean * mean + 1e-18;
  out.skewness = out.flat ? 0 : m3 / n / (out.variance * out.deviation);
  out.kurtosis = out.flat ? 0 : m4 / n / (out.variance * out.variance);
}

export function emptyMoments(): Moments {
  return { mean: 0, variance: 0, deviation: 0, skewness: 0, kurtosis: 0, flat: true };
}
