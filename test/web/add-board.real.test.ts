import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pushFirmware } from '../../src/lib/api/firmware/push.js';
import { SimulatedChip, type SimulatedChipOptions } from '../../src/lib/flash/rom/chip.js';
import { wifiBoard } from '../../src/lib/flash/rom/wifi-board.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import type { NvsEntry } from '../../src/lib/formats/nvs/types.js';
import { writeNvs } from '../../src/lib/formats/nvs/write.js';
import { parsePartitionsCsv, writePartitionTable } from '../../src/lib/formats/partitions.js';
import { defaultTable } from '../../src/lib/provision/device-image.js';
import { runCli } from '../support/cli.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { described, espBootloader, espImage } from '../support/esp-image.js';
import { connect } from '../support/mqtt.js';
import { describeReal } from '../support/real.js';
import { plugInto } from '../support/web-serial.js';

const [nvsOffset, nvsBytes] = [0x3dc000, 0xc000];

describeReal('chromium', 'the page Add a board', () => {
  let folder: string;
  let own: Dashboard;
  let bootloader: string;
  let app: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-add-board-'));
    own = await dashboard();
    bootloader = join(folder, 'bootloader.bin');
    app = join(folder, 'pump.bin');
    await writeFile(bootloader, espBootloader('esp32s3', { bytes: 4000 }));
    const image = { starts: described('pump', '1.2.0'), bytes: 60_000, address: 0x3c00_0020 };
    await writeFile(app, espImage({ chip: 'esp32s3', ...image }));
    const { client, key } = own.platform;
    await pushFirmware({ client, privatePem: key, path: app, deviceTypes: ['pump'] });
  });
  afterAll(async () => {
    await own?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Opens the page with a chip on the cable, connects it, and enters the name. */
  const open = async (chip: SimulatedChip, name: string) => {
    const opened = await own.open('#/devices');
    const { page } = opened;
    page.setDefaultTimeout(30_000);
    await plugInto(page, chip);
    await page.reload();
    await page.getByRole('link', { name: 'Add a board' }).click();
    await page.getByLabel('Name of the device').fill(name);
    await page.getByRole('button', { name: 'Connect the board' }).click();
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    return opened;
  };
  const install = (page: Page) => page.getByRole('button', { name: 'Install pump 1' }).click();
  const fault = async (page: Page) => {
    const shown = page.getByRole('alert');
    await shown.waitFor();
    return await shown.getAttribute('data-code');
  };
  /** Names of the devices that are not revoked. */
  const names = async () =>
    (await own.platform.client.devices.list()).flatMap(({ name, state }) =>
      state === 'revoked' ? [] : [name],
    );

  it('writes firmware and a new identity, connects the board to Wi-Fi and shows that it is online', {
    timeout: 120_000,
  }, async () => {
    const program = wifiBoard([{ ssid: 'plant', password: 'correct horse', hidden: false }]);
    const chip = new SimulatedChip({ chip: 'esp32s3', program });
    const { page, troubles, context } = await open(chip, 'pump-7');
    await page.getByLabel('Bootloader').setInputFiles(bootloader);
    await expectAccessible(page);
    await install(page);
    await page.getByText('pump 1 is installed on the ESP32-S3 24:0a:c4:00:01:10.').waitFor();
    await page.getByText('waiting for it to connect').waitFor();
    await page.getByLabel('Network').selectOption('plant');
    await page.getByLabel('Password').fill('correct horse');
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByText('The board has joined plant.').waitFor();

    // The identity works, and is encoded as on the command line.
    const device = await own.platform.client.devices.get('pump-7');
    expect(device).toMatchObject({ type: 'pump', mac: '24:0a:c4:00:01:10', online: false });
    const nvs = chip.flash.bytes.subarray(nvsOffset, nvsOffset + nvsBytes);
    const { entries, problems } = readNvs(nvs);
    expect(problems).toEqual([]);
    expect(Buffer.from(nvs).equals(writeNvs(entries, { size: nvsBytes }))).toBe(true);
    const text = (key: string) => String(entryOf(entries, `aiot/${key}`));
    expect([text('name'), text('id'), text('type'), text('chip'), text('chip_id')]).toEqual([
      ...['pump-7', device.id, 'pump', 'esp32s3'],
      String(0x110),
    ]);
    expect(text('ca').trim()).toBe(own.platform.ca.trim());
    expect(entryOf(entries, 'aiot_trust/keys')).toBe(1);
    const tls = { key: text('key'), cert: text('certificate'), ca: text('ca') };
    const client = await connect(text('mqtts'), { clientId: 'pump-7', ...tls });
    await page.getByText('online', { exact: true }).waitFor();
    await client.endAsync();

    // The rest of the flash is what aiot flash writes.
    const words = await Promise.all(
      [
        ['bootloader.bin', 0, await readFile(bootloader)] as const,
        ['table.bin', 0x8000, table()] as const,
        ['app.bin', 0x10000, await readFile(app)] as const,
        ['nvs.bin', nvsOffset, nvs] as const,
      ].map(async ([name, offset, data]) => {
        await writeFile(join(folder, name), data);
        return `${join(folder, name)}@${offset}`;
      }),
    );
    const file = join(folder, 'board.bin');
    await runCli(['flash', ...words, '--port', `simulated:esp32s3?flash=${file}`]);
    expect(Buffer.from(chip.flash.bytes).equals(await readFile(file))).toBe(true);
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it.each<[string, string, Partial<SimulatedChipOptions>, boolean]>([
    ['wrong-chip', 'another chip', { chip: 'esp32c3' }, true],
    ['no-bootloader', 'a board without a bootloader', {}, false],
    [
      'identity-exists',
      'a board with an identity',
      { flash: flashWith('-----BEGIN PRIVATE KEY-----') },
      true,
    ],
    ['flash-too-small', 'too little flash', { flashBytes: 2 << 20 }, true],
    ['unplugged-while-writing', 'an unplugged cable', { faults: [{ kind: 'unplugged', op: 0x11 }] }, true],
  ])(
    'explains %s, and keeps no registration of %s',
    { timeout: 120_000 },
    async (code, _what, options, brings) => {
      const chip = new SimulatedChip({ chip: 'esp32s3', mac: '24:0a:c4:00:01:11', ...options });
      const { page, context } = await open(chip, 'pump-8');
      if (brings) await page.getByLabel('Bootloader').setInputFiles(bootloader);
      await install(page);
      expect(await fault(page)).toBe(code);
      await expect.poll(names, { timeout: 10_000 }).not.toContain('pump-8');
      await expectAccessible(page);
      await context.close();
    },
  );

  it('fits a phone in dark mode', async () => {
    const { page, troubles, context } = await own.open('#/devices', { width: 390, dark: true });
    page.setDefaultTimeout(30_000);
    await plugInto(page, new SimulatedChip({ chip: 'esp32s3' }));
    await page.reload();
    await page.getByRole('link', { name: 'Add a board' }).click();
    await page.getByLabel('Name of the device').fill('pump-phone');
    await page.getByRole('button', { name: 'Connect the board' }).click();
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? folder, 'add-board-390.png'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('explains a name or a board that is taken, and keeps that device', { timeout: 120_000 }, async () => {
    const devices = [{ name: 'pump-9', digest: '9'.repeat(64) }];
    await own.platform.client.devices.simulate({ type: 'virtual', devices });
    const chip = new SimulatedChip({ chip: 'esp32s3', mac: '24:0a:c4:00:01:12' });
    const { page, context } = await open(chip, 'pump-9');
    await page.getByLabel('Bootloader').setInputFiles(bootloader);
    await install(page);
    expect(await fault(page)).toBe('name-taken');
    expect(chip.flash.bytes.every((byte) => byte === 0xff)).toBe(true);
    expect(await names()).toContain('pump-9');
    // A name that is free does not help if the board belongs to another device.
    await own.platform.client.claims.make({ name: 'pump-10', type: 'pump', mac: chip.mac });
    await page.getByLabel('Name of the device').fill('pump-11');
    await install(page);
    await page.getByText('pump-10').waitFor();
    expect(await fault(page)).toBe('board-taken');
    expect(await names()).not.toContain('pump-11');
    await context.close();
  });
});

const entryOf = (entries: readonly NvsEntry[], place: string) =>
  entries.find(({ namespace, key }) => `${namespace}/${key}` === place)?.value;

const table = () =>
  writePartitionTable(parsePartitionsCsv(defaultTable, { flashBytes: 4 << 20, file: 'the table' }));

/** Flash of 4 MiB with a text in NVS. */
function flashWith(text: string): Uint8Array {
  const flash = new Uint8Array(4 << 20).fill(0xff);
  flash.set(Buffer.from(text), nvsOffset + 0x100);
  return flash;
}
