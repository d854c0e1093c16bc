import type { Dataset } from '../types.js';
import { type Bands, bandsOf, scaleBy, searchHz } from './band.js';

/** Samples a second of the closer look. */
const fineHz = 100;
/** Blocks of so many seconds (at 20 Hz and more) are joined to a match while they fit so well. */
const blockSeconds = 0.5;
const blockFit = 0.8;

export interface Match {
  /** Seconds from the beginning of each recording, and how long the two are alike. */
  fromA: number;
  fromB: number;
  seconds: number;
  /** Normalized cross-correlation of all fields over that stretch: 1 = equal but for a factor. */
  correlation: number;
}

/** Smallest correlation of a stretch so long (seconds): what is short fits by chance. */
function leastFit(seconds: number): number {
  return seconds < 4 ? 2 : seconds < 6 ? 0.991 : seconds < 12 ? 0.984 : 0.97;
}

/**
 * Compares stretches of recordings. On the HAR recordings the best fit of two unrelated stretches of 5 s was 0.951 (of
 * 32,292, each at every place of all other recordings). A copy under white noise a fifth as large as the signal comes to 0.99,
 * under a third to 0.98, because the band leaves most of the noise out: of copied stretches of 8 s in walks that are far more
 * regular than those, 8 of 8 and 7 of 8 are found; under half, none. Among 40 such walks no two were taken for copies.
 */
export function createMatcher(dataset: Dataset, bands: Bands, sizes: number[]) {
  const rateHz = Math.min(dataset.rateHz, fineHz);
  const factor = rateHz / bands.rateHz;
  /** Slow recordings are searched sample by sample: there, a "second" is as many samples as at the search rate. */
  const unit = bands.rateHz < searchHz ? searchHz / bands.rateHz : 1;
  const fine = new Map<number, Float64Array[]>();
  const fineOf = (r: number) => {
    const made = fine.get(r) ?? bandsOf(dataset, [dataset.recordings[r]!], rateHz).signals[0]!;
    if (!fine.has(r)) scaleBy(made, sizes);
    fine.set(r, made);
    return made;
  };
  function grown(a: number, at: number, b: number, to: number, windowSamples: number): Match | null {
    const x = fineOf(a);
    const y = fineOf(b);
    const length = Math.round(windowSamples * factor);
    const start = Math.round(at * factor);
    const lag = bestLag(x, y, start, Math.round(to * factor), length, Math.ceil(factor));
    if (fitOf(x, start, y, start + lag, length) < 0.9) return null;
    const block = Math.max(5, Math.round((blockSeconds * rateHz) / unit));
    let from = start;
    let end = start + length;
    while (
      from - block >= 0 &&
      from + lag - block >= 0 &&
      fitOf(x, from - block, y, from - block + lag, block) >= blockFit
    )
      from -= block;
    while (
      end + block <= x[0]!.length &&
      end + lag + block <= y[0]!.length &&
      fitOf(x, end, y, end + lag, block) >= blockFit
    )
      end += block;
    const correlation = fitOf(x, from, y, from + lag, end - from);
    const seconds = (end - from) / rateHz;
    if (correlation < leastFit(seconds / unit)) return null;
    // What repeats itself, as steps do, fits nearly as well elsewhere: no copy can be told there.
    const elsewhere = bestElsewhere(x, from, y, from + lag, end - from, Math.round((0.15 * rateHz) / unit));
    if (1 - correlation > 0.25 * (1 - elsewhere)) return null;
    return { fromA: from / rateHz, fromB: (from + lag) / rateHz, seconds, correlation };
  }
  return {
    /** Correlation of two windows at the search rate. */
    coarse: (a: number, at: number, b: number, to: number, windowSamples: number) =>
      fitOf(bands.signals[a]!, at, bands.signals[b]!, to, windowSamples),
    /** The stretch around two windows in which the recordings are alike; null when it is no copy. */
    grown,
  };
}

function fitOf(x: Float64Array[], from: number, y: Float64Array[], to: number, length: number): number {
  let xy = 0;
  let xx = 0;
  let yy = 0;
  for (let f = 0; f < x.length; f++) {
    const a = x[f]!;
    const b = y[f]!;
    for (let i = 0; i < length; i++) {
      const u = a[from + i]!;
      const v = b[to + i]!;
      xy += u * v;
      xx += u * u;
      yy += v * v;
    }
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : 0;
}

function bestLag(
  x: Float64Array[],
  y: Float64Array[],
  start: number,
  to: number,
  length: number,
  most: number,
): number {
  let best = -2;
  let found = to - start;
  for (let shift = -most; shift <= most; shift++) {
    const at = to + shift;
    if (at < 0 || at + length > y[0]!.length || start + length > x[0]!.length) continue;
    const fit = fitOf(x, start, y, at, length);
    if (fit > best) {
      best = fit;
      found = at - start;
    }
  }
  return found;
}

/** Best fit of a stretch to the other recording anywhere else. */
function bestElsewhere(
  x: Float64Array[],
  from: number,
  y: Float64Array[],
  to: number,
  length: number,
  apart: number,
): number {
  // Some seconds of it are enough, and leave room to move them.
  const part = Math.min(length, 40 * apart, Math.floor(y[0]!.length / 2));
  let best = 0;
  for (let at = 0; at + part <= y[0]!.length; at++) {
    if (Math.abs(at - to) >= apart) best = Math.max(best, fitOf(x, from, y, at, part));
  }
  return best;
}
