import {
  type BucketName,
  type BucketWidth,
  bucketWidths,
  longestRangeMs,
  mostBuckets,
  usualRangeMs,
} from '../api/contract/history.js';
import { AiotError } from '../core/errors.js';
import { formatDuration } from '../core/time.js';

/** Counts by key, such as a class: the contents of one bucket of one device. */
export type Counts = Map<string, number>;

/** Buckets from `first` up to and including `last`, which are the starts of the buckets, ms since 1970. */
export interface BucketRange {
  width: BucketWidth;
  first: number;
  last: number;
}

/**
 * The buckets of a range of time: the narrowest that are still kept for its beginning, or those of the requested width.
 * @throws AIOT_REQUEST_INVALID
 */
export function bucketRange(
  {
    from,
    to,
    bucket,
  }: { from?: number | undefined; to?: number | undefined; bucket?: BucketName | undefined },
  now: number,
): BucketRange {
  const end = to ?? now;
  const begin = from ?? Math.max(0, end - usualRangeMs);
  if (begin >= end) throw invalid('from', 'expected a time before `to`, which is now if absent');
  if (begin > now) throw invalid('from', 'expected a time in the past');
  const last = Math.min(end, now);
  if (last - begin > longestRangeMs + slackMs)
    throw invalid('from', `the range is longer than ${formatDuration(longestRangeMs)}`);
  const ageMs = now - begin;
  const isKept = ({ ms, keptMs }: BucketWidth) => ageMs <= keptMs - ms;
  const wanted = bucketWidths.find(({ name }) => name === bucket);
  if (wanted && !isKept(wanted) && wanted !== bucketWidths.at(-1))
    throw invalid(
      'bucket',
      `buckets of ${wanted.name} are kept for ${formatDuration(wanted.keptMs)}`,
      'Ask for wider buckets, for a later `from`, or leave `bucket` out.',
    );
  const width = wanted ?? bucketWidths.find(isKept) ?? (bucketWidths.at(-1) as BucketWidth);
  // The end is exclusive, so that 10:00 to 11:00 in minutes has 60 buckets.
  const range = {
    width,
    first: startOf(begin, width.ms),
    last: startOf(Math.max(begin, last - 1), width.ms),
  };
  if ((range.last - range.first) / width.ms >= mostBuckets)
    throw invalid('bucket', `the range has more than ${mostBuckets} buckets of ${width.name}`);
  return range;
}

function invalid(field: string, message: string, next?: string): AiotError {
  return new AiotError(
    'AIOT_REQUEST_INVALID',
    `querystring: ${field}: ${message}`,
    next === undefined ? {} : { next },
  );
}

/** Tolerance of the longest range, because a client's clock may be slow, ms: one bucket of the widest. */
const slackMs = (bucketWidths.at(-1) as BucketWidth).ms;

/** Start of the bucket that contains a time, ms since 1970. */
export function startOf(time: number, widthMs: number): number {
  return Math.floor(time / widthMs) * widthMs;
}

/** Maximum number of keys in a part of a bucket, except for latency. Devices choose their classes, so there may be any number; the rest is counted as `otherKey`. */
export const mostKeys = 400;
/** Key of the counts that exceed `mostKeys`. No other key is empty. */
export const otherKey = '';

/** Adds to a count. */
export function addTo(counts: Counts, key: string, n: number): void {
  counts.set(key, (counts.get(key) ?? 0) + n);
}

/**
 * Encodes the counts of some devices compactly, because a large fleet has millions: a line with the keys as JSON, then base64 of
 * varints. For each device, sorted by number: the difference to the previous number, the number of keys, and each key's index with its count.
 * @param most maximum number of keys; the rest is counted as `otherKey`
 */
export function packCounts(devices: ReadonlyMap<number, Counts>, most = mostKeys): string {
  const keys = new Map<string, number>();
  const bytes: number[] = [];
  let before = 0;
  for (const number of [...devices.keys()].sort((a, b) => a - b)) {
    const counts: Counts = new Map();
    for (const [key, n] of devices.get(number) ?? []) {
      if (!keys.has(key)) {
        if (keys.size >= most && key !== otherKey) {
          addTo(counts, otherKey, n);
          continue;
        }
        keys.set(key, keys.size);
      }
      addTo(counts, key, n);
    }
    if (counts.has(otherKey) && !keys.has(otherKey)) keys.set(otherKey, keys.size);
    varint(bytes, number - before);
    before = number;
    varint(bytes, counts.size);
    for (const [key, n] of counts) {
      varint(bytes, keys.get(key) ?? 0);
      varint(bytes, n);
    }
  }
  return `${JSON.stringify([...keys.keys()])}\n${Buffer.from(bytes).toString('base64')}`;
}

/**
 * Visits the counts that `packCounts` encoded.
 * @param wants whether to visit a device's counts, by its number
 * @throws AIOT_FILE_MALFORMED
 */
export function unpackCounts(
  text: string,
  visit: (device: number, key: string, n: number) => void,
  wants: (device: number) => boolean = () => true,
): void {
  const line = text.indexOf('\n');
  const keys = keysIn(text.slice(0, Math.max(0, line)));
  const bytes = Buffer.from(text.slice(line + 1), 'base64');
  let at = 0;
  const next = () => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = bytes[at++];
      if (byte === undefined) throw malformed();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  };
  let device = 0;
  while (at < bytes.length) {
    device += next();
    const wanted = wants(device);
    for (let left = next(); left > 0; left--) {
      const key = keys[next()];
      const n = next();
      if (key === undefined) throw malformed();
      if (wanted) visit(device, key, n);
    }
  }
}

function keysIn(text: string): string[] {
  try {
    const keys: unknown = JSON.parse(text);
    if (Array.isArray(keys) && keys.every((key) => typeof key === 'string')) return keys;
  } catch {
    // Reported below.
  }
  throw malformed();
}

function malformed(): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', 'the stored history of the fleet is damaged');
}

/** Appends a number of up to 2^53, seven bits per byte, the lowest first. */
function varint(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
}

/** Ratio between the bounds of a latency bucket, and the highest bucket, of some hours. */
const [growth, highestLatency] = [Math.log(1.1), 250];
/** The lowest bucket is that of one microsecond. */
const lowestLatency = Math.ceil(Math.log(0.001) / growth);
/** Number of latency buckets. */
export const latencyBuckets = highestLatency - lowestLatency + 1;

/** Assigns a latency to a logarithmic bucket, 10 % wide and starting at one microsecond. */
export function latencyBucket(ms: number): number {
  return Math.min(highestLatency, Math.ceil(Math.log(Math.max(ms, 0.001)) / growth));
}

/** The smallest latency (ms, within 10 %) that at least this share of the counts did not exceed; null without counts. */
export function latencyQuantile(buckets: ReadonlyMap<number, number>, share: number): number | null {
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  let left = share * sorted.reduce((sum, [, n]) => sum + n, 0);
  for (const [bucket, n] of sorted) {
    left -= n;
    if (n > 0 && left <= 1e-9) return Number(Math.exp(bucket * growth).toPrecision(3));
  }
  return null;
}
