import { describe, expect, it } from 'vitest';
import { decryptNvs, encryptNvs, readNvsKeys, writeNvsKeys } from '../../../src/lib/formats/nvs/crypt.js';
import { parseNvsCsv, writeNvsCsv } from '../../../src/lib/formats/nvs/csv.js';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import type { NvsItem } from '../../../src/lib/formats/nvs/types.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { fc, runs } from '../../support/property.js';

const noFiles = async (path: string): Promise<Uint8Array> => {
  throw new Error(`reads ${path}`);
};
const parse = async (...rows: string[]) =>
  await parseNvsCsv(['key,type,encoding,value', ...rows].join('\n'), noFiles);
const keys = Buffer.from(Array.from({ length: 64 }, (_, i) => i + 1));

const name = fc.stringMatching(/^[a-z_.][a-z0-9_.-]{0,14}$/);
const value = fc.oneof(
  fc.record({ type: fc.constant('u32' as const), value: fc.nat({ max: 0xffffffff }) }),
  fc.record({ type: fc.constant('i8' as const), value: fc.integer({ min: -128, max: 127 }) }),
  fc.record({ type: fc.constant('u64' as const), value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) }),
  fc.record({
    type: fc.constant('i64' as const),
    value: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  }),
  fc.record({
    type: fc.constant('string' as const),
    value: fc
      .string({ unit: 'grapheme', maxLength: 400 })
      .filter(
        (text) =>
          !text.includes('\0') &&
          !/[\ud800-\udfff]/.test(text.replace(/[\ud800-\udbff][\udc00-\udfff]/g, '')) &&
          Buffer.byteLength(text) < 1900,
      ),
  }),
  fc.record({
    type: fc.constant('blob' as const),
    value: fc.uint8Array({ maxLength: 1984 }).map((bytes) => Buffer.from(bytes)),
  }),
);
const entry = fc
  .tuple(name, name, value)
  .map(([namespace, key, rest]) => ({ namespace, key, ...rest }) as NvsItem & { key: string });
const entries = fc.uniqueArray(entry, {
  maxLength: 60,
  selector: ({ namespace, key }) => `${namespace} ${key}`,
});

