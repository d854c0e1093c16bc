import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import type { PlanInput } from '../../../src/lib/flash/plan/plan.js';
import type { Board, Piece } from '../../../src/lib/flash/plan/types.js';
import { described, espApp, espBootloader, espImage } from '../../support/esp-image.js';
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

describe('a flash plan', () => {
  it.each([null, undefined, 0, 2, 3])(
    'accepts an app with the secure version 3 if the fuses have %s',
    (secureVersion) => {
      const starts = described('motor', '1.4.0', 3);
      const app = piece('app.bin', 0x10000, espImage({ chip: 'esp32c3', address: 0x3c00_0020, starts }));
      const board = { ...openChip, chip: 'esp32c3' as const, secureVersion: secureVersion ?? null };
      expect(plan([app], { board }).overridden).toEqual([]);
    },
  );

  it('accepts bootloader, table and app at their offsets, and any data in between', () => {
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

  it('accepts unknown data, with a warning if a program or table is expected there', () => {
    expect(plan([piece('a.bin', 0x10000, 100_000)]).warnings).toEqual([]);
    const { warnings } = plan([piece('a.bin', 0x10000, 100_000), piece('t.bin', 0x8000, 4096)]);
    expect(warnings).toEqual(["t.bin is not a partition table, but 0x8000 is the table's offset"]);
    expect(plan([piece('a.bin', 'app0', 4096)], { boardTable: twoSlots }).warnings).toEqual([
      'a.bin is not a program image, but 0x10000 is partition app0',
    ]);
  });

  it('accepts a bare program at the bootloader’s offset', () => {
    expect(plan([piece('hello.bin', 0, espImage({ chip: 'esp32c3' }))], { board: c3 }).overridden).toEqual(
      [],
    );
  });

  it('accepts a merged image with its own table', () => {
    const merged = Buffer.alloc(0x110000 - 0x1000, 0xff);
    merged.set(espBootloader(), 0);
    merged.set(twoSlotsTable, 0x7000);
    merged.set(espApp(), 0xf000);
    const { warnings } = plan([piece('merged.bin', 0x1000, merged)]);
    expect(warnings).toEqual(["merged.bin overlaps NVS (nvs): the board's stored data will be lost"]);
    merged.set(espApp('esp32s3'), 0xf000);
    expect(refusal([piece('merged.bin', 0x1000, merged)]).message).toBe(
      'merged.bin (at 0x10000) is an image for the ESP32-S3, but the board is an ESP32',
    );
  });
});

describe('a flash plan that would make the board unbootable', () => {
  const cases: [string, Piece[], Partial<PlanInput>, string][] = [
    [
      'an app for another chip',
      [piece('app.bin', 0x10000, espApp('esp32s3'))],
      {},
      'app.bin is an image for the ESP32-S3, but the board is an ESP32',
    ],
    [
      'an image for another chip, truncated after its header',
      [piece('app.bin', 0x10000, espApp('esp32c3').subarray(0, 24))],
      {},
      'app.bin is an image for the ESP32-C3, but the board is an ESP32',
    ],
    [
      'an app for a newer chip revision',
      [piece('app.bin', 0x10000, espImage({ chip: 'esp32c3', address: 0x4200_0020, minRevision: 104 }))],
      { board: { ...openChip, chip: 'esp32c3', revision: 3 } },
      'app.bin needs revision 1.4 of the ESP32-C3, but the board has 0.3',
    ],
    [
      'an app with a lower secure version than the fuses',
      [
        piece(
          'app.bin',
          0x10000,
          espImage({ chip: 'esp32c3', address: 0x3c00_0020, starts: described('motor', '1.4.0', 2) }),
        ),
      ],
      { board: { ...openChip, chip: 'esp32c3', secureVersion: 3 } },
      "app.bin has the secure version 2, but the chip's fuses require at least 3 (anti-rollback)",
    ],
    [
      'data past the end of the flash',
      [piece('big.bin', 0x3f0000, 0x10001)],
      {},
      'big.bin ends at 0x400001, but the flash ends at 0x400000 (4.0 MiB)',
    ],
    [
      'data past the end of its partition in the board’s table',
      [piece('app.bin', 0x10000, 0x100800)],
      { boardTable: twoSlots },
      'app.bin ends 2.0 KiB past the end of partition app0 (0x10000 to 0x110000)',
    ],
    [
      'data past the end of its partition, named by label, in the written table',
      [piece('table.bin', 0x8000, twoSlotsTable), piece('app.bin', 'app0', 0x100001)],
      {},
      'app.bin ends 1 B past the end of partition app0 (0x10000 to 0x110000)',
    ],
    [
      'a bootloader that is too long',
      [piece('bootloader.bin', 0x1000, espBootloader('esp32', { bytes: 0x7800 }))],
      { boardTable: twoSlots },
      'bootloader.bin overlaps the partition table at 0x8000',
    ],
    [
      'an app at the bootloader’s offset',
      [piece('app.bin', 0x1000, espApp())],
      {},
      "app.bin is an app, but 0x1000 is the bootloader's offset on the ESP32",
    ],
    [
      'an app without a description at the bootloader’s offset of a C3',
      [piece('app.bin', 0, espImage({ chip: 'esp32c3', address: 0x4200_0020 }))],
      { board: c3 },
      "app.bin is an app, but 0x0 is the bootloader's offset on the ESP32-C3",
    ],
    [
      'a bootloader at an app’s offset',
      [piece('bootloader.bin', 0x10000, espBootloader())],
      {},
      "bootloader.bin is a bootloader, but the bootloader's offset on the ESP32 is 0x1000",
    ],
    [
      'a table that the bootloader would reject',
      [piece('table.bin', 0x8000, twoSlotsTable)],
      { board: { ...openChip, flashBytes: 0x100000 } },
      'table.bin: partition "app0": ends at 0x110000, but the flash ends at 0x100000',
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
      'an unencrypted app on a chip with encrypted flash',
      [piece('app.bin', 0x10000, espApp())],
      { board: locked({ flashEncryption: true }) },
      'app.bin is not encrypted, but the chip encrypts its flash',
    ],
    [
      'erasing a chip with secure boot',
      [piece('data.bin', 0x310000, 4096)],
      { board: locked({ secureBoot: true }), erase: true },
      '--erase would erase the bootloader, and the chip accepts no other one (secure boot or encrypted flash)',
    ],
  ];
  it.each(cases)('is rejected unless forced: %s', (_, pieces, changes, message) => {
    const error = refusal(pieces, changes);
    expect(error.code).toBe('AIOT_FLASH_REFUSED');
    expect(error.message).toContain(message);
    const { overridden } = plan(pieces, { ...changes, force: true });
    expect(overridden.map((objection) => objection.message)).toContain(message);
  });

  it('reports the file of a damaged table, and lists all reasons if there are several', () => {
    const damaged = Uint8Array.from(twoSlotsTable);
    damaged[40] = damaged[40]! ^ 1;
    expect(refusal([piece('table.bin', 0x8000, damaged)]).message).toMatch(/^table.bin: .*MD5/);
    expect(refusal([piece('app.bin', 0x3ff000, espApp('esp32s3', 8192))]).message).toMatch(
      /^2 reasons: .*; /,
    );
  });
});

describe('an invalid flash plan', () => {
  it.each<[string, Piece[], string]>([
    [
      'overlapping regions',
      [piece('a', 0x10000, 5000), piece('b', 0x11000, 1)],
      'two regions overlap: a ends at 0x11388 and b begins at 0x11000',
    ],
    ['an empty file', [piece('a', 0x10000, 0)], 'a is empty'],
    [
      'an unknown label',
      [piece('t', 0x8000, twoSlotsTable), piece('a', 'app7', 1)],
      'partition app7 does not exist',
    ],
    ['a label without a table', [piece('a', 'app0', 1)], 'partition app0 does not exist'],
  ])('is rejected even if forced: %s', (_, pieces, message) => {
    expect(() => plan(pieces, { force: true })).toThrow(message);
  });
});

describe('flash mode, size and frequency', () => {
  const sound = (image: Uint8Array) =>
    createHash('sha256').update(image.subarray(0, -32)).digest().equals(image.subarray(-32));

  it('are written into the bootloader’s header, with a new hash', () => {
    const header = { mode: 'qio', size: '16MB', frequency: '80m' };
    const [app, bootloader] = plan(
      [piece('app.bin', 0x10000, espApp()), piece('bootloader.bin', 0x1000, espBootloader())],
      { header },
    ).regions;
    expect([...bootloader!.data.subarray(2, 4)]).toEqual([0, 0x4f]);
    expect(sound(bootloader!.data)).toBe(true);
    expect(Buffer.from(app!.data).equals(espApp())).toBe(true);
  });

  it('use the size detected from the flash chip', () => {
    const [bootloader] = plan([piece('bootloader.bin', 0, espBootloader('esp32c3'))], {
      board: { ...c3, flashBytes: 8 * 1024 * 1024 },
      header: { size: 'detect', mode: 'keep' },
    }).regions;
    expect(bootloader!.data[3]).toBe(0x30);
  });

  it('cause a warning if the header expects more flash than the board has', () => {
    expect(plan([piece('b.bin', 0x1000, espBootloader('esp32', { sizeCode: 4 }))]).warnings).toEqual([
      'b.bin expects 16.0 MiB of flash, but the board has 4.0 MiB: --flash-size detect corrects this',
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
      'if the chip does not support them',
      [piece('b.bin', 0x1000, espBootloader())],
      { frequency: '33m' },
      'expected the flash frequency of an ESP32 to be one of 80m',
    ],
    [
      'for a damaged image',
      [piece('b.bin', 0x1000, espBootloader().subarray(0, 300))],
      { mode: 'dio' },
      'b.bin: at offset 0x12c',
    ],
  ])('are rejected %s', (_, pieces, header, message) => {
    expect(() => plan(pieces, { header })).toThrow(message);
  });

  it('are rejected for a signed bootloader, even if forced', () => {
    const board = locked({ secureBoot: true });
    const error = refusal([piece('b.bin', 0x1000, espBootloader())], {
      board,
      header: { mode: 'dio' },
      force: true,
    });
    expect(error).toMatchObject({ code: 'AIOT_FLASH_REFUSED' });
    expect(error.message).toContain("invalidate the bootloader's signature");
  });
});

describe('an identity', () => {
  const nvs = () => [piece('nvs.bin', 0x9000, 0x5000)];
  const device = { name: 'pump-10', chip: 'esp32' as const, mac: '24:0a:c4:00:00:10' };
  const board = { ...openChip, mac: '24:0a:c4:00:00:11' };

  it('is rejected on a board other than the one it was provisioned for, unless forced', () => {
    const told =
      'pump-10 was provisioned for the board 24:0a:c4:00:00:10, but this board is 24:0a:c4:00:00:11';
    expect(() => plan(nvs(), { device, board })).toThrow(told);
    const forced = plan(nvs(), { device, board, force: true });
    expect(forced.overridden).toEqual([{ rule: 'identity', region: 'pump-10', message: told }]);
    expect(plan(nvs(), { device, board: { ...board, mac: device.mac } }).overridden).toEqual([]);
  });

  it('is rejected if the board has a different one, and accepted if it has the same or none', () => {
    const own = { ...device, mac: null };
    expect(() => plan(nvs(), { device: own, board, existing: 'pump-3' })).toThrow('the board is pump-3');
    expect(plan(nvs(), { device: own, board, existing: 'pump-10' }).overridden).toEqual([]);
    expect(plan(nvs(), { device: own, board, existing: null }).overridden).toEqual([]);
  });
});

describe('the partition table', () => {
  const over = (place: number, data: Uint8Array | number, boardTable = twoSlots) =>
    plan([piece('a.bin', place, data)], { boardTable });

  it.each<[string, number, number]>([
    ['begins in it', 0x8020, 64],
    ['begins at its last byte', 0x8bff, 64],
    ['ends at its first byte', 0x7000, 0x1001],
  ])('is not overwritten by data that %s, unless forced', (_, place, length) => {
    const told = 'a.bin overlaps the partition table at 0x8000';
    expect(() => over(place, length)).toThrow(told);
    const forced = plan([piece('a.bin', place, length)], { boardTable: twoSlots, force: true });
    expect(forced.overridden).toMatchObject([{ rule: 'table', message: told }]);
  });

  it('is replaced by data at its offset, and unaffected by adjacent data', () => {
    expect(over(0x8000, twoSlotsTable)).toMatchObject({ overridden: [], warnings: [] });
    expect(over(0x8000, 64).warnings).toHaveLength(1);
    expect(over(0x8c00, 64).overridden).toEqual([]);
    expect(over(0x7000, 0x1000).overridden).toEqual([]);
  });
});

describe('an app at a wrong offset', () => {
  const app = (place: number | string) =>
    plan([{ name: 'app.bin', data: espApp(), place }], { boardTable: twoSlots });

  it.each<[string, number | string, string]>([
    ['a decimal instead of a hexadecimal number', 10_000, 'Did you mean 0x10000 instead of 10000?'],
    ['before the table', 0x4000, 'is reserved for the bootloader and partition table'],
    ['at the table', 0x8000, 'is reserved for the bootloader and partition table'],
    ['over NVS', 'nvs', '0x9000 is the data partition nvs'],
    ['over otadata', 'otadata', 'is the data partition otadata'],
  ])('is rejected: %s', (_, place, message) => {
    expect(() => app(place)).toThrow(message);
  });

  it.each<[string, number, string]>([
    ['in the middle of a slot', 0x20000, 'in the middle of a partition: app0 begins at 0x10000'],
    ['not at the start of a sector', 0x10100, 'is not the start of a sector'],
    [
      'not at the start of a sector because of a missing 0x',
      110_000,
      'Did you mean 0x110000 instead of 110000?',
    ],
  ])('causes a warning: %s', (_, place, message) => {
    expect(app(place).warnings.join('; ')).toContain(message);
  });

  it('is not reported if the offset is right or the data is not an image', () => {
    expect(app('app1').warnings).toEqual([]);
    expect(plan([piece('x.bin', 10_000, 100)], { boardTable: twoSlots }).overridden).toEqual([]);
  });
});
