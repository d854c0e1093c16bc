import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { root } from '../../support/cli.js';
import { fc, runs } from '../../support/property.js';

const image = writeNvs(
  [
    { namespace: 'wifi', key: 'ssid', type: 'string', value: 'Workshop' },
    { namespace: 'wifi', key: 'chan', type: 'u8', value: 6 },
    { namespace: 'aiot', key: 'cert', type: 'blob', value: Buffer.alloc(4100, 7) },
  ],
  { size: 0x4000 },
);
const golden = readFileSync(join(root, 'test', 'golden', 'flash', 'nvs', 'c_blobs.bin'));
const refused = expect.objectContaining({
  code: 'AIOT_FILE_MALFORMED',
  subject: 'nvs',
  message: expect.stringMatching(/^NVS, offset 0x[0-9a-f]+: \S/),
});

const flipped = (bit: number, bytes = image) => {
  const copy = Buffer.from(bytes);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
};

/**
 * Whether a bit belongs to an entry map. Flipping it can be a valid change, because drivers delete numbers this
 * way.
 */
const ofMap = (bit: number) => (bit & 0x7fff) >= 256 && (bit & 0x7fff) < 512;

describe('a damaged NVS image', () => {
  it('is rejected with the offset for every flipped bit outside the entry maps', () => {
    const step = process.env.AIOT_LONG ? 1 : 19;
    let looked = 0;
    for (let bit = 0; bit < image.length * 8; bit += step) {
      if (ofMap(bit)) continue;
      looked++;
      expect(() => readNvs(flipped(bit)), `bit ${bit}`).toThrow(refused);
    }
    expect(looked).toBeGreaterThan(6000);
  }, 600_000);

  it('is rejected for every flipped bit of an entry map, unless it deletes a number as a driver does', () => {
    const accepted: number[] = [];
    for (let bit = 256; bit < 512; bit++) {
      try {
        readNvs(flipped(bit));
        accepted.push((bit - 256) >> 1);
      } catch (error) {
        expect(error).toEqual(refused);
      }
    }
    // Entry 3 is wifi.chan. The others contain a namespace, a string, or a chunk.
    expect(accepted).toEqual([3]);
  });

  it.each([0, 1, 31, 4095, 4097, 16383])('is rejected if it ends after %d bytes', (length) => {
    expect(() => readNvs(image.subarray(0, length))).toThrow(
      expect.objectContaining({ message: expect.stringContaining(`offset 0x${length.toString(16)}: `) }),
    );
  });

  it('is rejected if a page is missing', () => {
    expect(() => readNvs(Buffer.concat([image.subarray(0, 0x1000), image.subarray(0x2000)]))).toThrow(
      refused,
    );
    expect(() => readNvs(golden.subarray(0x1000))).toThrow(refused);
  });

  it('is salvaged on request, with a list of the damage', () => {
    const at = Buffer.from(image).indexOf('Workshop');
    const { entries, problems } = readNvs(flipped(at * 8), { salvage: true });
    expect(entries.map(({ key }) => key)).toEqual(['chan', 'cert']);
    expect(problems).toEqual([
      {
        offset: at,
        reason: expect.stringMatching(/^the CRC of the data of ssid is 0x[0-9a-f]{8}, but its entry states/),
      },
    ]);
    expect(readNvs(image.subarray(0, 0x1800), { salvage: true }).problems.at(-1)?.reason).toBe(
      'the last page is truncated',
    );
  });

  it.each([
    ['u32', 'u8', [1, 2]],
    ['u8', 'u8', null],
  ] as const)('can have a duplicate key only with different types: %s and %s', (first, second, values) => {
    const two = Buffer.from(
      writeNvs(
        [
          { namespace: 'a', key: 'k1', type: first, value: 1 },
          { namespace: 'a', key: 'k2', type: second, value: 2 },
        ],
        { size: 0x3000 },
      ),
    );
    const entry = two.subarray(64 + 2 * 32, 64 + 3 * 32);
    entry.write('k1', 8);
    entry.writeUInt32LE(crc32(Buffer.concat([entry.subarray(0, 4), entry.subarray(8)]), 0xffffffff) >>> 0, 4);
    if (values) expect(readNvs(two).entries.map(({ value }) => value)).toEqual(values);
    else expect(() => readNvs(two)).toThrow('NVS, offset 0x80: a.k1 appears twice; the later entry is used');
  });

  it('never crashes the reader, whatever the bytes are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: image.length - 1 }), fc.nat({ max: 255 })), { maxLength: 40 }),
        (changes) => {
          const copy = Buffer.from(image);
          for (const [at, byte] of changes) copy[at] = byte;
          const { problems } = readNvs(copy, { salvage: true });
          if (problems.length > 0) expect(() => readNvs(copy)).toThrow(refused);
        },
      ),
      { numRuns: runs(300) },
    );
  });

  it('is read as empty if all bytes are 0xff', () => {
    const empty = readNvs(Buffer.alloc(0x3000, 0xff));
    expect(empty).toMatchObject({ version: null, namespaces: [], entries: [], problems: [] });
  });
});
