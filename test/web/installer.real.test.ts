import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SimulatedChip, type SimulatedChipOptions } from '../../src/lib/flash/rom/chip.js';
import type { Fault } from '../../src/lib/flash/rom/faults.js';
import type { SimulatedChipName } from '../../src/lib/flash/rom/identity.js';
import { wifiBoard } from '../../src/lib/flash/rom/wifi-board.js';
import { parsePartitionsCsv, writePartitionTable } from '../../src/lib/formats/partitions.js';
import { defaultTable } from '../../src/lib/provision/device-image.js';
import { runCli } from '../support/cli.js';
import { expectAccessible, launchChromium } from '../support/dashboard.js';
import { described, espBootloader, espImage } from '../support/esp-image.js';
import { describeReal } from '../support/real.js';
import { type PluggedBoard, plugInto, usbIds } from '../support/web-serial.js';

const networks = [
  { ssid: 'plant', password: 'correct horse', hidden: false },
  { ssid: 'hall', password: '', hidden: false },
];

describeReal('chromium', 'the page of firmware web-installer', () => {
  let folder: string;
  let browser: Browser;
  let server: Server;
  let site: string;
  let images: string[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-installer-'));
    images = await writeImages(folder, 'esp32s3');
    await runCli(['firmware', 'web-installer', ...images, '--out', join(folder, 'site')]);
    ({ server, url: site } = await serve(join(folder, 'site')));
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => server?.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });

  /** Opens the page with this chip on its cable. */
  const open = async (
    chip: SimulatedChip | null,
    url = site,
    usb = usbIds.uart,
  ): Promise<{ page: Page; board: PluggedBoard; troubles: string[] }> => {
    const context = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const troubles: string[] = [];
    page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()));
    page.on('pageerror', (error) => troubles.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(url)) troubles.push(`asked for ${request.url()}`);
    });
    const board = await plugInto(page, chip, usb);
    await page.goto(url);
    await page.getByRole('heading', { name: 'Install pump 1.2.0' }).waitFor();
    return { page, board, troubles };
  };
  const connect = (page: Page) => page.getByRole('button', { name: 'Connect the board' }).click();
  const install = (page: Page) => page.getByRole('button', { name: 'Install pump 1.2.0' }).click();
  /** Waits for the text of a finished installation. A fault that the page shows instead fails the test at once. */
  const installed = async (page: Page, text = 'pump 1.2.0 is installed on the ESP32-S3') => {
    const alert = page.getByRole('alert');
    await page.getByText(text).or(alert).first().waitFor();
    const code = (await alert.count()) === 0 ? null : await alert.first().getAttribute('data-code');
    expect(code).toBeNull();
  };
  const fault = async (page: Page) => {
    const shown = page.getByRole('alert');
    await shown.waitFor();
    return await shown.getAttribute('data-code');
  };

  it('writes the same flash as aiot flash, shows the log and connects the board to Wi-Fi', {
    timeout: 120_000,
  }, async () => {
    const chip = chipWith({ program: wifiBoard(networks) });
    const { page, board, troubles } = await open(chip);
    await connect(page);
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    await install(page);
    await installed(page, 'pump 1.2.0 is installed on the ESP32-S3 24:0a:c4:00:01:10.');
    expect(board.bauds).toEqual([115_200, 115_200, 460_800, 115_200]);
    await page.getByLabel('Network').selectOption('plant');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Join' }).click();
    expect(await fault(page)).toBe('wifi-refused');
    await page.getByLabel('Password').fill('correct horse');
    await page.getByRole('button', { name: 'Join' }).press('Enter');
    await page.getByText('The board has joined plant.').waitFor();
    const log = await page.getByRole('region', { name: 'Log' }).textContent();
    expect(log).toContain('ready for Wi-Fi settings by Improv');
    expect(log).not.toContain('IMPROV');
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
    const file = join(folder, 'board.bin');
    await runCli(['flash', ...images, '--port', `simulated:esp32s3?flash=${file}`]);
    expect(Buffer.from(chip.flash.bytes).equals(await readFile(file))).toBe(true);
  });

  it.each(['esp32', 'esp32c3'] as const)(
    'chooses the build for an %s, and rejects a locked one',
    {
      timeout: 120_000,
    },
    async (chipName) => {
      const own = await writeImages(folder, chipName);
      const dir = join(folder, `builds-${chipName}`);
      const build = join(folder, `build-${chipName}`);
      await writeBuild(build, images);
      await runCli(['firmware', 'web-installer', ...own, '--project', build, '--out', dir]);
      const { server: second, url } = await serve(dir);
      try {
        const chip = chipWith({ chip: chipName });
        const { page, board } = await open(chip, url);
        await page.getByText(/^For boards with ESP32.*, ESP32-S3$/).waitFor();
        await connect(page);
        await install(page);
        await page.getByText('pump 1.2.0 is installed on the ESP32').waitFor();
        const file = join(folder, `${chipName}.flash`);
        await runCli(['flash', ...own, '--port', `simulated:${chipName}?flash=${file}`]);
        expect(Buffer.from(chip.flash.bytes).equals(await readFile(file))).toBe(true);
        board.plug(chipWith({ chip: chipName, security: { secureBoot: true } }));
        await page.getByRole('button', { name: 'Connect another board' }).click();
        await page.getByText('Connected to 10c4:ea60.').waitFor();
        await install(page);
        expect(await fault(page)).toBe('locked');
        await page.context().close();
      } finally {
        await new Promise((resolve) => second.close(resolve));
      }
    },
  );

  it('works with the keyboard alone, and erases the board if asked to', { timeout: 120_000 }, async () => {
    const chip = chipWith({ flash: new Uint8Array(4 << 20).fill(0x55) });
    const { page } = await open(chip);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    // The button keeps the focus.
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await installed(page);
    const fresh = new SimulatedChip({ chip: 'esp32s3' });
    for (const word of images) {
      const [path = '', at = ''] = word.split('@');
      fresh.flash.bytes.set(await readFile(path), Number(at));
    }
    expect(Buffer.compare(chip.flash.bytes, fresh.flash.bytes)).toBe(0);
    await page.context().close();
  });

  it.each<[string, Partial<SimulatedChipOptions>, string, boolean]>([
    ['another chip', { chip: 'esp32c3' }, 'wrong-chip', false],
    ['a locked chip', { security: { secureBoot: true } }, 'locked', false],
    ['a chip outside download mode', { faults: [{ kind: 'deaf' }] }, 'no-download-mode', false],
    ['too little flash', { flashBytes: 1 << 18 }, 'flash-too-small', false],
    ['a cable that is unplugged early', { faults: [{ kind: 'unplugged', op: 0x08 }] }, 'unplugged', false],
    [
      'a cable that is unplugged while writing',
      { faults: [{ kind: 'unplugged', op: 0x11, after: 1 }] },
      'unplugged-while-writing',
      true,
    ],
    ['flash that does not store data', { faults: [{ kind: 'stuck-flash' }] }, 'write-failed', false],
  ])('explains %s', { timeout: 120_000 }, async (_name, options, code, isWritten) => {
    const chip = chipWith(options);
    const before = Buffer.from(chip.flash.bytes);
    const { page } = await open(chip);
    await connect(page);
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    await install(page);
    expect(await fault(page)).toBe(code);
    expect(before.equals(chip.flash.bytes)).toBe(!isWritten);
    await expectAccessible(page);
    await page.context().close();
  });

  it('resets a board once more that answers, but whose next answer is lost', {
    timeout: 120_000,
  }, async () => {
    const chip = chipWith({ faults: [{ kind: 'lost-answer', op: 0x0a }] });
    const { page, board } = await open(chip);
    await connect(page);
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    await install(page);
    await installed(page);
    expect(board.bauds).toEqual([115_200, 115_200, 115_200, 460_800, 115_200]);
    await page.context().close();
  });

  it('installs after the board was plugged in again', { timeout: 120_000 }, async () => {
    const chip = chipWith({ faults: [{ kind: 'unplugged', op: 0x11, after: 1 }] });
    const { page } = await open(chip);
    await connect(page);
    await install(page);
    expect(await fault(page)).toBe('unplugged-while-writing');
    await connect(page);
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    await install(page);
    await installed(page);
    const [, , app = ''] = images;
    const data = await readFile(app.split('@')[0] ?? '');
    expect(Buffer.from(chip.flash.bytes.subarray(0x10000, 0x10000 + data.length)).equals(data)).toBe(true);
    await page.context().close();
  });

  it.each([
    ['the same port', false],
    ['another port', true],
  ])(
    'installs on a board whose USB port disappears at each reset and returns as %s',
    {
      timeout: 90_000,
    },
    async (_name, returnsAsOther) => {
      const faults: Fault[] = [{ kind: 're-enumerate' }];
      const chip = chipWith({ bridge: 'usb-jtag', boot: 'run', faults, program: wifiBoard(networks) });
      const { page, board, troubles } = await open(chip, site, usbIds.chip);
      board.returnsAsOther = returnsAsOther;
      await connect(page);
      await page.getByText('Connected to 303a:1001.').waitFor();
      await install(page);
      await installed(page);
      const [, , app = ''] = images;
      const data = await readFile(app.split('@')[0] ?? '');
      expect(Buffer.from(chip.flash.bytes.subarray(0x10000, 0x10000 + data.length)).equals(data)).toBe(true);
      // The port disappeared again when the program was started.
      await page.getByLabel('Network').selectOption('plant');
      await page.getByLabel('Password').fill('correct horse');
      await page.getByRole('button', { name: 'Join' }).click();
      await page.getByText('The board has joined plant.').waitFor();
      expect(troubles).toEqual([]);
      await page.context().close();
    },
  );

  it('reports a board whose USB port does not return after the reset', { timeout: 60_000 }, async () => {
    const chip = chipWith({ bridge: 'usb-jtag', boot: 'run', faults: [{ kind: 're-enumerate' }] });
    const { page, board } = await open(chip, site, usbIds.chip);
    await connect(page);
    await page.getByText('Connected to 303a:1001.').waitFor();
    chip.onUnplugged(() => board.plug(null));
    board.silentReturn = true;
    await install(page);
    expect(await fault(page)).toBe('unplugged');
    await page.context().close();
  });

  it("explains firmware that accepts no Wi-Fi settings on the chip's own USB port", {
    timeout: 60_000,
  }, async () => {
    const { page, troubles } = await open(chipWith({}), site, usbIds.chip);
    await connect(page);
    await page.getByRole('button', { name: 'Find networks' }).click();
    expect(await fault(page)).toBe('improv-chip-usb');
    expect(await page.getByRole('alert').textContent()).toContain('aiot device provision --wifi-ssid');
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('explains a port that is busy, and a list that is closed without a choice', {
    timeout: 60_000,
  }, async () => {
    const { page, board } = await open(null);
    await connect(page);
    expect(await fault(page)).toBe('no-port');
    board.plug(chipWith());
    board.busy = true;
    await connect(page);
    await page.getByText('another program uses it').waitFor();
    expect(await fault(page)).toBe('port-busy');
    board.busy = false;
    await connect(page);
    await page.getByText('Connected to 10c4:ea60.').waitFor();
    await page.context().close();
  });

  it('explains a browser without Web Serial, and a manifest that is missing', {
    timeout: 60_000,
  }, async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.addInitScript('delete Navigator.prototype.serial');
    await page.goto(site);
    expect(await fault(page)).toBe('no-web-serial');
    expect(await page.getByRole('button', { name: 'Connect the board' }).isDisabled()).toBe(true);
    await page.route('**/manifest.json', (route) => route.fulfill({ status: 404 }));
    await page.goto(site);
    expect(await fault(page)).toBe('download-failed');
    await context.close();
  });
});

