import { gaussian, seededRandom } from '../../core/numbers.js';
import type { Dataset } from '../types.js';
import { type Bands, bandsOf, scaleBy, scaleFields, searchHz } from './band.js';

/** Number of samples per window whose signature is compared, and the step between such windows. */
const windowSamples = 50;

const strideSamples = 25;

/** Minimum correlation at the search rate that leads to a comparison at the full rate. */
const worthALook = 0.8;

/** Maximum number of candidates examined for one window. A periodic machine yields hundreds. */
const mostPlaces = 10;

interface PartialCopy extends Match {
  /** Indexes of the recordings in the dataset, lower index first. */
  a: number;
  b: number;
}

/**
 * Finds stretches of one recording that also occur in another, possibly with noise, a factor or an offset, or at another position. Windows
 * are found by their signatures, compared by normalized cross-correlation, and extended as far as the recordings match. Returns the longest
 * stretch of each pair. Stretches shorter than four seconds (at 20 Hz or more) and periodic stretches are not found.
 * @param apart whether two recordings must be compared
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

/** Whether the position is within a known copy. */
function covers(known: PartialCopy, at: number, to: number, rateHz: number): boolean {
  const seconds = at / rateHz;
  const lag = to / rateHz - seconds;
  return (
    seconds >= known.fromA - 1 &&
    seconds <= known.fromA + known.seconds &&
    Math.abs(lag - (known.fromB - known.fromA)) < 0.2
  );
}

/** Maximum number of differing bits in half of a signature. In two copies of a window, about one bit in twenty differs. */
const halfFlips = 2;

const allFlips = 6;

/** Positions in recordings, indexed by the signature of the window at each position. */
interface SignatureIndex {
  /** Calls back for each position with a similar signature, with the recording and the first sample. */
  near(signature: number, found: (recording: number, at: number) => void): void;
}

/** Number of samples averaged for a signature. Faster movement is compared only at the full rate. */
const blockSamples = 5;

/**
 * Computes the signature of each window of a signal. Each of its 32 bits indicates on which side of a random plane the window is (Charikar
 * 2002). Windows that are equal except for a factor and noise have nearly the same signature. 0 for windows without movement.
 */
function createSigner(fields: number, windowSamples: number): (signal: Float64Array[]) => Int32Array {
  const random = seededRandom(20_26);
  const blocks = Math.floor(windowSamples / blockSamples);
  const planes = Float64Array.from({ length: 32 * fields * blocks }, () => gaussian(random));
  return (signal) => {
    const length = signal[0]?.length ?? 0;
    const sums = signal.map(blockSums);
    const out = new Int32Array(Math.max(0, length - windowSamples + 1));
    for (let at = 0; at < out.length; at++) {
      let bits = 0;
      let moves = false;
      for (let bit = 0; bit < 32; bit++) {
        let side = 0;
        for (let f = 0; f < fields; f++) {
          const own = (bit * fields + f) * blocks;
          const column = sums[f]!;
          for (let k = 0; k < blocks; k++) side += planes[own + k]! * column[at + k * blockSamples]!;
        }
        if (side !== 0) moves = true;
        bits = (bits << 1) | (side > 0 ? 1 : 0);
      }
      out[at] = moves ? bits : 0;
    }
    return out;
  };
}

function blockSums(column: Float64Array): Float64Array {
  const out = new Float64Array(column.length);
  for (let i = 0; i + blockSamples <= column.length; i++) {
    let sum = 0;
    for (let k = 0; k < blockSamples; k++) sum += column[i + k]!;
    out[i] = sum;
  }
  return out;
}

/** @param signatures of each recording, one per position @returns positions whose halves differ in two bits at most, and in six overall */
function indexSignatures(signatures: Int32Array[]): SignatureIndex {
  const count = signatures.reduce((sum, list) => sum + list.length, 0);
  const all = new Int32Array(count);
  const recordingOf = new Int32Array(count);
  const placeOf = new Int32Array(count);
  let next = 0;
  signatures.forEach((list, r) => {
    for (let at = 0; at < list.length; at++) {
      all[next] = list[at]!;
      recordingOf[next] = r;
      placeOf[next++] = at;
    }
  });
  const halves = [bucketed(all, 16), bucketed(all, 0)];
  const masks = flipsOf(halfFlips);
  return {
    near(signature, found) {
      halves.forEach(({ starts, items }, side) => {
        const own = (signature >>> (side === 0 ? 16 : 0)) & 0xffff;
        for (const mask of masks) {
          const bucket = own ^ mask;
          for (let i = starts[bucket]!; i < starts[bucket + 1]!; i++) {
            const item = items[i]!;
            const other = all[item]!;
            if (other === 0 || ones(other ^ signature) > allFlips) continue;
            // Positions found by the signature's upper half are not reported again for the lower half.
            if (side === 1 && ones((other ^ signature) >>> 16) <= halfFlips) continue;
            found(recordingOf[item]!, placeOf[item]!);
          }
        }
      });
    },
  };
}

