import { createFourier } from '../fourier.js';

export interface AmplitudeSpectrum {
  /** |X|/n of bins 0..n−1: bins from 1 to half are doubled, those above it are 0. */
  amplitude: Float64Array;
  compute(signal: Float64Array): void;
}

/** The original's one-sided amplitude spectrum: no window, mean kept, padded with zeros to the signal's length. */
export function createAmplitudeSpectrum(n: number): AmplitudeSpectrum {
  const fourier = createFourier(n);
  const half = Math.ceil(n / 2);
  const amplitude = new Float64Array(n);
  return {
    amplitude,
    compute(signal) {
      fourier.transform(signal);
      amplitude.fill(0);
      for (let k = 0; k <= half && k < n; k++) {
        const size = Math.sqrt(fourier.re[k]! * fourier.re[k]! + fourier.im[k]! * fourier.im[k]!) / n;
        amplitude[k] = k === 0 ? size : 2 * size;
      }
      // For odd n the last doubled bin mirrors the one before: equal by definition, not but for rounding.
      if (n % 2 === 1 && n > 2) amplitude[half] = amplitude[half - 1]!;
    },
  };
}

/** Centre of the amplitudes, Hz. */
export function meanFrequency(amplitude: Float64Array, binHz: number): number {
  let sum = 0;
  let weighted = 0;
  for (let k = 0; k < amplitude.length; k++) {
    sum += amplitude[k]!;
    weighted += amplitude[k]! * k * binHz;
  }
  return sum > 0 ? weighted / sum : 0;
}

/** Hz of the first bin from 1 on at which the amplitudes summed from bin 0 reach a share of their total. */
export function frequencyAtShare(amplitude: Float64Array, binHz: number, share: number): number {
  let total = 0;
  for (let k = 0; k < amplitude.length; k++) total += amplitude[k]!;
  if (total === 0) return 0;
  let sum = amplitude[0]!;
  for (let k = 1; k < amplitude.length; k++) {
    sum += amplitude[k]!;
    if (sum / total >= share) return k * binHz;
  }
  return (amplitude.length - 1) * binHz;
}

/**
 * Index (not Hz) of the bin that halves the power of the lower half of the spectrum, as the original searches it: by
 * bisection in shrinking steps that stops early, so that it need not be the true one.
 */
export function medianBin(amplitude: Float64Array): number {
  const m = Math.floor(amplitude.length / 2);
  let at = Math.floor(m / 2);
  let previous = at;
  let lastDifference = 1e13;
  let lastLeft = 1e14;
  let repeats = 0;
  for (let counter = 2; counter < 64; counter++) {
    let left = 0;
    let right = 0;
    for (let k = 0; k < at; k++) left += amplitude[k]! * amplitude[k]!;
    for (let k = at; k < m; k++) right += amplitude[k]! * amplitude[k]!;
    const step = Math.floor(m / 2 ** counter);
    if (left < right) at = previous + step;
    else if (left > right) at = previous - step;
    else break;
    const difference = Math.abs(right - left);
    if (left === lastLeft) repeats++;
    if (repeats === 10 || difference >= 15 * lastDifference) break;
    previous = at;
    lastDifference = difference;
    lastLeft = left;
  }
  return previous;
}

/**
 * Bins of the three strongest local maxima, ascending; 0 where there are fewer. A plateau counts by its middle, and the
 * ends are no maxima (as SciPy's find_peaks has it).
 */
export function strongestPeaks(amplitude: Float64Array, out: Int32Array): void {
  out.fill(0);
  let found = 0;
  for (let i = 1; i < amplitude.length - 1; ) {
    let end = i;
    while (end < amplitude.length - 1 && amplitude[end + 1] === amplitude[i]) end++;
    const isPeak =
      amplitude[i - 1]! < amplitude[i]! && end < amplitude.length - 1 && amplitude[end + 1]! < amplitude[i]!;
    if (isPeak) found = keepStrongest(amplitude, Math.floor((i + end) / 2), out, found);
    i = end + 1;
  }
  if (found >= out.length) out.sort();
}

function keepStrongest(amplitude: Float64Array, peak: number, out: Int32Array, found: number): number {
  if (found < out.length) {
    out[found] = peak;
    return found + 1;
  }
  let weakest = 0;
  for (let k = 1; k < out.length; k++) {
    if (amplitude[out[k]!]! < amplitude[out[weakest]!]!) weakest = k;
  }
  if (amplitude[peak]! > amplitude[out[weakest]!]!) out[weakest] = peak;
  return found;
}

/**
 * Entropy of the periodogram in bits, mean removed. One-sided: all bins but the one at half the rate (even n) stand for two.
 */
export function createSpectralEntropy(n: number): (signal: Float64Array, mean: number) => number {
  const fourier = createFourier(n);
  const work = new Float64Array(n);
  return (signal, mean) => {
    for (let i = 0; i < n; i++) work[i] = signal[i]! - mean;
    fourier.transform(work);
    const last = Math.floor(n / 2);
    let total = 0;
    for (let k = 1; k <= last; k++) {
      const power = fourier.re[k]! * fourier.re[k]! + fourier.im[k]! * fourier.im[k]!;
      work[k] = k === last && n % 2 === 0 ? power : 2 * power;
      total += work[k]!;
    }
    if (total <= 0) return 0;
    let entropy = 0;
    for (let k = 1; k <= last; k++) {
      const share = work[k]! / total;
      if (share > 0) entropy -= share * Math.log2(share);
    }
    return entropy;
  };
}
