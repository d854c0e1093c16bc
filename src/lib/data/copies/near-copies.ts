import { createComplexFourier } from '../../signal/fourier.js';
import { conditioned } from '../../signal/pipeline.js';
import type { Dataset, Recording } from '../types.js';
import { movingSizes, settlingCycles, withoutLevel } from './band.js';

/** Minimum overlap of two outlines, as a share of the shorter outline and in samples. Shorter overlaps often match without being copies. */
const overlapShare = 0.6;

const overlapSamples = 100;

/**
 * Minimum coarse correlation for a comparison at the full rate. This limit is low, because a true copy may be offset by a fraction of a
 * coarse sample.
 */
const worthALook = 0.75;

/**
 * Finds pairs whose outlines match at some offset: copies that were cut, rounded or filtered, or recordings made simultaneously. The search
 * uses normalized cross-correlation at every lag (by FFT), then at the full rate around the best lag; 1 = identical except for a factor.
 * Copies reach 0.98 or more; unrelated recordings of the HAR set reach 0.87 at most. Copies whose noise exceeds their movement (a sensor at
 * rest) are not found. Neither are copies of a steady vibration, because it matches any vibration of the same frequency (see
 * `isSignificant`).
 * @param least minimum correlation that counts
 */
export function nearCopies(dataset: Dataset, least = 0.95): { a: string; b: string; share: number }[] {
  const outlines = outlinesOf(dataset);
  const { coarse, rateHz } = outlines;
  const spectra = createSpectra(coarse);
  const energies = coarse.map(runningEnergy);
  const pairs: { a: string; b: string; share: number }[] = [];
  const comparisons = (coarse.length * (coarse.length - 1)) / 2;
  for (let i = 0; i < coarse.length; i++) {
    for (let j = i + 1; j < coarse.length; j++) {
      const shorter = Math.min(coarse[i]!.length, coarse[j]!.length);
      const overlap = Math.max(Math.ceil(shorter * overlapShare), overlapSamples);
      if (shorter < overlap) continue;
      const best = highest(spectra.correlate(i, j), energies[i]!, energies[j]!, overlap);
      if (best.fit < worthALook) continue;
      const [a, b] = [outlines.fine(i), outlines.fine(j)];
      const { share, lag } = refined(a, b, best.lag, dataset.rateHz / rateHz);
      if (share < least || !isSignificant(...overlapOf(a, b, lag), share, comparisons)) continue;
      pairs.push({ a: dataset.recordings[i]!.id, b: dataset.recordings[j]!.id, share });
    }
  }
  return pairs.sort((p, q) => q.share - p.share);
}

/** Best correlation at the full rate, within one coarse sample of a coarse lag. */
function refined(a: Float64Array, b: Float64Array, coarseLag: number, factor: number) {
  const best = { share: 0, lag: 0 };
  for (let lag = Math.floor((coarseLag - 1) * factor); lag <= Math.ceil((coarseLag + 1) * factor); lag++) {
    let ab = 0;
    let aa = 0;
    let bb = 0;
    for (let i = Math.max(0, -lag); i < Math.min(a.length, b.length - lag); i++) {
      ab += a[i]! * b[i + lag]!;
      aa += a[i]! * a[i]!;
      bb += b[i + lag]! * b[i + lag]!;
    }
    const share = aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0;
    if (share > best.share) [best.share, best.lag] = [share, lag];
  }
  return best;
}

/** The overlapping parts of two outlines at a lag. */
function overlapOf(a: Float64Array, b: Float64Array, lag: number): [Float64Array[], Float64Array[]] {
  const [from, to] = [Math.max(0, -lag), Math.min(a.length, b.length - lag)];
  return [[a.subarray(from, to)], [b.subarray(from + lag, to + lag)]];
}

/** energy[i] = Σ x² of the first i samples. */
function runningEnergy(signal: Float64Array): Float64Array {
  const out = new Float64Array(signal.length + 1);
  for (let i = 0; i < signal.length; i++) out[i + 1] = out[i]! + signal[i]! * signal[i]!;
  return out;
}

