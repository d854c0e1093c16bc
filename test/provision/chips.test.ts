import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientFor } from '../../src/lib/api/context.js';
import { deviceSchema } from '../../src/lib/api/fields.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import { readPartitionTable } from '../../src/lib/formats/partitions.js';
import { verifiedDeviceSchema } from '../../src/lib/provision/birth.js';
import { deviceType } from '../../src/lib/provision/chip-options.js';
import { activatedSchema } from '../../src/lib/provision/claim.js';
import { readIdentity } from '../../src/lib/provision/held-identity.js';
import { provisionedDeviceSchema } from '../../src/lib/provision/provision.js';
import { fleetResultSchema } from '../../src/lib/provision/provision-fleet.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
const at = (...parts: string[]) => join(own.folder, ...parts);
beforeAll(async () => {
  own = await upForTests();
  await writeFile(at('wifi.txt'), 'two words and more\n');
});
afterAll(() => own.stop());

async function nvs(folder: string): Promise<Map<string, unknown>> {
  const { entries } = readNvs(await readFile(join(folder, 'nvs.bin')));
  return new Map(entries.map(({ namespace, key, value }) => [`${namespace}/${key}`, value]));
}

describe('aiot device provision for a chip', () => {
  it('writes NVS and the partition table, with the key only in NVS', async () => {
    const out = at('pump-1');
    const device = await ok(provisionedDeviceSchema, [
      ...['device', 'provision', 'pump-1', '--type', 'esp32', '--out', out],
      ...['--wifi-ssid', 'plant', '--wifi-password-file', at('wifi.txt'), '--mac', '24:0A:C4:DA:B6:B0'],
      ...['--wifi-address', '10.0.0.7/24', '--wifi-gateway', '10.0.0.1'],
    ]);
    expect(device.wifi).toEqual({ ssid: 'plant', open: false, address: '10.0.0.7' });
    expect(device.files).toEqual([join(out, 'nvs.bin'), join(out, 'partitions.bin')]);
    expect((await readdir(out)).sort()).toEqual([
      ...['device.crt', 'device.json', 'nvs.bin', 'partitions.bin'],
    ]);
    expect((await stat(join(out, 'nvs.bin'))).mode & 0o777).toBe(0o600);
    const values = await nvs(out);
    expect(values.get('aiot/name')).toBe('pump-1');
    expect(values.get('aiot/id')).toBe(device.id);
    expect(values.get('aiot/chip_id')).toBe('14333616');
    expect(values.get('aiot/http')).toBe(own.url);
    expect(values.get('wifi/password')).toBe('two words and more');
    expect(values.get('wifi/mask')).toBe('255.255.255.0');
    expect(values.get('wifi/dns')).toBe('10.0.0.1');
    const certificate = new X509Certificate(values.get('aiot/certificate') as string);
    expect(certificate.checkPrivateKey(createPrivateKey(values.get('aiot/key') as string))).toBe(true);
    expect(certificate.subject).toContain('CN=pump-1');
    expect(certificate.verify(new X509Certificate(await readFile(own.ca)).publicKey)).toBe(true);
    for (const file of ['device.crt', 'device.json', 'partitions.bin'])
      expect(await readFile(join(out, file), 'latin1')).not.toContain('PRIVATE KEY');
    const { partitions } = readPartitionTable(await readFile(join(out, 'partitions.bin')));
    expect(partitions.map(({ label }) => label)).toEqual(expect.arrayContaining(['nvs', 'ota_0', 'ota_1']));
  });

  it('accepts a custom partition table, the flash size and a custom type', async () => {
    const table = 'nvs,data,nvs,0x9000,0x8000,\nfactory,app,factory,0x20000,0x100000,\n';
    await writeFile(at('table.csv'), table);
    const out = at('own-table');
    await ok(provisionedDeviceSchema, [
      ...['device', 'provision', 'own-table', '--type', 'pump', '--chip', 'esp32c3', '--out', out],
      ...['--partitions', at('table.csv'), '--flash-size', '2MB', '--nvs-version', '1'],
    ]);
    expect((await stat(join(out, 'nvs.bin'))).size).toBe(0x8000);
    expect(readNvs(await readFile(join(out, 'nvs.bin'))).version).toBe(1);
    expect((await nvs(out)).get('aiot/type')).toBe('pump');
    expect(JSON.parse(await readFile(join(out, 'device.json'), 'utf8'))).toMatchObject({ chip: 'esp32c3' });
  });

  it.each([
    ['ESP32', 'esp32'],
    ['esp32-pump', 'esp32-pump'],
    ['esp8266', 'esp8266'],
    ['pump', 'pump'],
    ['esp23', 'Did you mean esp32?'],
    ['Esp32-C3', 'Did you mean esp32c3?'],
    ['sp32', 'Did you mean esp32?'],
    ['esp32c', 'Did you mean esp32?'],
  ])('resolves the type %s, or rejects it with a suggestion: %s', (type, expected) => {
    const got = () => deviceType(type);
    if (expected.includes(' ')) expect(got).toThrow(expected);
    else expect(got()).toBe(expected);
  });

  it('encrypts NVS with its own keys', async () => {
    const out = at('secret');
    const argv = ['device', 'provision', 'secret', '--type', 'esp32s3', '--out', out, '--encrypt-nvs'];
    const { files } = await ok(provisionedDeviceSchema, argv);
    expect(files.at(-1)).toBe(join(out, 'nvs_keys.bin'));
    expect((await stat(join(out, 'nvs_keys.bin'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(out, 'nvs.bin'), 'latin1')).not.toContain('PRIVATE KEY');
  });

  it('encrypts NVS with keys from an HMAC key, which are not among the files', async () => {
    await writeFile(at('nvs.key'), Buffer.alloc(32, 0x21));
    const argv = ['device', 'provision', 'hmac', '--type', 'esp32s3', '--out', at('hmac')];
    const { files } = await ok(provisionedDeviceSchema, [...argv, '--nvs-key', at('nvs.key')]);
    expect(files).not.toContain(join(at('hmac'), 'nvs_keys.bin'));
    const read = ['firmware', 'nvs', 'read', join(at('hmac'), 'nvs.bin')];
    expect((await runCli(read)).code).toBe(2);
    const { json } = await runCli([...read, '--hmac-key', at('nvs.key'), '--json']);
    const { entries } = json as { entries: { key: string; value: unknown }[] };
    expect(entries).toContainEqual(expect.objectContaining({ key: 'name', value: 'hmac' }));
  });

  it.each([
    ['a partition table without NVS', ['--partitions', 'no-nvs.csv'], 'AIOT_FILE_MALFORMED', 2],
    ['a missing partition table', ['--partitions', 'nowhere.csv'], 'AIOT_FILE_NOT_FOUND', 4],
    ['a table larger than the flash', ['--flash-size', '1MB'], 'AIOT_FILE_MALFORMED', 2],
    ['an NVS that is too small', ['--partitions', 'small.csv'], 'AIOT_FILE_MALFORMED', 2],
    ['a short password', ['--wifi-ssid', 'plant', '--wifi-password-file', 'short.txt'], 'AIOT_USAGE', 2],
    ['a password without a network', ['--wifi-password-file', 'short.txt'], 'AIOT_USAGE', 2],
    ['an overlong network name', ['--wifi-ssid', 'x'.repeat(33)], 'AIOT_USAGE', 2],
    [
      'a fixed address without a network',
      ['--wifi-address', '10.0.0.7/24', '--wifi-gateway', '10.0.0.1'],
      'AIOT_USAGE',
      2,
    ],
    [
      'a fixed address without a gateway',
      ['--wifi-ssid', 'open', '--wifi-address', '10.0.0.7/24'],
      'AIOT_USAGE',
      2,
    ],
    ['an invalid MAC address', ['--mac', '24:0a:c4'], 'AIOT_USAGE', 2],
    ['a chip ID of more than 24 bits', ['--chip-id', '16777216'], 'AIOT_USAGE', 2],
    ['an unknown label format', ['--labels', 'labels.png'], 'AIOT_USAGE', 2],
    ['the board of another device', ['--mac', '24:0a:c4:da:b6:b0'], 'AIOT_ALREADY_EXISTS', 2],
  ])('rejects %s before registering or writing anything', async (_, flags, code, exit) => {
    await writeFile(at('no-nvs.csv'), 'factory,app,factory,0x10000,0x100000,\n');
    await writeFile(at('small.csv'), 'nvs,data,nvs,0x9000,0x1000,\n');
    await writeFile(at('short.txt'), 'short\n');
    const placed = flags.map((flag) => (/\.(csv|txt|png)$/.test(flag) ? at(flag) : flag));
    const argv = ['device', 'provision', 'bad', '--type', 'esp32', '--out', at('bad'), ...placed];
    expect(await refusal(argv)).toMatchObject({ code, exit });
    expect(existsSync(at('bad'))).toBe(false);
    expect(await refusal(['device', 'show', 'bad'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it.each([
    ['neither a name nor a file', []],
    ['both a name and a file', ['x', '--csv', 'fleet.csv', '--out', 'x']],
    ['a fixed address for a fleet', ['--csv', 'fleet.csv', '--out', 'x', '--wifi-address', '10.0.0.7/24']],
    ['an HMAC key for a fleet', ['--csv', 'fleet.csv', '--out', 'x', '--nvs-key', 'nvs.key']],
    ['a missing output folder', ['x']],
    ['a misspelled chip name', ['x', '--type', 'esp23', '--out', 'x']],
    ['conflicting chips', ['x', '--type', 'esp32', '--chip', 'esp32c3', '--out', 'x']],
    ['NVS encryption for a computer', ['x', '--type', 'pi', '--encrypt-nvs', '--out', 'x']],
  ])('rejects %s', async (_, argv) => {
    expect(await refusal(['device', 'provision', ...argv])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
  });
});

describe('a chip image', () => {
  it.each(['pump-1', 'secret'])('contains everything that %s needs to reach its platform', async (name) => {
    const device = await ok(activatedSchema, ['device', 'activate', at(name)]);
    expect(device).toMatchObject({ name, state: 'active', claimed: false });
    const { trust } = await readIdentity(at(name));
    const client = await clientFor();
    expect(trust).toEqual(await client.trust.get());
    await client.close();
  });

  it('runs as a virtual device', async () => {
    const { stdout, code } = await runCli(['device', 'simulate', at('pump-1'), '--for', '200ms', '--json']);
    expect(code).toBe(0);
    expect(stdout).toContain('"online"');
  });

  it.each(['pump-1', 'secret'])('for %s keeps its settings and gets a new key on rotation', async (name) => {
    const before = await readIdentity(at(name));
    await ok(provisionedDeviceSchema, ['device', 'rotate', name, '--out', at(name)]);
    const after = await readIdentity(at(name));
    expect(after.key).not.toBe(before.key);
    expect({ ...after, key: '', certificate: '' }).toEqual({ ...before, key: '', certificate: '' });
    await ok(activatedSchema, ['device', 'activate', at(name)]);
  });

  it('keeps its partition table on rotation', async () => {
    const table = () => readFile(join(at('own-table'), 'partitions.bin'));
    const before = await table();
    await ok(provisionedDeviceSchema, [
      ...['device', 'rotate', 'own-table', '--out', at('own-table'), '--nvs-version', '1'],
    ]);
    expect(before.equals(await table())).toBe(true);
    expect((await stat(join(at('own-table'), 'nvs.bin'))).size).toBe(0x8000);
  });

  it('is reported if it is damaged', async () => {
    await cp(at('pump-1'), at('damaged'), { recursive: true });
    await writeFile(at('damaged', 'nvs.bin'), new Uint8Array(4096 * 5));
    expect(await refusal(['device', 'activate', at('damaged')])).toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      subject: 'nvs',
    });
  });
});

describe('a birth certificate', () => {
  it('is signed, stored and verified, along with the image files', async () => {
    const argv = ['device', 'verify', 'pump-1', '--files', at('pump-1')];
    const { verified, birth, checks } = await ok(verifiedDeviceSchema, argv);
    expect(verified).toBe(true);
    expect(birth).toMatchObject({
      device: { name: 'pump-1', type: 'esp32' },
      chip: null,
      chipId: '14333616',
    });
    expect(checks.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['signature', 'certificate', 'image nvs', 'image partitions']),
    );
  });

  it('reveals a changed image, with exit code 6', async () => {
    const out = at('changed');
    await ok(provisionedDeviceSchema, ['device', 'provision', 'changed', '--type', 'esp32', '--out', out]);
    const image = await readFile(join(out, 'nvs.bin'));
    image[100] = (image[100] ?? 0) ^ 1;
    await writeFile(join(out, 'nvs.bin'), image);
    const { json, code } = await runCli(['device', 'verify', 'changed', '--files', out, '--json']);
    expect(code).toBe(6);
    const { verified, checks } = verifiedDeviceSchema.parse(json);
    expect(verified).toBe(false);
    expect(checks.filter(({ passed }) => !passed).map(({ check }) => check)).toEqual(['image nvs']);
  });

  it('is rejected for another device or with an invalid signature', async () => {
    const client = await clientFor();
    const { envelope } = await client.devices.birth.get('pump-1');
    await expect(client.devices.birth.put('changed', envelope)).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    const forged = { ...envelope, payload: Buffer.from('{}').toString('base64') };
    await expect(client.devices.birth.put('pump-1', forged)).rejects.toMatchObject({
      code: 'AIOT_SIGNATURE_INVALID',
    });
    await client.close();
  });

  it('is reported as missing for a device without one', async () => {
    await ok(deviceSchema.partial(), ['device', 'claim', 'unborn', '--type', 'pi']);
    expect(await refusal(['device', 'verify', 'unborn'])).toMatchObject({
      code: 'AIOT_BIRTH_MISSING',
      exit: 4,
    });
    expect(await refusal(['device', 'verify', 'nobody'])).toMatchObject({ code: 'AIOT_NOT_FOUND', exit: 4 });
  });
});

describe('aiot device provision --csv', () => {
  const fleet = [
    'name,type,mac,ssid,password',
    'f1,esp32,24:0a:c4:00:00:01,plant,password1',
    'f2,esp32c3,,,',
    'f3,pi,,,',
    'f4,esp32s3,,"with, comma",password 4',
  ].join('\n');

  it('provisions each device in its own folder, and skips finished devices on a repeat', async () => {
    await writeFile(at('fleet.csv'), fleet);
    const argv = ['device', 'provision', '--csv', at('fleet.csv'), '--out', at('fleet'), '--jobs', '4'];
    const labels = ['--labels', at('labels.svg')];
    const first = await ok(fleetResultSchema, [...argv, ...labels]);
    expect(first.failed).toEqual([]);
    expect(first.devices.map(({ name, skipped }) => [name, skipped])).toEqual(
      ['f1', 'f2', 'f3', 'f4'].map((name) => [name, false]),
    );
    expect(first.devices[0]?.chipId).toBe('1');
    expect(first.devices[2]?.files.map((file) => file.split('/').at(-1))).toContain('device.key');
    expect((await nvs(at('fleet', 'f4'))).get('wifi/ssid')).toBe('with, comma');
    expect(await readFile(at('labels.svg'), 'utf8')).toContain('f4');
    const again = await ok(fleetResultSchema, argv);
    expect(again.devices.map(({ platform }) => platform)).toEqual(Array(4).fill(own.url));
    expect(again.devices.map(({ skipped }) => skipped)).toEqual([true, true, true, true]);
    expect(again.devices.map(({ certificate }) => certificate)).toEqual(
      first.devices.map(({ certificate }) => certificate),
    );
  });

  it.each([
    ['an unknown column', 'name,colour\nx,red', 'AIOT_CSV_COLUMNS', ''],
    ['a missing name column', 'type\nesp32', 'AIOT_CSV_COLUMNS', ''],
    ['a file without devices', 'name\n', 'AIOT_CSV_EMPTY', ''],
    ['a missing cell', 'name,type\nx', 'AIOT_FILE_MALFORMED', ':2'],
    ['an invalid name', 'name\na/b', 'AIOT_FILE_MALFORMED', ':2'],
    ['a duplicate name', 'name\nx\ny\nX', 'AIOT_FILE_MALFORMED', ':4'],
    ['a duplicate board', 'name,mac\nx,24:0a:c4:00:00:09\ny,24:0A:C4:00:00:09', 'AIOT_FILE_MALFORMED', ':3'],
    ['a duplicate chip ID', 'name,mac,chip-id\nx,24:0a:c4:00:00:09,\ny,,9', 'AIOT_FILE_MALFORMED', ':3'],
    ['a misspelled chip name', 'name,type\nx,esp23', 'AIOT_FILE_MALFORMED', ':2'],
    ['a registered board', 'name,type,mac\na1,pi,\na2,esp32,24:0a:c4:00:00:01', 'AIOT_ALREADY_EXISTS', ':3'],
    ['a registered chip ID', 'name,type,chip-id\na1,pi,\na2,esp32,1', 'AIOT_ALREADY_EXISTS', ':3'],
    ['an unknown chip', 'name,chip\nx,esp99', 'AIOT_FILE_MALFORMED', ':2'],
    ['an invalid chip ID', 'name,chip-id\nx,-1', 'AIOT_FILE_MALFORMED', ':2'],
    ['a short password', 'name,type,ssid,password\nx,esp32,plant,abc', 'AIOT_FILE_MALFORMED', ':2'],
    ['a password without a network', 'name,type,password\nx,esp32,abcdefgh', 'AIOT_FILE_MALFORMED', ':2'],
    ['a registered device', 'name,type\nnew-one,pi\npump-1,esp32', 'AIOT_ALREADY_EXISTS', ''],
  ])('rejects %s and provisions nothing', async (_, text, code, place) => {
    await writeFile(at('bad.csv'), text);
    const argv = ['device', 'provision', '--csv', at('bad.csv'), '--out', at('none')];
    const error = await refusal(argv);
    expect(error).toMatchObject({ code, exit: 2 });
    expect(error.message).toContain(`bad.csv${place}`);
    expect(existsSync(at('none'))).toBe(false);
  });

  it('reports all invalid lines at once', async () => {
    await writeFile(at('bad.csv'), 'name,type,mac\na/b,pi,\nok,pi,\nx,esp23,\ny,esp32,24:0a\nok,pi,\n');
    const argv = ['device', 'provision', '--csv', at('bad.csv'), '--out', at('none')];
    const { message } = await refusal(argv);
    expect([...message.matchAll(/bad\.csv:(\d+):/g)].map(([, line]) => line)).toEqual(['2', '4', '5', '6']);
    await writeFile(at('bad.csv'), 'name,type,mac\npump-1,esp32,\nfree,pi,\nother,esp32,24:0a:c4:00:00:01\n');
    const there = await refusal(argv);
    expect(there.message).toMatch(/bad\.csv:2: pump-1 .*\n.*bad\.csv:4: the board .* as f1/);
    expect(existsSync(at('none'))).toBe(false);
  });

  it('keeps spaces in network names and passwords', async () => {
    await writeFile(
      at('spaces.csv'),
      'name,type,ssid,password\nsp1 , esp32, my net , pass word \nsp2,esp32, ,\n',
    );
    const argv = ['device', 'provision', '--csv', at('spaces.csv'), '--out', at('spaces')];
    await ok(fleetResultSchema, argv);
    const values = await nvs(at('spaces', 'sp1'));
    expect([values.get('wifi/ssid'), values.get('wifi/password')]).toEqual([' my net ', ' pass word ']);
    expect((await nvs(at('spaces', 'sp2'))).has('wifi/ssid')).toBe(false);
  });

  it('provisions the others if one device fails, reports that device, and exits with 3', async () => {
    await writeFile(at('partly.csv'), 'name,type\ng1,esp32\ng2,esp32\n');
    await writeFile(at('blocked'), 'a file');
    await ok(fleetResultSchema, [
      ...['device', 'provision', '--csv', at('partly.csv'), '--out', at('half'), '--jobs', '1'],
    ]).then(({ devices }) => expect(devices).toHaveLength(2));
    await writeFile(at('more.csv'), 'name,type\ng1,esp32\ng2,esp32\ng3,pi\ng4,pi\n');
    await writeFile(at('half', 'g3'), 'a file where a folder has to be');
    const { json, code } = await runCli([
      ...['device', 'provision', '--csv', at('more.csv'), '--out', at('half'), '--json'],
    ]);
    expect(code).toBe(3);
    const { devices, failed } = fleetResultSchema.parse(json);
    expect(devices.map(({ name, skipped }) => [name, skipped])).toEqual([
      ['g1', true],
      ['g2', true],
      ['g4', false],
    ]);
    expect(failed).toMatchObject([{ name: 'g3', line: 4, error: { code: 'AIOT_FILE_NOT_WRITABLE' } }]);
  });
});

describe('aiot device labels', () => {
  it('prints labels for the named devices, or for all with a certificate', async () => {
    const { code, json } = await runCli([
      'device',
      'labels',
      'pump-1',
      'f1',
      '--out',
      at('two.pdf'),
      '--json',
    ]);
    expect([code, json]).toEqual([0, { file: at('two.pdf'), devices: ['pump-1', 'f1'] }]);
    expect((await readFile(at('two.pdf'))).subarray(0, 5).toString()).toBe('%PDF-');
    const all = await runCli(['device', 'labels', '--out', at('all.svg'), '--json']);
    const { devices } = all.json as { devices: string[] };
    expect(devices).toEqual(expect.arrayContaining(['pump-1', 'f1', 'f2']));
    expect(devices).not.toContain('unborn');
  });

  it('rejects devices without a label and unknown formats', async () => {
    expect(await refusal(['device', 'labels', 'nobody', '--out', at('x.svg')])).toMatchObject({ exit: 4 });
    expect(await refusal(['device', 'labels', 'unborn', '--out', at('x.svg')])).toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    expect(await refusal(['device', 'labels', '--out', at('x.bmp')])).toMatchObject({ code: 'AIOT_USAGE' });
  });
});
