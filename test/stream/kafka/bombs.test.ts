import { describe, expect, it } from 'vitest';
import { decodeFetched, payloadsFetched } from '../../../src/lib/stream/kafka/source.js';
import { codecOf } from '../../../src/lib/stream/kafka/wire/codecs.js';
import { batchHeaderBytes, writeBatch } from '../../../src/lib/stream/kafka/wire/record-batch.js';
import { fc, runs } from '../../support/property.js';

const packed = ['snappy', 'lz4', 'zstd'] as const;
const fetched = { topic: 'a', partition: 0, errorCode: 0, end: 1, aborted: [] };
const gibibyte = 1024 * 1024 * 1024;

/** Each bomb is as small as its format permits. */
const bombs: Record<string, [format: (typeof packed)[number], bytes: Buffer]> = {
  'snappy that claims 4 GB': ['snappy', Buffer.from('ffffffff0f00', 'hex')],
  'Java snappy with 300 blocks that claim 2 MB each': [
    'snappy',
    Buffer.concat([
      Buffer.from('82534e41505059000000000100000001', 'hex'),
      ...Array.from({ length: 300 }, () => Buffer.from('000000048080800100'.slice(0, 16), 'hex')),
    ]),
  ],
  'lz4 that claims 64 GB': ['lz4', lz4(0x68, 0x40, [0, 0, 0, 0, 16, 0, 0, 0], [])],
  'lz4 with 140 blocks of up to 4 MiB': ['lz4', lz4(0x60, 0x70, [], Array(140).fill(17_000))],
  'zstd that claims 1 TB': ['zstd', zstd(0xe0, Buffer.from('0000000000010000', 'hex'), [])],
  'zstd with 5000 run-length blocks of 128 KiB': [
    'zstd',
    zstd(0x00, Buffer.from([0x58]), Array(5000).fill(128 * 1024)),
  ],
};

function lz4(flags: number, size: number, claimed: number[], blocks: number[]): Buffer {
  const head = Buffer.from([4, 0x22, 0x4d, 0x18, flags, size, ...claimed, 0]);
  const parts = blocks.map((length) => {
    const block = Buffer.alloc(4 + length);
    block.writeUInt32LE(length);
    return block;
  });
  return Buffer.concat([head, ...parts, Buffer.alloc(4)]);
}

function zstd(descriptor: number, head: Buffer, repeated: number[]): Buffer {
  const blocks = repeated.map((size, n) => {
    const block = Buffer.alloc(4, 0x61);
    block.writeUIntLE((size << 3) | (1 << 1) | (n === repeated.length - 1 ? 1 : 0), 0, 3);
    return block;
  });
  const end = repeated.length === 0 ? [Buffer.from([1, 0, 0])] : [];
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor]), head, ...blocks, ...end]);
}

describe('an oversized or truncated batch', () => {
  it.each(Object.entries(bombs))('is rejected before memory is allocated: %s', async (_, [format, bytes]) => {
    const codec = await codecOf(format);
    const before = process.memoryUsage().rss;
    await expect(codec.decompress(bytes)).rejects.toMatchObject({
      code: 'AIOT_STREAM_DECODE',
      message: expect.stringMatching(new RegExp(`would decompress with ${format} to as much as [0-9]{9,}`)),
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(gibibyte / 16);
  });

  it.each(packed)('is rejected if truncated: %s', async (format) => {
    const codec = await codecOf(format);
    const whole = await codec.compress(Buffer.from('abc'.repeat(50_000)));
    await expect(codec.decompress(whole.subarray(0, 4))).rejects.toThrow();
  });
});

describe('a normal batch', () => {
  it.each(packed)(
    'decompresses to the original with %s',
    async (format) => {
      const codec = await codecOf(format);
      const bytes = fc.oneof(
        fc.uint8Array({ maxLength: 3000 }),
        fc
          .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 60_000 }))
          .map(([piece, times]) => new Uint8Array(Buffer.alloc(piece.length * times, piece))),
      );
      await fc.assert(
        fc.asyncProperty(bytes, async (given) => {
          fc.pre(given.length > 0);
          expect(Buffer.compare(await codec.decompress(await codec.compress(given)), given)).toBe(0);
        }),
        { numRuns: runs(60) },
      );
    },
    60_000,
  );
});

describe('zstd frames without a size, as Java writes them', () => {
  const frame = (blocks: number) => zstd(0x00, Buffer.from([0x58]), Array(blocks).fill(128 * 1024));
  const text = (blocks: number) => Buffer.alloc(blocks * 128 * 1024, 'a');

  it('decompress to any multiple of their length', async () => {
    const codec = await codecOf('zstd');
    expect((await codec.decompress(frame(200))).equals(text(200))).toBe(true);
  });

  it('may follow one another, with and without a size', async () => {
    const codec = await codecOf('zstd');
    const both = Buffer.concat([frame(20), await codec.compress(Buffer.from('end')), frame(1)]);
    const expected = Buffer.concat([text(20), Buffer.from('end'), text(1)]);
    expect((await codec.decompress(both)).equals(expected)).toBe(true);
  });

  it('are rejected if they are truncated', async () => {
    const codec = await codecOf('zstd');
    for (const length of [4, 7, 40, frame(20).length - 1])
      await expect(codec.decompress(frame(20).subarray(0, length))).rejects.toMatchObject({
        code: 'AIOT_STREAM_DECODE',
      });
  });
});

describe('a damaged batch', () => {
  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'is reported if it is compressed with %s',
    async (packing) => {
      const out = { topic: 'a', payload: Buffer.from('b'.repeat(200)) };
      const batch = Buffer.from(await writeBatch([out], { id: 7n, epoch: 1, sequence: 0 }, packing, 1));
      batch.fill(0xff, batchHeaderBytes);
      const read = decodeFetched({ ...fetched, records: batch }, 0, 'here');
      await expect(read.next()).rejects.toMatchObject({ code: 'AIOT_STREAM_DECODE' });
    },
  );

  it('is reported if it is not compressed', async () => {
    const out = { topic: 'a', payload: Buffer.from('b'.repeat(200)) };
    const batch = Buffer.from(await writeBatch([out], { id: 7n, epoch: 1, sequence: 0 }, 'none', 1));
    batch.fill(0x7f, batchHeaderBytes);
    for (const read of [
      decodeFetched({ ...fetched, records: batch }, 0, 'here'),
      payloadsFetched({ ...fetched, records: batch }, 0),
    ])
      await expect(read.next()).rejects.toMatchObject({ code: 'AIOT_STREAM_DECODE' });
  });
});
