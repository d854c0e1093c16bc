import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { NorFlash, ZlibReader } from '../../../src/lib/flash/rom/flash-memory.js';
import { encodeSlip, SlipReceiver } from '../../../src/lib/flash/rom/protocol.js';
import { fc, runs } from '../../support/property.js';

const bytes = (minLength: number, maxLength = 300) => fc.uint8Array({ minLength, maxLength });

/** Splits bytes at arbitrary positions, because drivers ignore the boundaries of frames and blocks. */
function cut(all: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [0, ...at.map((place) => place % (all.length + 1)).sort((a, b) => a - b), all.length];
  return places.slice(1).map((end, index) => all.subarray(places[index], end));
}

describe('parts of the simulated chip', () => {
  it('SLIP frames arrive intact, however they are split', () => {
    fc.assert(
      fc.property(fc.array(bytes(1), { maxLength: 5 }), fc.array(fc.nat()), (frames, places) => {
        const receiver = new SlipReceiver();
        const wire = Buffer.concat(frames.map(encodeSlip));
        const heard = cut(wire, places).flatMap((part) => receiver.push(part).map((frame) => frame.bytes));
        expect(heard.map((frame) => Buffer.from(frame))).toEqual(frames.map((frame) => Buffer.from(frame)));
      }),
    );
  });

  it('a zlib stream inflates correctly however it is split, and a flipped checksum bit is detected', async () => {
    await fc.assert(
      fc.asyncProperty(bytes(0, 5000), fc.array(fc.nat()), fc.nat(31), async (data, places, bit) => {
        const stream = deflateSync(data);
        const reader = new ZlibReader();
        const results = [];
        for (const part of cut(stream, places)) results.push(await reader.push(part));
        reader.close();
        expect(Buffer.concat(results.map((result) => result.data))).toEqual(Buffer.from(data));
        expect(results.every(({ problem }) => problem === null)).toBe(true);
        const place = stream.length - 4 + (bit >> 3);
        stream[place] = (stream[place] as number) ^ (1 << (bit & 7));
        const damaged = new ZlibReader();
        expect((await damaged.push(stream)).problem).toBe('adler');
        damaged.close();
      }),
      { numRuns: runs(60) },
    );
  });

  it('NOR flash stores data after an erase, and only clears bits without one', () => {
    fc.assert(
      fc.property(bytes(1), bytes(1), fc.nat(0x1e00), (first, second, offset) => {
        const flash = new NorFlash(0x3000);
        expect(flash.program(offset, first)).toBe(true);
        const before = flash.bytes.slice();
        const held = flash.program(offset, second);
        expect(flash.bytes.every((byte, at) => (byte & ~(before[at] as number)) === 0)).toBe(true);
        expect(held).toBe(Buffer.from(flash.bytes.subarray(offset, offset + second.length)).equals(second));
        flash.erase(offset, second.length);
        expect(flash.program(offset, second)).toBe(true);
      }),
    );
  });
});
