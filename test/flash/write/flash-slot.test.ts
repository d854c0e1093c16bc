import { describe, expect, it } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import { flashSlot, type SlotJob, type SlotOptions } from '../../../src/lib/flash/write/flash-slot.js';
import { unhealthy } from '../../../src/lib/flash/write/result.js';
import type { Verdict } from '../../../src/lib/flash/write/update-watch.js';
import { blankOtadata, firstOtadata, readOtadata } from '../../../src/lib/formats/otadata.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { espApp } from '../../support/esp-image.js';
import { twoSlotsTable } from '../plan/support.js';
import { anyLoader, FakeBoard } from './fake-board.js';

const image = { name: 'app.bin', data: espApp() };
const table = (csv: string) => writePartitionTable(parsePartitionsCsv(csv));
const withFactory = table(`nvs,data,nvs,0x9000,0x4000,
otadata,data,ota,0xd000,0x2000,
factory,app,factory,0x10000,0x100000,
ota_0,app,ota_0,0x110000,0x100000,
`);
const single = table('nvs,data,nvs,0x9000,0x5000,\nfactory,app,factory,0x10000,0x100000,\n');

function board(otadata: Uint8Array = blankOtadata(), partitions: Uint8Array = twoSlotsTable) {
  return new FakeBoard().put(0x8000, partitions).put(0xe000, otadata);
}

function update(to: FakeBoard, job: Partial<SlotJob> = {}, watch?: SlotOptions['watch']) {
  const how = { port: 'fake', loader: anyLoader, open: to.opener(), watch };
  return flashSlot({ image, slot: 'next', verify: false, force: false, ...job }, how);
}

const active = (of: FakeBoard) => readOtadata(of.bytes(0xe000, 0x2000)).active(2);

describe('an update over the cable', () => {
  it.each<[string, Uint8Array, string, string]>([
    ['on a board that was never updated', blankOtadata(), 'app0', 'app1'],
    ['on a board that boots slot 0', firstOtadata(0, 2), 'app0', 'app1'],
    ['on a board that boots slot 1', firstOtadata(1, 2), 'app1', 'app0'],
  ])('is written to the other slot %s', async (_, otadata, before, slot) => {
    const at = board(otadata);
    const result = await update(at);
    expect(result.switched).toEqual({
      slot,
      before,
      healthy: null,
      restored: false,
      reason: null,
      back: `aiot flash --slot ${before}`,
    });
    const [region] = result.regions;
    expect(region).toMatchObject({ offset: slot === 'app0' ? 0x10000 : 0x110000, skipped: false });
    expect(active(at)).toBe(slot === 'app0' ? 0 : 1);
    expect(at.bytes(region!.offset, image.data.length).equals(Buffer.from(image.data))).toBe(true);
    expect(at.open).toBe(0);
  });

  it('writes one sector of otadata, after the image', async () => {
    const at = board(firstOtadata(1, 2));
    await update(at);
    const writes = at.log.filter((line) => line.startsWith('write'));
    expect(writes).toEqual([
      `write 10000 ${image.data.length}`,
      expect.stringMatching(/^write [ef]000 4096$/),
    ]);
  });

  it('uses the intact sector of otadata if the other is damaged', async () => {
    const otadata = Buffer.from(firstOtadata(1, 2));
    const { entries } = readOtadata(otadata);
    const damaged = entries[0]?.sequence === 2 ? 0x1000 : 0;
    otadata[damaged + 28] = otadata[damaged + 28]! ^ 1;
    const result = await update(board(otadata));
    expect(result.switched).toMatchObject({ before: 'app1', slot: 'app0' });
  });

  it('switches from the factory app to slot 0', async () => {
    const at = new FakeBoard().put(0x8000, withFactory);
    expect((await update(at)).switched).toMatchObject({ before: 'factory', slot: 'ota_0' });
    expect(at.flash[0x10000]).toBe(0xff);
  });

  it('accepts a slot by its subtype or its label', async () => {
    expect((await update(board(), { slot: 'ota_1' })).switched).toMatchObject({ slot: 'app1' });
    expect((await update(board(), { slot: 'app1' })).switched).toMatchObject({ slot: 'app1' });
  });

  it.each<[string, FakeBoard, Partial<SlotJob>, string]>([
    ['the running slot', board(), { slot: 'app0' }, 'AIOT_FLASH_REFUSED'],
    ['a missing slot', board(), { slot: 'app7' }, 'AIOT_USAGE'],
    ['a table with one app', board(blankOtadata(), single), {}, 'AIOT_FLASH_NO_SLOT'],
    ['a blank board', new FakeBoard(), {}, 'AIOT_FLASH_NO_SLOT'],
    [
      'a damaged image',
      board(),
      { image: { name: 'a', data: image.data.subarray(0, 999) } },
      'AIOT_IMAGE_MALFORMED',
    ],
    [
      'an image for another chip',
      board(),
      { image: { name: 'a', data: espApp('esp32c3') } },
      'AIOT_FLASH_REFUSED',
    ],
    [
      'an app larger than its slot',
      board(),
      { image: { name: 'a', data: espApp('esp32', 0x100000) } },
      'AIOT_FLASH_REFUSED',
    ],
  ])('rejects %s, with nothing written', async (_, at, job, code) => {
    await expect(update(at, job)).rejects.toMatchObject({ code });
    expect(at.log.filter((line) => line.startsWith('write'))).toEqual([]);
    expect(at.open).toBe(0);
  });
});

