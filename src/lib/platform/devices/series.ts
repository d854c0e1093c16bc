import {
  type DeviceSeries,
  type DeviceSeriesQuery,
  longestSeriesMs,
  mostSeriesBuckets,
  mostSeriesFields,
  seriesWidthsMs,
  usualSeriesMs,
} from '../../api/contract/devices.js';
import { AiotError } from '../../core/errors.js';
import { formatDuration } from '../../core/time.js';
import { startOf } from '../../fleet/history.js';
import { longestBatchMs } from '../journal/tables.js';
import { fieldsOf, type Take } from '../journal/takes.js';
import type { Span, Telemetry } from '../journal/telemetry.js';
import { streamNames, takesOf } from './talk.js';

/** Samples of one field in one bucket. */
interface Bucket {
  count: number;
  min: number;
  max: number;
  sum: number;
}

/** Buckets by their start, of each field of each stream; the key is JSON of both names. */
type Fields = Map<string, Map<number, Bucket>>;

/** Time after which a response ends, with the newest buckets; the next request continues, ms. */
const patienceMs = 1500;
/** Least number of buckets in a part, and the time that reading a part should take, ms. */
const [firstPart, partMs] = [2, 250];

interface SeriesParts {
  telemetry: Pick<Telemetry, 'streams' | 'takes' | 'readByTime'>;
  /** ms since 1970 */
  now: () => number;
  /** Time for reading, ms. */
  elapsed?: () => number;
}

/**
 * The telemetry of a device in buckets of time by the device's clock, computed from the stored messages, so that late messages count. The
 * newest buckets are read first; after some time, the response ends with those that are complete.
 * @throws AIOT_REQUEST_INVALID
 */
export async function deviceSeries(
  { telemetry, now, elapsed = () => performance.now() }: SeriesParts,
  device: string,
  query: DeviceSeriesQuery,
): Promise<DeviceSeries> {
  const { from, to, widthMs } = seriesRange(query, now());
  const begun = elapsed();
  const takes: Take[] = [];
  for (const stream of await streamNames(telemetry))
    takes.push(...(await takesOf(telemetry, { channel: 'telemetry', stream, devices: [device] })));
  const fields: Fields = new Map();
  // Each part reads the time of the longest batch before it, too, so a narrower part would mostly read what the next one reads again.
  const narrowest = startOf(Math.max(firstPart * widthMs, longestBatchMs) + widthMs - 1, widthMs);
  let readFrom = to;
  for (let width = narrowest; readFrom > from; ) {
    const part = { from: Math.max(from, readFrom - width), to: readFrom };
    const started = elapsed();
    const isLate = () => width > narrowest && elapsed() - started > patienceMs;
    const found: Fields = new Map();
    for (const take of takes)
      if (overlaps(take, part) && !isLate()) await addTake(found, telemetry, take, part, widthMs, isLate);
    if (isLate()) {
      // After a long time without messages, the part is too wide for those before it, and incomplete.
      width = Math.max(narrowest, startOf(width / 16, widthMs));
      continue;
    }
    for (const [key, buckets] of found) {
      const all = fields.get(key) ?? new Map<number, Bucket>();
      for (const [at, bucket] of buckets) all.set(at, bucket);
      fields.set(key, all);
    }
    readFrom = part.from;
    const took = elapsed() - started;
    if (elapsed() - begun > patienceMs) break;
    // Most parts are as dense as the one before.
    if (took < partMs / 2) width *= 2;
    else if (took > partMs) width = Math.max(narrowest, startOf((width * partMs) / took, widthMs));
  }
  const all = [...fields].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...{ from, to, bucketMs: widthMs, readFrom, fieldsLeftOut: Math.max(0, all.length - mostSeriesFields) },
    series: all.slice(0, mostSeriesFields).map(([key, buckets]) => {
      const [stream, field] = JSON.parse(key) as [string, string];
      const shown = [...buckets].sort(([a], [b]) => a - b);
      return {
        ...{ stream, field },
        buckets: shown.map(([at, { count, min, max, sum }]) => ({ at, count, min, max, mean: sum / count })),
      };
    }),
  };
}

/** The range in whole buckets, and their width. */
function seriesRange({ from, to, bucketMs }: DeviceSeriesQuery, now: number) {
  const end = to ?? now;
  const begin = from ?? Math.max(0, end - usualSeriesMs);
  if (begin >= end) throw invalid('from', 'expected a time before `to`, which is now if absent');
  if (end - begin > longestSeriesMs)
    throw invalid('from', `the range exceeds ${formatDuration(longestSeriesMs)}`);
  const fits = (width: number) => Math.ceil((end - begin) / width) < mostSeriesBuckets;
  const widthMs = bucketMs ?? seriesWidthsMs.find(fits) ?? Math.max(...seriesWidthsMs);
  if (!fits(widthMs)) throw invalid('bucketMs', `the range has more than ${mostSeriesBuckets} buckets`);
  return { from: startOf(begin, widthMs), to: startOf(end + widthMs - 1, widthMs), widthMs };
}

function invalid(field: string, message: string): AiotError {
  return new AiotError('AIOT_REQUEST_INVALID', `querystring: ${field}: ${message}`);
}

function overlaps({ startedAt, endedAt }: Take, { from, to }: Required<Span>): boolean {
  return (startedAt ?? 0) < to && (endedAt ?? Number.POSITIVE_INFINITY) + longestBatchMs >= from;
}

/**
 * Adds the samples of a recording from `from` up to but not including `to`, until `isLate`. Those of a batch are 1000 / rate ms apart.
 */
async function addTake(
  fields: Fields,
  telemetry: Pick<Telemetry, 'readByTime'>,
  take: Take,
  { from, to }: Required<Span>,
  widthMs: number,
  isLate: () => boolean,
): Promise<void> {
  const own = new Map<string, Map<number, Bucket>>();
  let messages = 0;
  for await (const { at, payload } of telemetry.readByTime(take, { from, to })) {
    if (++messages % 256 === 0 && isLate()) return;
    const start = typeof payload.t === 'number' ? payload.t : at;
    const stepMs = typeof payload.rate === 'number' ? 1000 / payload.rate : 0;
    for (const [name, column] of fieldsOf(payload)) {
      let buckets = own.get(name);
      for (let i = 0; i < column.length; i++) {
        const time = start + i * stepMs;
        if (time < from || time >= to) continue;
        if (!buckets) {
          const key = JSON.stringify([take.stream, name]);
          buckets = fields.get(key) ?? new Map<number, Bucket>();
          fields.set(key, buckets);
          own.set(name, buckets);
        }
        add(buckets, startOf(time, widthMs), column[i] as number);
      }
    }
  }
}

function add(buckets: Map<number, Bucket>, at: number, value: number): void {
  const bucket = buckets.get(at);
  if (!bucket) {
    buckets.set(at, { count: 1, min: value, max: value, sum: value });
    return;
  }
  bucket.count++;
  bucket.sum += value;
  if (value < bucket.min) bucket.min = value;
  if (value > bucket.max) bucket.max = value;
}
