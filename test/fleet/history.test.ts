import { describe, expect, it } from 'vitest';
import { bucketNames, bucketWidths, mostBuckets } from '../../src/lib/api/contract/history.js';
import {
  bucketRange,
  type Counts,
  latencyBucket,
  latencyQuantile,
  mostKeys,
  packCounts,
  startOf,
  unpackCounts,
} from '../../src/lib/fleet/history.js';
import { fc, runs } from '../support/property.js';

const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];
const now = Date.UTC(2026, 10, 20, 10, 36, 38);

function unpacked(text: string, wants?: (device: number) => boolean) {
  const found: [number, string, number][] = [];
  unpackCounts(text, (...one) => void found.push(one), wants);
  return found;
}

describe('packed counts', () => {
  const counts = fc.uniqueArray(fc.tuple(fc.string(), fc.integer({ min: 1, max: 2 ** 50 })), {
    selector: ([key]) => key,
    maxLength: 6,
  });
  const fleets = fc.uniqueArray(fc.tuple(fc.nat(5000), counts), { selector: ([number]) => number });

  it('are the same after unpacking, sorted by number', () => {
    fc.assert(
      fc.property(fleets, (fleet) => {
        const devices = new Map<number, Counts>(fleet.map(([number, own]) => [number, new Map(own)]));
        const wanted = [...fleet]
          .sort(([a], [b]) => a - b)
          .flatMap(([number, own]) => own.map(([key, n]) => [number, key, n]));
        expect(unpacked(packCounts(devices))).toEqual(wanted);
        const even = (number: number) => number % 2 === 0;
        expect(unpacked(packCounts(devices), even)).toEqual(
          wanted.filter(([number]) => even(Number(number))),
        );
      }),
      { numRuns: runs(1000) },
    );
  });

  it('are rejected if damaged, and never read endlessly', () => {
    fc.assert(
      fc.property(fleets, fc.nat(), fc.string({ minLength: 1, maxLength: 3 }), (fleet, at, junk) => {
        const text = packCounts(new Map(fleet.map(([number, own]) => [number, new Map(own)])));
        const place = at % text.length;
        const damaged = `${text.slice(0, place)}${junk}${text.slice(place + junk.length)}`;
        let seen = 0;
        try {
          unpackCounts(damaged, () => seen++);
        } catch (error) {
          expect(error).toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
        }
        expect(seen).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: runs(1000) },
    );
  });

  it('have a bounded number of keys, and keep the sum', () => {
    const devices = new Map([
      [0, new Map(Array.from({ length: mostKeys }, (_, i): [string, number] => [`m@1\tc${i}`, 1]))],
      [1, new Map(Array.from({ length: 300 }, (_, i): [string, number] => [`m@1\td${i}`, 2]))],
    ]);
    const found = unpacked(packCounts(devices));
    expect(found.at(-1)).toEqual([1, '', 600]);
    expect(found.length).toBe(mostKeys + 1);
    const twice = new Map<number, Counts>();
    for (const [number, key, n] of found)
      twice.set(number, new Map([...(twice.get(number) ?? []), [key, n]]));
    twice.get(1)?.set('m@1\tnew', 5);
    expect(unpacked(packCounts(twice)).reduce((sum, [, , n]) => sum + n, 0)).toBe(mostKeys + 605);
  });
});

describe('bucketRange', () => {
  it.each([
    ['an hour', hour, '1m', 61],
    ['a day', day, '10m', 145],
    ['a week', 7 * day, '1h', 169],
    ['30 days', 30 * day, '4h', 181],
  ])('chooses buckets for %s', (_, ageMs, name, count) => {
    const { width, first, last } = bucketRange({ from: now - ageMs }, now);
    expect([width.name, (last - first) / width.ms + 1]).toEqual([name, count]);
  });

  it('accepts the longest range of a client whose clock is slow', () => {
    const { width } = bucketRange({ from: now - 31 * day - 2 * hour }, now);
    expect(width.name).toBe('4h');
  });

  it('covers the range with a bounded number of aligned, kept buckets', () => {
    const times = fc.integer({ min: now - 40 * day, max: now + day });
    fc.assert(
      fc.property(times, times, fc.option(fc.constantFrom(...bucketNames)), (from, to, bucket) => {
        let range: ReturnType<typeof bucketRange>;
        try {
          range = bucketRange({ from, to, bucket: bucket ?? undefined }, now);
        } catch (error) {
          expect(error).toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
          return;
        }
        const { width, first, last } = range;
        expect(width.name).toBe(bucket ?? width.name);
        expect([first % width.ms, last % width.ms]).toEqual([0, 0]);
        expect(first).toBeLessThanOrEqual(from);
        expect(last + width.ms).toBeGreaterThanOrEqual(Math.min(to, now));
        expect((last - first) / width.ms + 1).toBeLessThanOrEqual(mostBuckets);
      }),
      { numRuns: runs(1000) },
    );
  });

  it.each([
    [{ from: now - hour, to: now - hour }, 'from: expected a time before `to`'],
    [{ from: now + hour, to: now + 2 * hour }, 'from: expected a time in the past'],
    [{ from: now - 32 * day }, 'from: the range is longer than 31d'],
    [{ from: now - day, bucket: '1m' as const }, 'bucket: buckets of 1m are kept for 3h'],
  ])('rejects %o', (query, message) => {
    expect(() => bucketRange(query, now)).toThrow(message);
  });

  it('keeps each width at least as long as the next one needs', () => {
    for (const { ms, keptMs } of bucketWidths) expect(keptMs / ms).toBeLessThan(mostBuckets);
    expect(startOf(now, 10 * minute)).toBe(Date.UTC(2026, 10, 20, 10, 30));
  });
});

describe('latencyQuantile', () => {
  it('is within 10 % of the exact quantile', () => {
    const latencies = fc.array(fc.double({ min: 0.01, max: 1e5, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(latencies, fc.constantFrom(0.5, 0.99), (all, share) => {
        const buckets = new Map<number, number>();
        for (const ms of all) buckets.set(latencyBucket(ms), (buckets.get(latencyBucket(ms)) ?? 0) + 1);
        const exact =
          [...all].sort((a, b) => a - b)[Math.max(0, Math.ceil(share * all.length - 1e-9) - 1)] ?? 0;
        const found = latencyQuantile(buckets, share) ?? Number.NaN;
        expect(found / exact).toBeGreaterThan(0.99);
        expect(found / exact).toBeLessThan(1.11);
      }),
    );
  });

  it('is null without counts, and bounded for any latency', () => {
    expect(latencyQuantile(new Map(), 0.5)).toBeNull();
    expect(latencyBucket(1e300)).toBe(latencyBucket(1e200));
  });
});
