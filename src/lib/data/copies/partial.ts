import type { Dataset } from '../types.js';
import { bandsOf, scaleFields, searchHz } from './band.js';
import { createMatcher, type Match } from './match.js';
import { createSigner, indexSignatures } from './signatures.js';

/** Samples of a window whose signature is compared, and from one such window to the next. */
const windowSamples = 50;
const strideSamples = 25;
/** Correlation at the search rate that is worth a closer look. */
const worthALook = 0.8;
/** Places looked at closely for one window: a machine that repeats itself has hundreds. */
const mostPlaces = 10;

export interface PartialCopy extends Match {
  /** Recordings, by their place in the dataset; a is the first. */
  a: number;
  b: number;
}

/**
 * Stretches of one recording that are in another one too, with noise, a factor, an offset or at another place: windows are
 * found by their signatures, compared by normalized cross-correlation, and grown as far as the two stay alike. One stretch a
 * pair, the longest. Nothing shorter than four seconds at 20 Hz and more is found, and nothing in a signal that repeats itself.
 * @param apart says whether two recordings are to be compared
 */
export function partialCopies(dataset: Dataset, apart: (a: number, b: number) => boolean): PartialCopy[] {
  const { recordings } = dataset;
  const bands = bandsOf(dataset, recordings, searchHz);
  const sizes = scaleFields(bands.signals, recordings);
  const sign = createSigner(dataset.fields.length, windowSamples);
  const signatures = bands.signals.map(sign);
  const index = indexSignatures(signatures);
  const matcher = createMatcher(dataset, bands, sizes);
  const best = new Map<string, PartialCopy>();
  for (let a = 0; a < recordings.length; a++) {
    for (let at = 0; at < signatures[a]!.length; at += strideSamples) {
      const signature = signatures[a]![at]!;
      if (signature === 0) continue;
      const places: { b: number; to: number; fit: number }[] = [];
      index.near(signature, (b, to) => {
        if (b <= a || places.length > 20 * mostPlaces || !apart(a, b)) return;
        const known = best.get(`${a},${b}`);
        if (known && covers(known, at, to, bands.rateHz)) return;
        const fit = matcher.coarse(a, at, b, to, windowSamples);
        if (fit >= worthALook) places.push({ b, to, fit });
      });
      places.sort((p, q) => q.fit - p.fit);
      for (const { b, to } of places.slice(0, mostPlaces)) {
        const match = matcher.grown(a, at, b, to, windowSamples);
        const key = `${a},${b}`;
        if (match && match.seconds > (best.get(key)?.seconds ?? 0)) best.set(key, { ...match, a, b });
      }
    }
  }
  return [...best.values()].sort((p, q) => q.seconds - p.seconds);
}

/** The place lies in what is known to be a copy. */
function covers(known: PartialCopy, at: number, to: number, rateHz: number): boolean {
  const seconds = at / rateHz;
  const lag = to / rateHz - seconds;
  return (
    seconds >= known.fromA - 1 &&
    seconds <= known.fromA + known.seconds &&
    Math.abs(lag - (known.fromB - known.fromA)) < 0.2
  );
}
