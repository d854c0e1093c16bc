import { readFileSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { devicesChangedSchema } from '../../src/lib/api/change-devices.js';
import { clientFor } from '../../src/lib/api/context.js';
import { deviceSchema } from '../../src/lib/api/fields.js';
import { onboardedSchema } from '../../src/lib/device/onboard/onboard.js';
import { SimulatedChip, type SimulatedChipOptions } from '../../src/lib/flash/rom/chip.js';
import { serveChip } from '../../src/lib/flash/rom/serve.js';
import { decryptNvs, readNvsKeys } from '../../src/lib/formats/nvs/crypt.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import { writeNvs } from '../../src/lib/formats/nvs/write.js';
import {
  parsePartitionsCsv,
  partitionTableOffset,
  readPartitionTable,
  writePartitionTable,
} from '../../src/lib/formats/partitions.js';
import { verifiedDeviceSchema } from '../../src/lib/provision/birth.js';
import { root, runCli } from '../support/cli.js';
import { espApp, espBootloader } from '../support/esp-image.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
});
afterAll(() => own.stop());

const served: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const board of served.splice(0)) await board.close();
});

/** Serves a simulated board at a port, as if it were plugged in. */
async function plugged(options: SimulatedChipOptions) {
  const chip = new SimulatedChip(options);
  const { address, close } = await serveChip(chip, { port: 0 });
  served.push({ close });
  return { chip, port: address };
}

const tableOn = (chip: SimulatedChip) => readPartitionTable(chip.flash.bytes.subarray(0x8000, 0x8c00));

/** Returns the bytes of a chip's NVS, which is located by the chip's own partition table. */
function nvsBytes(chip: SimulatedChip): Uint8Array {
  const { offset, size } = tableOn(chip).partitions.find(({ label }) => label === 'nvs')!;
  return chip.flash.bytes.subarray(offset, offset + size);
}

function nvsIn(chip: SimulatedChip): Map<string, unknown> {
  const { entries } = readNvs(nvsBytes(chip));
  return new Map(entries.map(({ namespace, key, value }) => [`${namespace}/${key}`, value]));
}

