import type { SampleBatch } from '../../sensor/types.js';
import { createBandLimited } from '../../signal/band-limited.js';
import type { Tell, Timing } from './types.js';

interface GridOptions {
  fields: number;
  timing: Timing;
  /** Rate declared by the sensor, its messages or the address, Hz. */
  nominalHz: number | null;
  contractHz: number | null;
  resample: 'auto' | 'on' | 'off';
  measuredHz: () => number | null;
  tell: Tell;
}

/** Converts segments to the contract's rate. */
interface Grid {
  add(segment: Segment): SampleBatch[];
  /** Called at the end. Returns the samples that were held back. */
  end(): SampleBatch[];
  readonly state: 'undecided' | 'passing' | 'resampling';
}

/** Maximum relative deviation of a measured rate that counts as equal to the contract's rate. */
const near = 0.005;

/** Maximum relative deviation in a longer measurement. Beyond it, samples that were passed on unchanged are resampled instead. */
const far = 0.01;

const longLook = { everyMs: 10_000 };

/** Samples are buffered until there are at least this many, over at least this time, to measure their rate. */
const settled = { samples: 16, ms: 1000 };

/**
 * Passes samples that have the contract's rate unchanged, as in training, and resamples others to a regular grid.
 *
 * - `exact`: the declared rate counts.
 * - `own`: the first second is buffered until the sensor's true rate is known, because a nominal 104 Hz may be 100.1. Samples within 0.5 %
 * of the contract's rate are passed on; otherwise the grid follows their times. The rate is checked again every ten seconds.
 * - `arrival`: samples are resampled only if another rate is declared, because bursts do not reveal the rate.
 */
export function createGrid(options: GridOptions): Grid {
  const { fields, timing, nominalHz, contractHz, resample, measuredHz, tell } = options;
  let held: Segment[] = [];
  let mode: 'hold' | 'pass' | ReturnType<typeof createBandLimited> = begin();

  function begin(): typeof mode {
    if (contractHz === null || resample === 'off') return 'pass';
    if (timing === 'own') return 'hold';
    if (nominalHz === null || (nominalHz === contractHz && resample === 'auto')) return 'pass';
    return resampler(nominalHz);
  }

  function resampler(inputHz: number) {
    const outputHz = contractHz ?? inputHz;
    tell('resampling', `samples at ${inputHz.toFixed(2)} Hz are resampled to ${outputHz} Hz`);
    return createBandLimited({ fields, inputHz, outputHz });
  }

  const decide = () => {
    const longest = held.reduce((a, b) => (b.count > a.count ? b : a), held[0]!);
    const { slope } = lineOf(longest);
    const told = longest.count >= settled.samples && slope > 0 ? 1000 / slope : measuredHz();
    const measured = told ?? nominalHz ?? contractHz ?? 1;
    const same = Math.abs(measured / (contractHz ?? measured) - 1) <= near;
    mode = resample === 'auto' && same ? 'pass' : resampler(measured);
  };

  const give = (segment: Segment): SampleBatch[] => {
    if (mode === 'pass' || mode === 'hold') return [segment];
    if (segment.lost > 0) mode.reset();
    const made = mode.push(
      segment.values,
      timing === 'exact' ? segment.times : segment.smooth,
      segment.count,
    );
    broken += segment.lost;
    if (made.count === 0) return [];
    const out = { ...made, lost: broken };
    broken = 0;
    return [out];
  };
  /** Number of lost samples that have not been reported with a batch yet, because the filter initially returns nothing after a gap. */
  let broken = 0;

  /** @returns whether samples, passed on unchanged so far, must now be resampled */
  const reconsider = ({ times, count }: Segment): boolean => {
    const t = times[count - 1]!;
    if (mode !== 'pass' || timing !== 'own' || resample !== 'auto' || contractHz === null) return false;
    const first = Number.isNaN(looked);
    if (t - looked < longLook.everyMs) return false;
    looked = t;
    const measured = first ? null : measuredHz();
    if (measured === null || Math.abs(measured / contractHz - 1) <= far) return false;
    mode = resampler(measured);
    return true;
  };
  let looked = Number.NaN;

  const enough = () => {
    const count = held.reduce((sum, each) => sum + each.count, 0);
    const ms = held.at(-1)!.times.at(-1)! - held[0]!.times[0]!;
    return count >= settled.samples && ms >= settled.ms;
  };
  const release = () => {
    held = joined(held, fields);
    decide();
    for (const segment of held) straighten(segment);
    const out = held.flatMap(give);
    held = [];
    return out;
  };

  return {
    add(segment) {
      if (reconsider(segment)) return give({ ...segment, lost: Math.max(1, segment.lost) });
      if (mode !== 'hold') return give(segment);
      held.push(segment);
      return enough() ? release() : [];
    },
    get state() {
      if (mode === 'hold') return 'undecided';
      return mode === 'pass' ? 'passing' : 'resampling';
    },
    end: () => (mode === 'hold' && held.length > 0 ? release() : []),
  };
}

