import { describe, expect, it } from 'vitest';
import { DeltaDecoder } from '../../src/lib/formats/delta/apply.js';
import { createDelta } from '../../src/lib/formats/delta/patch.js';
import { fc, runs } from '../support/property.js';

/** Applies the patch in pieces of the given size, as they arrive over a connection. */
function apply(base: Uint8Array, patch: Uint8Array, bytes: number, piece = 64): Uint8Array {
  const read = (offset: number, count: number) => base.subarray(offset, offset + count);
  const decoder = new DeltaDecoder(read, base.length, bytes);
  const made: Uint8Array[] = [];
  for (let at = 0; at < patch.length; at += piece) made.push(decoder.push(patch.subarray(at, at + piece)));
  return Buffer.concat(made);
}

/** Bytes with repetitions, as in programs. */
const program = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 12 })), {
    maxLength: 12,
  })
  .map((parts) => Buffer.concat(parts.flatMap(([bytes, times]) => Array(times).fill(bytes))));

/** An edited version, with one part removed, one added, and one moved. */
const edited = program.chain((base) =>
  fc
    .tuple(fc.nat(base.length), fc.nat(base.length), fc.uint8Array({ maxLength: 60 }), fc.nat(255))
    .map(([a, b, fresh, step]) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      const moved = base.subarray(from, to).map((byte, i) => (i % 7 === 0 ? byte + step : byte));
      return { base, next: Buffer.concat([base.subarray(0, from), fresh, base.subarray(to), moved]) };
    }),
);

describe('a delta', () => {
  it('turns the base into the next release, however the delta is split', () => {
    fc.assert(
      fc.property(edited, fc.integer({ min: 1, max: 300 }), ({ base, next }, piece) => {
        fc.pre(next.length > 0);
        const patch = createDelta(base, next);
        expect(Buffer.from(apply(base, patch, next.length, piece)).equals(next)).toBe(true);
      }),
      { numRuns: runs(300) },
    );
  });

  it('works with an unrelated or empty base', () => {
    const base = Buffer.alloc(5000, 1);
    const next = Buffer.from('a program that shares nothing with what was there before');
    expect(apply(base, createDelta(base, next), next.length)).toEqual(next);
    expect(apply(Buffer.alloc(0), createDelta(Buffer.alloc(0), next), next.length)).toEqual(next);
  });

  it('is small for a program in which all addresses have shifted', () => {
    const words = (moved: number) =>
      Buffer.from(Uint32Array.from({ length: 8000 }, (_, i) => ((i * 2654435761) & 0xfffff) + moved).buffer);
    const patch = createDelta(words(0), words(64));
    expect(patch.length / 32_000).toBeLessThan(0.15);
  });

  const ones = (every: number) => Buffer.alloc(200_000).map((_, i) => (i % every === 0 ? 1 : 0));
  it.each([
    ['a single different byte', Buffer.concat([Buffer.alloc(100_000), Buffer.of(1), Buffer.alloc(100_000)])],
    ['ones at different intervals', ones(5003)],
  ])('takes less than quadratic time for a run of zeros with %s', (_, next) => {
    const base = ones(5000);
    const began = process.cpuUsage();
    const patch = createDelta(base, next);
    // With quadratic cost, this would take a minute; it takes a fifth of a second.
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(5000);
    expect(patch.length).toBeLessThan(next.length / 20);
    expect(Buffer.from(apply(base, patch, next.length)).equals(next)).toBe(true);
  });

  // Written by detools 0.53.0: create_patch -c heatshrink, for `base` and `next` below.
  const base = Buffer.from('one function, another function, and a third function\n'.repeat(4));
  const next = Buffer.concat([base.subarray(0, 60), Buffer.from('CHANGED'), base.subarray(62)]);
  it('is applied if written by detools', () => {
    const theirs = Buffer.from(golden, 'base64');
    expect(apply(base, theirs, next.length)).toEqual(next);
  });

  it.each([
    ['an unsupported patch type', (patch: Buffer) => (patch[0] = 0x14), 'unknown patch type 20'],
    ['a wrong size', (patch: Buffer) => (patch[1]! ^= 1), 'its size of'],
    ['a window too large for device memory', (patch: Buffer) => (patch[3] = 0xf0), 'its window of 19 bits'],
  ])('is rejected with %s', (_, harm, message) => {
    const patch = Buffer.from(createDelta(base, next));
    harm(patch);
    expect(() => apply(base, patch, next.length)).toThrow(message);
  });

  it('is rejected or produces no more than the expected size if damaged', () => {
    const patch = createDelta(base, next);
    fc.assert(
      fc.property(fc.nat(patch.length * 8 - 1), fc.nat(patch.length), (bit, end) => {
        const harmed = Buffer.from(patch.subarray(0, end === 0 ? patch.length : end));
        if (bit >> 3 < harmed.length) harmed[bit >> 3]! ^= 1 << (bit & 7);
        try {
          expect(apply(base, harmed, next.length).length).toBeLessThanOrEqual(next.length);
        } catch (error) {
          expect(error).toMatchObject({ code: 'AIOT_DELTA_MALFORMED' });
        }
      }),
      { numRuns: runs(500) },
    );
  });
});

const golden = 'BJkDRIBPB47g9DpFBp1HotE1kBgEAuoCBZaBM7+AC11A';
