import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FlashJob, flashBoard } from '../../../src/lib/flash/write/flash-board.js';
import { writeNvs } from '../../../src/lib/formats/nvs/write.js';
import { blankOtadata, firstOtadata } from '../../../src/lib/formats/otadata.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { espApp, espBootloader, espImage } from '../../support/esp-image.js';
import { piece, twoSlotsTable } from '../plan/support.js';
import { anyLoader, FakeBoard } from './fake-board.js';

const anyJob: FlashJob = {
  pieces: [],
  old: [],
  header: {},
  erase: false,
  verify: true,
  force: false,
  device: null,
};

function flash(board: FakeBoard, job: Partial<FlashJob>) {
  const how = { port: 'fake', loader: anyLoader, open: board.opener() };
  return flashBoard(() => ({ ...anyJob, ...job }), how);
}

const md5 = (data: Uint8Array) => createHash('md5').update(data).digest('hex');
const random = (bytes: number, seed = 1) =>
  Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 2654435761 * seed) >>> 13));

describe('flashing a board', () => {
  it('writes the regions and reports them in the given order, with the chip’s details', async () => {
    const board = new FakeBoard();
    const app = espApp();
    const result = await flash(board, {
      pieces: [piece('app.bin', 0x10000, app), piece('table.bin', 0x8000, twoSlotsTable)],
    });
    expect(result).toEqual({
      port: 'fake',
      chip: 'esp32',
      mac: '24:0a:c4:00:01:10',
      flashBytes: 4 * 1024 * 1024,
      erased: false,
      regions: [
        {
          name: 'app.bin',
          offset: 0x10000,
          bytes: app.length,
          skipped: false,
          written: app.length,
          md5: md5(app),
        },
        {
          name: 'table.bin',
          offset: 0x8000,
          bytes: 3072,
          skipped: false,
          written: 3072,
          md5: md5(twoSlotsTable),
        },
      ],
      verified: true,
      restarted: true,
      program: 'written',
      seconds: expect.any(Number),
      device: null,
      certificate: null,
      versions: [expect.any(String)],
      switched: null,
      warnings: [],
      overridden: [],
    });
    expect(board.bytes(0x10000, app.length).equals(Buffer.from(app))).toBe(true);
    expect(board.open).toBe(0);
    // Reads the board's own table, which may place the NVS elsewhere (here, there is none), and then the selected
    // slot.
    expect(board.log).toEqual([
      'read 8000 512',
      'read e000 32',
      'read f000 32',
      'write 8000 3072',
      `write 10000 ${app.length}`,
    ]);
  });

  it('skips data that is already on the board', async () => {
    const board = new FakeBoard();
    const job = { pieces: [piece('a.bin', 0x10000, 70_000)] };
    await flash(board, job);
    const [again] = (await flash(board, job)).regions;
    expect(again).toMatchObject({ skipped: true, written: 0, bytes: 70_000 });
  });

  it('reads and respects the board’s table if none is written', async () => {
    const board = new FakeBoard().put(0x8000, twoSlotsTable);
    await flash(board, { pieces: [piece('app.bin', 'app1', espApp())] });
    expect(board.log[0]).toBe('read 8000 512');
    expect(board.flash[0x110000]).toBe(0xe9);
    await expect(flash(board, { pieces: [piece('big.bin', 0x10000, 0x100001)] })).rejects.toMatchObject({
      code: 'AIOT_FLASH_REFUSED',
    });
    expect(board.open).toBe(0);
  });

  it('changes nothing if the job is rejected', async () => {
    const board = new FakeBoard();
    const refused = flash(board, { pieces: [piece('app.bin', 0x10000, espApp('esp32c3'))], erase: true });
    await expect(refused).rejects.toMatchObject({ code: 'AIOT_FLASH_REFUSED', exit: 6 });
    expect(board.log).toEqual([]);
  });

  it('reports the checks that --force overrode', async () => {
    const board = new FakeBoard();
    const { overridden } = await flash(board, { pieces: [piece('app.bin', 0x1000, espApp())], force: true });
    expect(overridden).toMatchObject([{ rule: 'bootloader', region: 'app.bin' }]);
    expect(board.flash[0x1000]).toBe(0xe9);
  });

  it('erases the whole flash first if requested', async () => {
    const board = new FakeBoard().put(0x300000, random(5000));
    const { erased } = await flash(board, { pieces: [piece('a.bin', 0x10000, 4096)], erase: true });
    expect(erased).toBe(true);
    expect(board.flash[0x300000]).toBe(0xff);
    expect(board.log).toEqual(['erase', 'write 10000 4096']);
  });

  it('writes two regions in one sector without losing either', async () => {
    const board = new FakeBoard();
    const [a, b] = [random(100), random(200, 5)];
    const { regions } = await flash(board, { pieces: [piece('b', 0x20400, b), piece('a', 0x20000, a)] });
    expect(regions.map(({ md5 }) => md5)).toEqual([md5(b), md5(a)]);
  });

  it('writes the same file to two offsets', async () => {
    const board = new FakeBoard();
    const { regions } = await flash(board, { pieces: [piece('a', 0x20000, 10), piece('a', 0x30000, 10)] });
    expect(regions.map(({ offset }) => offset)).toEqual([0x20000, 0x30000]);
  });

  it('closes the port if the job fails', async () => {
    const board = new FakeBoard();
    await expect(flash(board, { pieces: [piece('a', 'app0', 10)] })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
    });
    expect(board.open).toBe(0);
  });

  it('warns if the board boots a slot other than the one written', async () => {
    const at = (slot: number) =>
      new FakeBoard().put(0x8000, twoSlotsTable).put(0xe000, firstOtadata(slot, 2));
    const pieces = [piece('app.bin', 0x10000, espApp())];
    expect((await flash(at(0), { pieces })).warnings).toEqual([]);
    const [warning] = (await flash(at(1), { pieces })).warnings;
    expect(warning).toContain('the board still boots app1');
    const both = [...pieces, piece('otadata.bin', 'otadata', blankOtadata())];
    expect((await flash(at(1), { pieces: both })).warnings).toEqual([]);
    expect((await flash(new FakeBoard().put(0x8000, twoSlotsTable), { pieces })).warnings).toEqual([]);
  });

  it('rejects a program for a newer chip revision', async () => {
    const pieces = [piece('app.bin', 0x10000, espImage({ minRevision: 400 }))];
    await expect(flash(new FakeBoard(), { pieces })).rejects.toThrow(
      'needs revision 4.0 of the ESP32, but the board has 3.1',
    );
  });

  it('patches the bootloader’s header with the detected size and the given mode', async () => {
    const board = new FakeBoard();
    await flash(board, {
      pieces: [piece('b.bin', 0x1000, espBootloader())],
      header: { size: 'detect', mode: 'qio' },
    });
    expect([...board.bytes(0x1002, 2)]).toEqual([0, 0x20]);
  });
});