describe('writing NVS', () => {
  it('preserves every value in both versions: plain, encrypted and as CSV', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.constantFrom(1 as const, 2 as const), async (items, version) => {
        const made = writeNvs(items, { size: 0x40000, version });
        const read = readNvs(made);
        expect(new Set(read.entries)).toEqual(new Set(items));
        expect(readNvs(decryptNvs(encryptNvs(made, keys), keys))).toEqual(read);
        const again = await parseNvsCsv(writeNvsCsv(read), noFiles, { version });
        const values = again.filter(({ type }) => type !== 'namespace');
        const carriage = items.some(
          ({ type, ...item }) => type === 'string' && 'value' in item && String(item.value).includes('\r'),
        );
        if (!carriage) expect(new Set(values)).toEqual(new Set(items));
      }),
      { numRuns: runs(500, 60) },
    );
  });

  it('accepts blobs across pages and strings of up to a whole page', () => {
    const blob = Buffer.from(Array.from({ length: 60_000 }, (_, i) => i * 31));
    const long = 'x'.repeat(3999);
    const made = writeNvs(
      [
        { namespace: 'a', key: 'blob', type: 'blob', value: blob },
        { namespace: 'a', key: 'long', type: 'string', value: long },
        { namespace: 'a', key: 'none', type: 'blob', value: Buffer.alloc(0) },
      ],
      { size: 0x20000 },
    );
    const { entries } = readNvs(made);
    expect(entries.map(({ value }) => Buffer.from(value as Buffer).equals(blob) || value)).toEqual([
      true,
      long,
      Buffer.alloc(0),
    ]);
  });

  it('reports the partition size that the values need', () => {
    const blob: NvsItem = { namespace: 'a', key: 'b', type: 'blob', value: Buffer.alloc(9000) };
    expect(() => writeNvs([blob], { size: 0x3000 })).toThrow(
      expect.objectContaining({
        code: 'AIOT_NVS_UNFIT',
        message:
          'the values need 3 pages, but 0x3000 bytes provide only 3, one of which stays empty: expected a size of at least 0x4000',
      }),
    );
    expect(readNvs(writeNvs([blob], { size: 0x4000 })).entries).toEqual([blob]);
  });

  it('fills a read-only partition to its last page', () => {
    const made = writeNvs([{ namespace: 'a', key: 'b', type: 'blob', value: Buffer.alloc(5000) }], {
      size: 0x2000,
    });
    expect(readNvs(made).pages.map(({ state }) => state)).toEqual(['full', 'active']);
  });

  it.each([0, 100, 0x1001, -4096, Number.NaN])('rejects a size of %d', (size) => {
    expect(() => writeNvs([], { size })).toThrow('expected a size of whole pages (a multiple of 0x1000)');
  });

  it.each([
    [6000, 'got 0x1770 (6000)', 'write --size 0x6000.'],
    [0x6001, 'got 0x6001 (24577)', 'Such as --size 0x7000.'],
    [100, 'got 0x64 (100)', 'Such as --size 0x3000.'],
  ])('suggests a valid size instead of %d', (size, message, next) => {
    expect(() => writeNvs([], { size })).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(message),
        next: expect.stringContaining(next),
      }),
    );
  });

  it('rejects a size larger than any flash before allocating memory', () => {
    expect(() => writeNvs([], { size: 0xffff_f000 })).toThrow('0x8000000 bytes at most), got 0xfffff000');
  });

  const place = { namespace: 'a', key: 'k' } as const;
  it.each<[string, NvsItem, 1 | 2, string]>([
    [
      'a long key',
      { namespace: 'a', key: 'sixteen-letters-', type: 'u8', value: 1 },
      2,
      'expected the key "sixteen-letters-" to be 1 to 15 bytes of text, got 16 bytes',
    ],
    [
      'an empty namespace',
      { namespace: '', key: 'k', type: 'u8', value: 1 },
      2,
      'expected the namespace "" to be 1 to 15 bytes of text, got 0 bytes',
    ],
    [
      'a key with a leading space',
      { namespace: 'a', key: ' k', type: 'u8', value: 1 },
      2,
      'expected the key " k" to be 1 to 15 bytes of text, got a leading or trailing space, or a control character',
    ],
    [
      'a number out of range',
      { ...place, type: 'u8', value: 256 },
      2,
      'a.k: expected a whole number from 0 to 255 for u8, got 256',
    ],
    [
      'a fractional number',
      { ...place, type: 'i16', value: 0.5 },
      2,
      'a.k: expected a whole number from -32768 to 32767 for i16, got 0.5',
    ],
    [
      'a string with a NUL',
      { ...place, type: 'string', value: 'a\0b' },
      2,
      'a.k: expected a string without NUL characters',
    ],
    [
      'a long string',
      { ...place, type: 'string', value: 'x'.repeat(4000) },
      2,
      'a.k: expected at most 4000 bytes for a string with its NUL (version 2), got 4001',
    ],
    [
      'a long string of version 1',
      { ...place, type: 'string', value: 'x'.repeat(1984) },
      1,
      'a.k: expected at most 1984 bytes for a string with its NUL (version 1), got 1985',
    ],
    [
      'a long blob of version 1',
      { ...place, type: 'blob', value: Buffer.alloc(1985) },
      1,
      'a.k: expected at most 1984 bytes for a blob (version 1), got 1985',
    ],
  ])('rejects %s', (_, item, version, message) => {
    expect(() => writeNvs([item], { size: 0x4000, version })).toThrow(
      expect.objectContaining({ code: 'AIOT_NVS_UNFIT', message }),
    );
  });

  it('rejects a duplicate key, and too many namespaces', () => {
    const item: NvsItem = { ...place, type: 'u8', value: 1 };
    expect(() => writeNvs([item, item], { size: 0x4000 })).toThrow('a.k is specified twice');
    const many = Array.from(
      { length: 255 },
      (_, i): NvsItem => ({ namespace: `n${i}`, key: 'k', type: 'u8', value: 1 }),
    );
    expect(() => writeNvs(many, { size: 0x10000 })).toThrow(
      'expected at most 254 namespaces, but n254 is the 255th',
    );
  });
});

