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
 * Power by frequency band of a signal of n samples, its mean removed and a Hann window laid over it (without one, a
 * strong slow component would leak into every band).
 * @param edgesHz ascending; band b holds edges[b] < f ≤ edges[b+1]. Bands above half the rate stay 0.
 */
export function createBandPower(n: number, rateHz: number, edgesHz: readonly number[]): BandPower {
  const fourier = createFourier(n);
  const taper = new Float64Array(n);
  for (let i = 0; i < n; i++) taper[i] = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n);
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
      for (let i = 0; i < n; i++) work[i] = (signal[i]! - moments.mean) * taper[i]!;
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
