import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { root, runCli } from '../../support/cli.js';

const golden = (...parts: string[]) => join(root, 'test', 'golden', 'flash', ...parts);
const at = (name: string) => join(folder, name);
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-tables-'));
});
const same = (a: string, b: string) => Buffer.compare(readFileSync(a), readFileSync(b)) === 0;

describe('aiot firmware nvs', () => {
  it('creates the same partition as ESP-IDF’s generator, with files next to the CSV', async () => {
    const { code, json } = await runCli([
      'firmware',
      'nvs',
      'create',
      golden('nvs', 'c_blobs.csv'),
      at('o.bin'),
      '--size',
      '0x9000',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(json).toEqual({
      file: at('o.bin'),
      bytes: 0x9000,
      version: 2,
      namespaces: 1,
      entries: 7,
      pages: { used: 5, total: 9 },
      encrypted: false,
      keys: null,
    });
    expect(same(at('o.bin'), golden('nvs', 'c_blobs.bin'))).toBe(true);
    expect(statSync(at('o.bin')).mode & 0o777).toBe(0o600);
  });

  it('creates a version 1 partition', async () => {
    const argv = [
      'firmware',
      'nvs',
      'create',
      golden('nvs', 'a_basic.csv'),
      at('o.bin'),
      '--size',
      '12K',
      '--nvs-version',
      '1',
    ];
    const { code, stdout } = await runCli(argv);
    expect(code).toBe(0);
    expect(same(at('o.bin'), golden('nvs', 'a_basic.v1.bin'))).toBe(true);
    expect(stdout).toBe(
      `${at('o.bin')}\nContains   10 values in 1 namespace\nSize       12.0 KiB (0x3000), 1 of 3 pages used\nVersion    1\nEncrypted  no\n\nNext: aiot flash ${at('o.bin')}@nvs\n`,
    );
  });

  it('prints the contents of a partition, with 64-bit values as text and blobs in base64', async () => {
    const { code, json } = await runCli(['firmware', 'nvs', 'read', golden('nvs', 'a_basic.bin'), '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      version: 2,
      encrypted: false,
      namespaces: ['storage'],
      problems: [],
      out: null,
    });
    const { entries } = json as { entries: { key: string; value: unknown }[] };
    expect(entries.map(({ key, value }) => [key, value])).toEqual([
      ['u8k', 255],
      ['i8k', -128],
      ['u16k', 65535],
      ['i16k', -32768],
      ['u32k', 4294967295],
      ['i32k', -2147483648],
      ['u64k', '18446744073709551615'],
      ['i64k', '-9223372036854775808'],
      ['str', 'hello'],
      ['empty', ''],
    ]);
    const csv = await runCli(['firmware', 'nvs', 'read', golden('nvs', 'a_basic.csv')]);
    expect(csv.stderr).toMatch(/a_basic.csv is a CSV file of values[\s\S]*aiot firmware nvs create /);
    const blobs = await runCli(['firmware', 'nvs', 'read', golden('nvs', 'c_blobs.bin'), '--json']);
    const small = (blobs.json as { entries: unknown[] }).entries[0];
    const value = readFileSync(golden('nvs', 'blob32.bin')).toString('base64');
    expect(small).toEqual({ namespace: 'blobs', key: 'small', type: 'blob', value, bytes: 32 });
  });

  it('hides secrets unless --show-secrets is given', async () => {
    const argv = ['firmware', 'nvs', 'read', golden('nvs', 'b_ns.bin')];
    const hidden = await runCli(argv);
    expect(hidden.stdout).toContain('MyNet');
    expect(hidden.stdout).toContain('(secret)');
    expect(hidden.stdout).not.toContain('s3cr3t');
    expect((await runCli([...argv, '--show-secrets'])).stdout).toContain('s3cr3t pässwörd ☃');
  });

  it('exports a CSV that recreates the same partition', async () => {
    await runCli(['firmware', 'nvs', 'read', golden('nvs', 'd_many.bin'), '--out', at('d.csv')]);
    const { code } = await runCli([
      'firmware',
      'nvs',
      'create',
      at('d.csv'),
      at('d.bin'),
      '--size',
      '0x8000',
    ]);
    expect(code).toBe(0);
    expect(same(at('d.bin'), golden('nvs', 'd_many.bin'))).toBe(true);
  });

  it('encrypts with new or existing keys', async () => {
    const create = ['firmware', 'nvs', 'create', golden('nvs', 'a_basic.csv')];
    const first = await runCli([
      ...create,
      at('e.bin'),
      '--size',
      '0x3000',
      '--new-keys',
      at('keys.bin'),
      '--json',
    ]);
    expect(first.json).toMatchObject({ encrypted: true, keys: at('keys.bin') });
    expect(statSync(at('keys.bin')).mode & 0o777).toBe(0o600);
    await runCli([...create, at('f.bin'), '--size', '0x3000', '--keys', at('keys.bin')]);
    expect(same(at('e.bin'), at('f.bin'))).toBe(true);
    expect(same(at('e.bin'), golden('nvs', 'a_basic.bin'))).toBe(false);
    const read = await runCli(['firmware', 'nvs', 'read', at('e.bin'), '--keys', at('keys.bin'), '--json']);
    expect(read.json).toMatchObject({ encrypted: true, problems: [] });
    const blind = await runCli(['firmware', 'nvs', 'read', at('e.bin')]);
    expect(blind.code).toBe(2);
    expect(blind.stderr).toContain('If the partition is encrypted, specify the keys: --keys nvs_keys.bin');
    const wrong = await runCli([
      'firmware',
      'nvs',
      'read',
      golden('nvs', 'a_basic.bin'),
      '--keys',
      at('keys.bin'),
    ]);
    expect(wrong.stderr).toContain(`Check whether it is encrypted with the keys in ${at('keys.bin')}.`);
    const again = await runCli([...create, at('g.bin'), '--size', '0x3000', '--new-keys', at('keys.bin')]);
    expect(again.stderr).toContain(
      `AIOT_USAGE: ${at('keys.bin')} already exists and is needed for the data encrypted with it`,
    );
  });

  it('rejects values that do not fit, and writes nothing', async () => {
    const argv = ['firmware', 'nvs', 'create', golden('nvs', 'c_blobs.csv'), at('o.bin'), '--size', '0x4000'];
    const { code, stderr } = await runCli(argv);
    expect(code).toBe(2);
    expect(stderr).toBe(
      '✗ AIOT_NVS_UNFIT: the values need 5 pages, but 0x4000 bytes provide only 4, one of which stays empty: expected a size of at least 0x6000\n  Try: Correct the value that the message names. If the values need more space, choose a larger --size.\n',
    );
    expect(() => statSync(at('o.bin'))).toThrow();
  });

  it('rejects an invalid CSV with the line number, and a missing file', async () => {
    writeFileSync(at('bad.csv'), 'key,type,encoding,value\nn,namespace,,\na,data,u8,300\n');
    const bad = await runCli(['firmware', 'nvs', 'create', at('bad.csv'), at('o.bin'), '--size', '0x3000']);
    expect(bad.stderr).toContain(
      `AIOT_NVS_UNFIT: ${at('bad.csv')}:3: n.a: expected u8 to be from 0 to 255, got 300`,
    );
    writeFileSync(at('bad.csv'), 'key,type,encoding,value\nn,namespace,,\na,file,string,missing.pem\n');
    const missing = await runCli([
      'firmware',
      'nvs',
      'create',
      at('bad.csv'),
      at('o.bin'),
      '--size',
      '0x3000',
    ]);
    expect(missing.code).toBe(4);
    const over = await runCli([
      'firmware',
      'nvs',
      'create',
      golden('nvs', 'a_basic.csv'),
      golden('nvs', 'a_basic.csv'),
      '--size',
      '0x3000',
    ]);
    expect(over.stderr).toContain('AIOT_FILE_IS_INPUT');
  });

  it('rejects a damaged partition with the offset, or salvages it', async () => {
    const bytes = readFileSync(golden('nvs', 'b_ns.bin'));
    bytes[bytes.indexOf('MyNet')]! ^= 1;
    writeFileSync(at('d.bin'), bytes);
    const refused = await runCli(['firmware', 'nvs', 'read', at('d.bin')]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(
      /AIOT_FILE_MALFORMED: NVS, offset 0x80: the CRC of the data of ssid is 0x/,
    );
    const { code, json } = await runCli(['firmware', 'nvs', 'read', at('d.bin'), '--salvage', '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({ problems: [{ offset: 0x80 }] });
  });
});

describe('aiot firmware partitions', () => {
  it('creates a table from a CSV file', async () => {
    const { code, json, stdout } = await runCli([
      'firmware',
      'partitions',
      'create',
      golden('partitions', 'two_ota_4m.csv'),
      at('p.bin'),
      '--flash-size',
      '4MB',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(stdout.split('\n')).toHaveLength(2);
    expect(json).toMatchObject({ file: at('p.bin'), offset: 0x8000, md5: true, end: 4 << 20, problems: [] });
    expect(same(at('p.bin'), golden('partitions', 'two_ota_4m.bin'))).toBe(true);
    await runCli([
      'firmware',
      'partitions',
      'create',
      golden('partitions', 'two_ota_4m.csv'),
      at('q.bin'),
      '--no-md5',
    ]);
    expect(same(at('q.bin'), golden('partitions', 'two_ota_4m.nomd5.bin'))).toBe(true);
  });

  it('reads a table from its own file or a flash dump, and exports it as CSV', async () => {
    const flash = Buffer.alloc(0x20000, 0xff);
    readFileSync(golden('partitions', 'flags.bin')).copy(flash, 0x8000);
    writeFileSync(at('flash.bin'), flash);
    const { json } = await runCli([
      'firmware',
      'partitions',
      'read',
      at('flash.bin'),
      '--out',
      at('p.csv'),
      '--json',
    ]);
    const alone = await runCli([
      'firmware',
      'partitions',
      'read',
      golden('partitions', 'flags.bin'),
      '--json',
    ]);
    expect(json).toEqual({ ...(alone.json as object), file: at('flash.bin'), out: at('p.csv') });
    await runCli(['firmware', 'partitions', 'create', at('p.csv'), at('p.bin')]);
    expect(same(at('p.bin'), golden('partitions', 'flags.bin'))).toBe(true);
  });

  it('warns about a partition past the end of the flash', async () => {
    const argv = [
      'firmware',
      'partitions',
      'read',
      golden('partitions', 'two_ota_4m.bin'),
      '--flash-size',
      '2MB',
    ];
    const { stdout } = await runCli(argv);
    expect(stdout).toContain('! partition "app1": ends at 0x290000, but the flash ends at 0x200000');
  });

  it('rejects invalid rows with the line number, and damaged tables with the offset', async () => {
    writeFileSync(at('bad.csv'), '# table\nnvs,data,nvs,0x9000,0x6000\napp,app,factory,0xa000,1M\n');
    const bad = await runCli(['firmware', 'partitions', 'create', at('bad.csv'), at('p.bin')]);
    expect(bad.code).toBe(2);
    expect(bad.stderr).toContain(
      `AIOT_FILE_MALFORMED: ${at('bad.csv')}:3: partition "app": expected its offset to be a multiple of 0x10000, got 0xa000`,
    );
    const bytes = readFileSync(golden('partitions', 'flags.bin'));
    bytes[40]! ^= 1;
    writeFileSync(at('d.bin'), bytes);
    const damaged = await runCli(['firmware', 'partitions', 'read', at('d.bin')]);
    expect(damaged.code).toBe(2);
    expect(damaged.stderr).toContain(
      'AIOT_FILE_MALFORMED: partition table, offset 0xb0: the MD5 of the 5 rows is',
    );
  });
});

describe('aiot firmware otadata', () => {
  it('creates otadata and switches the app slot', async () => {
    const { code, json } = await runCli([
      'firmware',
      'otadata',
      'create',
      at('o.bin'),
      '--slot',
      '0',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(json).toEqual({
      file: at('o.bin'),
      slots: 2,
      active: 0,
      entries: [{ sequence: 1, slot: 0, state: 'undefined', usable: true }, null],
    });
    expect(same(at('o.bin'), golden('ota', 'slot0.bin'))).toBe(true);
    await runCli([
      'firmware',
      'otadata',
      'create',
      at('o.bin'),
      '--slot',
      '1',
      '--from',
      at('o.bin'),
      '--state',
      'new',
    ]);
    expect(same(at('o.bin'), golden('ota', 'slot1_new.bin'))).toBe(true);
    const { stdout } = await runCli(['firmware', 'otadata', 'read', at('o.bin')]);
    expect(stdout.split('\n')).toEqual([
      at('o.bin'),
      'Starts    slot 1 of 2',
      'Sector 0  sequence 1: slot 0, no state',
      'Sector 1  sequence 2: slot 1, new',
      '',
      `Next: aiot firmware otadata create next.bin --slot 0 --from ${at('o.bin')}`,
      '',
    ]);
  });

  it('rejects a missing slot, and damaged otadata with the offset', async () => {
    const slot = await runCli(['firmware', 'otadata', 'create', at('o.bin'), '--slot', '2']);
    expect(slot.stderr).toContain('AIOT_USAGE: expected a slot of 0 to 1 (at most 16 slots), got 2');
    const bytes = readFileSync(golden('ota', 'slot1.bin'));
    bytes[0x1000]! ^= 1;
    writeFileSync(at('d.bin'), bytes);
    const damaged = await runCli(['firmware', 'otadata', 'read', at('d.bin')]);
    expect(damaged.code).toBe(2);
    expect(damaged.stderr).toContain(
      'AIOT_FILE_MALFORMED: otadata, offset 0x101c: the CRC of sequence number 3 is 0x',
    );
  });
});