describe('the NVS CSV parser', () => {
  it('accepts quotes, line endings, comments, files and padding', async () => {
    const text =
      '\uFEFFkey,type,encoding,value\r\n# Wi-Fi\r\nwifi,namespace,,\r\npass,data,string,"a ""b"", c"\r\n\r\npem,data,string,"x\r\ny\r\n"\r\nf,file,base64,f.b64\r\nz,data,blob_sz_fill(4;0x55),ab\r\nn,data,i32,-0x10\r\n';
    const read = await parseNvsCsv(text, async (path) => Buffer.from(path === 'f.b64' ? 'aGVs\nbG8=\n' : ''));
    expect(read.slice(1)).toEqual([
      { namespace: 'wifi', key: 'pass', type: 'string', value: 'a "b", c' },
      { namespace: 'wifi', key: 'pem', type: 'string', value: 'x\ny\n' },
      { namespace: 'wifi', key: 'f', type: 'blob', value: Buffer.from('hello') },
      {
        namespace: 'wifi',
        key: 'z',
        type: 'blob',
        value: Buffer.from('02000000616255550a'.slice(0, 16), 'hex'),
      },
      { namespace: 'wifi', key: 'n', type: 'i32', value: -16 },
    ]);
  });

  it.each([
    ['a key without a namespace', ['a,data,u8,1'], 'nvs.csv:2: expected a namespace before the first key'],
    [
      'an unknown type',
      ['n,namespace,,', 'a,text,u8,1'],
      'nvs.csv:3: expected a type of namespace, data or file, got "text"',
    ],
    [
      'an unknown encoding',
      ['n,namespace,,', 'a,data,float,1'],
      'nvs.csv:3: n.a: expected an encoding such as u32, string or base64, got "float"',
    ],
    [
      'an invalid number',
      ['n,namespace,,', 'a,data,u8,x'],
      'nvs.csv:3: n.a: expected a whole number for u8, got "x"',
    ],
    [
      'a number out of range',
      ['n,namespace,,', 'a,data,u8,256'],
      'nvs.csv:3: n.a: expected u8 to be from 0 to 255, got 256',
    ],
    [
      'incomplete hex',
      ['n,namespace,,', 'a,data,hex2bin,abc'],
      'nvs.csv:3: n.a: expected pairs of hexadecimal digits for hex2bin',
    ],
    [
      'incomplete base64',
      ['n,namespace,,', 'a,data,base64,abc'],
      'nvs.csv:3: n.a: expected base64 with its padding',
    ],
    ['a missing cell', ['n,namespace,,', 'a,data,u8'], 'nvs.csv:3: expected 4 cells, got 3'],
    [
      'a comma in a value',
      ['n,namespace,,', 'a,data,string,x,y'],
      'nvs.csv:3: expected 4 cells, got 5 (put values that contain commas in quotes)',
    ],
    [
      'a duplicate key',
      ['n,namespace,,', 'a,data,u8,1', 'b,data,u8,1', 'a,data,u8,2'],
      'nvs.csv:5: n.a is already defined in line 3',
    ],
    [
      'a long key',
      ['n,namespace,,', 'sixteen-letters-,data,u8,1'],
      'nvs.csv:3: expected the key "sixteen-letters-" to be 1 to 15 bytes of text, got 16 bytes',
    ],
    [
      'text after a quote',
      ['n,namespace,,', 'a,data,string,"x"y'],
      'nvs.csv:3: expected a comma after a quoted cell, got "y"',
    ],
    [
      'a value longer than its padded size',
      ['n,namespace,,', 'a,data,blob_fill(2;0xff),abc'],
      'nvs.csv:3: n.a: expected at most 2 bytes of padding, got 3',
    ],
  ])('rejects %s with the line number', async (_, rows, message) => {
    await expect(parse(...rows)).rejects.toThrow(expect.objectContaining({ message }));
  });

  it('rejects an unknown header', async () => {
    await expect(parseNvsCsv('name,value\n', noFiles)).rejects.toThrow(
      'nvs.csv:1: expected the header key,type,encoding,value, got "name,value"',
    );
    await expect(parseNvsCsv('', noFiles)).rejects.toThrow('got an empty file');
  });

  it('never prints a rejected string, because it might be a secret', async () => {
    const long = `hunter2${'x'.repeat(4000)}`;
    await expect(parse('n,namespace,,', `a,data,string,${long}`)).rejects.toThrow(/^(?!.*hunter2)/);
  });
});

describe('NVS keys', () => {
  it('are stored in a partition with their CRC', () => {
    const partition = writeNvsKeys(keys);
    expect(readNvsKeys(partition)).toEqual(keys);
    for (const at of [0, 63, 64, 67, 68, 4095]) {
      const damaged = Buffer.from(partition);
      damaged[at]! ^= 1;
      expect(() => readNvsKeys(damaged)).toThrow(/^nvs_keys, offset 0x/);
    }
    expect(() => readNvsKeys(partition.subarray(0, 60))).toThrow(
      'nvs_keys, offset 0x3c: expected 0x1000 bytes, but the file ends here',
    );
    expect(() => writeNvsKeys(Buffer.alloc(64))).toThrow('expected two different keys');
    expect(() => writeNvsKeys(keys.subarray(1))).toThrow('expected 64 bytes of keys, got 63');
  });

  it('are requested if a partition is encrypted', () => {
    const made = encryptNvs(
      writeNvs([{ namespace: 'a', key: 'k', type: 'u8', value: 1 }], { size: 0x3000 }),
      keys,
    );
    expect(() => readNvs(made)).toThrow(
      expect.objectContaining({
        next: 'If the partition is encrypted, specify the keys: --keys nvs_keys.bin',
      }),
    );
  });
});
