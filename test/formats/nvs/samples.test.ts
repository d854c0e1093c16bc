import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseNvsCsv, writeNvsCsv } from '../../../src/lib/formats/nvs/csv.js';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { root } from '../../support/cli.js';

/** Files made with ESP-IDF's generator (see test/golden/flash/README.md). */
const golden = join(root, 'test', 'golden', 'flash', 'nvs');
const bytes = (name: string) => readFileSync(join(golden, name));
const items = async (name: string, version: 1 | 2 = 2) =>
  await parseNvsCsv(bytes(name).toString(), async (path) => await readFile(join(golden, path)), {
    file: name,
    version,
  });

describe('NVS images compared with ESP-IDF’s generator', () => {
  it.each([
    ['a_basic', 'a_basic.bin', 2],
    ['a_basic', 'a_basic.v1.bin', 1],
    ['c_blobs', 'c_blobs.bin', 2],
    ['d_many', 'd_many.bin', 2],
  ] as const)('are identical byte for byte: %s.csv as %s', async (csv, bin, version) => {
    const expected = bytes(bin);
    const made = writeNvs(await items(`${csv}.csv`, version), { size: expected.length, version });
    expect(Buffer.compare(made, expected)).toBe(0);
    const read = readNvs(expected);
    expect(read).toMatchObject({ version, problems: [] });
    const back = await parseNvsCsv(writeNvsCsv(read), readFile, { version });
    expect(Buffer.compare(writeNvs(back, { size: expected.length, version }), expected)).toBe(0);
  });

  it('differ only in the key of a reopened namespace, which goes into the correct namespace', async () => {
    const theirs = bytes('b_ns.bin');
    const made = writeNvs(await items('b_ns.csv'), { size: theirs.length });
    const at = theirs.indexOf('chan\0') - 8;
    expect([theirs[at], made[at]]).toEqual([2, 1]);
    const changed = [...made.keys()].filter((i) => made[i] !== theirs[i]);
    expect(changed.every((i) => i >= at && i < at + 8)).toBe(true);
    expect(readNvs(made).entries).toContainEqual({ namespace: 'wifi', key: 'chan', type: 'u8', value: 6 });
    expect(readNvs(theirs).entries).toContainEqual({ namespace: 'aiot', key: 'chan', type: 'u8', value: 6 });
  });

  it('are read back with every value', () => {
    const { namespaces, entries, pages } = readNvs(bytes('a_basic.bin'));
    expect(namespaces).toEqual(['storage']);
    expect(entries.map(({ value }) => value)).toEqual([
      255,
      -128,
      65535,
      -32768,
      4294967295,
      -2147483648,
      18446744073709551615n,
      -9223372036854775808n,
      'hello',
      '',
    ]);
    expect(pages[0]).toEqual({
      offset: 0,
      state: 'active',
      sequence: 0,
      version: 2,
      written: 13,
      erased: 0,
      free: 113,
    });
    const blobs = readNvs(bytes('c_blobs.bin'));
    const b9000 = blobs.entries.find(({ key }) => key === 'b9000');
    expect(Buffer.compare(b9000?.value as Buffer, bytes('blob9000.bin'))).toBe(0);
    expect(blobs.entries.find(({ key }) => key === 'cert')?.value).toBe(bytes('cert.pem').toString());
    expect(blobs.pages.map(({ state }) => state[0]).join('')).toBe('ffffaeeee');
  });
});
