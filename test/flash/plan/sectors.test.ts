import { describe, expect, it } from 'vitest';
import { changedSectors, joinSectors } from '../../../src/lib/flash/plan/plan.js';
import { fc, runs } from '../../support/property.js';

const region = (name: string, offset: number, bytes: number, fill = 1) => ({
  name,
  offset,
  data: new Uint8Array(bytes).fill(fill),
});

describe('the joining of regions', () => {
  it('merges regions that share a sector, with erased bytes between them', () => {
    const joined = joinSectors([region('b', 0x10800, 16, 2), region('a', 0x10000, 16)]);
    expect(joined).toMatchObject([{ name: 'a + b', offset: 0x10000, parts: [{ name: 'a' }, { name: 'b' }] }]);
    const { data } = joined[0]!;
    expect(data.length).toBe(0x810);
    expect([data[15], data[16], data[0x7ff], data[0x800]]).toEqual([1, 0xff, 0xff, 2]);
  });

  it('keeps regions in different sectors separate', () => {
    const joined = joinSectors([region('a', 0x10010, 0xff0), region('b', 0x11000, 1)]);
    expect(joined.map(({ name }) => name)).toEqual(['a', 'b']);
  });
});

describe('changed sectors', () => {
  it('are the whole flash sectors that differ', () => {
    const now = region('app', 0x10000, 5 * 4096);
    const old = Uint8Array.from(now.data);
    old[4096] = 9;
    old[3 * 4096 - 1] = 9;
    old[4 * 4096] = 9;
    expect(changedSectors(now, old).map(({ offset, data }) => [offset, data.length])).toEqual([
      [0x11000, 8192],
      [0x14000, 4096],
    ]);
  });

  it('include everything past the end of the old data', () => {
    const now = region('app', 0x10000, 3 * 4096 + 5);
    expect(
      changedSectors(now, now.data.subarray(0, 5000)).map(({ offset, data }) => [offset, data.length]),
    ).toEqual([[0x11000, 2 * 4096 + 5]]);
    expect(changedSectors(now, now.data)).toEqual([]);
  });

  it('turn any old data into the new data', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 20_000 });
    const edits = fc.array(fc.tuple(fc.nat(20_000), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(bytes, edits, fc.nat(8000), (data, changes, offset) => {
        const old = Uint8Array.from(data);
        for (const [at, value] of changes) if (at < old.length) old[at] = value;
        const flash = Uint8Array.from(old);
        const runs = changedSectors({ name: 'a', offset, data }, old);
        for (const run of runs) flash.set(run.data, run.offset - offset);
        expect(Buffer.compare(flash, data)).toBe(0);
        // A run begins at a sector boundary or at the start of the region.
        for (const run of runs) expect(run.offset === offset || run.offset % 4096 === 0).toBe(true);
      }),
      { numRuns: runs(50) },
    );
  });
});
