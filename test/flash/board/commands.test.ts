import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { type ServedChip, serveChip } from '../../../src/lib/flash/rom/serve.js';
import { runCli } from '../../support/cli.js';
import { noise } from '../loader/board.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-board-'));
const served: ServedChip[] = [];
const close = async () => {
  for (const one of served.splice(0)) await one.close();
};
afterEach(close);
afterAll(close);

/** Serves a chip on a plain socket, in its loader and without DTR and RTS. */
async function chipAt(options: Partial<SimulatedChipOptions> = {}) {
  const chip = new SimulatedChip({ chip: 'esp32c3', ...options });
  const one = await serveChip(chip, { port: 0 });
  served.push(one);
  return { chip, port: one.address };
}

const content = noise(0x6000, 3);
/** A partition table with NVS at 0x9000 and an app at 0x10000. */
async function withTable() {
  const csv = join(folder, 'table.csv');
  const bin = join(folder, 'table.bin');
  writeFileSync(csv, 'nvs,data,nvs,0x9000,0x6000,\nfactory,app,factory,0x10000,1M,\n');
  if (!existsSync(bin)) expect((await runCli(['firmware', 'partitions', 'create', csv, bin])).code).toBe(0);
  const at = await chipAt();
  at.chip.flash.bytes.set(readFileSync(bin), 0x8000);
  at.chip.flash.bytes.set(content, 0x9000);
  return at;
}

describe('aiot board info', () => {
  it('reports the chip, MAC address, flash, security and partitions of a board', async () => {
    const { port } = await withTable();
    const { json, code } = await runCli(['board', 'info', '--port', port, '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      port,
      chip: 'esp32c3',
      mac: '24:0a:c4:00:01:10',
      crystalMHz: 40,
      flash: { id: 'c84016', bytes: 4 << 20 },
      security: { secureBoot: false, flashEncryption: false, secureDownload: false },
      stub: true,
      baud: 921_600,
      partitions: [
        { label: 'nvs', type: 'data', subtype: 'nvs', offset: 0x9000, size: 0x6000 },
        { label: 'factory', type: 'app', subtype: 'factory', offset: 0x10000, size: 1 << 20 },
      ],
    });
    const shown = await runCli(['board', 'info', '--port', port, '--no-stub', '--baud', '115200']);
    expect(shown.stdout).toMatch(/chip +esp32c3 +ESP32-C3 \(QFN32\) \(revision v0\.4\)/);
    expect(shown.stdout).toMatch(/Next: aiot board dump backup\.bin/);
    // Progress of a few seconds is shown only on a terminal.
    expect(shown.stderr).toBe('');
  });

  it('rejects a chip other than the one specified', async () => {
    const { port } = await chipAt();
    const { json, code } = await runCli(['board', 'info', '--port', port, '--chip', 'esp32', '--json']);
    expect(code).toBe(2);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_CHIP_MISMATCH',
        message: expect.stringMatching(/expected .* esp32 at .*, got esp32c3/),
      },
    });
  });
});

describe('aiot board read', () => {
  it.each([
    ['a number of bytes at an offset', ['0x9000', '0x1001'], content.subarray(0, 0x1001)],
    ['a partition', ['nvs'], content],
    ['part of a partition', ['nvs', '16'], content.subarray(0, 16)],
    ['from an offset to the end of the flash', ['0x3ff000'], new Uint8Array(0x1000).fill(0xff)],
  ])('reads %s', async (_, words, expected) => {
    const { port } = await withTable();
    const out = join(folder, 'read.bin');
    const { json, code } = await runCli(['board', 'read', ...words, '--out', out, '--port', port, '--json']);
    expect({ code, json }).toMatchObject({ code: 0, json: { chip: 'esp32c3', out, bytes: expected.length } });
    expect(Uint8Array.from(readFileSync(out))).toEqual(expected);
    // A board's flash may contain its private key.
    expect(statSync(out).mode & 0o777).toBe(0o600);
  });

  it('suggests verifying the copy on the same port', async () => {
    const { port } = await withTable();
    const out = join(folder, 'copy.bin');
    const { stdout } = await runCli(['board', 'read', 'nvs', '16', '--out', out, '--port', port]);
    expect(stdout).toMatch(/Next: aiot flash verify \S+copy\.bin@0x\w+ --port /);
    expect(stdout).toContain(port);
  });

  it.each([
    ['an offset past the end', ['0x400000', '4'], 'AIOT_USAGE'],
    ['a length of zero', ['0x0', '0'], 'AIOT_USAGE'],
    ['a malformed number', ['0xzz', '4'], 'AIOT_USAGE'],
    ['a missing partition', ['storage'], 'AIOT_USAGE'],
    ['a length beyond the end of a partition', ['nvs', '64K'], 'AIOT_USAGE'],
  ])('rejects %s and writes no file', async (_, words, code) => {
    const { port } = await withTable();
    const out = join(folder, 'none.bin');
    const { json } = await runCli(['board', 'read', ...words, '--out', out, '--port', port, '--json']);
    expect(json).toMatchObject({ error: { code } });
    expect(existsSync(out)).toBe(false);
  });
});