function bucketed(all: Int32Array, shift: number): { starts: Int32Array; items: Int32Array } {
  const starts = new Int32Array(65_537);
  for (const signature of all) starts[((signature >>> shift) & 0xffff) + 1]!++;
  for (let b = 0; b < 65_536; b++) starts[b + 1]! += starts[b]!;
  const fill = starts.slice();
  const items = new Int32Array(all.length);
  all.forEach((signature, i) => {
    items[fill[(signature >>> shift) & 0xffff]!++] = i;
  });
  return { starts, items };
}

/** All 16-bit numbers in which at most this many bits are set. */
function flipsOf(most: number): number[] {
  return Array.from({ length: 65_536 }, (_, mask) => mask).filter((mask) => ones(mask) <= most);
}

function ones(bits: number): number {
  let v = bits - ((bits >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Maximum sampling rate for the comparison of stretches, Hz. */
const fineHz = 100;

/** A match is extended by blocks of this many seconds (at 20 Hz or more) while their correlation is at least `blockFit`. */
const blockSeconds = 0.5;

const blockFit = 0.8;

interface Match {
  /** Seconds from the beginning of each recording, and the duration of the match. */
  fromA: number;
  fromB: number;
  seconds: number;
  /** Normalized cross-correlation of all fields over that stretch: 1 = identical except for a factor. */
  correlation: number;
}

/**
 * Minimum correlation of a stretch of this length (seconds). Short stretches often match without being copies, and those under 4 s never
 * count. The number of independent values grows with the length, so the permitted difference does too, up to 0.03.
 */
function leastFit(seconds: number): number {
  return seconds < 4 ? 2 : 1 - Math.min(0.03, 0.002 * seconds);
}

/**
 * Compares stretches of recordings. In the HAR recordings, the best match between unrelated 5-second stretches was 0.951 (among 32,292
 * stretches, each at every position in all other recordings). A copy reaches 0.99 if white noise is a fifth as large as the signal, and
 * 0.98 if it is a third, because the band-pass filter removes most noise. In a test with far more regular walks, eight 8-second stretches
 * were copied. With noise a fifth as large as the signal, all of them are found; with a third, seven; and with half, none. Among 40 such
 * walks, no two were mistaken for copies.
 */
function createMatcher(dataset: Dataset, bands: Bands, sizes: number[]) {
  const rateHz = Math.min(dataset.rateHz, fineHz);
  const factor = rateHz / bands.rateHz;
  /**
   * Factor for durations in slow recordings, which are searched sample by sample. One "second" then has as many samples as at the search
   * rate.
   */
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
    // Periodic signals, such as steps, match nearly as well at other positions. Such a match does not prove a copy.
    const elsewhere = bestElsewhere(x, from, y, from + lag, end - from, Math.round((0.15 * rateHz) / unit));
    if (1 - correlation > 0.25 * (1 - elsewhere)) return null;
    return { fromA: from / rateHz, fromB: (from + lag) / rateHz, seconds, correlation };
  }
  return {
    /** Correlation of two windows at the search rate. */
    coarse: (a: number, at: number, b: number, to: number, windowSamples: number) =>
      fitOf(bands.signals[a]!, at, bands.signals[b]!, to, windowSamples),
    /** The stretch around two windows in which the recordings match; null if the stretch is not a copy. */
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

/** Best match between the beginning of a stretch and any other position in the other recording. */
function bestElsewhere(
  x: Float64Array[],
  from: number,
  y: Float64Array[],
  to: number,
  length: number,
  apart: number,
): number {
  // A few seconds of the stretch are enough, and leave room to shift it within the other recording.
  const part = Math.min(length, 40 * apart, Math.floor(y[0]!.length / 2));
  let best = 0;
  for (let at = 0; at + part <= y[0]!.length; at++) {
    if (Math.abs(at - to) >= apart) best = Math.max(best, fitOf(x, from, y, at, part));
  }
  return best;
}