/** Merges segments without a break between them. */
function joined(segments: readonly Segment[], fields: number): Segment[] {
  const out: Segment[][] = [];
  for (const segment of segments) {
    if (segment.lost > 0 || out.length === 0) out.push([segment]);
    else out.at(-1)!.push(segment);
  }
  return out.map((group) => {
    const count = group.reduce((sum, each) => sum + each.count, 0);
    const whole: Segment = {
      values: new Float64Array(count * fields),
      times: new Float64Array(count),
      smooth: new Float64Array(count),
      count,
      lost: group[0]!.lost,
    };
    let at = 0;
    for (const { values, times, smooth, count: own } of group) {
      whole.values.set(values, at * fields);
      whole.times.set(times, at);
      whole.smooth.set(smooth, at);
      at += own;
    }
    return whole;
  });
}

/** Least-squares line through a segment's times: ms from the first time to the line's value at sample 0, and ms per sample. */
function lineOf({ times, count }: Segment): { begin: number; slope: number } {
  const middle = (count - 1) / 2;
  let mean = 0;
  for (let i = 0; i < count; i++) mean += (times[i]! - times[0]!) / count;
  let along = 0;
  let across = 0;
  for (let i = 0; i < count; i++) {
    along += (i - middle) * (times[i]! - times[0]! - mean);
    across += (i - middle) ** 2;
  }
  const slope = across > 0 ? along / across : 0;
  return { begin: mean - middle * slope, slope };
}

/**
 * Smooths the times of the first second's segment by a line through all of them. The follower's own line is not accurate yet in that
 * second.
 */
function straighten(segment: Segment): void {
  const { begin, slope } = lineOf(segment);
  for (let i = 0; i < segment.count; i++) segment.smooth[i] = segment.times[0]! + begin + i * slope;
}

/** Consecutive samples without a break. */
export interface Segment extends SampleBatch {
  /** The samples' times without jitter, on a line through many samples if there is one. */
  smooth: Float64Array;
}

/** Collects samples, and begins a new segment at each break. */
interface Segments {
  push(values: ArrayLike<number>, from: number, t: number, smooth: number): void;
  /** @param lost number of samples that are known to be missing, at least 1 */
  breakHere(lost: number): void;
  /** Ends the current segment, and returns and clears all non-empty segments. */
  take(): Segment[];
}

/** @param fields number of values per sample */
export function createSegments(fields: number): Segments {
  let values = new Float64Array(64 * fields);
  let times = new Float64Array(64);
  let smooths = new Float64Array(64);
  let count = 0;
  let lost = 0;
  let done: Segment[] = [];

  const grow = () => {
    const larger = (of: Float64Array) => {
      const out = new Float64Array(of.length * 2);
      out.set(of);
      return out;
    };
    values = larger(values);
    times = larger(times);
    smooths = larger(smooths);
  };
  const end = () => {
    if (count === 0) return;
    done.push({
      values: values.slice(0, count * fields),
      times: times.slice(0, count),
      smooth: smooths.slice(0, count),
      count,
      lost,
    });
    count = 0;
    lost = 0;
  };

  return {
    push(from, start, t, smooth) {
      if (count === times.length) grow();
      for (let f = 0; f < fields; f++) values[count * fields + f] = from[start + f]!;
      times[count] = t;
      smooths[count] = smooth;
      count++;
    },
    breakHere(missing) {
      end();
      lost += missing;
    },
    take() {
      end();
      const out = done;
      done = [];
      return out;
    },
  };
}