describe('a watched update', () => {
  const says = (verdict: Verdict) => async () => verdict;

  it('stays if the board is healthy', async () => {
    const at = board(firstOtadata(0, 2));
    const result = await update(at, {}, says({ healthy: true, reason: 'it said: up' }));
    expect(result.switched).toMatchObject({ healthy: true, restored: false, reason: 'it said: up' });
    expect(active(at)).toBe(1);
  });

  it.each([
    ['that was updated before', firstOtadata(0, 2)],
    ['that was never updated', blankOtadata()],
  ])('is reverted byte for byte on a board %s', async (_, otadata) => {
    const at = board(otadata);
    const result = await update(at, {}, says({ healthy: false, reason: 'it crashed' }));
    expect(result.switched).toEqual({
      slot: 'app1',
      before: 'app0',
      healthy: false,
      restored: true,
      reason: 'it crashed',
      back: 'aiot flash --slot app0',
    });
    expect(at.bytes(0xe000, 0x2000).equals(Buffer.from(otadata))).toBe(true);
    expect(at.open).toBe(0);
  });

  describe('if reverting fails', () => {
    const crashes = says({ healthy: false, reason: 'it crashed' });
    const lost = new AiotError('AIOT_CHIP_BOOT_MODE', 'the program runs');
    const mac = (n: number) => `24:0a:c4:00:05:0${n}`;
    const stuck = async (n: number) => {
      const at = new FakeBoard({ mac: mac(n) }).put(0x8000, twoSlotsTable).put(0xe000, firstOtadata(0, 2));
      at.put(0x10000, image.data);
      at.failures = [null, lost];
      const result = await update(at, {}, crashes);
      return { at, result };
    };

    it('reports the failure and how to revert manually', async () => {
      const { at, result } = await stuck(1);
      expect(result.switched).toMatchObject({ slot: 'app1', healthy: false, restored: false });
      expect(active(at)).toBe(1);
      const error = unhealthy(result);
      expect(error?.code).toBe('AIOT_FLASH_UNHEALTHY');
      expect(error?.message).toContain(
        'app1 did not become healthy, remains selected for the next boot, and was NOT reverted to app0',
      );
      expect(error?.next).toContain('aiot flash --slot app0 --port fake');
    });

    it('does not overwrite the working slot in the next update', async () => {
      const { at } = await stuck(2);
      const other = { name: 'other.bin', data: espApp('esp32', 20_000) };
      const again = await update(at, { image: other });
      expect(again.switched).toMatchObject({ slot: 'app1', before: 'app0' });
      expect(again.warnings).toEqual([expect.stringContaining('app0 was selected again first')]);
      expect(at.bytes(0x10000, image.data.length).equals(Buffer.from(image.data))).toBe(true);
      expect(at.bytes(0x110000, 20_000).equals(Buffer.from(other.data.subarray(0, 20_000)))).toBe(true);
    });

    it('ignores the failure once the board’s contents have changed', async () => {
      const { at } = await stuck(3);
      at.put(0xe000, firstOtadata(1, 2)).put(0x110000, espApp('esp32', 30_000));
      expect((await update(at)).switched).toMatchObject({ slot: 'app0', before: 'app1' });
    });

    it('switches slots by name, without an image', async () => {
      const { at } = await stuck(4);
      const back = await update(at, { image: null, slot: 'app0' });
      expect(back).toMatchObject({ regions: [], switched: { slot: 'app0' } });
      expect(active(at)).toBe(0);
      const on = await update(at, { image: null, slot: 'app1' });
      expect([on.switched?.before, active(at)]).toEqual(['app0', 1]);
    });
  });

  it('asks the user twice to reset the board if the serial port cannot', async () => {
    const at = board(firstOtadata(0, 2));
    at.canReset = false;
    at.failures = [null, new AiotError('AIOT_CHIP_SILENT', 'nothing')];
    const asked: string[] = [];
    const how = {
      port: 'fake',
      loader: anyLoader,
      open: at.opener(),
      ask: (text: string) => asked.push(text),
    };
    const watch = says({ healthy: false, reason: 'it crashed' });
    const result = await flashSlot({ image, slot: 'next', verify: false, force: false }, { ...how, watch });
    expect(asked).toEqual(Array(2).fill(expect.stringContaining('hold BOOT and press RESET')));
    expect(result.switched?.restored).toBe(true);
  });
});

describe('a slot specified without an image', () => {
  it.each([
    ['contains no program', 'app1', 'AIOT_FLASH_REFUSED'],
    ['does not exist', 'app7', 'AIOT_USAGE'],
  ])('is rejected if it %s', async (_, slot, code) => {
    await expect(update(board(), { image: null, slot })).rejects.toMatchObject({ code });
  });

  it('can be the factory app', async () => {
    const at = new FakeBoard()
      .put(0x8000, withFactory)
      .put(0xd000, firstOtadata(0, 1))
      .put(0x10000, espApp());
    await update(at, { image: null, slot: 'factory' });
    expect(at.bytes(0xd000, 0x2000).every((byte) => byte === 0xff)).toBe(true);
  });
});
