import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { portsTable } from '../../src/lib/cli/render/board.js';
import type { AiotError } from '../../src/lib/core/errors.js';
import { linuxMounts, listDrives } from '../../src/lib/flash/port/drives.js';
import { flashDrive } from '../../src/lib/flash/write/flash-drive.js';
import { type ByteRegion, joinRegions } from '../../src/lib/formats/esp-image/regions.js';
import { parseUf2, readUf2, uf2Families, uf2Family, writeUf2Program } from '../../src/lib/formats/uf2.js';
import { runCli } from '../support/cli.js';
import { fc, runs } from '../support/property.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-drives-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]) => join(folder, ...names);
const flash = 0x1000_0000;
const bytes = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 7 + 1) & 0xff);
const of = (name: string) => uf2Family(name)!;

/** Addresses of the pages in a file, without the block of the RP2350 workaround. */
const pages = (file: Uint8Array) =>
  Array.from({ length: file.length / 512 }, (_, index) =>
    new DataView(file.buffer, file.byteOffset + index * 512).getUint32(12, true),
  );

describe('UF2 files for other boards', () => {
  it('round-trip any regions, padded to pages with 0xFF', () => {
    const region = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 900 }));
    fc.assert(
      fc.property(
        fc.uniqueArray(region, { selector: ([page]) => page, maxLength: 6, minLength: 1 }),
        fc.constantFrom(...uf2Families.filter(({ name }) => name !== 'rp2-absolute')),
        (given, family) => {
          const regions = given.map(([page, length]) => ({
            offset: flash + page * 1024 + 3,
            data: bytes(length),
          }));
          const read = readUf2(writeUf2Program(regions, family));
          expect(read.family?.name).toBe(family.name);
          // The expected contents of all written pages: the regions, and 0xFF in the rest of each page.
          const from = Math.min(...read.regions.map(({ offset }) => offset));
          const end = Math.max(...read.regions.map(({ offset, data }) => offset + data.length));
          const memory = Buffer.alloc(end - from, 0xff);
          for (const { offset, data } of regions) memory.set(data, offset - from);
          for (const { offset, data } of read.regions) {
            expect([offset % 256, data.length % 256]).toEqual([0, 0]);
            expect(memory.subarray(offset - from, offset - from + data.length).equals(data)).toBe(true);
          }
          const inside = (at: number) =>
            read.regions.some(({ offset, data }) => offset <= at && at < offset + data.length);
          for (const { offset, data } of regions)
            expect([inside(offset), inside(offset + data.length - 1)]).toEqual([true, true]);
        },
      ),
      { numRuns: runs(25) },
    );
  });

  it('fill the sectors of an RP2040 before the last page, as its mask ROM needs', () => {
    const regions = [
      { offset: flash, data: bytes(256) },
      { offset: flash + 0x2000, data: bytes(300) },
    ];
    const first = Array.from({ length: 16 }, (_, index) => flash + index * 256);
    expect(pages(writeUf2Program(regions, of('rp2040')))).toEqual([...first, flash + 0x2000, flash + 0x2100]);
    expect(pages(writeUf2Program(regions, of('nrf52840')))).toEqual([flash, flash + 0x2000, flash + 0x2100]);
  });

  it('begin for an RP2350 with a block that bootloaders ignore', () => {
    const regions: ByteRegion[] = [{ offset: flash, data: bytes(512) }];
    const file = writeUf2Program(regions, of('rp2350-arm-s'));
    const view = new DataView(file.buffer, file.byteOffset);
    expect([8, 12, 16, 20, 24, 28, 32 + 256].map((offset) => view.getUint32(offset, true))).toEqual([
      0xa000, 0x10ff_ff00, 256, 0, 2, 0xe48b_ff57, 0x9957_e304,
    ]);
    expect(parseUf2(file)).toMatchObject({
      ignoredBlocks: 1,
      programs: [{ family: 0xe48b_ff59, blocks: 2 }],
    });
    expect(readUf2(file).regions.map(({ offset, data }) => [offset, [...data]])).toEqual(
      joinRegions(regions).map(({ offset, data }) => [offset, [...data]]),
    );
    // Older tools write the block without the tag.
    view.setUint32(8, 0x2000, true);
    view.setUint32(32 + 256, 0, true);
    expect(readUf2(file).family?.name).toBe('rp2350-arm-s');
  });

  it('may contain programs for several families', () => {
    const both = Buffer.concat([
      writeUf2Program([{ offset: flash, data: bytes(256) }], of('rp2040')),
      writeUf2Program([{ offset: flash, data: bytes(700) }], of('rp2350-riscv')),
    ]);
    expect(parseUf2(both).programs.map(({ family, blocks }) => [uf2Family(family!)?.name, blocks])).toEqual([
      ['rp2040', 1],
      ['rp2350-riscv', 3],
    ]);
    expect(() => readUf2(both)).toThrow('programs for several chip families: 0xe48bff56, 0xe48bff5a');
  });

  it('are rejected if an extension tag is missing or damaged', () => {
    const file = writeUf2Program([{ offset: flash, data: bytes(256) }], of('rp2350-arm-s'));
    for (const tag of [0, 0x9957_e3ff, 0x9957_e301]) {
      const damaged = Uint8Array.from(file);
      new DataView(damaged.buffer).setUint32(32 + 256, tag, true);
      expect(() => parseUf2(damaged)).toThrow('the extension tags are missing or damaged');
    }
  });

  it('are created by firmware merge and described by firmware inspect', async () => {
    writeFileSync(at('app.bin'), bytes(1000));
    const merged = await runCli([
      'firmware',
      'merge',
      `${at('app.bin')}@0x10000000`,
      '--family',
      'rp2350-arm-s',
      '--out',
      at('app.uf2'),
      '--json',
    ]);
    expect(merged.json).toMatchObject({ format: 'uf2', chip: null, family: 'rp2350-arm-s', bytes: 5 * 512 });
    const inspected = await runCli(['firmware', 'inspect', at('app.uf2')]);
    expect(inspected.stdout).toMatch(/RP2350, Arm +0xe48bff59 +0x10000000 +1024/);
    expect(inspected.stdout).toContain('Blocks that bootloaders ignore: 1');
    const { json } = await runCli(['firmware', 'inspect', at('app.uf2'), '--json']);
    expect(json).toMatchObject({ kind: 'uf2', uf2: { programs: [{ family: 'rp2350-arm-s', blocks: 4 }] } });
    // Converting keeps the family, and the addresses.
    await runCli(['firmware', 'merge', at('app.uf2'), '--out', at('app.hex')]);
    expect(readFileSync(at('app.hex'), 'latin1')).toMatch(/^:020000041000EA/);
    const wrong = await runCli([
      'firmware',
      'merge',
      at('app.uf2'),
      '--family',
      'rp2040',
      '--out',
      at('b.uf2'),
      '--json',
    ]);
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr + wrong.stdout).toContain('--family specifies rp2040');
    const raw = await runCli([
      'firmware',
      'merge',
      at('app.uf2'),
      '--family',
      'rp2040',
      '--out',
      at('b.bin'),
    ]);
    expect(raw.stderr).toContain('--family applies only to UF2 files');
    const serial = await runCli(['flash', at('app.uf2'), '--port', 'simulated:esp32c3']);
    expect(serial.stderr).toContain('is for RP2350, Arm, which has no serial loader of Espressif');
  });
});

