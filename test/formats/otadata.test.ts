import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { blankOtadata, firstOtadata, nextOtadata, readOtadata } from '../../src/lib/formats/otadata.js';
import { root } from '../support/cli.js';
import { fc } from '../support/property.js';

/** Third-party samples (see test/golden/flash/README.md). */
const sample = (name: string) => readFileSync(join(root, 'test', 'golden', 'flash', 'ota', `${name}.bin`));

describe('otadata', () => {
  it('is identical to the samples byte for byte', () => {
    expect(firstOtadata(0, 2)).toEqual(sample('slot0'));
    expect(nextOtadata(sample('slot0'), 1, 2)).toEqual(sample('slot1'));
    expect(nextOtadata(sample('slot0'), 1, 2, 'new')).toEqual(sample('slot1_new'));
    expect(firstOtadata(1, 2, 'new')).toEqual(sample('slot1_new'));
  });

  it('reports the slot that is booted', () => {
    expect(readOtadata(blankOtadata()).active(2)).toBeNull();
    expect(readOtadata(sample('slot0')).active(2)).toBe(0);
    expect(readOtadata(sample('slot1')).active(2)).toBe(1);
    expect(readOtadata(sample('slot1_new')).entries[1]).toEqual({ sequence: 2, state: 'new', usable: true });
  });

  it.each(['invalid', 'aborted'] as const)('ignores an entry that is %s', (state) => {
    const failed = nextOtadata(sample('slot0'), 1, 2, state);
    expect(readOtadata(failed).active(2)).toBe(0);
    const again = nextOtadata(failed, 1, 2);
    expect(readOtadata(again)).toMatchObject({ entries: [{ sequence: 1 }, { sequence: 2, usable: true }] });
  });

  it('keeps the previous slot if the sector being written is lost', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 16 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 30 }),
        (count, picks) => {
          let bytes = blankOtadata();
          for (const pick of picks) {
            const slot = pick % count;
            const next = nextOtadata(bytes, slot, count);
            expect(readOtadata(next).active(count)).toBe(slot);
            const changed = next.subarray(0, 0x1000).every((byte, i) => byte === bytes[i]) ? 0x1000 : 0;
            const torn = Buffer.from(next).fill(0xff, changed, changed + 0x1000);
            expect(readOtadata(torn).active(count)).toBe(readOtadata(bytes).active(count));
            bytes = next;
          }
        },
      ),
    );
  });

  it('replaces a damaged entry with the next one', () => {
    const damaged = Buffer.from(sample('slot1'));
    damaged[0x1000]! ^= 4;
    expect(readOtadata(nextOtadata(damaged, 1, 2)).active(2)).toBe(1);
  });

  it.each([
    [
      'too short',
      sample('slot0').subarray(0, 0x1fff),
      'otadata, offset 0x1fff: expected 0x2000 bytes, got 0x1fff',
    ],
    ['too long', Buffer.alloc(0x3000, 0xff), 'otadata, offset 0x2000: expected 0x2000 bytes, got 0x3000'],
  ])('rejects a file that is %s', (_, bytes, message) => {
    expect(() => readOtadata(bytes)).toThrow(
      expect.objectContaining({ code: 'AIOT_FILE_MALFORMED', subject: 'otadata', message }),
    );
  });

  it('rejects every flipped bit of a sequence, a CRC, a state and the data that follows', () => {
    const bytes = [0, 1, 2, 3, 24, 25, 26, 27, 28, 29, 30, 31, 32, 500, 4095];
    for (const at of bytes) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(sample('slot1'));
        flipped[0x1000 + at]! ^= 1 << bit;
        expect(() => readOtadata(flipped)).toThrow(/^otadata, offset 0x1[0-9a-f]{3}: /);
      }
    }
  });

  it.each([
    [2, 2],
    [-1, 2],
    [0.5, 2],
    [0, 17],
  ])('rejects slot %d of %d', (slot, count) => {
    expect(() => nextOtadata(blankOtadata(), slot, count)).toThrow(
      expect.objectContaining({ code: 'AIOT_USAGE' }),
    );
  });
});