/**
 * The best normalized correlation over all lags with at least `overlap` common samples.
 * @param products Σ a[t]·b[t + lag] at index lag mod length
 * @param a, b running energies of the two signals
 */
function highest(
  products: Float64Array,
  a: Float64Array,
  b: Float64Array,
  overlap: number,
): { fit: number; lag: number } {
  const la = a.length - 1;
  const lb = b.length - 1;
  const best = { fit: 0, lag: 0 };
  for (let lag = overlap - la; lag <= lb - overlap; lag++) {
    const from = Math.max(0, -lag);
    const to = Math.min(la, lb - lag);
    const energy = (a[to]! - a[from]!) * (b[to + lag]! - b[from + lag]!);
    if (energy <= 0) continue;
    const fit = products[lag < 0 ? lag + products.length : lag]! / Math.sqrt(energy);
    if (fit > best.fit) {
      best.fit = fit;
      best.lag = lag;
    }
  }
  return best;
}

/** Spectra are computed once per signal and transform length, which makes pairs of short recordings cheap. */
function createSpectra(signals: Float64Array[]) {
  const transforms = new Map<number, ReturnType<typeof createComplexFourier>>();
  const spectra = new Map<string, { re: Float64Array; im: Float64Array }>();
  const transformOf = (n: number) => {
    const transform = transforms.get(n) ?? createComplexFourier(n);
    transforms.set(n, transform);
    return transform;
  };
  const spectrumOf = (i: number, n: number) => {
    const key = `${i},${n}`;
    const known = spectra.get(key);
    if (known) return known;
    const re = new Float64Array(n);
    re.set(signals[i]!);
    const made = { re, im: new Float64Array(n) };
    transformOf(n)(made.re, made.im);
    spectra.set(key, made);
    return made;
  };
  return {
    correlate(i: number, j: number): Float64Array {
      let n = 1;
      while (n < signals[i]!.length + signals[j]!.length) n *= 2;
      const a = spectrumOf(i, n);
      const b = spectrumOf(j, n);
      const re = new Float64Array(n);
      const im = new Float64Array(n);
      for (let k = 0; k < n; k++) {
        re[k] = (a.re[k]! * b.re[k]! + a.im[k]! * b.im[k]!) / n;
        im[k] = (a.re[k]! * b.im[k]! - a.im[k]! * b.re[k]!) / n;
      }
      // The inverse transform.
      transformOf(n)(im, re);
      return re;
    },
  };
}

/** Sampling rate in Hz of a coarse outline, and the highest frequency in an outline. */
const coarseHz = 10;

const outlineLowpassHz = 2;

interface Outlines {
  /** One signal per recording, in the dataset's order, at `rateHz`. */
  coarse: Float64Array[];
  rateHz: number;
  /** The signal of one recording at the recordings' own rate, computed on demand. */
  fine(index: number): Float64Array;
}

/**
 * A recording's slow movement, combined from all fields: each field is low-passed, decimated, and scaled by its magnitude in the whole
 * dataset. Differences replace levels, because two recordings that warm up in the same way are not copies.
 */
function outlinesOf(dataset: Dataset): Outlines {
  const { recordings } = dataset;
  const rateHz = Math.min(dataset.rateHz, coarseHz);
  const moves = recordings.map((recording) => movesOf(recording, rateHz));
  const sizes = movingSizes(
    dataset.fields.map((_, f) => rootMeanSquare(moves.map((columns) => columns[f]!))),
    recordings,
  );
  // Weights differ, so that equal and opposite movements of two axes do not cancel out.
  const weights = sizes.map((size, f) => (size > 0 ? 0.8 ** f / size : 0));
  const fine = new Map<number, Float64Array>();
  return {
    coarse: moves.map((columns) => blend(columns, weights)),
    rateHz,
    fine(index) {
      const made = fine.get(index) ?? blend(movesOf(recordings[index]!, dataset.rateHz), weights);
      fine.set(index, made);
      return made;
    },
  };
}

