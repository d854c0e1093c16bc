import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import type { PlanInput } from '../../../src/lib/flash/plan/plan.js';
import type { Board, Piece } from '../../../src/lib/flash/plan/types.js';
import { espApp, espBootloader, espImage } from '../../support/esp-image.js';
import { openChip, piece, plan, twoSlots, twoSlotsTable } from './support.js';

function refusal(pieces: Piece[], changes: Partial<PlanInput> = {}): AiotError {
  try {
    plan(pieces, changes);
  } catch (error) {
    if (error instanceof AiotError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

const c3: Board = { ...openChip, chip: 'esp32c3' };
const locked = (changes: Partial<Board['security']>): Board => ({
  ...openChip,
  security: { ...openChip.security, ...changes },
});

describe('a plan of what is written', () => {
  it('takes bootloader, table and app where they belong, and any data in between', () => {
    const made = plan([
      piece('app.bin', 0x10000, espApp()),
      piece('bootloader.bin', 0x1000, espBootloader()),
      piece('table.bin', 0x8000, twoSlotsTable),
      piece('nvs.bin', 'nvs', 0x3000),
      piece('raw.bin', 0x310000, 70_000),
    ]);
    expect(made.regions.map(({ name, offset }) => [name, offset])).toEqual([
      ['app.bin', 0x10000],
      ['bootloader.bin', 0x1000],
      ['table.bin', 0x8000],
      ['nvs.bin', 0x9000],
      ['raw.bin', 0x310000],
    ]);
    expect(made).toMatchObject({ overridden: [], warnings: [] });
  });

  it('takes bytes that are nothing it knows, with a word where a program is expected', () => {
    expect(plan([piece('a.bin', 0x10000, 100_000)]).warnings).toEqual([]);
    const { warnings } = plan([piece('a.bin', 0x10000, 100_000), piece('t.bin', 0x8000, 4096)]);
    expect(warnings).toEqual(['t.bin is no partition table, and 0x8000 is where it is looked for']);
    expect(plan([piece('a.bin', 'app0', 4096)], { boardTable: twoSlots }).warnings).toEqual([
      'a.bin is no image of a program, and 0x10000 is partition app0',
    ]);
  });

  it('takes a bare program in the bootloader’s place, which a ROM can start', () => {
    expect(plan([piece('hello.bin', 0, espImage({ chip: 'esp32c3' }))], { board: c3 }).overridden).toEqual(
      [],
    );
  });

  it('takes a merged image that brings its own table', () => {
    const merged = Buffer.alloc(0x110000 - 0x1000, 0xff);
    merged.set(espBootloader(), 0);
    merged.set(twoSlotsTable, 0x7000);
    merged.set(espApp(), 0xf000);
    const { warnings } = plan([piece('merged.bin', 0x1000, merged)]);
    expect(warnings).toEqual(['merged.bin runs over NVS (nvs): what the board keeps there will be gone']);
    merged.set(espApp('esp32s3'), 0xf000);
    expect(refusal([piece('merged.bin', 0x1000, merged)]).message).toBe(
      'merged.bin (at 0x10000) is an image for the ESP32-S3, and the board is an ESP32',
    );
  });
});

describe('a plan refuses what would leave a board that does not start', () => {
  const cases: [string, Piece[], Partial<PlanInput>, string][] = [
    [
      'an app for another chip',
      [piece('app.bin', 0x10000, espApp('esp32s3'))],
      {},
      'app.bin is an image for the ESP32-S3, and the board is an ESP32',
    ],
    [
      'an image for another chip of which only the header is there',
      [piece('app.bin', 0x10000, espApp('esp32c3').subarray(0, 24))],
      {},
      'app.bin is an image for the ESP32-C3, and the board is an ESP32',
    ],
    [
      'an app for newer chips',
      [piece('app.bin', 0x10000, espImage({ chip: 'esp32c3', address: 0x4200_0020, minRevision: 104 }))],
      { board: { ...openChip, chip: 'esp32c3', revision: 3 } },
      'app.bin needs revision 1.4 of the ESP32-C3, and the board has 0.3',
    ],
    [
      'what goes past the flash’s end',
      [piece('big.bin', 0x3f0000, 0x10001)],
      {},
      'big.bin ends at 0x400001, and the flash at 0x400000 (4.0 MiB)',
    ],
    [
      'what goes over its partition’s end, with the table of the board',
      [piece('app.bin', 0x10000, 0x100800)],
      { boardTable: twoSlots },
      'app.bin ends 2.0 KiB past the end of partition app0 (0x10000 to 0x110000)',
    ],
    [
      'the same with a table that is written too, named by label',
      [piece('table.bin', 0x8000, twoSlotsTable), piece('app.bin', 'app0', 0x100001)],
      {},
      'app.bin ends 1 B past the end of partition app0 (0x10000 to 0x110000)',
    ],
    [
      'a bootloader that is too long',
      [piece('bootloader.bin', 0x1000, espBootloader('esp32', { bytes: 0x7800 }))],
      { boardTable: twoSlots },
      'bootloader.bin runs over the partition table at 0x8000',
    ],
    [
      'an app in the bootloader’s place',
      [piece('app.bin', 0x1000, espApp())],
      {},
      'app.bin is an app, and 0x1000 is where the ESP32 starts its bootloader',
    ],
    [
      'an app in a C3’s bootloader’s place, and one without a description',
      [piece('app.bin', 0, espImage({ chip: 'esp32c3', address: 0x4200_0020 }))],
      { board: c3 },
      'app.bin is an app, and 0x0 is where the ESP32-C3 starts its bootloader',
    ],
    [
      'a bootloader in an app’s place',
      [piece('bootloader.bin', 0x10000, espBootloader())],
      {},
      'bootloader.bin is a bootloader, and the ESP32 starts its bootloader at 0x1000',
    ],
    [
      'a table that the bootloader would refuse',
      [piece('table.bin', 0x8000, twoSlotsTable)],
      { board: { ...openChip, flashBytes: 0x100000 } },
      'table.bin: partition "app0": ends at 0x110000, and the flash at 0x100000',
    ],
    [
      'a bootloader on a chip with secure boot',
      [piece('bootloader.bin', 0x1000, espBootloader())],
      { board: locked({ secureBoot: true }) },
      'bootloader.bin replaces the bootloader of a chip that checks signatures (secure boot)',
    ],
    [
      'a bootloader on a chip with encrypted flash',
      [piece('bootloader.bin', 0x1000, espBootloader())],
      { board: locked({ flashEncryption: true }) },
      'bootloader.bin replaces the bootloader of a chip that encrypts its flash',
    ],
    [
      'plain text on a chip with encrypted flash',
      [piece('app.bin', 0x10000, espApp())],
      { board: locked({ flashEncryption: true }) },
      'app.bin is in plain text, and the chip encrypts its flash',
    ],
    [
      'to erase a chip with secure boot',
      [piece('data.bin', 0x310000, 4096)],
      { board: locked({ secureBoot: true }), erase: true },
      '--erase takes the bootloader of a chip that takes no other one (secure boot or encrypted flash)',
    ],
  ];
  it.each(cases)('%s', (_, pieces, changes, message) => {
    const error = refusal(pieces, changes);
    expect(error.code).toBe('AIOT_FLASH_REFUSED');
    expect(error.message).toContain(message);
    const { overridden } = plan(pieces, { ...changes, force: true });
    expect(overridden.map((objection) => objection.message)).toContain(message);
  });

  it('and tells of a damaged table where, and of several reasons all', () => {
    const damaged = Uint8Array.from(twoSlotsTable);
    damaged[40] = damaged[40]! ^ 1;
    expect(refusal([piece('table.bin', 0x8000, damaged)]).message).toMatch(/^table.bin: .*MD5/);
    expect(refusal([piece('app.bin', 0x3ff000, espApp('esp32s3', 8192))]).message).toMatch(
      /^2 reasons: .*; /,
    );
  });
});

describe('a plan refuses what cannot be meant, also with --force', () => {
  it.each<[string, Piece[], string]>([
    [
      'overlap',
      [piece('a', 0x10000, 5000), piece('b', 0x11000, 1)],
      'two regions overlap: a ends at 0x11388 and b begins at 0x11000',
    ],
    ['nothing', [piece('a', 0x10000, 0)], 'a is empty'],
    [
      'no such label',
      [piece('t', 0x8000, twoSlotsTable), piece('a', 'app7', 1)],
      'there is no partition app7',
    ],
    ['a label without a table', [piece('a', 'app0', 1)], 'there is no partition app0'],
  ])('%s', (_, pieces, message) => {
    expect(() => plan(pieces, { force: true })).toThrow(message);
  });
});

describe('flash mode, size and frequency', () => {
  const sound = (image: Uint8Array) =>
    createHash('sha256').update(image.subarray(0, -32)).digest().equals(image.subarray(-32));

  it('are put into the bootloader’s header, its hash made new', () => {
    const header = { mode: 'qio', size: '16MB', frequency: '80m' };
    const [app, bootloader] = plan(
      [piece('app.bin', 0x10000, espApp()), piece('bootloader.bin', 0x1000, espBootloader())],
      { header },
    ).regions;
    expect([...bootloader!.data.subarray(2, 4)]).toEqual([0, 0x4f]);
    expect(sound(bootloader!.data)).toBe(true);
    expect(Buffer.from(app!.data).equals(espApp())).toBe(true);
  });

  it('take the size that the flash chip tells', () => {
    const [bootloader] = plan([piece('bootloader.bin', 0, espBootloader('esp32c3'))], {
      board: { ...c3, flashBytes: 8 * 1024 * 1024 },
      header: { size: 'detect', mode: 'keep' },
    }).regions;
    expect(bootloader!.data[3]).toBe(0x30);
  });

  it('are told to be wrong where the header counts on more flash than there is', () => {
    expect(plan([piece('b.bin', 0x1000, espBootloader('esp32', { sizeCode: 4 }))]).warnings).toEqual([
      'b.bin counts on 16.0 MiB of flash, and the board has 4.0 MiB: --flash-size detect sets it right',
    ]);
  });

  it.each<[string, Piece[], object, string]>([
    [
      'without a bootloader',
      [piece('app.bin', 0x10000, espApp())],
      { mode: 'dio' },
      'expected a bootloader at 0x1000',
    ],
    [
      'of another kind',
      [piece('b.bin', 0x1000, espBootloader())],
      { frequency: '33m' },
      'expected the flash frequency of an ESP32 to be one of 80m',
    ],
    [
      'of a damaged image',
      [piece('b.bin', 0x1000, espBootloader().subarray(0, 300))],
      { mode: 'dio' },
      'b.bin: at offset 0x12c',
    ],
  ])('are refused %s', (_, pieces, header, message) => {
    expect(() => plan(pieces, { header })).toThrow(message);
  });

  it('are refused of a signed bootloader', () => {
    const board = locked({ secureBoot: true });
    const error = refusal([piece('b.bin', 0x1000, espBootloader())], {
      board,
      header: { mode: 'dio' },
      force: true,
    });
    expect(error).toMatchObject({ code: 'AIOT_FLASH_REFUSED' });
    expect(error.message).toContain('void the signature');
  });
});

describe('an identity', () => {
  const nvs = () => [piece('nvs.bin', 0x9000, 0x5000)];
  const device = { name: 'pump-10', chip: 'esp32' as const, mac: '24:0a:c4:00:00:10' };
  const board = { ...openChip, mac: '24:0a:c4:00:00:11' };

  it('of another board is refused, unless forced', () => {
    const told = 'pump-10 was made for the board 24:0a:c4:00:00:10, and this one is 24:0a:c4:00:00:11';
    expect(() => plan(nvs(), { device, board })).toThrow(told);
    const forced = plan(nvs(), { device, board, force: true });
    expect(forced.overridden).toEqual([{ rule: 'identity', region: 'pump-10', message: told }]);
    expect(plan(nvs(), { device, board: { ...board, mac: device.mac } }).overridden).toEqual([]);
  });

  it('is refused where the board has another one, and fine where it has the same', () => {
    const own = { ...device, mac: null };
    expect(() => plan(nvs(), { device: own, board, held: 'pump-3' })).toThrow('the board is pump-3');
    expect(plan(nvs(), { device: own, board, held: 'pump-10' }).overridden).toEqual([]);
    expect(plan(nvs(), { device: own, board, held: null }).overridden).toEqual([]);
  });
});

describe('the partition table', () => {
  const over = (place: number, data: Uint8Array | number, boardTable = twoSlots) =>
    plan([piece('a.bin', place, data)], { boardTable });

  it.each<[string, number, number]>([
    ['begins in it', 0x8020, 64],
    ['begins at its last byte', 0x8bff, 64],
    ['ends at its first byte', 0x7000, 0x1001],
  ])('is not written over by what %s, unless forced', (_, place, length) => {
    const told = 'a.bin runs over the partition table at 0x8000';
    expect(() => over(place, length)).toThrow(told);
    const forced = plan([piece('a.bin', place, length)], { boardTable: twoSlots, force: true });
    expect(forced.overridden).toMatchObject([{ rule: 'table', message: told }]);
  });

  it('is replaced by what begins at its place, and not touched by what lies beside it', () => {
    expect(over(0x8000, twoSlotsTable)).toMatchObject({ overridden: [], warnings: [] });
    expect(over(0x8000, 64).warnings).toHaveLength(1);
    expect(over(0x8c00, 64).overridden).toEqual([]);
    expect(over(0x7000, 0x1000).overridden).toEqual([]);
  });
});

describe('an app in a wrong place', () => {
  const app = (place: number | string) =>
    plan([{ name: 'app.bin', data: espApp(), place }], { boardTable: twoSlots });

  it.each<[string, number | string, string]>([
    ['a decimal for a hexadecimal', 10_000, 'is 0x10000 meant, and not 10000?'],
    ['before the table', 0x4000, 'lies in the place of bootloader and partition table'],
    ['at the table', 0x8000, 'lies in the place of bootloader and partition table'],
    ['over NVS', 'nvs', '0x9000 is the data partition nvs'],
    ['over otadata', 'otadata', 'is the data partition otadata'],
  ])('is refused: %s', (_, place, message) => {
    expect(() => app(place)).toThrow(message);
  });

  it.each<[string, number, string]>([
    ['in the middle of a slot', 0x20000, 'in the middle of a partition: app0 begins at 0x10000'],
    ['off a sector', 0x10100, 'is not the begin of a sector'],
    ['off a sector by a forgotten 0x', 110_000, 'is 0x110000 meant, and not 110000?'],
  ])('is warned of: %s', (_, place, message) => {
    expect(app(place).warnings.join('; ')).toContain(message);
  });

  it('is no matter where it is right, nor of bytes that are no image', () => {
    expect(app('app1').warnings).toEqual([]);
    expect(plan([piece('x.bin', 10_000, 100)], { boardTable: twoSlots }).overridden).toEqual([]);
  });
});
