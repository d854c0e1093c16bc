import { describe, expect, it } from 'vitest';
import { pcm16, readWav, writeWav } from '../../src/lib/formats/wav.js';
import { fc, runs } from '../support/property.js';

const u16 = (value: number) => [value & 255, (value >> 8) & 255];
const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)];
const name = (text: string) => [...Buffer.from(text, 'latin1')];
const chunk = (id: string, body: number[], size = body.length) => [...name(id), ...u32(size), ...body];

/** A format chunk's body, as in "Multimedia Programming Interface and Data Specifications 1.0", page 57. */
const format = ({ tag = 1, channels = 1, rate = 16_000, bits = 16 }, more: number[] = []) => [
  ...u16(tag),
  ...u16(channels),
  ...u32(rate),
  ...u32((rate * channels * bits) / 8),
  ...u16((channels * bits) / 8),
  ...u16(bits),
  ...more,
];
const wav = (...chunks: number[][]) =>
  Uint8Array.from([...name('RIFF'), ...u32(4 + chunks.flat().length), ...name('WAVE'), ...chunks.flat()]);

const samples = [0, 1, -1, 32_767, -32_768].flatMap((value) => u16(value & 0xffff));

describe('WAV files', () => {
  it('are read as columns of samples from −1 to 1', () => {
    const { rateHz, channels } = readWav(wav(chunk('fmt ', format({})), chunk('data', samples)), 'a.wav');
    expect(rateHz).toBe(16_000);
    expect(channels.map((column) => [...column])).toEqual([[0, 2 ** -15, -(2 ** -15), 1 - 2 ** -15, -1]]);
  });

  it('are read by channel, even from an odd offset', () => {
    const bytes = wav(
      chunk('fmt ', format({ channels: 2 })),
      chunk('data', [...u16(1), ...u16(2), ...u16(3), ...u16(4)]),
    );
    const shifted = new Uint8Array([9, ...bytes]).subarray(1);
    const { channels } = readWav(shifted, 'a.wav');
    expect(channels.map((column) => [...column].map((value) => value * 2 ** 15))).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it('may have other chunks, an extensible format, and a size that was unknown when they were written', () => {
    const guid = [...u16(1), 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113];
    const extensible = format({ tag: 0xfffe }, [...u16(22), ...u16(16), ...u32(4), ...guid]);
    for (const size of [0, 0x7fff_f000, 0xffff_ffff]) {
      const bytes = wav(
        chunk('LIST', [1, 2, 3], 3).concat(0),
        chunk('fmt ', extensible),
        chunk('data', [...samples, 7], size),
      );
      expect(readWav(bytes, 'a.wav').channels[0]!.length).toBe(5);
    }
  });

  it.each<[string, Uint8Array, string]>([
    ['an empty file', new Uint8Array(0), 'byte 0: expected RIFF and WAVE'],
    ['another format', Uint8Array.from(name('RIFF\0\0\0\0AVI LIST')), 'byte 0: expected RIFF and WAVE'],
    ['no format', wav(chunk('data', samples)), 'byte 12: expected the chunk "fmt " before "data"'],
    [
      'no data',
      wav(chunk('fmt ', format({}))),
      'byte 36: expected the chunk "data", got the end of the file',
    ],
    ['a short format', wav(chunk('fmt ', [1, 0])), 'byte 20: expected at least 16 bytes of format, got 2'],
    [
      'a chunk beyond the end',
      wav(chunk('fact', [1, 2], 900)),
      'byte 20: expected a chunk of 900 bytes, got 2',
    ],
    [
      'truncated samples',
      wav(chunk('fmt ', format({})), chunk('data', samples, 40)),
      'byte 44: expected 40 bytes of samples, got 10',
    ],
    ['no samples', wav(chunk('fmt ', format({})), chunk('data', [])), 'byte 44: expected samples, got none'],
    [
      '24-bit samples',
      wav(chunk('fmt ', format({ bits: 24 })), chunk('data', samples)),
      'byte 20: expected 16-bit PCM, got PCM of 24 bits',
    ],
    [
      'floating-point samples',
      wav(chunk('fmt ', format({ tag: 3, bits: 32 })), chunk('data', samples)),
      'byte 20: expected 16-bit PCM, got encoding 3 of 32 bits',
    ],
    [
      'no channels',
      wav(chunk('fmt ', format({ channels: 0 })), chunk('data', samples)),
      'byte 22: expected 1 to 32 channels, got 0',
    ],
    [
      'a rate of 0',
      wav(chunk('fmt ', format({ rate: 0 })), chunk('data', samples)),
      'byte 24: expected a sampling rate of at least 1 Hz, got 0',
    ],
  ])('are rejected with the position: %s', (_, bytes, problem) => {
    expect(() => readWav(bytes, 'a.wav')).toThrow(
      expect.objectContaining({
        code: 'AIOT_FILE_MALFORMED',
        subject: 'wav',
        message: expect.stringContaining(`a.wav: ${problem}`),
      }),
    );
  });

  it('are either read or rejected, whatever their bytes', () => {
    const good = wav(chunk('fmt ', format({ channels: 2 })), chunk('LIST', [1, 2]), chunk('data', samples));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
        fc.nat(good.length),
        (changes, length) => {
          const bytes = good.slice(0, length);
          for (const [at, value] of changes) if (at < length) bytes[at] = value;
          try {
            expect(readWav(bytes, 'a.wav').channels[0]!.length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
          }
        },
      ),
      { numRuns: runs(500) },
    );
  });

  it('contain the written samples, clipped and rounded to 16 bits', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 192_000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.double({ min: -2, max: 2, noNaN: true }), { minLength: 1, maxLength: 40 }),
        (rateHz, count, values) => {
          const channels = Array.from({ length: count }, (_, c) =>
            Float64Array.from(values, (v) => v / (c + 1)),
          );
          const read = readWav(writeWav({ rateHz, channels }), 'a.wav');
          expect(read).toEqual({ rateHz, channels: channels.map((column) => column.map(pcm16)) });
          read.channels.forEach((column, c) => {
            column.forEach((value, i) => {
              const clipped = Math.max(-1, Math.min(1 - 2 ** -15, channels[c]![i]!));
              expect(Math.abs(value - clipped)).toBeLessThanOrEqual(2 ** -16);
            });
          });
        },
      ),
      { numRuns: runs(200) },
    );
  });
});
