import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { BoardInfo } from '../../../src/lib/flash/board-info.js';
import { encryptNvs, writeNvsKeys } from '../../../src/lib/formats/nvs/crypt.js';
import type { NvsItem } from '../../../src/lib/formats/nvs/types.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { nextOtadata } from '../../../src/lib/formats/otadata.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { root, runCli } from '../../support/cli.js';
import { described, espBootloader, espImage } from '../../support/esp-image.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-info-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const golden = (name: string) => readFileSync(join(root, 'test', 'golden', 'flash', name));

const table = `nvs,data,nvs,0x9000,0x5000,
otadata,data,ota,0xe000,0x2000,
app0,app,ota_0,0x10000,0x140000,
app1,app,ota_1,0x150000,0x140000,
nvs_keys,data,nvs_keys,0x290000,0x1000,
`;

const appOf = (project: string, version: string) =>
  espImage({
    chip: 'esp32c3',
    address: 0x3c00_0020,
    starts: described(project, version),
    bytes: 1024,
  });

const secret = 'correct horse battery';

const identity: NvsItem[] = [
  { namespace: 'wifi', key: 'ssid', type: 'string', value: 'workshop' },
  { namespace: 'wifi', key: 'password', type: 'string', value: secret },
  { namespace: 'app', key: 'mqtt', type: 'string', value: `mqtts://user:${secret}@broker` },
  { namespace: 'app', key: 'session', type: 'string', value: 'c2Vzc2lvbjE2Nzc4OTAxMjM0NTY3OA' },
  { namespace: 'app', key: 'door_pin', type: 'u16', value: 4711 },
  ...['pw', 'wifi_pw', 'pin_code', 'pincode', 'otp'].map(
    (key): NvsItem => ({ namespace: 'app', key, type: 'string', value: 'hunter2' }),
  ),
  { namespace: 'aiot', key: 'name', type: 'string', value: 'motor-7' },
  { namespace: 'aiot', key: 'key', type: 'string', value: secret },
  { namespace: 'app', key: 'boots', type: 'u32', value: 12 },
  { namespace: 'app', key: 'calibration', type: 'blob', value: Uint8Array.of(1, 2, 3) },
];

/** A flash dump of a C3 with a bootloader, two apps, otadata and NVS. */
function flashOf(parts: Record<number, Uint8Array>): string {
  const flash = Buffer.alloc(4 << 20, 0xff);
  flash.set(espBootloader('esp32c3'), 0);
  flash.set(writePartitionTable(parsePartitionsCsv(table)), 0x8000);
  flash.set(appOf('motor', '1.4.0'), 0x10000);
  flash.set(appOf('motor', '1.5.0'), 0x150000);
  for (const [offset, bytes] of Object.entries(parts)) flash.set(bytes, Number(offset));
  const file = join(folder, 'board.bin');
  writeFileSync(file, flash);
  return file;
}

async function infoOf(flash: string): Promise<BoardInfo> {
  const port = `simulated:esp32c3?flash=${flash}`;
  const { json, code, stderr } = await runCli(['board', 'info', '--port', port, '--json']);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return json as BoardInfo;
}

