import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { SimulatedChip } from '../../src/lib/flash/rom/chip.js';
import { type ServedChip, serveChip } from '../../src/lib/flash/rom/serve.js';
import { flashResultSchema } from '../../src/lib/flash/write/result.js';
import { decryptNvs, readNvsKeys } from '../../src/lib/formats/nvs/crypt.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import type { NvsEntry } from '../../src/lib/formats/nvs/types.js';
import { writeNvs } from '../../src/lib/formats/nvs/write.js';
import type { BatchFile } from '../../src/lib/provision/batch.js';
import { provisionedBatchSchema } from '../../src/lib/provision/batch-image.js';
import { selfSignedCa } from '../../src/lib/provision/certificates.js';
import { runCli } from '../support/cli.js';
import { ok, refusal } from '../support/up.js';

let folder = '';
let july: BatchFile;
const served: ServedChip[] = [];
const at = (...parts: string[]) => join(folder, ...parts);
const nvsOffset = 0x3dc000;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-batch-'));
  july = {
    ...{ spec: 'aiot-batch/1', batch: 'july', type: 'esp32c3', url: 'https://pi.lan:8443' },
    ...{ ca: await selfSignedCa(generateKeyPair().privatePem, 'aiot', 0), key: 'aiotbatch_x' },
    expires: Date.now() + 86_400_000,
  };
  await writeFile(at('july.json'), JSON.stringify(july));
  await writeFile(at('wifi.txt'), 'correct horse\n');
});
afterAll(async () => {
  for (const chip of served) await chip.close();
  await rm(folder, { recursive: true, force: true });
});

const provision = (out: string, ...more: string[]) => [
  ...['device', 'batch', 'provision', at('july.json'), '--out', at(out)],
  ...more,
];
const wifi = () => ['--wifi-ssid', 'plant', '--wifi-password-file', at('wifi.txt')];
const valuesOf = (entries: readonly NvsEntry[]) =>
  Object.fromEntries(entries.map(({ namespace, key, value }) => [`${namespace}/${key}`, value]));

describe('the login for an enterprise network', () => {
  const network = ['--wifi-ssid', 'campus', '--wifi-ca', 'FOLDER/ca.pem'];
  const files = (args: readonly string[]) => args.map((arg) => arg.replace('FOLDER', folder));
  const nvsOf = async (name: string) => valuesOf(readNvs(await readFile(at(name, 'nvs.bin'))).entries);

  beforeAll(async () => {
    const { privatePem } = generateKeyPair();
    await writeFile(at('ca.pem'), july.ca ?? '');
    await writeFile(at('key.pem'), privatePem);
    await writeFile(at('certificate.pem'), await selfSignedCa(privatePem, 'pump-7', Date.now()));
    await writeFile(at('other.pem'), generateKeyPair().privatePem);
  });

  it.each(['peap', 'ttls', 'ttls-pap'] as const)(
    'of method %s contains the user and the CA',
    async (method) => {
      const login = ['--wifi-eap', method, '--wifi-username', 'pump', '--wifi-password-file', at('wifi.txt')];
      const made = await ok(provisionedBatchSchema, provision(method, ...files(network), ...login));
      expect(made.wifi).toEqual({ ssid: 'campus', open: false, login: method });
      expect(JSON.stringify(made)).not.toContain('correct horse');
      expect(await nvsOf(method)).toMatchObject({
        ...{ 'wifi/ssid': 'campus', 'wifi/password': '', 'wifi/eap': method },
        ...{ 'wifi/eap_identity': 'anonymous', 'wifi/eap_username': 'pump' },
        ...{ 'wifi/eap_password': 'correct horse', 'wifi/eap_ca': `${july.ca?.trim()}\n` },
      });
    },
  );

  it('of method tls contains the certificate with its key, and the name in it', async () => {
    const own = ['--wifi-certificate', at('certificate.pem'), '--wifi-key', at('key.pem')];
    await ok(provisionedBatchSchema, provision('tls', ...files(network), '--wifi-eap', 'tls', ...own));
    const values = await nvsOf('tls');
    expect(values).toMatchObject({ 'wifi/eap': 'tls', 'wifi/eap_identity': 'pump-7' });
    expect(values['wifi/eap_key']).toContain('BEGIN PRIVATE KEY');
    expect(values).not.toHaveProperty('wifi/eap_password');
    const shown = await runCli(['firmware', 'nvs', 'read', at('tls', 'nvs.bin')]);
    expect(shown.stdout).not.toContain('PRIVATE KEY');
  });

  const user = ['--wifi-username', 'pump', '--wifi-password-file', 'FOLDER/wifi.txt'];
  const own = (key: string) => [
    '--wifi-certificate',
    'FOLDER/certificate.pem',
    '--wifi-key',
    `FOLDER/${key}`,
  ];
  it.each([
    ['no CA', ['--wifi-ssid', 'campus', '--wifi-eap', 'peap', ...user], "needs its server's CA"],
    ['no user', [...network, '--wifi-eap', 'peap'], 'peap needs a user name'],
    [
      'no password',
      [...network, '--wifi-eap', 'ttls', '--wifi-username', 'pump'],
      'expected a Wi-Fi password of 1 to 127 bytes',
    ],
    ['no method', [...network, ...user], 'a login needs its method'],
    ['no network', ['--wifi-eap', 'peap', ...user], 'an enterprise network also needs its name'],
    [
      'a certificate for peap',
      [...network, '--wifi-eap', 'peap', ...user, ...own('key.pem')],
      'peap needs no certificate',
    ],
    [
      'a password for tls',
      [...network, '--wifi-eap', 'tls', ...user, ...own('key.pem')],
      'tls needs neither',
    ],
    ['no key', [...network, '--wifi-eap', 'tls'], 'tls needs a certificate and its key'],
    [
      'the key of another certificate',
      [...network, '--wifi-eap', 'tls', ...own('other.pem')],
      'does not belong to the certificate',
    ],
    [
      'a file that is no key',
      [...network, '--wifi-eap', 'tls', ...own('ca.pem')],
      'is not a private key (PEM)',
    ],
  ])('is rejected with %s', async (_what, args, why) => {
    const { code, stderr } = await runCli(provision('x', ...files(args)));
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
    expect(stderr).not.toContain('correct horse');
    expect(existsSync(at('x'))).toBe(false);
  });
});

