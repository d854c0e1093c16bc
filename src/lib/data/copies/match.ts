import type { Dataset } from '../types.js';
import { type Bands, bandsOf, scaleFields, searchHz } from './band.js';

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

/** Smallest correlation of a stretch so long: what is short fits by chance. */
function leastFit(seconds: number): number {
  return seconds < 4 ? 2 : seconds < 6 ? 0.97 : seconds < 12 ? 0.955 : 0.92;
}

/**
 * Compares stretches of recordings. On the HAR recordings the best fit of two unrelated stretches of 5 s was 0.951 (of
 * 32,292, each at every place of all other recordings); copies under noise a third as large as the signal come to 0.97 and
 * more, because the band leaves most of the noise out.
 */
export function createMatcher(dataset: Dataset, bands: Bands) {
  const rateHz = Math.min(dataset.rateHz, fineHz);
  const factor = rateHz / bands.rateHz;
  /** Slow recordings are searched sample by sample: there, a "second" is as many samples as at the search rate. */
  const unit = bands.rateHz < searchHz ? searchHz / bands.rateHz : 1;
  let fine: Float64Array[][] | undefined;
  const fineOf = (r: number) => {
    if (!fine) {
      fine = bandsOf(dataset, dataset.recordings, rateHz).signals;
      scaleFields(fine);
    }
    return fine[r]!;
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
    // What repeats itself fits as well one turn further: no copy can be told there.
    const elsewhere = bestElsewhere(
      x,
      y,
      from,
      from + lag,
      end - from,
      Math.round(0.15 * unit ** -1 * rateHz),
      (3 * rateHz) / unit,
    );
    if (1 - correlation > 0.4 * (1 - elsewhere)) return null;
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

/** Best fit of the stretch to the other recording at another place nearby, or to itself. */
function bestElsewhere(
  x: Float64Array[],
  y: Float64Array[],
  from: number,
  to: number,
  length: number,
  least: number,
  most: number,
): number {
  // A part of it is enough, and leaves room to move it.
  const part = Math.min(length, Math.round(most));
  let best = 0;
  for (let shift = least; shift <= most; shift += 2) {
    for (const sign of [-1, 1]) {
      const at = to + sign * shift;
      if (at < 0 || at + part > y[0]!.length) continue;
      best = Math.max(best, fitOf(x, from, y, at, part));
    }
  }
  return best;
}
