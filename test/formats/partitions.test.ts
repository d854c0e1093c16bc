import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  checkPartitions,
  otaSlots,
  type Partition,
  parsePartitionsCsv,
  readPartitionTable,
  writePartitionsCsv,
  writePartitionTable,
} from '../../src/lib/formats/partitions.js';
import { root } from '../support/cli.js';
import { fc, runs } from '../support/property.js';

/** Files made with ESP-IDF's gen_esp32part.py (see test/golden/flash/README.md). */
const golden = join(root, 'test', 'golden', 'flash', 'partitions');
const samples = readdirSync(golden).filter((name) => name.endsWith('.csv'));
const text = (name: string) => readFileSync(join(golden, name), 'utf8');
const binary = (csv: string, ending: string) => readFileSync(join(golden, csv.replace('.csv', ending)));

const table = parsePartitionsCsv(text('two_ota_4m.csv'));
const valid = writePartitionTable(table);
const csv =
  (...rows: string[]) =>
  () =>
    parsePartitionsCsv(rows.join('\n'), { file: 'table.csv', flashBytes: 4 << 20 });

describe('partition tables', () => {
  it.each(samples)('are identical to ESP-IDF’s byte for byte: %s', (name) => {
    const made = parsePartitionsCsv(text(name));
    expect(writePartitionTable(made)).toEqual(binary(name, '.bin'));
    expect(writePartitionTable({ ...made, md5: false })).toEqual(binary(name, '.nomd5.bin'));
  });

  it.each(samples)('are read back unchanged: %s', (name) => {
    const made = parsePartitionsCsv(text(name));
    expect(readPartitionTable(binary(name, '.bin'))).toEqual(made);
    expect(readPartitionTable(binary(name, '.nomd5.bin'))).toEqual({ ...made, md5: false });
    expect(parsePartitionsCsv(writePartitionsCsv(made))).toEqual(made);
  });

  it('place rows without an offset after the previous one, aligned', () => {
    const rows = parsePartitionsCsv(
      'nvs,data,nvs,,24K\nphy,data,phy,,4K\na,app,factory,,1M\nb,0x40,,,1K\nc,data,,,-0x200000\n',
    );
    const places = rows.partitions.map(({ label, offset, size }) => [label, offset, size]);
    expect(places).toEqual([
      ['nvs', 0x9000, 0x6000],
      ['phy', 0xf000, 0x1000],
      ['a', 0x10000, 0x100000],
      ['b', 0x110000, 0x400],
      ['c', 0x111000, 0xef000],
    ]);
    expect(rows.partitions.at(-1)?.subtype).toBe(6);
  });

  it('place the first row after a table at another offset', () => {
    const [row] = parsePartitionsCsv('nvs,data,nvs,,24K', { tableOffset: 0x10000 }).partitions;
    expect(row?.offset).toBe(0x11000);
  });

  it('list their app slots in order', () => {
    expect(otaSlots(table).map(({ label }) => label)).toEqual(['app0', 'app1']);
  });

  it.each([
    [
      'overlapping partitions',
      csv('a,data,nvs,0x9000,0x6000', 'b,data,fat,0xe000,0x1000'),
      'table.csv: partition "b" begins at 0xe000, and "a" before it ends at 0xf000',
    ],
    [
      'a misaligned app',
      csv('a,app,factory,0x11000,1M'),
      'table.csv:1: partition "a": expected its offset to be a multiple of 0x10000, got 0x11000',
    ],
    [
      'misaligned data',
      csv('a,data,nvs,0x9100,0x6000'),
      'table.csv:1: partition "a": expected its offset to be a multiple of 0x1000, got 0x9100',
    ],
    [
      'a misaligned app size',
      csv('a,app,factory,0x10000,0x1100'),
      'table.csv:1: partition "a": expected its size to be a multiple of 0x1000, got 0x1100',
    ],
    [
      'a partition past the end of the flash',
      csv('# c', 'a,app,factory,0x10000,4M'),
      'table.csv:2: partition "a": ends at 0x410000, but the flash ends at 0x400000',
    ],
    [
      'a partition over the table',
      csv('a,data,nvs,0x8000,0x6000'),
      'table.csv:1: partition "a": expected an offset of at least 0x9000 (after the table at 0x8000), got 0x8000',
    ],
    [
      'a duplicate name',
      csv('a,data,nvs,,0x6000', 'a,data,fat,,0x1000'),
      'table.csv: two partitions have the name "a"',
    ],
    [
      'a long name',
      csv('seventeen-letters,data,nvs,,0x6000'),
      'table.csv:1: partition "seventeen-letters": expected a name of 1 to 16 bytes, got 17',
    ],
    [
      'an unknown type',
      csv('a,file,nvs,,0x6000'),
      'table.csv:1: expected a type (app, data, bootloader, partition_table, or a number), got "file"',
    ],
    [
      'an unused type',
      csv('a,5,nvs,,0x6000'),
      'table.csv:1: expected a type of app, data, bootloader, partition_table or 0x40 to 0xfe, got "5"',
    ],
    [
      'an unknown subtype',
      csv('a,app,nvs,,1M'),
      'table.csv:1: expected a subtype (factory, ota_0, ota_1, test, or a number), got "nvs"',
    ],
    [
      'an app without a subtype',
      csv('a,app,,,1M'),
      'table.csv:1: expected a subtype (factory, ota_0, ota_1, test, or a number), got ""',
    ],
    ['a missing size', csv('a,data,nvs,,'), 'table.csv:1: expected a size (such as 0x9000 or 24K), got ""'],
    ['a size of zero', csv('a,data,fat,,0'), 'table.csv:1: partition "a": expected a size above 0, got 0'],
    [
      'an end before the offset',
      csv('a,data,fat,,-0x1000'),
      'table.csv:1: expected the end -0x1000 to be after the offset 0x9000',
    ],
    [
      'an offset below 0',
      csv('a,data,fat,-1,0x1000'),
      'table.csv:1: expected an offset such as 0x9000, got "-1"',
    ],
    [
      'too few cells',
      csv('a,data,nvs'),
      'table.csv:1: expected name, type, subtype, offset, size and flags, got 3 cells',
    ],
    [
      'an unknown flag',
      csv('a,data,nvs,,24K,secret'),
      'table.csv:1: expected only the flags encrypted and readonly, got "secret"',
    ],
    [
      'a readonly app',
      csv('a,app,factory,,1M,readonly'),
      'table.csv:1: partition "a": cannot be readonly, because it is written to',
    ],
    [
      'a short otadata partition',
      csv('a,data,ota,,0x1000'),
      'table.csv:1: partition "a": expected 0x2000 bytes for otadata, got 0x1000',
    ],
    [
      'a short NVS partition',
      csv('a,data,nvs,,0x2000'),
      'table.csv:1: partition "a": expected at least 0x3000 bytes for a writable nvs, got 0x2000 (or flag it readonly)',
    ],
    [
      'two otadata partitions',
      csv('a,data,ota,,0x2000', 'b,data,ota,,0x2000'),
      'table.csv: expected one otadata partition, got 2',
    ],
    ['an empty table', csv('# nothing'), 'table.csv: expected at least one partition, got none'],
    ['an open quote', csv('"a,data,nvs,,0x6000'), 'table.csv:1: a quoted cell never ends'],
  ])('reject %s with the reason', (_, parse, message) => {
    expect(parse).toThrow(expect.objectContaining({ message }));
  });

  it('reject every truncated file and every flipped bit with the offset', () => {
    for (const length of [0, 1, 31, 32, 191, 192, 3071]) {
      expect(() => readPartitionTable(valid.subarray(0, length))).toThrow(
        `partition table, offset 0x${length.toString(16)}: expected 0xc00 bytes, but the file ends here`,
      );
    }
    const rows = (table.partitions.length + 1) * 32;
    for (let bit = 0; bit < rows * 8 + 64; bit++) {
      const flipped = Buffer.from(valid);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => readPartitionTable(flipped), `bit ${bit}`).toThrow(
        expect.objectContaining({
          code: 'AIOT_FILE_MALFORMED',
          subject: 'partitions',
          message: expect.stringContaining('offset 0x'),
        }),
      );
    }
  });

  it('reject an erased sector, and rows after the MD5', () => {
    expect(() => readPartitionTable(Buffer.alloc(0xc00, 0xff))).toThrow('got an empty sector');
    const more = Buffer.from(valid);
    more.set(valid.subarray(0, 32), 224);
    expect(() => readPartitionTable(more)).toThrow('offset 0xe0: unexpected row after the MD5');
  });

  it('are read back unchanged, whatever they contain', () => {
    const name = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 16 });
    const row = fc.record({
      name,
      pages: fc.integer({ min: 3, max: 40 }),
      app: fc.boolean(),
      encrypted: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(row, { minLength: 1, maxLength: 95, selector: (r) => r.name }),
        fc.boolean(),
        (rows, md5) => {
          let end = 0x9000;
          const partitions: Partition[] = rows.map(({ name: label, pages, app, encrypted }, i) => {
            const offset = app ? Math.ceil(end / 0x10000) * 0x10000 : end;
            end = offset + pages * 0x1000;
            return {
              label,
              type: app ? 0 : 0x40,
              subtype: i,
              offset,
              size: end - offset,
              encrypted,
              readonly: false,
            };
          });
          checkPartitions({ partitions, md5 });
          expect(readPartitionTable(writePartitionTable({ partitions, md5 }))).toEqual({ partitions, md5 });
          const names = partitions.every(({ label }) => label.trim() === label && !/^[#"]/.test(label));
          if (names)
            expect(parsePartitionsCsv(writePartitionsCsv({ partitions, md5 })).partitions).toEqual(
              partitions,
            );
        },
      ),
      { numRuns: runs(100) },
    );
  });
});
