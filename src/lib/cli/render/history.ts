import {
  type LatencyHistory,
  longestRangeMs,
  type PredictionHistory,
  type PresenceHistory,
} from '../../api/contract/history.js';
import { percent, plural, thousands } from '../../core/figures.js';
import { formatDuration } from '../../core/time.js';
import { plotText, type Series } from './chart.js';
import { dim, lineWidth, minute, table } from './text.js';

/** Rows of each curve, and its largest width in characters, with two values each. */
const [rows, widest] = [3, 92];

/** Presence, predictions or latency over time as curves, with gaps where nothing is known, and as totals. @param now ms since 1970 */
export function historyText(
  history: PresenceHistory | PredictionHistory | LatencyHistory,
  now = Date.now(),
): string {
  const { buckets, from, to, bucketMs } = history;
  const known = buckets.filter((bucket) => knownValue(bucket) !== null).length;
  const range = dim(
    `${minute(from)} to ${minute(to)} UTC, ${plural(buckets.length, 'bucket')} of ${formatDuration(bucketMs)}`,
  );
  // The history is kept for as long as the longest range.
  const old = buckets.filter(({ at }) => at + bucketMs <= now - longestRangeMs).length;
  const kept = `the history is kept for ${formatDuration(longestRangeMs)}`;
  if (known === 0 && old === buckets.length) return `${kept}, and this time is longer ago\n${range}`;
  if (known === 0)
    return `nothing is known of this time: the platform did not run, or started less than two minutes ago\n${range}`;
  const gaps = buckets.length - known;
  const reasons = `the platform did not run, or is starting${old > 0 ? `; ${kept}` : ''}`;
  const note = gaps === 0 ? [] : [dim(`${plural(gaps, 'bucket')} without data: ${reasons}`)];
  return [...bodyOf(history), range, ...note].join('\n');
}

type Bucket = (PresenceHistory | PredictionHistory | LatencyHistory)['buckets'][number];

function knownValue(bucket: Bucket): number | null {
  return 'online' in bucket ? bucket.online : bucket.total;
}

function bodyOf(history: PresenceHistory | PredictionHistory | LatencyHistory): string[] {
  if ('classes' in history) return predictionLines(history);
  if ('models' in history) return latencyLines(history);
  const { buckets } = history;
  const seen = buckets.filter(({ devices }) => devices !== null);
  const sum = (key: 'online' | 'devices') => seen.reduce((all, bucket) => all + (bucket[key] ?? 0), 0);
  const share = sum('devices') === 0 ? null : sum('online') / sum('devices');
  return [
    curves([{ name: 'devices online', values: buckets.map(({ online }) => online ?? Number.NaN) }]),
    ...(share === null
      ? ['no device of these had ever connected']
      : [
          `online ${percent(share)} of the time, ${thousands(Math.round(seen.at(-1)?.devices ?? 0))} devices`,
        ]),
  ];
}

function predictionLines({ buckets, classes }: PredictionHistory): string[] {
  const total = buckets.reduce((sum, bucket) => sum + (bucket.total ?? 0), 0);
  if (total === 0) return ['no predictions arrived'];
  const of = (i: number) => buckets.map(({ counts }) => counts?.[i] ?? Number.NaN);
  const sums = classes.map((name, i): [string, number] => [
    name,
    of(i).reduce((sum, n) => sum + (Number.isFinite(n) ? n : 0), 0),
  ]);
  const rest = total - sums.reduce((sum, [, n]) => sum + n, 0);
  if (rest > 0) sums.push(['(no class, or another one)', rest]);
  return [
    curves(classes.slice(0, 8).map((name, i) => ({ name, values: of(i) }))),
    table(
      ['class', 'predictions', 'share'],
      sums.map(([name, n]) => [name, thousands(n), percent(n / total)]),
    ),
  ];
}

function latencyLines({ buckets }: LatencyHistory): string[] {
  const total = buckets.reduce((sum, bucket) => sum + (bucket.total ?? 0), 0);
  if (total === 0) return ['no predictions arrived'];
  const series = (['p50', 'p99'] as const).map((name) => ({
    name: `${name} ms`,
    values: buckets.map((bucket) => bucket[name] ?? Number.NaN),
  }));
  return [curves(series), `${thousands(total)} predictions`];
}

function curves(series: readonly Series[]): string {
  const width = Math.max(10, Math.min(widest, lineWidth() - 1));
  return plotText(
    series.map(({ name, values }) => ({ name, values: fitted(values, width * 2) })),
    width,
    rows,
  );
}

/** Means of neighboring values, so that all of them fit. A gap stays a gap. */
export function fitted(values: readonly number[], most: number): number[] {
  const together = Math.max(1, Math.ceil(values.length / most));
  return Array.from({ length: Math.ceil(values.length / together) }, (_, i) => {
    const some = values.slice(i * together, (i + 1) * together);
    return some.reduce((sum, value) => sum + value, 0) / some.length;
  });
}
