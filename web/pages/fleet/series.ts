import type { DeviceSeries } from '../../../src/lib/api/index.js';
import { type Line, nameOf, pauseShare } from './lines.js';

/** Combines responses for adjacent ranges with the same buckets, the oldest first. */
export function joinedSeries(parts: readonly DeviceSeries[]): DeviceSeries['series'] {
  const joined = new Map<string, DeviceSeries['series'][number]>();
  for (const { series } of parts)
    for (const { stream, field, buckets } of series) {
      const key = JSON.stringify([stream, field]);
      const known = joined.get(key);
      joined.set(key, { stream, field, buckets: [...(known?.buckets ?? []), ...buckets] });
    }
  return [...joined.values()];
}

/**
 * The means of buckets as lines at the middle of each bucket, with the minima and maxima, sorted by name.
 * @param seconds time that is shown
 */
export function linesOfSeries(
  series: DeviceSeries['series'],
  bucketMs: number,
  seconds: number,
): (Line & Required<Pick<Line, 'low' | 'high'>>)[] {
  const width = bucketMs / 1000;
  const pause = Math.max(1.5 * width, pauseShare * seconds);
  return series
    .map(({ stream, field, buckets }) => {
      const line = {
        ...{ stream, field },
        times: [] as number[],
        values: [] as (number | null)[],
        low: [] as (number | null)[],
        high: [] as (number | null)[],
      };
      const push = (time: number, mean: number | null, min: number | null, max: number | null) => {
        line.times.push(time);
        line.values.push(mean);
        line.low.push(min);
        line.high.push(max);
      };
      for (const { at, mean, min, max } of buckets) {
        const time = at / 1000 + width / 2;
        const last = line.times.at(-1);
        if (last !== undefined && time - last > pause) push(last + width / 2, null, null, null);
        push(time, mean, min, max);
      }
      return line;
    })
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}