describe('aiot board info', () => {
  it('lists the bootloader, the apps with the one that boots, and the keys in NVS', async () => {
    const file = flashOf({
      36864: writeNvs(identity, { size: 0x5000, version: 2 }),
      57344: nextOtadata(golden('ota/slot0.bin'), 1, 2, 'valid'),
    });
    const info = await infoOf(file);
    expect(info).toMatchObject({
      revision: 'v0.4',
      bootloader: { offset: 0, mode: 'dio', size: '4MB', frequency: '40m' },
      fuses: { source: 'fuses', secureBoot: { version: null }, jtag: { pins: 'enabled' }, secureVersion: 0 },
      apps: [
        { label: 'app0', offset: 0x10000, project: 'motor', version: '1.4.0', boots: false },
        { label: 'app1', project: 'motor', version: '1.5.0', boots: true, state: 'valid', secureVersion: 0 },
      ],
      nvs: [{ partition: 'nvs', encrypted: false, problem: null, pages: { used: 1, total: 5 } }],
    });
    const shown = await runCli(['board', 'info', '--port', `simulated:esp32c3?flash=${file}`]);
    expect(shown.stdout).toMatch(/→ +app1 +motor +1\.5\.0 .* valid/);
    expect(shown.stdout).toMatch(/wifi +ssid +string +8 B +workshop/);
    expect(shown.stdout).toMatch(/wifi +password +string +\d+ B +not shown/);
    expect(shown.stdout).not.toContain(secret);
  });

  it('shows the values of known harmless keys in NVS, and no others', async () => {
    const info = await infoOf(flashOf({ 36864: writeNvs(identity, { size: 0x5000, version: 2 }) }));
    const values = info.nvs[0]?.namespaces.flatMap(({ name, entries }) =>
      entries.map(({ key, value, bytes }) => [`${name}.${key}`, value, bytes]),
    );
    const sorted = (rows: unknown[][] = []) =>
      [...rows].sort(([a], [b]) => String(a).localeCompare(String(b)));
    expect(sorted(values)).toEqual(
      sorted([
        ['wifi.ssid', 'workshop', 8],
        ['wifi.password', null, secret.length],
        ['app.mqtt', null, secret.length + 20],
        ['app.session', null, 30],
        ['app.door_pin', null, 2],
        ...['pw', 'wifi_pw', 'pin_code', 'pincode', 'otp'].map((key) => [`app.${key}`, null, 7]),
        ['aiot.name', 'motor-7', 7],
        ['aiot.key', null, secret.length],
        ['app.boots', '12', 4],
        ['app.calibration', null, 3],
      ]),
    );
    expect(JSON.stringify(info)).not.toContain('hunter2');
    expect(JSON.stringify(info)).not.toContain(secret);
  });

  it('decrypts an NVS with the keys next to it, and reports damage', async () => {
    const keys = Uint8Array.from({ length: 64 }, (_, i) => i + 1);
    const plain = writeNvs(identity, { size: 0x5000, version: 2 });
    const parts = { 36864: encryptNvs(plain, keys), 2686976: writeNvsKeys(keys) };
    const [encrypted] = (await infoOf(flashOf(parts))).nvs;
    expect(encrypted).toMatchObject({ encrypted: true, problem: null });
    expect(encrypted?.namespaces.map(({ name }) => name)).toEqual(['wifi', 'app', 'aiot']);
    const damaged = Uint8Array.from(plain);
    damaged[0x40 + 24] = 99;
    const [broken] = (await infoOf(flashOf({ 36864: damaged }))).nvs;
    expect(broken?.problem).toMatch(/^offset 0x44: the CRC of entry 0 is /);
  });

  it('shows the factory app, and an app without a description, of a board without otadata', async () => {
    const csv = 'nvs,data,nvs,0x9000,0x6000,\nfactory,app,factory,0x10000,1M,\nspare,app,test,0x110000,1M,\n';
    const file = flashOf({
      32768: writePartitionTable(parsePartitionsCsv(csv)),
      1114112: espImage({ chip: 'esp32c3', address: 0x3c00_0020 }),
    });
    expect((await infoOf(file)).apps).toMatchObject([
      { label: 'factory', project: 'motor', boots: true, state: null },
      { label: 'spare', project: null, boots: false, state: null },
    ]);
  });

  it('shows the rest of a board whose table has a partition past the end of the flash', async () => {
    const csv =
      'nvs,data,nvs,0x9000,0x5000,\nbig,app,ota_1,0x3f0000,0x100000,\napp0,app,ota_0,0x10000,0x140000,\n';
    const file = flashOf({ 32768: writePartitionTable(parsePartitionsCsv(csv)) });
    const info = await infoOf(file);
    expect(info.partitions).toMatchObject([
      { label: 'nvs', problem: null },
      { label: 'big', problem: 'ends past the end of the flash' },
      { label: 'app0', problem: null },
    ]);
    expect(info.apps).toMatchObject([{ label: 'app0', project: 'motor', boots: true }]);
    expect(info.nvs).toHaveLength(1);
  });

  it('shows an empty chip, and one in secure download mode', async () => {
    const empty = await runCli(['board', 'info', '--port', 'simulated:esp32', '--json']);
    expect(empty.json).toMatchObject({ bootloader: null, partitions: null, apps: [], nvs: [] });
    const locked = await runCli([
      'board',
      'info',
      '--port',
      'simulated:esp32s3?fault=secure-download',
      '--json',
    ]);
    expect(locked.json).toMatchObject({
      revision: null,
      bootloader: null,
      fuses: { source: 'rom', download: 'secure' },
      apps: [],
    });
  });
});
