import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { generateKeyPair, publicKeyOf } from '../../../src/lib/core/crypto.js';
import { trustRootOf } from '../../../src/lib/formats/manifest/envelope.js';
import { decryptNvs, encryptNvs, readNvsKeys, writeNvsKeys } from '../../../src/lib/formats/nvs/crypt.js';
import { parseNvsCsv } from '../../../src/lib/formats/nvs/csv.js';
import { readNvs } from '../../../src/lib/formats/nvs/read.js';
import type { NvsEntry } from '../../../src/lib/formats/nvs/types.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { readPartitionTable } from '../../../src/lib/formats/partitions.js';
import { selfSignedCa } from '../../../src/lib/provision/certificates.js';
import { batchImage, deviceImage } from '../../../src/lib/provision/device-image.js';
import { root, runCli } from '../../support/cli.js';
import { fc, runs } from '../../support/property.js';
import { describeReal, python } from '../../support/real.js';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'aiot-nvs-'));

/** Runs ESP-IDF's generator in a separate folder. If it fails, the error message contains its output. */
async function generator(...argv: string[]): Promise<void> {
  await run(python('esptool'), ['-m', 'esp_idf_nvs_partition_gen', ...argv], { cwd: folder }).catch(
    (error: { stdout: string; stderr: string }) => expect.fail(`${error.stdout}${error.stderr}`),
  );
}
const noFiles = async (): Promise<Uint8Array> => {
  throw new Error('no file is read');
};
const at = (name: string) => join(folder, name);
const bytes = (name: string) => readFileSync(at(name));

/** Rows with sizes that end pages at every position; the generator itself rejects the longest strings. */
const size = fc.oneof(fc.nat({ max: 70 }), fc.nat({ max: 1900 }), fc.nat({ max: 9000 }));
const row = fc.oneof(
  size.map((length) => ['data', 'hex2bin', 'a5'.repeat(length)]),
  fc.nat({ max: 1900 }).map((length) => ['data', 'string', 'x'.repeat(length)]),
  fc.nat({ max: 3966 }).map((length) => ['data', 'string', 'é'.repeat(length >> 1)]),
  fc.integer().map((value) => ['data', 'i32', String(value)]),
);

/** Values are truncated to the generator's limits (1984 bytes in version 1). */
function csvOf(rows: readonly (readonly string[])[], version: 1 | 2): string {
  const longest: Record<string, number> = version === 1 ? { string: 990, hex2bin: 3960 } : { string: 1983 };
  const lines = rows.map(([type, encoding = '', value = ''], i) =>
    [`k${i}`, type, encoding, value.slice(0, longest[encoding])].join(','),
  );
  const half = lines.length >> 1;
  return [
    'key,type,encoding,value',
    'one,namespace,,',
    ...lines.slice(0, half),
    'two,namespace,,',
    ...lines.slice(half),
    '',
  ].join('\n');
}

/** Entries as rows for the generator, in the same order. */
function csvOfEntries(entries: readonly NvsEntry[]): string {
  let open = '';
  const rows = entries.flatMap(({ namespace, key, type, value }) => {
    const opened = namespace === open ? [] : [`${namespace},namespace,,`];
    open = namespace;
    if (type === 'blob') return [...opened, `${key},data,hex2bin,${Buffer.from(value).toString('hex')}`];
    return [...opened, `${key},data,${type},"${String(value)}"`];
  });
  return ['key,type,encoding,value', ...rows, ''].join('\n');
}