describe('aiot device with --port', () => {
  it.each([
    ['esp32', '24:0a:c4:11:22:33', '1122867', []],
    ['esp32c3', '24:0a:c4:44:55:66', '4478310', ['--no-stub']],
    ['esp32s3', '24:0a:c4:77:88:99', '7833753', ['--baud', '115200']],
  ] as const)(
    'provisions a blank %s with the identity that its board reports',
    async (type, mac, chipId, flags) => {
      const { chip, port } = await plugged({ chip: type, mac });
      const name = `pump-${type}`;
      const argv = ['device', 'provision', name, '--port', port, ...flags];
      const device = await ok(onboardedSchema, argv);
      expect(device.board).toMatchObject({ port, chip: type, mac, chipId, verified: true, program: 'none' });
      expect(device.files).toEqual([]);
      const values = nvsIn(chip);
      expect(values.get('aiot/name')).toBe(name);
      expect(values.get('aiot/chip_id')).toBe(chipId);
      expect(tableOn(chip).partitions).toContainEqual(
        expect.objectContaining({ label: 'nvs', offset: 0x3d_c000, size: 0xc000 }),
      );
      // Earlier tables, Arduino and PlatformIO place their NVS here. The area stays erased for uploads with one of those
      // tables.
      expect(chip.flash.bytes.subarray(0x9000, 0xe000).every((byte) => byte === 0xff)).toBe(true);
      expect(await ok(deviceSchema, ['device', 'show', name])).toMatchObject({ mac, chipId, type });
      const { verified, birth, checks } = await ok(verifiedDeviceSchema, [
        'device',
        'verify',
        name,
        '--port',
        port,
      ]);
      expect(verified, JSON.stringify(checks)).toBe(true);
      expect(birth.chip).toMatchObject({ name: type, mac, security: { secureBoot: false } });
    },
  );

  it('keeps a board’s partition table, and writes NVS at the offset in the table', async () => {
    const table = parsePartitionsCsv('nvs,data,nvs,0x12000,0x4000,\nfactory,app,factory,0x20000,0x100000,\n');
    const flash = new Uint8Array(0x40_0000).fill(0xff);
    flash.set(writePartitionTable(table), partitionTableOffset);
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:01', flash });
    const { board } = await ok(onboardedSchema, ['device', 'provision', 'old-board', '--port', port]);
    expect(board.regions.map(({ name, offset, bytes }) => [name, offset, bytes])).toEqual([
      ['nvs', 0x12000, 0x4000],
    ]);
    expect(readPartitionTable(chip.flash.bytes.subarray(0x8000, 0x8c00))).toEqual(table);
  });

  /** The table of earlier boards: 20 KiB of NVS, and every partition that an update needs. */
  const earlier = readFileSync(
    join(root, 'test', 'golden', 'flash', 'partitions', 'board_earlier.csv'),
    'utf8',
  );
  const current = join(root, 'firmware', 'hal', 'esp32', 'partitions.csv');
  async function earlierBoard(mac: string, name: string, flags: readonly string[] = []) {
    const flash = new Uint8Array(0x40_0000).fill(0xff);
    flash.set(
      writePartitionTable(parsePartitionsCsv(earlier, { file: 'earlier.csv' })),
      partitionTableOffset,
    );
    const board = await plugged({ chip: 'esp32', mac, flash });
    await ok(onboardedSchema, ['device', 'provision', name, '--port', board.port, ...flags]);
    expect(nvsBytes(board.chip).byteOffset).toBe(0x9000);
    return board;
  }

  it('keeps the 20 KiB NVS of a board with an earlier partition table, even on rotation', async () => {
    const { chip, port } = await earlierBoard('24:0a:c4:00:11:01', 'earlier-1');
    const table = Buffer.from(chip.flash.bytes.subarray(0x8000, 0x9000));
    const before = nvsIn(chip);
    const { board } = await ok(onboardedSchema, ['device', 'rotate', 'earlier-1', '--port', port]);
    expect(board.regions).toMatchObject([{ name: 'nvs', offset: 0x9000, bytes: 0x5000 }]);
    expect(nvsIn(chip).get('aiot/key')).not.toBe(before.get('aiot/key'));
    expect(table.equals(Buffer.from(chip.flash.bytes.subarray(0x8000, 0x9000)))).toBe(true);
  });

  it.each([
    ['plain', []],
    ['encrypted', ['--encrypt-nvs']],
  ] as const)('moves a %s NVS to the larger partition of a table passed to rotate', async (kind, flags) => {
    const name = `moved-${kind}`;
    const { chip, port } = await earlierBoard(
      kind === 'plain' ? '24:0a:c4:00:11:02' : '24:0a:c4:00:11:03',
      name,
      [...['--wifi-ssid', 'open-net', ...flags]],
    );
    const keys = Buffer.from(chip.flash.bytes.subarray(0x3d_0000, 0x3d_1000));
    const argv = ['device', 'rotate', name, '--port', port, '--partitions', current, '--now'];
    const { board, wifi } = await ok(onboardedSchema, argv);
    expect(wifi).toMatchObject({ ssid: 'open-net' });
    // The identity is written to its new location before the table points there, and the old one is erased last.
    expect(board.regions.map(({ name, offset, bytes }) => [name, offset, bytes])).toEqual([
      ['nvs', 0x3d_c000, 0xc000],
      ['partitions', 0x8000, 0xc00],
      ['nvs of the old table', 0x9000, 0x5000],
    ]);
    expect(chip.flash.bytes.subarray(0x9000, 0xe000).every((byte) => byte === 0xff)).toBe(true);
    const plain = kind === 'plain' ? nvsBytes(chip) : decryptNvs(nvsBytes(chip), readNvsKeys(keys));
    const values = new Map(
      readNvs(plain).entries.map((entry) => [`${entry.namespace}/${entry.key}`, entry.value]),
    );
    expect([values.get('aiot/name'), values.get('wifi/ssid')]).toEqual([name, 'open-net']);
    expect(keys.equals(Buffer.from(chip.flash.bytes.subarray(0x3d_0000, 0x3d_1000)))).toBe(true);
    expect((await ok(verifiedDeviceSchema, ['device', 'verify', name, '--port', port])).verified).toBe(true);
  });

  it('rejects a table that moves the keys of an encrypted NVS, before any change', async () => {
    const { chip, port } = await earlierBoard('24:0a:c4:00:11:04', 'keyed', ['--encrypt-nvs']);
    const file = join(await mkdtemp(join(tmpdir(), 'aiot-boards-')), 'other.csv');
    const rows = [
      'nvs,data,nvs,0x9000,0x6000',
      'k,data,nvs_keys,0xf000,0x1000',
      'app,app,factory,0x10000,1M',
    ];
    await writeFile(file, rows.join('\n'));
    const before = Buffer.from(chip.flash.bytes);
    const error = await refusal(['device', 'rotate', 'keyed', '--port', port, '--partitions', file]);
    expect(error).toMatchObject({ code: 'AIOT_FILE_MALFORMED', subject: 'partitions' });
    expect(error.message).toContain('NVS keys are at 0x3d0000');
    expect(before.equals(Buffer.from(chip.flash.bytes))).toBe(true);
    expect((await ok(deviceSchema, ['device', 'show', 'keyed'])).next).toBeNull();
  });

  it('revokes the registration if the board is lost, and succeeds on retry', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:02' });
    const argv = ['device', 'provision', 'lost', '--port', port, '--no-stub'];
    chip.faults.add({ kind: 'stuck-flash' });
    expect(await refusal(argv)).toMatchObject({ code: expect.stringMatching(/^AIOT_(FLASH|CHIP|SERIAL)_/) });
    const { state } = await ok(deviceSchema, ['device', 'show', 'lost']);
    expect(state).toBe('revoked');
    chip.faults.clear();
    await delay(50);
    expect((await ok(onboardedSchema, argv)).board.verified).toBe(true);
    expect((await ok(deviceSchema, ['device', 'show', 'lost'])).state).toBe('provisioned');
  });

  it.each([
    ['a chip other than the specified one', {}, ['--chip', 'esp32c3'], 'AIOT_CHIP_MISMATCH'],
    ['the type of another chip', {}, ['--type', 'ESP32C3'], 'AIOT_CHIP_MISMATCH'],
    ['a chip with encrypted flash', { flashEncryption: true }, [], 'AIOT_FLASH_REFUSED'],
  ])('rejects %s and registers nothing', async (_, security, flags, code) => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:03', security });
    const before = Buffer.from(chip.flash.bytes);
    expect(await refusal(['device', 'provision', 'no', '--port', port, ...flags])).toMatchObject({ code });
    expect(Buffer.compare(before, Buffer.from(chip.flash.bytes))).toBe(0);
    expect(await refusal(['device', 'show', 'no'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it('reports its stages as JSON under --json, and shows open or missing Wi-Fi', async () => {
    const { port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:07' });
    const argv = ['device', 'provision', 'staged', '--port', port, '--wifi-ssid', 'hall', '--json'];
    const { stderr, json } = await runCli(argv);
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toContainEqual({ stage: 'writing the identity of staged' });
    expect(lines.at(-1)).toEqual({ warning: expect.stringContaining('staged: Wi-Fi without a password') });
    expect(onboardedSchema.parse(json).wifi).toEqual({ ssid: 'hall', open: true });
    const other = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:08' });
    const { stdout } = await runCli(['device', 'provision', 'mute', '--port', other.port]);
    expect(stdout).toMatch(/Wi-Fi +none/);
  });

  it('suggests flashing a board without a program, and monitoring one with a program', async () => {
    const blank = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:11' });
    const first = await runCli(['device', 'provision', 'blank', '--port', blank.port]);
    expect(first.stdout).toContain(`Next: aiot flash --project FIRMWARE_DIR --port ${blank.port}`);
    expect(first.stdout).not.toContain('monitor');

    const flash = new Uint8Array(0x40_0000).fill(0xff);
    flash.set(writePartitionTable(parsePartitionsCsv(readFileSync(current, 'utf8'))), partitionTableOffset);
    flash.set(espBootloader(), 0x1000);
    flash.set(espApp(), 0x10000);
    const ready = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:10:12', flash });
    const second = await runCli(['device', 'provision', 'ready', '--port', ready.port]);
    expect(second.stdout).toContain(`Next: aiot board monitor --port ${ready.port}`);
    const { board } = await ok(onboardedSchema, ['device', 'rotate', 'ready', '--port', ready.port]);
    expect(board.program).toBe('unchanged');
  });

  it('reports the device of a board that is already provisioned', async () => {
    const { port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:11:22:33' });
    const error = await refusal(['device', 'provision', 'second', '--port', port]);
    expect(error).toMatchObject({ code: 'AIOT_ALREADY_EXISTS', subject: 'device', exit: 2 });
    expect(error.message).toContain('pump-esp32');
  });
});

describe('aiot device commands with --port', () => {
  it('rotate rejects a board whose NVS was erased', async () => {
    const mac = '24:0a:c4:00:20:05';
    const { chip, port } = await plugged({ chip: 'esp32', mac });
    await ok(onboardedSchema, ['device', 'provision', 'erased', '--port', port]);
    nvsBytes(chip).fill(0xff);
    const argv = ['device', 'rotate', 'erased', '--port', port];
    expect(await refusal(argv)).toMatchObject({ code: 'AIOT_FILE_MALFORMED', subject: 'nvs', exit: 2 });
    expect((await ok(deviceSchema, ['device', 'show', 'erased'])).next).toBeNull();
  });

  it('replace rejects the device’s current board unless its NVS was erased', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:16' });
    const { id } = await ok(onboardedSchema, ['device', 'provision', 'same', '--port', port]);
    const before = Buffer.from(chip.flash.bytes);
    const { code, stderr } = await runCli(['device', 'replace', 'same', '--port', port]);
    expect(code).toBe(2);
    expect(stderr).toContain(`aiot device rotate same --port ${port}`);
    expect(before.equals(Buffer.from(chip.flash.bytes))).toBe(true);
    expect((await ok(deviceSchema, ['device', 'show', 'same'])).id).toBe(id);
    nvsBytes(chip).fill(0xff);
    const again = await ok(onboardedSchema, ['device', 'replace', 'same', '--port', port]);
    expect(again.id).not.toBe(id);
  });

  it('rotate gives the board a new key and keeps the rest of its NVS', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:01' });
    await ok(onboardedSchema, ['device', 'provision', 'turn', '--port', port, '--wifi-ssid', 'open-net']);
    const before = nvsIn(chip);
    const { certificate, wifi } = await ok(onboardedSchema, ['device', 'rotate', 'turn', '--port', port]);
    expect(wifi).toEqual({ ssid: 'open-net', open: true });
    const after = nvsIn(chip);
    expect(after.get('aiot/key')).not.toBe(before.get('aiot/key'));
    expect(after.get('wifi/ssid')).toBe('open-net');
    const shown = await ok(deviceSchema, ['device', 'show', 'turn']);
    expect(shown.next?.fingerprint).toBe(certificate.fingerprint);
    expect(shown.fingerprint).not.toBe(certificate.fingerprint);
  });

  it('rotate rejects another device’s board by its NVS if no MAC is known', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:06' });
    await ok(onboardedSchema, ['device', 'provision', 'theirs', '--port', port]);
    const client = await clientFor();
    await client.claims.make({ name: 'macless', type: 'esp32' });
    const before = Buffer.from(chip.flash.bytes);
    const argv = ['device', 'rotate', 'macless', '--port', port];
    const error = await refusal(argv);
    expect(error).toMatchObject({ code: 'AIOT_BIRTH_MISMATCH', exit: 6 });
    expect(error.message).toContain('theirs');
    expect(Buffer.compare(before, Buffer.from(chip.flash.bytes))).toBe(0);
    expect(await client.devices.get('macless')).toMatchObject({ fingerprint: null, next: null });
    await client.close();
  });

  it('provision replaces an encrypted identity with a plain one, which rotate --now reads', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:07' });
    const argv = ['device', 'provision', 'was-secret', '--port', port];
    await ok(onboardedSchema, [...argv, '--encrypt-nvs']);
    const keys = () => chip.flash.bytes.slice(0x3d_0000, 0x3d_1000);
    const old = keys();
    expect(old.every((byte) => byte === 0xff)).toBe(false);
    await ok(devicesChangedSchema, ['device', 'revoke', '--yes', 'was-secret']);
    await ok(onboardedSchema, argv);
    expect(keys().every((byte) => byte === 0xff)).toBe(true);
    expect(nvsIn(chip).get('aiot/name')).toBe('was-secret');
    // Earlier versions left the keys in place.
    chip.flash.bytes.set(old, 0x3d_0000);
    await ok(onboardedSchema, ['device', 'rotate', 'was-secret', '--port', port, '--now']);
    expect(nvsIn(chip).get('aiot/name')).toBe('was-secret');
    expect(keys().every((byte) => byte === 0xff)).toBe(true);
  });

  it('rotate --now invalidates the old certificate only once the board has the new one', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:0b' });
    const { certificate } = await ok(onboardedSchema, ['device', 'provision', 'unlucky', '--port', port]);
    const argv = ['device', 'rotate', 'unlucky', '--port', port, '--now', '--no-stub'];
    chip.faults.add({ kind: 'stuck-flash' });
    expect(await refusal(argv)).toMatchObject({ code: expect.stringMatching(/^AIOT_(FLASH|CHIP|SERIAL)_/) });
    const { fingerprint } = await ok(deviceSchema, ['device', 'show', 'unlucky']);
    expect(fingerprint).toBe(certificate.fingerprint);
    chip.faults.clear();
    // After the failed write, the board has either no valid NVS, or still the old one.
    const again = await runCli([...argv, '--json']);
    const shown = await ok(deviceSchema, ['device', 'show', 'unlucky']);
    if (again.code === 0) {
      const { certificate: next } = onboardedSchema.parse(again.json);
      expect(shown).toMatchObject({ fingerprint: next.fingerprint, next: null });
    } else expect(shown.fingerprint).toBe(certificate.fingerprint);
  });

  it('rotate --now keeps an encrypted NVS encrypted with the same keys', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:08' });
    await ok(onboardedSchema, ['device', 'provision', 'secret', '--port', port, '--encrypt-nvs']);
    const keys = chip.flash.bytes.slice(0x3d_0000, 0x3d_1000);
    await ok(onboardedSchema, ['device', 'rotate', 'secret', '--port', port, '--now']);
    expect(Buffer.compare(keys, chip.flash.bytes.slice(0x3d_0000, 0x3d_1000))).toBe(0);
    expect(() => nvsIn(chip)).toThrow();
  });

  it('rotate reports a full NVS before it contacts the platform', async () => {
    const { chip, port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:09' });
    await ok(onboardedSchema, ['device', 'provision', 'full', '--port', port]);
    const nvs = nvsBytes(chip);
    const { entries } = readNvs(nvs);
    const blob = (key: string, n: number) => ({
      ...{ namespace: 'app', key, type: 'blob' as const },
      value: new Uint8Array(n).fill(7),
    });
    const filled = writeNvs(
      [
        ...entries.filter(({ namespace }) => namespace === 'aiot').slice(0, 3),
        blob('a', 30_000),
        blob('b', 11_000),
      ],
      { size: nvs.length, version: 2 },
    );
    nvs.set(filled);
    const argv = ['device', 'rotate', 'full', '--port', port, '--now'];
    expect(await refusal(argv)).toMatchObject({ code: 'AIOT_NVS_UNFIT' });
    const { next, fingerprint } = await ok(deviceSchema, ['device', 'show', 'full']);
    expect([next, typeof fingerprint]).toEqual([null, 'string']);
  });

  it('verify accepts a board whose table has no checksum', async () => {
    const table = parsePartitionsCsv('nvs,data,nvs,0x9000,0x5000,\nfactory,app,factory,0x20000,0x100000,\n');
    const flash = new Uint8Array(0x40_0000).fill(0xff);
    flash.set(writePartitionTable({ ...table, md5: false }), partitionTableOffset);
    const { port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:0a', flash });
    await ok(onboardedSchema, ['device', 'provision', 'no-md5', '--port', port]);
    const argv = ['device', 'verify', 'no-md5', '--port', port];
    expect((await ok(verifiedDeviceSchema, argv)).verified).toBe(true);
  });

  it('rotate rejects another device’s board; replace moves the device to a new board', async () => {
    const first = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:02' });
    const device = await ok(onboardedSchema, ['device', 'provision', 'spare', '--port', first.port]);
    const { port } = await plugged({ chip: 'esp32', mac: '24:0a:c4:00:20:03' });
    const other = { chip: 'esp32', mac: '24:0a:c4:00:20:04', flash: first.chip.flash.bytes } as const;
    const written = await plugged(other);
    expect(await refusal(['device', 'rotate', 'spare', '--port', written.port])).toMatchObject({
      code: 'AIOT_BIRTH_MISMATCH',
      exit: 6,
    });
    const replaced = await ok(onboardedSchema, ['device', 'replace', 'spare', '--port', port]);
    expect(replaced.id).not.toBe(device.id);
    const client = await clientFor();
    expect(await client.devices.get('spare')).toMatchObject({
      mac: '24:0a:c4:00:20:03',
      fingerprint: replaced.certificate.fingerprint,
      next: null,
    });
    await client.close();
    const { json, code } = await runCli(['device', 'verify', 'spare', '--port', first.port, '--json']);
    expect(code).toBe(6);
    const failed = verifiedDeviceSchema.parse(json).checks.filter(({ passed }) => !passed);
    expect(failed.map(({ check }) => check)).toEqual(['board']);
  });
});
