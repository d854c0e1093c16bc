import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { type ServedChip, serveChip } from '../../../src/lib/flash/rom/serve.js';
import { firstOtadata, readOtadata } from '../../../src/lib/formats/otadata.js';
import { runCli } from '../../support/cli.js';
import { espApp, espBootloader } from '../../support/esp-image.js';
import { twoSlotsTable } from '../plan/support.js';

let folder = '';
const served: ServedChip[] = [];
const app = espApp('esp32', 30_000);
const md5 = (data: Uint8Array) => createHash('md5').update(data).digest('hex');
const file = (name: string) => join(folder, name);

async function put(name: string, data: Uint8Array | string): Promise<string> {
  await writeFile(file(name), data);
  return file(name);
}

/** Serves a simulated chip on a TCP port. */
async function board(options: Partial<SimulatedChipOptions> = {}) {
  const chip = new SimulatedChip({ chip: 'esp32', ...options });
  const at = await serveChip(chip, { port: 0 });
  served.push(at);
  return { chip, port: at.address };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-flash-'));
  await put('app.bin', app);
  await put('s3.bin', espApp('esp32s3'));
  await put('table.bin', twoSlotsTable);
});
afterAll(async () => {
  for (const at of served) await at.close();
  await rm(folder, { recursive: true, force: true });
});

