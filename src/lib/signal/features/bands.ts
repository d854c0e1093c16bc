import { turn } from '../turn.js';
import { createFourier } from './fourier.js';
import type { Moments } from './moments.js';

export interface BandPower {
  /** Hz of the strongest bin within the bands; 0 when the signal is flat. */
  peakHz: number;
  /** Power in each band over that in all of them; all 0 when the signal is flat. */
  shares: Float64Array;
  compute(signal: Float64Array, moments: Moments): void;
}

/**
 * Power by frequency band of a signal of n samples, its mean removed.
 * @param taper `hann` keeps a strong component from leaking into every band, as lines of a machine would; `none` weighs
 *   all of the window alike, which events such as steps ask for (measured on the HAR recordings, five folds: macro-F1
 *   0.968 without, 0.965 with)
 * @param edgesHz ascending; band b holds edges[b] < f ≤ edges[b+1]. Bands above half the rate stay 0.
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