function movesOf({ fields, rateHz, columns }: Recording, resampleHz: number): Float64Array[] {
  const lowpassHz = rateHz > 2 * outlineLowpassHz ? outlineLowpassHz : null;
  const slow = conditioned(
    { fields, rateHz, lowpassHz, resampleHz, windowSamples: 1, strideSamples: 1, features: 'raw' },
    withoutLevel(columns),
  );
  // Omits the filter's start-up transient, which has the same shape in all recordings, and may be larger than a filtered vibration.
  const settled = lowpassHz === null ? 0 : Math.ceil((settlingCycles / lowpassHz) * resampleHz);
  return slow.map((column) => {
    const out = new Float64Array(Math.max(0, column.length - 1));
    for (let i = settled; i < out.length; i++) out[i] = column[i + 1]! - column[i]!;
    return out;
  });
}

function rootMeanSquare(signals: Float64Array[]): number {
  let sum = 0;
  let count = 0;
  for (const signal of signals) {
    for (const x of signal) sum += x * x;
    count += signal.length;
  }
  return Math.sqrt(sum / Math.max(1, count));
}

function blend(columns: Float64Array[], weights: number[]): Float64Array {
  const out = new Float64Array(columns[0]?.length ?? 0);
  columns.forEach((column, f) => {
    for (let i = 0; i < out.length; i++) out[i] = out[i]! + weights[f]! * column[i]!;
  });
  return out;
}

/** Probability that a pair is reported in a dataset without copies. */
const chance = 0.01;

/**
 * Whether a correlation between two signals cannot be chance. A periodic signal has few independent samples even if it is long: two steady
 * vibrations of one frequency always match at some lag. The number n of independent samples follows from the autocorrelations (Bartlett
 * 1946): about 2 for a tone, and a share of the samples for noise. At most a share of (1 − r²)^((n − 2) / 2) of independent signals reaches
 * the correlation r. There are as many trials as pairs of recordings times independent lags. Over all trials, 1 in 100 datasets has a false
 * positive.
 * @param a fields of one stretch, with their means subtracted @param b fields of the other stretch, aligned and of equal length
 * @param pairs number of pairs of recordings compared
 */
function isSignificant(a: Float64Array[], b: Float64Array[], correlation: number, pairs: number): boolean {
  const count = independentSamples(a, b) * steadiness(a, b);
  const residual = Math.max(Number.EPSILON, 1 - correlation * correlation);
  return ((count - 2) / 2) * Math.log(residual) + Math.log(pairs * Math.max(1, count)) <= Math.log(chance);
}

/**
 * Number of independent samples: N · Ca(0) · Cb(0) / Σ over fields f, g and lags k of Ca(k) · Cb(k). The sum equals the sum of squares of
 * the cross-correlation (Parseval). In a finite stretch, the sums decrease with the lag, so the result is reduced to two thirds, which
 * gives 2 for a tone.
 */
function independentSamples(a: Float64Array[], b: Float64Array[]): number {
  const samples = a[0]?.length ?? 0;
  let size = 2;
  while (size < 2 * samples) size *= 2;
  const transform = createComplexFourier(size);
  const spectrumOf = (field: Float64Array) => {
    const [re, im] = [new Float64Array(size), new Float64Array(size)];
    re.set(field);
    transform(re, im);
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

/**
 * 1 for a signal that moves steadily, less if most movement is in a short part. For example, two sensors that approach a new level
 * have the same shape, and later samples add no evidence. Calculated from the kurtosis of the samples, which is 3 for a normal
 * distribution.
 */
function steadiness(a: Float64Array[], b: Float64Array[]): number {
  const samples = a[0]?.length ?? 0;
  let [squares, fourths] = [0, 0];
  for (let i = 0; i < samples; i++) {
    let size = 0;
    for (let f = 0; f < a.length; f++) size += Math.abs(a[f]![i]! * b[f]![i]!);
    squares += size;
    fourths += size * size;
  }
  return fourths > 0 ? Math.min(1, (3 * squares * squares) / (samples * fourths)) : 1;
}

function energyOf(fields: Float64Array[]): number {
  let sum = 0;
  for (const field of fields) for (const value of field) sum += value * value;
  return sum;
}