function chipWith(options: Partial<SimulatedChipOptions> = {}): SimulatedChip {
  return new SimulatedChip({ chip: 'esp32s3', ...options });
}

/** Writes a bootloader, a partition table and an app for a chip. Each as FILE@OFFSET. */
async function writeImages(folder: string, chip: SimulatedChipName): Promise<string[]> {
  const table = parsePartitionsCsv(defaultTable, { flashBytes: 4 << 20, file: 'the table' });
  const app = espImage({
    chip,
    starts: described('pump', '1.2.0'),
    bytes: 200_001,
    address: chip === 'esp32' ? 0x3f40_0020 : 0x3c00_0020,
  });
  const parts: [string, Uint8Array, string][] = [
    ['bootloader', espBootloader(chip, { bytes: 4000 }), chip === 'esp32' ? '0x1000' : '0x0'],
    ['partitions', writePartitionTable(table), '0x8000'],
    ['app', app, '0x10000'],
  ];
  return await Promise.all(
    parts.map(async ([name, data, at]) => {
      const file = join(folder, `${name}-${chip}.bin`);
      await writeFile(file, data);
      return `${file}@${at}`;
    }),
  );
}

/** Writes a build of ESP-IDF that consists of these images. */
async function writeBuild(dir: string, words: readonly string[]): Promise<void> {
  await mkdir(dir);
  const files: Record<string, string> = {};
  for (const word of words) {
    const [path = '', offset = ''] = word.split('@');
    files[offset] = basename(path);
    await copyFile(path, join(dir, basename(path)));
  }
  await writeFile(join(dir, 'flasher_args.json'), JSON.stringify({ flash_files: files }));
}

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};

/** Serves a folder on a free port of loopback. */
async function serve(dir: string): Promise<{ server: Server; url: string }> {
  const server = createServer(async ({ url = '/' }, response) => {
    const path = url === '/' ? '/index.html' : url;
    const data = await readFile(join(dir, path)).catch(() => null);
    response.writeHead(data ? 200 : 404, {
      'content-type': types[extname(path)] ?? 'application/octet-stream',
    });
    response.end(data ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}
