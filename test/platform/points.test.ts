import { describe, expect, it } from 'vitest';
import { pointsOf, type Samples } from '../../src/lib/platform/datasets/exports.js';
import { fc, runs } from '../support/property.js';

const about = { device: 'd', recording: 'r', seq: null };
async function* batchesOf(t: readonly number[], columns: Record<string, readonly number[]>, size = 100) {
  for (let from = 0; from < t.length; from += size) {
    const part = <T>(of: readonly T[]) => of.slice(from, from + size);
    const some: Samples = {
      ...about,
      t: part(t),
      label: part(t).map(() => null),
      columns: new Map(Object.entries(columns).map(([name, column]) => [name, part(column)])),
    };
    yield some;
  }
}

describe('plot points', () => {
  it('are the samples themselves if there are few, with a gap for a pause', async () => {
    const t = [0, 10, 20, 500, 510];
    const found = await pointsOf(['x', 'y'], batchesOf(t, { x: [1, 2, 3, 4, 5] }), { most: 10, rateHz: 100 });
    expect(found).toEqual({
      samples: 5,
      reduced: false,
      t: [0, 10, 20, 260, 500, 510],
      columns: [
        [1, 2, 3, null, 4, 5],
        [null, null, null, null, null, null],
      ],
    });
  });

  it('keep the single peak of a million samples, minimum and maximum in order, within the limit', async () => {
    const t = Array.from({ length: 1_000_000 }, (_, i) => i);
    const x = t.map((i) => (i === 654_321 ? 99 : i === 654_320 ? -99 : 0));
    const found = await pointsOf(['x'], batchesOf(t, { x }, 1000), { most: 2000, rateHz: 1000 });
    expect(found.reduced).toBe(true);
    expect(found.samples).toBe(1_000_000);
    expect(found.t.length).toBeGreaterThan(900);
    expect(found.t.length).toBeLessThanOrEqual(2000);
    const [column = []] = found.columns;
    const at = column.indexOf(-99);
    expect(column[at + 1]).toBe(99);
    expect(Math.abs((found.t[at] ?? 0) - 654_321)).toBeLessThan(2000);
  });

  it('are sorted by time and keep the minimum and maximum, whatever the timestamps', async () => {
    const samples = fc.array(fc.tuple(fc.integer({ min: -1e6, max: 1e6 }), fc.integer({ min: -9, max: 9 })), {
      minLength: 1,
      maxLength: 300,
    });
    await fc.assert(
      fc.asyncProperty(samples, fc.integer({ min: 10, max: 60 }), async (rows, most) => {
        const [t, x] = [rows.map(([time]) => time), rows.map(([, value]) => value)];
        const found = await pointsOf(['x'], batchesOf(t, { x }, 7), { most, rateHz: 0 });
        const values = (found.columns[0] ?? []).filter((value) => value !== null);
        expect(found.t).toEqual([...found.t].sort((a, b) => a - b));
        expect(Math.min(...values)).toBe(Math.min(...x));
        expect(Math.max(...values)).toBe(Math.max(...x));
        expect(found.t.length).toBeLessThanOrEqual(most);
        expect(found.t[0]).toBe(Math.min(...t));
        expect(found.t.at(-1)).toBe(Math.max(...t));
      }),
      { numRuns: runs(100) },
    );
  });
});
