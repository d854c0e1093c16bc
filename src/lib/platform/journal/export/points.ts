import type { RecordingPoints } from '../../../registry/index.js';
import type { Samples } from './rows.js';

/** Samples near each other: the least and the greatest value of each field, and when each was; NaN where it has none. */
interface Bucket {
  first: number;
  last: number;
  low: number[];
  lowAt: number[];
  high: number[];
  highAt: number[];
}

/** A pause of so many steps of the rate is one, and no line goes over it. */
const pauseSteps = 10;

/**
 * What a plot of samples needs, in one pass: the samples themselves where there are at most so many, else two rows for each
 * stretch of time, with the least and the greatest value of each field in the order in which they came. No peak is lost,
 * and memory does not grow with the recording: stretches that become too many are made twice as long.
 * @param most rows, apart from those of pauses
 */
export async function pointsOf(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
  { most, rateHz }: { most: number; rateHz: number },
): Promise<Pick<RecordingPoints, 'samples' | 'reduced' | 't' | 'columns'>> {
  let samples = 0;
  let buckets = new Map<number, Bucket>();
  /** ms; null: each sample is by itself. */
  let width: number | null = null;
  let origin = 0;
  let near: { key: number; bucket: Bucket } | undefined;
  const shrink = () => {
    const all = [...buckets.values()];
    const from = all.reduce((least, { first }) => Math.min(least, first), Infinity);
    const to = all.reduce((greatest, { last }) => Math.max(greatest, last), -Infinity);
    if (width === null) origin = from;
    width = Math.max((width ?? 0) * 2, (to - from) / (most / 2 - 1), 1e-3);
    buckets = new Map();
    near = undefined;
    for (const bucket of all) {
      const key = Math.floor((bucket.first - origin) / width);
      const there = buckets.get(key);
      if (there) merge(there, bucket);
      else buckets.set(key, bucket);
    }
  };
  for await (const { t, columns } of batches) {
    const values = fields.map((field) => columns.get(field));
    for (let i = 0; i < t.length; i++) {
      const time = t[i] as number;
      const key = width === null ? samples : Math.floor((time - origin) / width);
      samples++;
      if (near?.key !== key) {
        let bucket = buckets.get(key);
        if (!bucket) {
          bucket = emptyBucket(time, fields.length);
          buckets.set(key, bucket);
        }
        near = { key, bucket };
      }
      add(near.bucket, time, values, i);
      while (buckets.size > (width === null ? most : most / 2)) shrink();
    }
  }
  const sorted = [...buckets.values()].sort((a, b) => a.first - b.first);
  const pauseMs = rateHz > 0 ? (pauseSteps * 1000) / rateHz : Infinity;
  return { samples, reduced: width !== null, ...rowsOf(sorted, fields.length, pauseMs) };
}

function emptyBucket(time: number, fields: number): Bucket {
  const none = () => new Array<number>(fields).fill(Number.NaN);
  return { first: time, last: time, low: none(), lowAt: none(), high: none(), highAt: none() };
}

function add(bucket: Bucket, time: number, values: readonly (number[] | undefined)[], i: number): void {
  if (time < bucket.first) bucket.first = time;
  if (time > bucket.last) bucket.last = time;
  for (let f = 0; f < values.length; f++) {
    const value = values[f]?.[i];
    if (value === undefined) continue;
    // Not of NaN, so that the first one counts.
    if (!(value >= (bucket.low[f] as number))) {
      bucket.low[f] = value;
      bucket.lowAt[f] = time;
    }
    if (!(value <= (bucket.high[f] as number))) {
      bucket.high[f] = value;
      bucket.highAt[f] = time;
    }
  }
}

function merge(into: Bucket, from: Bucket): void {
  into.first = Math.min(into.first, from.first);
  into.last = Math.max(into.last, from.last);
  for (let f = 0; f < into.low.length; f++) {
    const [low = Number.NaN, high = Number.NaN] = [from.low[f], from.high[f]];
    if (Number.isNaN(low)) continue;
    if (!(low >= (into.low[f] as number))) {
      into.low[f] = low;
      into.lowAt[f] = from.lowAt[f] as number;
    }
    if (!(high <= (into.high[f] as number))) {
      into.high[f] = high;
      into.highAt[f] = from.highAt[f] as number;
    }
  }
}

function rowsOf(
  buckets: readonly Bucket[],
  fields: number,
  pauseMs: number,
): { t: number[]; columns: (number | null)[][] } {
  const t: number[] = [];
  const columns = Array.from({ length: fields }, (): (number | null)[] => []);
  const row = (time: number, value: (field: number) => number) => {
    t.push(time);
    for (const [f, column] of columns.entries()) {
      const one = value(f);
      column.push(Number.isNaN(one) ? null : one);
    }
  };
  let before = Infinity;
  for (const { first, last, low, lowAt, high, highAt } of buckets) {
    if (first - before > pauseMs) row((before + first) / 2, () => Number.NaN);
    const rising = (f: number) => (lowAt[f] as number) <= (highAt[f] as number);
    row(first, (f) => (rising(f) ? low[f] : high[f]) as number);
    if (last > first) row(last, (f) => (rising(f) ? high[f] : low[f]) as number);
    before = last;
  }
  return { t, columns };
}