describeReal('esptool', 'NVS writer compared with ESP-IDF’s generator', () => {
  it('produces identical bytes for arbitrary values, in both versions', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 40 }),
        fc.constantFrom(1 as const, 2 as const),
        async (rows, version) => {
          const csv = csvOf(rows, version);
          writeFileSync(at('p.csv'), csv);
          await generator('generate', 'p.csv', 'p.bin', '0x40000', '--version', String(version));
          const made = writeNvs(await parseNvsCsv(csv, noFiles, { version }), { size: 0x40000, version });
          expect(Buffer.compare(made, bytes('p.bin'))).toBe(0);
          expect(readNvs(bytes('p.bin')).problems).toEqual([]);
        },
      ),
      { numRuns: runs(200, 6), endOnFailure: true },
    );
  }, 300_000);

  it('produces identical bytes for any number of free entries at the end of a page', async () => {
    for (const used of process.env.AIOT_LONG ? [...Array(127).keys()] : [123, 124, 125]) {
      const numbers = Array.from({ length: Math.max(0, used - 1) }, (_, i) => `n${i},data,u8,${i & 255}`);
      const csv = [
        'key,type,encoding,value',
        'a,namespace,,',
        ...numbers,
        `b,data,hex2bin,${'5a'.repeat(100)}`,
        '',
      ].join('\n');
      writeFileSync(at('f.csv'), csv);
      await generator('generate', 'f.csv', 'f.bin', '0x4000');
      const made = writeNvs(await parseNvsCsv(csv, noFiles), { size: 0x4000 });
      expect(Buffer.compare(made, bytes('f.bin')), `${used} entries`).toBe(0);
    }
  }, 300_000);

  const csv =
    'key,type,encoding,value\nwifi,namespace,,\nssid,data,string,Workshop\npassword,data,string,correct horse\nblob,data,hex2bin,' +
    '0102'.repeat(2500) +
    '\n';

  it('produces identical encrypted partitions, with keys from either tool', async () => {
    writeFileSync(at('e.csv'), csv);
    await generator('generate-key', '--keyfile', 'theirs.bin');
    const theirs = readFileSync(join(folder, 'keys', 'theirs.bin'));
    const ours = Buffer.from(Array.from({ length: 64 }, (_, i) => (i * 37 + 11) & 255));
    writeFileSync(at('ours.bin'), writeNvsKeys(ours));
    expect(Buffer.compare(writeNvsKeys(readNvsKeys(theirs)), theirs)).toBe(0);
    const plain = writeNvs(await parseNvsCsv(csv, noFiles), { size: 0x6000 });
    for (const [file, keys] of [
      [join('keys', 'theirs.bin'), readNvsKeys(theirs)],
      ['ours.bin', ours],
    ] as const) {
      await generator('encrypt', 'e.csv', 'e.bin', '0x6000', '--inputkey', file);
      expect(Buffer.compare(encryptNvs(plain, keys), bytes('e.bin'))).toBe(0);
      expect(Buffer.compare(decryptNvs(bytes('e.bin'), keys), plain)).toBe(0);
    }
  });

  it('derives the keys from an HMAC key as the generator does', async () => {
    writeFileSync(at('e.csv'), csv);
    await generator(
      'generate-key',
      '--key_protect_hmac',
      '--kp_hmac_keygen',
      '--kp_hmac_keyfile',
      'hmac.bin',
    );
    const hmac = join(folder, 'keys', 'hmac.bin');
    const deriving = ['--key_protect_hmac', '--kp_hmac_inputkey', hmac];
    await generator('encrypt', 'e.csv', 'h.bin', '0x6000', '--keygen', ...deriving);
    const argv = [at('e.csv'), at('ours-h.bin'), '--size', '0x6000', '--hmac-key', hmac];
    expect((await runCli(['firmware', 'nvs', 'create', ...argv, '--json'])).json).toMatchObject({
      encrypted: true,
      keys: null,
    });
    expect(Buffer.compare(bytes('ours-h.bin'), bytes('h.bin'))).toBe(0);
    const read = await runCli(['firmware', 'nvs', 'read', at('h.bin'), '--hmac-key', hmac, '--json']);
    expect(read.json).toMatchObject({
      encrypted: true,
      entries: [{ key: 'ssid', value: 'Workshop' }, { key: 'password' }, { key: 'blob', bytes: 5000 }],
    });
  });

  it('encrypts partitions that the generator can decrypt', async () => {
    const keys = Buffer.from(Array.from({ length: 64 }, (_, i) => (i * 91 + 3) & 255));
    const plain = writeNvs(await parseNvsCsv(csv, noFiles), { size: 0x6000 });
    writeFileSync(at('k.bin'), writeNvsKeys(keys));
    writeFileSync(at('c.bin'), encryptNvs(plain, keys));
    await generator('decrypt', 'c.bin', 'k.bin', 'd.bin');
    expect(Buffer.compare(bytes('d.bin'), plain)).toBe(0);
  });

  it('produces identical board NVS with the new and an earlier table, plain and encrypted', async () => {
    const earlier = readFileSync(
      join(root, 'test', 'golden', 'flash', 'partitions', 'board_earlier.csv'),
      'utf8',
    );
    const key = generateKeyPair().privatePem;
    const certificate = await selfSignedCa(key, 'motor-1', Date.UTC(2026, 10, 20));
    const identity = {
      ...{ name: 'motor-1', id: 'dev_01k', type: 'esp32', chip: 'esp32' as const, chipId: '10276844' },
      ...{ key, certificate },
    };
    const options = {
      ...{ wifi: { ssid: 'Workshop', password: 'correct horse' }, trust: trustRootOf(publicKeyOf(key)) },
      ...{ release: { sequence: 7, floor: 3 }, version: 2 as const, flashBytes: 4 << 20 },
      platform: { http: 'https://pi.local:8443', mqtts: 'mqtts://pi.local:8883', ca: certificate },
    };
    for (const table of [null, earlier]) {
      const { nvs, partitions } = deviceImage(identity, { ...options, table, encrypt: false });
      const row = readPartitionTable(partitions.data).partitions.find(({ label }) => label === 'nvs');
      expect(nvs).toMatchObject({ offset: row?.offset, data: { length: row?.size } });
      writeFileSync(at('board.csv'), csvOfEntries(readNvs(nvs.data).entries));
      await generator('generate', 'board.csv', 'board.bin', `0x${nvs.data.length.toString(16)}`);
      expect(Buffer.compare(nvs.data, bytes('board.bin'))).toBe(0);
      const secret = deviceImage(identity, { ...options, table, encrypt: true });
      writeFileSync(at('board-keys.bin'), secret.keys!.data);
      writeFileSync(at('secret.bin'), secret.nvs.data);
      await generator('decrypt', 'secret.bin', 'board-keys.bin', 'open.bin');
      expect(Buffer.compare(nvs.data, bytes('open.bin'))).toBe(0);
    }
  });

  it('produces identical NVS for the boards of a batch', async () => {
    const ca = await selfSignedCa(generateKeyPair().privatePem, 'aiot', Date.UTC(2026, 10, 20));
    const batch = { key: `aiotbatch_${'x'.repeat(43)}`, http: 'https://pi.local:8443', ca };
    const wifi = { ssid: 'Workshop', password: 'correct horse' };
    for (const version of [1, 2] as const) {
      const image = batchImage(batch, { wifi, version, table: null, flashBytes: 4 << 20, encrypt: false });
      writeFileSync(at('batch.csv'), csvOfEntries(readNvs(image.nvs.data).entries));
      const size = `0x${image.nvs.data.length.toString(16)}`;
      await generator('generate', 'batch.csv', 'batch.bin', size, '--version', String(version));
      expect(Buffer.compare(image.nvs.data, bytes('batch.bin'))).toBe(0);
    }
  });

  it('puts a key into its reopened namespace, unlike the generator, which uses the newest one', async () => {
    const twice =
      'key,type,encoding,value\none,namespace,,\na,data,u8,1\ntwo,namespace,,\nb,data,u8,2\none,namespace,,\nc,data,u8,3\n';
    writeFileSync(at('t.csv'), twice);
    await generator('generate', 't.csv', 't.bin', '0x3000');
    const of = (image: Uint8Array) => readNvs(image).entries.find(({ key }) => key === 'c')?.namespace;
    expect(of(bytes('t.bin'))).toBe('two');
    expect(of(writeNvs(await parseNvsCsv(twice, noFiles), { size: 0x3000 }))).toBe('one');
  });
});
