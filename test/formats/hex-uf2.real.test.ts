import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { chipNames } from '../../src/lib/formats/esp-image/chips.js';
import { type ByteRegion, joinRegions, mergeImages } from '../../src/lib/formats/esp-image/regions.js';
import { readIntelHex, writeIntelHex } from '../../src/lib/formats/intel-hex.js';
import { readUf2, uf2Family, writeUf2 } from '../../src/lib/formats/uf2.js';
import { esptoolImages, type ImageJob } from '../support/esptool-images.js';
import { describeReal } from '../support/real.js';

const random = seededRandom(11);
const bytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(random() * 256));

/** Regions as in merged files: small and large, adjacent, across 64 KiB boundaries, at odd offsets. */
const layouts: Record<string, ByteRegion[]> = {
  'a board': [
    { offset: 0x1000, data: bytes(0x4321) },
    { offset: 0x8000, data: bytes(0xc00) },
    { offset: 0xe000, data: bytes(0x2000) },
    { offset: 0x10000, data: bytes(0x23457) },
  ],
  'one region below 64 KiB': [{ offset: 0, data: bytes(0x1000) }],
  'one that ends at 64 KiB': [{ offset: 0xff00, data: bytes(0x100) }],
  'one over a border': [{ offset: 0xfff9, data: bytes(30) }],
  'touching ones': [
    { offset: 0x20000, data: bytes(100) },
    { offset: 0x20064, data: bytes(7) },
    { offset: 0x2006b, data: bytes(1000) },
  ],
  'odd places': [
    { offset: 0x30003, data: bytes(1) },
    { offset: 0x30005, data: bytes(17) },
    { offset: 0x7ffffd, data: bytes(5) },
  ],
};
const files = Object.fromEntries(
  Object.values(layouts).flatMap((regions, layout) =>
    regions.map(({ data }, index) => [`${layout}-${index}.bin`, data]),
  ),
);
const jobsFor = (format: string, more: Record<string, unknown> = {}): ImageJob[] =>
  Object.values(layouts).map((regions, layout) => ({
    do: 'merge',
    chip: 'esp32c3',
    format,
    out: `${layout}.${format}.${Object.values(more).join('')}`,
    regions: regions.map(({ offset }, index) => [offset, `${layout}-${index}.bin`]),
    ...more,
  }));

describeReal('esptool', 'merged files', () => {
  it('are identical to esptool’s: raw, HEX and UF2, with and without MD5', () => {
    const kinds = [
      { jobs: jobsFor('raw'), ours: (regions: ByteRegion[]) => mergeImages(regions) },
      {
        jobs: jobsFor('raw', { pad_to_size: '16MB' }),
        ours: (regions: ByteRegion[]) => mergeImages(regions, { flashBytes: 0x1000000 }),
      },
      { jobs: jobsFor('hex'), ours: (regions: ByteRegion[]) => Buffer.from(writeIntelHex(regions)) },
      { jobs: jobsFor('uf2'), ours: (regions: ByteRegion[]) => writeUf2(regions, { chip: 'esp32c3' }) },
      {
        jobs: jobsFor('uf2', { chunk_size: 256 }),
        ours: (regions: ByteRegion[]) => writeUf2(regions, { chip: 'esp32c3', payloadBytes: 256 }),
      },
      {
        jobs: jobsFor('uf2', { md5_disable: true }),
        ours: (regions: ByteRegion[]) => writeUf2(regions, { chip: 'esp32c3', md5: false }),
      },
    ];
    const theirs = esptoolImages(
      files,
      kinds.flatMap(({ jobs }) => jobs),
    );
    const names = Object.keys(layouts);
    for (const [kind, { ours, jobs }] of kinds.entries()) {
      for (const [layout, regions] of Object.values(layouts).entries()) {
        const their = theirs[kind * names.length + layout]!;
        const label = `${names[layout]} ${JSON.stringify(jobs[layout])} ${their.error}`;
        expect(Buffer.compare(ours(regions), their.bytes ?? new Uint8Array(0)), label).toBe(0);
      }
    }
  });

  it('have the correct UF2 family for every chip', () => {
    const data = bytes(700);
    const jobs = chipNames.map(
      (chip): ImageJob => ({ do: 'merge', chip, format: 'uf2', out: chip, regions: [[0x10000, 'a.bin']] }),
    );
    const theirs = esptoolImages({ 'a.bin': data }, jobs);
    for (const [index, chip] of chipNames.entries()) {
      const uf2 = theirs[index]?.bytes ?? new Uint8Array(0);
      expect(Buffer.compare(writeUf2([{ offset: 0x10000, data }], { chip }), uf2), chip).toBe(0);
      expect(readUf2(uf2)).toEqual({
        chip,
        family: uf2Family(chip),
        regions: [{ offset: 0x10000, data: Buffer.from(data) }],
      });
    }
  });

  it('are read back as esptool does', () => {
    const regions = layouts['a board']!;
    const text = writeIntelHex(regions);
    const [read] = esptoolImages({ 'a.hex': text }, [{ do: 'hex-to-bin', hex: 'a.hex', out: 'back' }]);
    expect(read?.error).toBeNull();
    const same = (list: readonly ByteRegion[]) =>
      list.map(({ offset, data }) => [offset, createHash('md5').update(data).digest('hex')]);
    expect(same(read?.regions ?? [])).toEqual(same(joinRegions(regions)));
    expect(same(readIntelHex(Buffer.from(text)))).toEqual(same(joinRegions(regions)));
  });
});