const info = (board: string) => `UF2 Bootloader v1.0\r\nModel: Model of ${board}\r\nBoard-ID: ${board}\r\n`;

describe('the drive of a UF2 bootloader', () => {
  const drive = at('drive');
  const program = writeUf2Program([{ offset: flash, data: bytes(200_000) }], of('rp2040'));
  beforeEach(() => {
    rmSync(drive, { recursive: true, force: true });
    mkdirSync(drive);
    writeFileSync(join(drive, 'INFO_UF2.TXT'), info('RPI-RP2'));
    writeFileSync(at('pico.uf2'), program);
  });

  /** Simulates the board: after receiving `after` bytes, it stores the file and removes the drive. */
  function bootloader(after = program.length) {
    const state: { got: Buffer | null } = { got: null };
    const target = join(drive, 'pico.uf2');
    const timer = setInterval(() => {
      if (state.got !== null || !existsSync(target) || statSync(target).size < after) return;
      state.got = readFileSync(target);
      unlinkSync(join(drive, 'INFO_UF2.TXT'));
    }, 5);
    return { state, stop: () => clearInterval(timer) };
  }
  const request = { images: [at('pico.uf2')], drive, force: false, dryRun: false, restartMs: 150 };
  const failure = (change: object) =>
    flashDrive({ ...request, ...change }).then(
      () => null,
      (error: AiotError) => [error.code, error.message],
    );

  it('receives the whole file, and its disappearance means success', async () => {
    const board = bootloader();
    const { code, json } = await runCli(['flash', at('pico.uf2'), '--port', drive, '--json']);
    board.stop();
    expect(code).toBe(0);
    expect(json).toMatchObject({
      drive,
      boardId: 'RPI-RP2',
      families: ['rp2040'],
      bytes: program.length,
      accepted: true,
    });
    expect(board.state.got?.equals(program)).toBe(true);
  });

  it('gets nothing in a dry run, and its text names board and families', async () => {
    const { stdout } = await runCli(['flash', at('pico.uf2'), '--port', drive, '--dry-run']);
    expect(stdout).toContain(`RPI-RP2 at ${drive}`);
    expect(stdout).toContain('for rp2040 would be written');
    expect(existsSync(join(drive, 'pico.uf2'))).toBe(false);
  });

  it('gets no file for another board, unless forced', async () => {
    writeFileSync(join(drive, 'INFO_UF2.TXT'), info('nRF52840-Feather-revD'));
    const { code, stderr } = await runCli(['flash', at('pico.uf2'), '--port', drive]);
    expect(code).toBe(6);
    expect(stderr).toContain('is for rp2040, but nRF52840-Feather-revD');
    expect(stderr).toContain('expects nrf52840');
    expect(existsSync(join(drive, 'pico.uf2'))).toBe(false);
    const board = bootloader();
    const { overridden } = await flashDrive({ ...request, force: true, restartMs: 5000 });
    board.stop();
    expect(overridden).toHaveLength(1);
    writeFileSync(join(drive, 'INFO_UF2.TXT'), info('Teapot'));
    expect(await failure({})).toEqual(['AIOT_FLASH_REFUSED', expect.stringContaining('Teapot at')]);
  });

  it('must disappear: a board that stays has not accepted the file', async () => {
    const [code, message] = (await failure({})) ?? [];
    expect([code, message]).toEqual([
      'AIOT_DRIVE_REJECTED',
      `RPI-RP2 at ${drive} received the whole file, but did not restart within 0.15 s`,
    ]);
    expect(readFileSync(join(drive, 'pico.uf2')).equals(program)).toBe(true);
  });

  it('that disappears too early is an error', async () => {
    rmSync(join(drive, 'INFO_UF2.TXT'));
    expect(await failure({})).toEqual(['AIOT_DRIVE_NOT_FOUND', expect.stringContaining('INFO_UF2.TXT')]);
    // A folder in place of the file makes the write fail; the device of the mount is gone.
    writeFileSync(join(drive, 'INFO_UF2.TXT'), info('RPI-RP2'));
    mkdirSync(join(drive, 'pico.uf2'));
    const system = (device: string) => ({ mounts: async () => [{ folder: drive, device }] });
    expect(await failure({ system: system(at('no-device')) })).toEqual([
      'AIOT_DRIVE_LOST',
      expect.stringContaining(`disappeared after 0 of ${program.length} bytes`),
    ]);
    expect(await failure({ system: system(drive) })).toEqual([
      'AIOT_FILE_NOT_WRITABLE',
      expect.stringContaining('pico.uf2'),
    ]);
  });

  it('takes exactly one UF2 file and no options of a chip’s loader', async () => {
    writeFileSync(at('raw.bin'), bytes(10));
    const cases: [string[], string][] = [
      [[at('raw.bin')], 'is not a UF2 file'],
      [[`${at('raw.bin')}@0x10000000`], 'a drive accepts only a UF2 file, which contains its addresses'],
      [[at('pico.uf2'), at('pico.uf2')], 'a drive accepts one UF2 file, got 2 files'],
      [[at('pico.uf2'), '--erase'], '--erase cannot be combined with the drive'],
      [[at('pico.uf2'), '--port', '/dev/ttyACM0'], 'expected one drive, got 2 values of --port'],
    ];
    for (const [words, expected] of cases) {
      const { code, stderr } = await runCli(['flash', '--port', drive, ...words]);
      expect(stderr.replace(/\s+/g, ' '), words.join(' ')).toContain(expected);
      expect(code).toBe(2);
    }
  });

  it('is found by the family of the file if no port is given', async () => {
    const other = at('other');
    mkdirSync(other, { recursive: true });
    writeFileSync(join(other, 'INFO_UF2.TXT'), info('RP2350'));
    const system = {
      mounts: async () => [drive, other, at('nothing')].map((path) => ({ folder: path, device: null })),
    };
    const drives = await listDrives(system);
    expect(drives.map(({ path, boardId }) => [path, boardId])).toEqual([
      [drive, 'RPI-RP2'],
      [other, 'RP2350'],
    ]);
    expect(drives[1]?.families).toEqual([
      'rp2350-arm-s',
      'rp2350-riscv',
      'rp2350-arm-ns',
      'rp2-absolute',
      'rp2-data',
    ]);
    expect(portsTable([], drives)).toMatch(/RPI-RP2 +Model of RPI-RP2 +rp2040/);
    const found = await flashDrive({ ...request, drive: null, dryRun: true, system });
    expect(found).toMatchObject({ drive, accepted: null });
    writeFileSync(join(other, 'INFO_UF2.TXT'), info('RPI-RP2'));
    expect(await failure({ drive: null, system })).toEqual([
      'AIOT_SERIAL_AMBIGUOUS',
      expect.stringContaining('several boards accept'),
    ]);
    const none = await failure({ drive: null, system: { mounts: async () => [] } });
    expect(none).toEqual([
      'AIOT_DRIVE_NOT_FOUND',
      expect.stringContaining('no drive of a board for rp2040 is mounted'),
    ]);
  });

  it('is read from the mounts of Linux, with escaped names', () => {
    const text = [
      '/dev/sda1 /media/ada/RPI-RP2 vfat rw,nosuid 0 0',
      '/dev/sdb1 /media/ada/MY\\040PICO vfat rw 0 0',
      '/dev/nvme0n1p2 / ext4 rw 0 0',
      '',
    ].join('\n');
    expect(linuxMounts(text)).toEqual([
      { device: '/dev/sda1', folder: '/media/ada/RPI-RP2' },
      { device: '/dev/sdb1', folder: '/media/ada/MY PICO' },
    ]);
  });
});