describe('flashing only the differences', () => {
  const old = random(100_000);
  const next = Buffer.from(old);
  next[50_000] = next[50_000]! ^ 0xff;

  it('writes the changed sectors and verifies the whole region', async () => {
    const board = new FakeBoard().put(0x10000, old);
    const result = await flash(board, {
      pieces: [piece('new.bin', 0x10000, next)],
      old: [piece('old.bin', 0x10000, old)],
    });
    expect(result.regions).toEqual([
      { name: 'new.bin', offset: 0x10000, bytes: 100_000, skipped: false, written: 4096, md5: md5(next) },
    ]);
    expect(board.log.filter((line) => line.startsWith('write'))).toEqual(['write 1c000 4096']);
    expect(board.bytes(0x10000, next.length).equals(next)).toBe(true);
  });

  it('writes everything if the board contains different data', async () => {
    const board = new FakeBoard().put(0x10000, random(100_000, 3));
    const [region] = (
      await flash(board, { pieces: [piece('new.bin', 0x10000, next)], old: [piece('old.bin', 0x10000, old)] })
    ).regions;
    expect(region).toMatchObject({ written: 100_000, md5: md5(next) });
  });

  it('writes nothing if the new data is already on the board', async () => {
    const board = new FakeBoard().put(0x10000, next);
    const [region] = (
      await flash(board, { pieces: [piece('new.bin', 0x10000, next)], old: [piece('old.bin', 0x10000, old)] })
    ).regions;
    expect(region).toMatchObject({ skipped: true, written: 0 });
  });

  it('rejects an old image for an offset where nothing is written', async () => {
    const board = new FakeBoard();
    const job = { pieces: [piece('new.bin', 0x10000, next)], old: [piece('old.bin', 0x20000, old)] };
    await expect(flash(board, job)).rejects.toMatchObject({ code: 'AIOT_USAGE' });
    expect(board.log.some((line) => line.startsWith('write'))).toBe(false);
  });
});

