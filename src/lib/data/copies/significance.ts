import { createFft } from './fft.js';

/** Chance that a dataset without copies has a pair which counts as one. */
const chance = 0.01;

/**
 * Whether a correlation of two signals cannot be chance. What repeats itself has few independent samples however long it is
 * recorded: two steady vibrations of one frequency fit at some lag by themselves. Their number n follows from the
 * autocorrelations (Bartlett 1946): about 2 for a tone, a share of the samples for noise. Independent signals reach r in a share
 * (1 − r²)^((n − 2) / 2) of trials at most, and there are as many trials as pairs of recordings times independent lags; all
 * together may be wrong in 1 of 100 datasets.
 * @param a fields of one stretch, about their means @param b of the other, aligned and as long
 * @param pairs pairs of recordings that are compared
 */
export function isSignificant(
  a: Float64Array[],
  b: Float64Array[],
  correlation: number,
  pairs: number,
): boolean {
  const count = independentSamples(a, b);
  const residual = Math.max(Number.EPSILON, 1 - correlation * correlation);
  return ((count - 2) / 2) * Math.log(residual) + Math.log(pairs * Math.max(1, count)) <= Math.log(chance);
}

/**
 * N · Ca(0) · Cb(0) / Σ over fields f, g and lags k of Ca(k) · Cb(k), whose sum is that of the squares of the cross-correlation
 * (Parseval). Sums over a stretch that ends taper off with the lag: two thirds of the count make it 2 for a tone.
 */
function independentSamples(a: Float64Array[], b: Float64Array[]): number {
  const samples = a[0]?.length ?? 0;
  let size = 2;
  while (size < 2 * samples) size *= 2;
  const fft = createFft(size);
  const spectrumOf = (field: Float64Array) => {
    const [re, im] = [new Float64Array(size), new Float64Array(size)];
    re.set(field);
    fft(re, im);
    return { re, im };
  };
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  a.forEach((field, f) => {
    const [x, y] = [spectrumOf(field), spectrumOf(b[f]!)];
    for (let w = 0; w < size; w++) {
      re[w]! += x.re[w]! * y.re[w]! + x.im[w]! * y.im[w]!;
      im[w]! += x.re[w]! * y.im[w]! - x.im[w]! * y.re[w]!;
    }
  });
  let squares = 0;
  for (let w = 0; w < size; w++) squares += re[w]! ** 2 + im[w]! ** 2;
  if (squares === 0) return 0;
  return ((2 / 3) * samples * energyOf(a) * energyOf(b)) / (squares / size);
}

function energyOf(fields: Float64Array[]): number {
  let sum = 0;
  for (const field of fields) for (const value of field) sum += value * value;
  return sum;
}
