import { describe, expect, it } from 'vitest';
import { SlipReader, slipFrame } from '../../../src/lib/flash/loader/wire.js';
import { fc } from '../../support/property.js';

function read(chunks: Iterable<Uint8Array>): { frames: number[][]; stray: number[] } {
  const frames: number[][] = [];
  const stray: number[] = [];
  const reader = new SlipReader({
    frame: (packet) => frames.push([...packet]),
    stray: (bytes) => stray.push(...bytes),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { frames, stray };
}

describe('SLIP', () => {
  it('encodes the example from the protocol documentation', () => {
    expect([...slipFrame(Uint8Array.of(1, 0xc0, 0xdb, 2))]).toEqual([
      0xc0, 1, 0xdb, 0xdc, 0xdb, 0xdd, 2, 0xc0,
    ]);
  });

  it('decodes any packets, however the bytes are split', () => {
    const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 5 });
    fc.assert(
      fc.property(packets, fc.integer({ min: 1, max: 9 }), (sent, size) => {
        const wire = Buffer.concat(sent.map(slipFrame));
        const chunks = Array.from({ length: Math.ceil(wire.length / size) }, (_, i) =>
          wire.subarray(i * size, (i + 1) * size),
        );
        expect(read(chunks)).toEqual({ frames: sent.map((packet) => [...packet]), stray: [] });
      }),
    );
  });

  it.each([
    ['text before a packet', [0x41, 0x42, 0xc0, 1, 0xc0], [[1]], [0x41, 0x42]],
    ['empty packets', [0xc0, 0xc0, 0xc0, 7, 0xc0], [[7]], []],
    ['one delimiter between packets', [0xc0, 1, 0xc0, 0xc0, 2, 0xc0], [[1], [2]], []],
    ['an invalid escape', [0xc0, 1, 0xdb, 5, 0xc0, 0xc0, 2, 0xc0], [[2]], [1, 0xdb, 5]],
    ['an escape at the end', [0xc0, 1, 0xdb, 0xc0, 0xc0, 2, 0xc0], [[2]], [1, 0xdb]],
    ['a lost closing delimiter', [0xc0, 1, 0xc0, 2, 0xc0, 0xc0, 3, 0xc0], [[1], [3]], [2]],
  ])('resynchronizes after %s', (_, bytes, frames, stray) => {
    expect(read([Uint8Array.from(bytes)])).toEqual({ frames, stray });
  });

  it('discards a packet without an end', () => {
    const { frames, stray } = read([Uint8Array.of(0xc0), new Uint8Array(70_000)]);
    expect(frames).toEqual([]);
    expect(stray).toHaveLength(70_000);
  });
});