describe('flashing an identity', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-given-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const nvsOf = (name: string) =>
    writeNvs([{ namespace: 'aiot', key: 'name', type: 'string', value: name }], { size: 0x5000 });
  const job = (name: string, own: Partial<NonNullable<FlashJob['device']>> = {}): Partial<FlashJob> => ({
    pieces: [piece('partitions.bin', 0x8000, twoSlotsTable), piece('nvs.bin', 0x9000, nvsOf(name))],
    device: { name, folder, certificate: '', chip: 'esp32', mac: null, writtenTo: null, batch: null, ...own },
  });
  const boardOf = (name: string) => new FakeBoard().put(0x8000, twoSlotsTable).put(0x9000, nvsOf(name));

  it('refuses to overwrite the identity of another device, unless forced', async () => {
    const board = boardOf('pump-3');
    await expect(flash(board, job('pump-7'))).rejects.toMatchObject({ code: 'AIOT_FLASH_REFUSED' });
    expect(board.log.filter((line) => line.startsWith('write'))).toEqual([]);
    const forced = await flash(board, { ...job('pump-7'), force: true });
    expect(forced.overridden).toMatchObject([
      { rule: 'identity', message: expect.stringContaining('pump-3') },
    ]);
  });

  it('accepts a board with the same identity, and a blank board', async () => {
    expect((await flash(boardOf('pump-7'), job('pump-7'))).device).toBe('pump-7');
    expect((await flash(new FakeBoard(), job('pump-7'))).device).toBe('pump-7');
  });

  it('records the board in the identity’s folder, and warns about a second board', async () => {
    const mac = '24:0a:c4:00:01:10';
    expect((await flash(new FakeBoard(), job('pump-7'))).warnings.join()).not.toContain('before');
    expect(JSON.parse(await readFile(join(folder, 'board.json'), 'utf8'))).toEqual({ mac });
    const again = await flash(new FakeBoard(), job('pump-7', { writtenTo: '24:0a:c4:00:01:99' }));
    expect(again.warnings.join()).toContain('pump-7 was already written to the board 24:0a:c4:00:01:99');
  });

  describe('with a table that moves the NVS', () => {
    const movedCsv =
      'otadata,data,ota,0xe000,0x2000\napp0,app,ota_0,0x10000,1M\nnvs,data,nvs,0x3dc000,0xc000';
    const moved = writePartitionTable(parsePartitionsCsv(movedCsv));
    const build = () => [piece('partitions.bin', 0x8000, moved), piece('app.bin', 0x10000, espApp())];

    it('refuses to leave an identity behind, unless forced', async () => {
      const board = boardOf('pump-7');
      const message =
        'partitions.bin places NVS at 0x3dc000 (48.0 KiB), but the identity of pump-7 is at 0x9000 (20.0 KiB): the board would no longer find it';
      await expect(flash(board, { pieces: build() })).rejects.toMatchObject({
        code: 'AIOT_FLASH_REFUSED',
        next: expect.stringContaining('aiot flash app.bin@ota_0'),
      });
      expect(board.log.filter((line) => line.startsWith('write'))).toEqual([]);
      await expect(flash(board, { pieces: build() })).rejects.toThrow(message);
      const { overridden } = await flash(board, { pieces: build(), force: true });
      expect(overridden).toEqual([{ rule: 'identity', region: 'partitions.bin', message }]);
    });

    it('also refuses if NVS moves back, if the table has no NVS, or if the table is in a merged image', async () => {
      const later = new FakeBoard().put(0x8000, moved).put(0x3dc000, nvsOf('pump-8'));
      const earlier = [piece('partitions.bin', 0x8000, twoSlotsTable)];
      await expect(flash(later, { pieces: earlier })).rejects.toThrow(
        'the identity of pump-8 is at 0x3dc000',
      );
      const none = writePartitionTable(parsePartitionsCsv('app0,app,factory,0x10000,1M'));
      const bare = [piece('table.bin', 'partition-table', none)];
      await expect(flash(boardOf('pump-7'), { pieces: bare })).rejects.toThrow('table.bin has no NVS');
      const whole = Buffer.alloc(0x10000, 0xff);
      whole.set(moved, 0x8000 - 0x1000);
      const merged = [piece('whole.bin', 0x1000, whole)];
      await expect(flash(boardOf('pump-7'), { pieces: merged })).rejects.toThrow(
        'whole.bin places NVS at 0x3dc000',
      );
    });

    it('accepts the table if the identity stays, is rewritten, is erased on purpose, or is absent', async () => {
      const same = { pieces: [piece('partitions.bin', 0x8000, twoSlotsTable), build()[1]!] };
      expect((await flash(boardOf('pump-7'), same)).overridden).toEqual([]);
      const along = [...build(), piece('nvs.bin', 'nvs', nvsOf('pump-7'))];
      expect((await flash(boardOf('pump-7'), { pieces: along })).overridden).toEqual([]);
      expect((await flash(boardOf('pump-7'), { pieces: build(), erase: true })).overridden).toEqual([]);
      const nobody = new FakeBoard().put(0x8000, twoSlotsTable);
      expect((await flash(nobody, { pieces: build() })).overridden).toEqual([]);
    });
  });

  it('rejects an identity that was provisioned for another board', async () => {
    const made = job('pump-10', { mac: '24:0a:c4:00:01:99' });
    await expect(flash(new FakeBoard(), made)).rejects.toThrow('pump-10 was provisioned for the board');
  });
});