describe('the images for the boards of a batch', () => {
  it('are not encrypted with an HMAC key, which would be the same for all boards', async () => {
    await writeFile(at('nvs.key'), Buffer.alloc(32, 0x21));
    expect(await refusal(provision('hmac', '--nvs-key', at('nvs.key')))).toMatchObject({
      code: 'AIOT_USAGE',
      exit: 2,
    });
    expect(existsSync(at('hmac'))).toBe(false);
  });

  it('contain the key, the platform and Wi-Fi, and no identity', async () => {
    const made = await ok(provisionedBatchSchema, provision('july', ...wifi()));
    expect(made).toEqual({
      ...{ batch: 'july', type: 'esp32c3', chip: 'esp32c3', url: july.url, expires: july.expires },
      wifi: { ssid: 'plant', open: false },
      files: ['nvs.bin', 'partitions.bin', 'batch.json'].map((name) => at('july', name)),
    });
    expect(valuesOf(readNvs(await readFile(at('july', 'nvs.bin'))).entries)).toEqual({
      ...{ 'aiot_batch/key': july.key, 'aiot_batch/http': july.url, 'aiot_batch/ca': july.ca },
      ...{ 'wifi/ssid': 'plant', 'wifi/password': 'correct horse' },
    });
    expect((await stat(at('july', 'nvs.bin'))).mode & 0o777).toBe(0o600);
    expect(await readFile(at('july', 'batch.json'), 'utf8')).not.toContain(july.key);
    const { stdout } = await runCli(provision('again'));
    expect(stdout).toContain('july, for any number of esp32c3 boards');
    expect(stdout).not.toContain(july.key);
  });

  it('may be encrypted', async () => {
    await ok(provisionedBatchSchema, provision('secret', '--encrypt-nvs'));
    const [nvs, keys] = [
      await readFile(at('secret', 'nvs.bin')),
      await readFile(at('secret', 'nvs_keys.bin')),
    ];
    expect(nvs.includes(july.key)).toBe(false);
    expect(valuesOf(readNvs(decryptNvs(nvs, readNvsKeys(keys))).entries)).toMatchObject({
      'aiot_batch/key': july.key,
    });
  });

  it.each([
    ['a folder with other images', () => provision('july'), 'AIOT_ALREADY_EXISTS', ''],
    [
      'another chip than that of the batch',
      () => provision('x', '--chip', 'esp32'),
      'AIOT_USAGE',
      'the batch is for esp32c3 boards, not for esp32',
    ],
    [
      'an address for one board',
      () => provision('x', ...wifi(), '--wifi-address', '10.0.0.7/24', '--wifi-gateway', '10.0.0.1'),
      'AIOT_USAGE',
      '--wifi-address applies to one board',
    ],
    [
      'no batch file',
      () => ['device', 'batch', 'provision', at('none.json'), '--out', at('x')],
      'AIOT_FILE_NOT_FOUND',
      '',
    ],
  ])('are refused with %s', async (_, argv, code, message) => {
    expect(await refusal(argv())).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it.each([
    ['without a CA', { ca: null }, 'the file has no CA'],
    ['that expired', { expires: Date.UTC(2025, 6, 1) }, 'the batch july expired on 2025-07-01'],
    ['with CAs that boards cannot store', () => ({ ca: july.ca?.repeat(8) }), 'a CA of 2047'],
    ['for computers', { type: 'pi' }, 'the type pi is not a chip'],
  ])('are refused for a batch %s', async (name, change, message) => {
    const file = at(`${name.replaceAll(' ', '-')}.json`);
    const changed = typeof change === 'function' ? change() : change;
    await writeFile(file, JSON.stringify({ ...july, ...changed }));
    const error = await refusal(['device', 'batch', 'provision', file, '--out', at('x')]);
    expect(error).toMatchObject({ code: 'AIOT_USAGE', message: expect.stringContaining(message) });
  });

  it.each([
    ['that is not reached by https', { url: 'http://10.0.0.2:8443' }, 'url: expected an https URL'],
    ['without a usable URL', { url: 'nonsense' }, 'url: expected an https URL'],
    ['with a CA that is none', { ca: 'hello' }, 'ca: expected a certificate in PEM'],
    ['with a key that no command makes', { key: 'a\0b' }, 'key: expected a key from'],
    ['with an impossible time', { expires: 9e15 }, 'expires'],
  ])('are refused for a batch %s, and nothing is written', async (name, change, message) => {
    const file = at(`${name.replaceAll(' ', '-')}.json`);
    await writeFile(file, JSON.stringify({ ...july, ...change }));
    const error = await refusal(['device', 'batch', 'provision', file, '--out', at('nothing')]);
    expect(error).toMatchObject({ code: 'AIOT_FILE_MALFORMED', message: expect.stringContaining(message) });
    expect(existsSync(at('nothing'))).toBe(false);
  });

  it('contain the CA without text around it, and with the line ends that boards expect', async () => {
    const file = at('windows.json');
    const ca = `Issuer: aiot\r\n${july.ca?.replaceAll('\n', '\r\n')}`;
    await writeFile(file, JSON.stringify({ ...july, ca }));
    await ok(provisionedBatchSchema, ['device', 'batch', 'provision', file, '--out', at('windows')]);
    const { entries } = readNvs(await readFile(at('windows', 'nvs.bin')));
    expect(valuesOf(entries)).toMatchObject({ 'aiot_batch/ca': july.ca });
  });

  it('are refused for a table whose NVS has no room for the identity of a board', async () => {
    const rows = ['app,app,factory,0x10000,1M,', 'nvs,data,nvs,0x9000,0x3000,'];
    await writeFile(at('small.csv'), rows.join('\n'));
    const error = await refusal(provision('x', '--partitions', at('small.csv')));
    expect(error).toMatchObject({ code: 'AIOT_NVS_UNFIT' });
  });
});

describe('`aiot flash` with the images of a batch', () => {
  async function board(mac: string, nvs?: Uint8Array, chip: 'esp32c3' | 'esp32' = 'esp32c3') {
    const device = new SimulatedChip({ chip, mac });
    if (nvs) {
      device.flash.bytes.set(await readFile(at('july', 'partitions.bin')), 0x8000);
      device.flash.bytes.set(nvs, nvsOffset);
    }
    const open = await serveChip(device, { port: 0 });
    served.push(open);
    return { device, port: open.address };
  }
  const flash = (...ports: string[]) => ['flash', '--device', at('july'), '--port', ports.join(',')];

  it('writes them to any number of boards, each with the name that it gets', async () => {
    const boards = await Promise.all(['24:0a:c4:00:00:01', '24:0a:c4:00:00:02'].map((mac) => board(mac)));
    const result = await ok(flashResultSchema, flash(...boards.map(({ port }) => port)));
    expect(JSON.stringify(result)).toContain('july-240ac4000001');
    expect(JSON.stringify(result)).toContain('july-240ac4000002');
    const image = await readFile(at('july', 'nvs.bin'));
    for (const { device } of boards)
      expect(Buffer.compare(device.flash.bytes.subarray(nvsOffset, nvsOffset + image.length), image)).toBe(0);
    // A board that has not started yet has no key to lose.
    expect((await runCli([...flash(boards[0]!.port), '--json'])).code).toBe(0);
  });

  const entries = {
    'its identity': [{ namespace: 'aiot', key: 'name', type: 'string', value: 'july-240ac4000003' }],
    'its own key': [{ namespace: 'aiot', key: 'key', type: 'string', value: 'PEM' }],
  } satisfies Record<string, NvsEntry[]>;
  it.each([
    ['its identity', 'the board is july-240ac4000003, and july-240ac4000003 would overwrite'],
    ['its own key', 'the board is enrolling with the key of a batch, and july-240ac4000003 would overwrite'],
  ] as const)('keeps %s of a board that has started', async (what, message) => {
    const { device, port } = await board(
      '24:0a:c4:00:00:03',
      writeNvs(entries[what], { size: 0xc000, version: 2 }),
    );
    const before = Buffer.from(device.flash.bytes.subarray(nvsOffset, nvsOffset + 0xc000));
    const error = await refusal(flash(port));
    expect(error).toMatchObject({ code: 'AIOT_FLASH_REFUSED', message: expect.stringContaining(message) });
    expect(Buffer.compare(device.flash.bytes.subarray(nvsOffset, nvsOffset + 0xc000), before)).toBe(0);
    expect((await runCli([...flash(port), '--force', '--json'])).code).toBe(0);
  });

  it('is refused for boards with another chip', async () => {
    const { port } = await board('24:0a:c4:00:00:04', undefined, 'esp32');
    expect(await refusal(flash(port))).toMatchObject({ message: expect.stringContaining('esp32c3') });
  });
});