describe('aiot flash', () => {
  it('creates a report page from the record, including failed boards', async () => {
    const { port } = await board();
    const [csv, page] = [file('tray.csv'), file('tray.html')];
    const argv = [
      'flash',
      `${file('app.bin')}@0x10000`,
      '--record',
      csv,
      '--report',
      page,
      '--chip',
      'esp32',
    ];
    const done = await runCli([...argv, '--port', port, '--json']);
    expect(done.code, done.stderr).toBe(0);
    const first = await readFile(page, 'utf8');
    expect(first).toContain('<h1>1 of 1 board passed</h1>');
    expect(first).toContain(`<code>${md5(app)}</code>`);
    const wrong = await board({ chip: 'esp32s3' });
    expect((await runCli([...argv, '--port', wrong.port])).code).not.toBe(0);
    const second = await readFile(page, 'utf8');
    expect(second).toContain('2 attempts in ');
    expect(second).toContain('✗ failed');
    const dry = await runCli([...argv, '--port', port, '--dry-run']);
    expect(dry.stderr).toContain('AIOT_USAGE');
    const onto = await runCli(['flash', `${file('app.bin')}@0x10000`, '--port', port, '--report', folder]);
    expect(onto.stderr).toContain('AIOT_FILE_NOT_WRITABLE');
  });

  it('writes, verifies, and reports the result in one line of JSON', async () => {
    const { chip, port } = await board();
    const argv = ['flash', `${file('app.bin')}@0x10000`, `${file('table.bin')}@0x8000`, '--port', port];
    const done = await runCli([...argv, '--chip', 'esp32', '--baud', '115200', '--verify', '--json']);
    expect(done.code).toBe(0);
    expect(done.stdout.trim().split('\n')).toHaveLength(1);
    expect(done.json).toMatchObject({
      chip: 'esp32',
      mac: chip.mac,
      regions: [
        { offset: 0x10000, bytes: app.length, skipped: false, md5: md5(app) },
        { offset: 0x8000, bytes: 3072, skipped: false, md5: md5(twoSlotsTable) },
      ],
      verified: true,
      seconds: expect.any(Number),
    });
    const there = chip.flash.bytes.subarray(0x10000, 0x10000 + app.length);
    expect(Buffer.compare(there, app)).toBe(0);
    const again = await runCli([...argv, '--json']);
    expect(again.json).toMatchObject({ regions: [{ skipped: true }, { skipped: true }] });
  });

  it('writes without the stub', async () => {
    const { chip, port } = await board({ chip: 'esp32c3' });
    const data = espApp('esp32c3', 5001 * 4);
    const path = await put('c3.bin', data);
    const { json } = await runCli(['flash', '--port', port, `${path}@0x10000`, '--no-stub', '--json']);
    expect(json).toMatchObject({ chip: 'esp32c3', regions: [{ md5: md5(data), skipped: false }] });
    expect(chip.state).not.toBe('stub');
  });

  it('prints the written file, the verification, and the next command', async () => {
    const { port } = await board();
    const { stdout, code } = await runCli(['flash', `${file('app.bin')}@0x10000`, '--port', port]);
    expect(code).toBe(0);
    expect(stdout).toContain(`0x10000  ${file('app.bin')}`);
    expect(stdout).toContain('verified in');
    expect(stdout).toContain(`Next: aiot board monitor --port ${port}`);
  });

  it('rejects an image for another chip with exit code 6, writing nothing unless forced', async () => {
    const { chip, port } = await board();
    const argv = ['flash', `${file('s3.bin')}@0x10000`, '--port', port];
    const refused = await runCli(argv);
    expect(refused.code).toBe(6);
    expect(refused.stderr).toContain('is an image for the ESP32-S3, but the board is an ESP32');
    expect(chip.flash.bytes[0x10000]).toBe(0xff);
    const forced = await runCli([...argv, '--force', '--quiet']);
    expect(forced.code).toBe(0);
    expect(forced.stdout).toContain('Overridden by --force:');
    expect(chip.flash.bytes[0x10000]).toBe(0xe9);
  });

  it('names the two commands for an identity and a model', async () => {
    const { stderr, code } = await runCli([
      'flash',
      '--device',
      'pump-1',
      '--model',
      'pump@2',
      '--port',
      'p 1',
    ]);
    expect(code).toBe(2);
    const advice = stderr.replace(/\s+/g, ' ');
    expect(advice).toContain('`aiot flash --device pump-1 --port "p 1"`');
    expect(advice).toContain('`aiot flash --model pump@2 --port "p 1"`');
  });

  it('reads the fuses before writing a bootloader', async () => {
    const path = await put('bootloader.bin', espBootloader());
    const { chip, port } = await board({ security: { secureBoot: true } });
    const { code, stderr } = await runCli(['flash', `${path}@bootloader`, '--port', port, '--no-stub']);
    expect([code, stderr.includes('secure boot')]).toEqual([6, true]);
    expect(chip.flash.bytes[0x1000]).toBe(0xff);
  });

  it.each<[string, string[], number, string]>([
    ['a command without files', [], 2, 'expected at least one file to write'],
    ['a command without files, naming the help,', [], 2, 'aiot flash --help'],
    ['a file without an offset', ['app.bin'], 2, 'expected an offset, such as'],
    ['an invalid offset', ['app.bin@0x1g'], 2, 'expected FILE@OFFSET such as app.bin@0x10000'],
    ['a missing file', ['none.bin@0x0'], 4, 'does not exist'],
    ['overlapping regions', ['app.bin@0x10000', 'table.bin@0x11000'], 2, 'two regions overlap'],
    ['an unknown chip', ['app.bin@0x0', '--chip', 'esp99'], 2, '--chip: expected one of auto, esp32'],
    ['--slot with images', ['app.bin@0x0', '--slot', 'next'], 2, '--slot cannot be combined with images'],
    ['--slot without an app', ['--slot', 'next'], 2, 'expected firmware or a model for the slot'],
    ['--all with --port', ['app.bin@0x0', '--all', '--port', 'x'], 2, '--all cannot be combined with --port'],
    ['a port specified twice', ['app.bin@0x0', '--port', 'x', '--port', 'x'], 2, 'x is specified twice'],
    [
      'an invalid pattern',
      ['--firmware', 'app.bin', '--watch', '--healthy', '('],
      2,
      'expected a regular expression',
    ],
    ['a firmware folder without a build', ['--project', '.'], 4, 'contains no build'],
    ['a folder that is not an identity', ['--device', '.'], 4, 'is not a device identity folder'],
    [
      '--diff-with without an offset for several files',
      ['app.bin@0x10000', 'table.bin@0x8000', '--diff-with', 'app.bin'],
      2,
      'expected an offset',
    ],
  ])('rejects %s before opening a port', async (_, words, code, message) => {
    const argv = words.map((word) => (/^(\w+\.bin|\.)/.test(word) ? file(word) : word));
    const port = words.includes('--port') || words.includes('--all') ? [] : ['--port', '/nowhere'];
    const done = await runCli(['flash', ...argv, ...port]);
    expect(done.stderr).toContain(message);
    expect(done.code).toBe(code);
  });

  it('plans without a port, and detects the chip from the images', async () => {
    const argv = ['flash', `${file('app.bin')}@0x10000`, `${file('table.bin')}@0x8000`, '--dry-run'];
    const { json } = await runCli([...argv, '--json']);
    expect(json).toMatchObject({ chip: 'esp32', regions: [{ offset: 0x10000, md5: md5(app) }, {}] });
    const refused = await runCli(['flash', `${file('s3.bin')}@0x0`, '--dry-run', '--chip', 'esp32']);
    expect(refused.code).toBe(6);
  });

  it('writes only the sectors that differ from the board’s image', async () => {
    const { chip, port } = await board();
    chip.flash.bytes.set(app, 0x10000);
    const next = Uint8Array.from(app);
    next[20_000] = next[20_000]! ^ 0x55;
    const path = await put('next.bin', next);
    const argv = ['flash', `${path}@0x10000`, '--diff-with', file('app.bin'), '--port', port, '--json'];
    const { json } = await runCli(argv);
    expect(json).toMatchObject({ regions: [{ written: 4096, skipped: false, md5: md5(next) }] });
    expect(Buffer.compare(chip.flash.bytes.subarray(0x10000, 0x10000 + next.length), next)).toBe(0);
  });

  /** Creates the folder of an identity for a board whose table has two slots. */
  async function identity(): Promise<string> {
    await mkdir(file('pump-7'), { recursive: true });
    const urls = { http: 'https://a', mqtts: 'mqtts://a' };
    const device = { name: 'pump-7', id: 'dev_pump-7', type: 'pump', chip: 'esp32', urls };
    await put('pump-7/device.json', JSON.stringify(device));
    await put('pump-7/partitions.bin', twoSlotsTable);
    await put('pump-7/nvs.bin', Buffer.alloc(0x5000, 0xff));
    return file('pump-7');
  }

  it('reports that a board with an identity but without a program runs nothing', async () => {
    const device = await identity();
    const { port } = await board();
    const { stdout } = await runCli(['flash', '--device', device, '--port', port]);
    expect(stdout).toContain(
      'The identity of pump-7 is on the chip. The chip has no program yet, so nothing runs on it.\n' +
        'Write one from a firmware folder.',
    );
    expect(stdout).toContain('Next: aiot firmware build FIRMWARE_DIR --target esp32\n');
    expect(stdout).toContain(`aiot flash --project FIRMWARE_DIR --port ${port}`);
    expect(stdout).not.toMatch(/RESET|monitor/);
    const { json } = await runCli(['flash', '--device', device, '--port', port, '--json']);
    expect(json).toMatchObject({ program: 'none', device: 'pump-7' });
  });

  it('does not suggest a program for a simulated chip, which runs none', async () => {
    const device = await identity();
    const { stdout, code } = await runCli([
      'flash',
      '--device',
      device,
      '--port',
      'simulated:esp32',
      '--quiet',
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain('A simulated chip stores the written data, but does not run it.');
    expect(stdout).not.toContain('FIRMWARE_DIR');
  });

  it('reports that the program is unchanged if only an identity is written', async () => {
    const device = await identity();
    const { chip, port } = await board();
    chip.flash.bytes.set(espBootloader(), 0x1000);
    chip.flash.bytes.set(app, 0x110000);
    const { stdout } = await runCli(['flash', '--device', device, '--port', port]);
    expect(stdout).toContain(
      'The identity of pump-7 is on the chip. The program on the chip is unchanged.\nPress RESET to start the program.\n',
    );
    expect(stdout).toContain(`Next: aiot board monitor --port ${port}`);
    const { json } = await runCli(['flash', '--device', device, '--port', port, '--json']);
    expect(json).toMatchObject({ program: 'unchanged' });
  });

  it.each([
    ['written', 'an app', 'app.bin', 0x10000],
    ['none', 'a table', 'table.bin', 0x8000],
  ])('reports the program as %s after writing %s to an erased board', async (program, _what, name, at) => {
    const { port } = await board();
    const argv = ['flash', `${file(name)}@${at}`, '--port', port, '--erase', '--json'];
    expect((await runCli(argv)).json).toMatchObject({ program });
  });

  it('does not report the program of a chip that encrypts its flash', async () => {
    const { port } = await board({ security: { flashEncryption: true } });
    const nvs = await put('nvs.bin', Buffer.alloc(0x5000, 0xff));
    const { stdout, json } = await runCli(['flash', `${nvs}@0x9000`, '--port', port, '--json']);
    expect(json, stdout).toMatchObject({ program: null });
  });

  it('updates the other slot and switches to it', async () => {
    const { chip, port } = await board();
    chip.flash.bytes.set(twoSlotsTable, 0x8000);
    const argv = ['flash', '--slot', 'next', '--firmware', file('app.bin'), '--port', port, '--json'];
    const { json } = await runCli(argv);
    expect(json).toMatchObject({ switched: { slot: 'app1', before: 'app0', restored: false } });
    const more = await runCli(argv);
    expect(more.json).toMatchObject({ switched: { slot: 'app0', before: 'app1' } });
    expect(Buffer.compare(chip.flash.bytes.subarray(0x110000, 0x110000 + app.length), app)).toBe(0);
  });
});

describe('aiot flash --watch', () => {
  /** Runs the slot that otadata selects; slot 1 crashes. */
  const program: SimulatedChipOptions['program'] = async (chip) => {
    await chip.sleep(20);
    const otadata = readOtadata(chip.flash.bytes.subarray(0xe000, 0x10000));
    if (otadata.active(2) === 1) chip.print("Guru Meditation Error: Core  0 panic'ed (LoadProhibited)\r\n");
    else chip.print('I (300) net: connected\r\n');
  };

  async function bootable(active: number) {
    const chip = new SimulatedChip({ chip: 'esp32', program });
    chip.flash.bytes.set(espBootloader(), 0x1000);
    chip.flash.bytes.set(twoSlotsTable, 0x8000);
    chip.flash.bytes.set(firstOtadata(active, 2), 0xe000);
    const at = await serveChip(chip, { rfc2217: 0 });
    served.push(at);
    return { chip, port: at.address };
  }

  const argv = (port: string) => [
    ...['flash', '--slot', 'next', '--firmware', file('app.bin'), '--port', port],
    ...['--watch', '--healthy', 'connected', '--timeout', '5s', '--baud', '115200'],
  ];

  it('keeps a healthy update', async () => {
    const { port } = await bootable(1);
    const { json, code } = await runCli([...argv(port), '--json']);
    expect(json).toMatchObject({ switched: { slot: 'app0', healthy: true, restored: false } });
    expect(code).toBe(0);
  });

  it('reverts an update that crashes, and exits with 1', async () => {
    const { chip, port } = await bootable(0);
    const before = Buffer.from(chip.flash.bytes.subarray(0xe000, 0x10000));
    const { code, stderr, stdout } = await runCli([...argv(port), '--quiet']);
    expect(stdout).toContain(
      'app1 did not become healthy; the board was rolled back to app0: it crashed: Guru',
    );
    expect(stderr).toContain('AIOT_FLASH_UNHEALTHY');
    expect(code).toBe(1);
    expect(before.equals(chip.flash.bytes.subarray(0xe000, 0x10000))).toBe(true);
  });
});

describe('aiot flash --watch on a line without DTR and RTS', () => {
  it('asks the user to press RESET and hold BOOT, and reports an unhealthy board', async () => {
    const { chip, port } = await board({ mac: '24:0a:c4:00:06:01' });
    chip.flash.bytes.set(twoSlotsTable, 0x8000);
    const argv = ['flash', '--slot', 'next', '--firmware', file('app.bin'), '--port', port];
    const done = await runCli([...argv, '--watch', '--timeout', '300ms', '--after', 'no-reset']);
    expect(done.stderr).toContain(`press RESET on the board at ${port}; it is monitored for 0.3 s`);
    expect(done.stderr).toContain(`hold BOOT and press RESET on the board at ${port}`);
    expect(done.stderr).toContain('AIOT_FLASH_UNHEALTHY');
    expect(done.code).toBe(1);
  });
});

describe('aiot flash with several boards', () => {
  it('writes all of them and keeps a record', async () => {
    const boards = await Promise.all([1, 2, 3].map((n) => board({ mac: `24:0a:c4:00:02:0${n}` })));
    const record = file('boards.csv');
    const ports = boards.flatMap(({ port }) => ['--port', port]);
    const argv = ['flash', `${file('app.bin')}@0x10000`, ...ports, '--record', record];
    const { json, code, stderr } = await runCli([...argv, '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ok: 3,
      failed: 0,
      boards: boards.map(({ port }) => ({ port, attempts: 1 })),
    });
    const stages = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).stage);
    expect(new Set(stages)).toEqual(
      new Set(['waiting', 'connect', 'stub', 'read', 'check', 'write', 'verify', 'reset', 'done']),
    );
    const lines = (await readFile(record, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(4);
    expect(
      lines
        .slice(1)
        .map((line) => line.split(',')[2])
        .sort(),
    ).toEqual(boards.map(({ chip }) => chip.mac));
  });

  it('exits with 3 if one of them fails, and with 1 if all fail', async () => {
    const good = await board();
    const argv = ['flash', `${file('app.bin')}@0x10000`, '--quiet'];
    const some = await runCli([...argv, '--port', good.port, '--port', '/nowhere/1']);
    expect(some.code).toBe(3);
    expect(some.stdout).toContain('AIOT_SERIAL_NOT_FOUND');
    expect(some.stdout).toContain('1 of 2 boards');
    const none = await runCli([...argv, '--port', '/nowhere/2', '--port', '/nowhere/1']);
    expect(none.code).toBe(1);
    expect(none.stdout).toContain('Try: To list the serial ports of this machine, run `aiot board ports`.');
  });
});