describe('aiot board dump', () => {
  it('reads the whole flash, and continues after an interruption where the flash is unchanged', async () => {
    const { chip, port } = await withTable();
    const out = join(folder, 'whole.bin');
    const whole = await runCli(['board', 'dump', out, '--port', port, '--json']);
    expect(whole).toMatchObject({ code: 0, json: { bytes: 4 << 20, resumed: 0, out } });
    expect(readFileSync(out).equals(chip.flash.bytes)).toBe(true);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    // An interrupted dump of 2.5 units, the second of which no longer matches the flash.
    writeFileSync(`${out}.part`, chip.flash.bytes.subarray(0, 0x4_0000 * 2.5));
    chip.flash.bytes[0x5_0000] = 0;
    const rest = await runCli(['board', 'dump', out, '--port', port, '--json']);
    expect(rest).toMatchObject({ code: 0, json: { resumed: 0x4_0000, bytes: 4 << 20 } });
    expect(readFileSync(out).equals(chip.flash.bytes)).toBe(true);
    expect(existsSync(`${out}.part`)).toBe(false);
  });

  it('keeps what it has read when the cable is unplugged', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const one = await serveChip(chip, { port: 0 });
    served.push(one);
    chip.flash.bytes.set(content, 0x9000);
    const out = join(folder, 'cut.bin');
    chip.faults.add({ kind: 'unplugged', after: 30 });
    const cut = await runCli(['board', 'dump', out, '--port', one.address, '--json']);
    expect(cut.json).toMatchObject({ error: { code: expect.stringMatching(/^AIOT_(SERIAL|CHIP|FLASH)_/) } });
    expect(existsSync(out)).toBe(false);
  });
});

describe('aiot board run', () => {
  it('starts the program if the line can reset the board, and otherwise asks for RESET', async () => {
    const reset = await runCli(['board', 'run', '--port', 'simulated:esp32s3', '--json']);
    expect(reset).toMatchObject({ code: 0, json: { chip: 'esp32s3', started: true } });
    const { chip, port } = await withTable();
    const held = await runCli(['board', 'run', '--port', port]);
    expect(held).toMatchObject({ code: 0, stdout: expect.stringMatching(/press RESET/) });
    chip.reset();
    chip.setBoot('run');
    const soft = await runCli([
      ...['board', 'run', '--port', port, '--no-stub', '--after', 'soft-reset', '--json'],
    ]);
    expect(soft).toMatchObject({ code: 0, json: { started: true } });
    await expect.poll(() => chip.state).toBe('program');
  });
});

describe('aiot board erase', () => {
  it('erases the whole flash or a single partition', async () => {
    const { chip, port } = await withTable();
    chip.flash.bytes.fill(1, 0x10000, 0x12000);
    const part = await runCli(['board', 'erase', '--yes', 'nvs', '--port', port, '--json']);
    expect(part).toMatchObject({ code: 0, json: { offset: 0x9000, bytes: 0x6000, overridden: [] } });
    expect(chip.flash.bytes.subarray(0x9000, 0xf000).every((byte) => byte === 0xff)).toBe(true);
    expect(chip.flash.bytes[0x10000]).toBe(1);
    const all = await runCli(['board', 'erase', '--yes', '--port', port, '--json']);
    expect(all).toMatchObject({ code: 0, json: { offset: 0, bytes: 4 << 20 } });
    expect(chip.flash.bytes.every((byte) => byte === 0xff)).toBe(true);
  });

  it('rejects partial sectors and, unless forced, erasing the bootloader of a locked chip', async () => {
    const odd = await chipAt();
    expect(
      (await runCli(['board', 'erase', '--yes', '0x9000', '100', '--port', odd.port, '--json'])).json,
    ).toMatchObject({
      error: { code: 'AIOT_USAGE' },
    });
    const open = await runCli(['board', 'erase', '--yes', '0x9000', '--port', '/dev/nothing', '--json']);
    expect(open.json).toMatchObject({
      error: { code: 'AIOT_USAGE', message: 'expected the number of bytes to erase at 0x9000' },
    });
    const { chip, port } = await chipAt({ security: { secureBoot: true } });
    chip.flash.bytes.fill(7, 0, 0x1000);
    const refused = await runCli(['board', 'erase', '--yes', '--port', port, '--json']);
    expect(refused).toMatchObject({ code: 6, json: { error: { code: 'AIOT_FLASH_REFUSED' } } });
    expect(chip.flash.bytes[0]).toBe(7);
    const forced = await runCli([
      'board',
      'erase',
      '--yes',
      '0x0',
      '0x1000',
      '--port',
      port,
      '--force',
      '--json',
    ]);
    expect(forced).toMatchObject({ code: 0, json: { overridden: [expect.stringContaining('secure boot')] } });
  });
});

describe('aiot flash verify', () => {
  it('reports which regions match their files and which differ', async () => {
    const { port } = await withTable();
    const [good, bad] = [join(folder, 'good.bin'), join(folder, 'bad.bin')];
    writeFileSync(good, content.subarray(0, 5001));
    writeFileSync(bad, Uint8Array.from(content.subarray(0, 5001)).fill(0, 5000));
    const equal = await runCli(['flash', 'verify', `${good}@0x9000`, '--port', port, '--json']);
    expect(equal).toMatchObject({ code: 0, json: { equal: true, regions: [{ equal: true, bytes: 5001 }] } });
    const differs = await runCli(['flash', 'verify', `${good}@nvs`, `${bad}@0x9000`, '--port', port]);
    expect(differs.code).toBe(6);
    expect(differs.stdout).toMatch(
      /good\.bin .*equal[\s\S]*bad\.bin .*different[\s\S]*1 of 2 files different/,
    );
  });

  it('rejects a missing file before opening a port', async () => {
    const { json } = await runCli([
      'flash',
      'verify',
      '/nothing.bin@0x0',
      '--port',
      '/dev/nothing',
      '--json',
    ]);
    expect(json).toMatchObject({ error: { code: 'AIOT_FILE_NOT_FOUND' } });
  });
});
