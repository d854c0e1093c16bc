import { describe, expect, it } from 'vitest';
import { flashSlot, type SlotJob, type SlotOptions } from '../../../src/lib/flash/write/flash-slot.js';
import type { Verdict } from '../../../src/lib/flash/write/health.js';
import {
  blankOtadata,
  firstOtadata,
  parsePartitionsCsv,
  readOtadata,
  writePartitionTable,
} from '../../../src/lib/formats/index.js';
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
    ['of a board that never was updated', blankOtadata(), 'app0', 'app1'],
    ['of one that starts slot 0', firstOtadata(0, 2), 'app0', 'app1'],
    ['of one that starts slot 1', firstOtadata(1, 2), 'app1', 'app0'],
  ])('%s goes into the other slot', async (_, otadata, before, slot) => {
    const at = board(otadata);
    const result = await update(at);
    expect(result.switched).toEqual({ slot, before, healthy: null, restored: false, reason: null });
    const [region] = result.regions;
    expect(region).toMatchObject({ offset: slot === 'app0' ? 0x10000 : 0x110000, skipped: false });
    expect(active(at)).toBe(slot === 'app0' ? 0 : 1);
    expect(at.bytes(region!.offset, image.data.length).equals(Buffer.from(image.data))).toBe(true);
    expect(at.open).toBe(0);
  });

  it('writes one sector of otadata, and that after the image', async () => {
    const at = board(firstOtadata(1, 2));
    await update(at);
    const writes = at.log.filter((line) => line.startsWith('write'));
    expect(writes).toEqual([
      `write 10000 ${image.data.length}`,
      expect.stringMatching(/^write [ef]000 4096$/),
    ]);
  });

  it('trusts the sector that is whole when the other is damaged', async () => {
    const otadata = Buffer.from(firstOtadata(1, 2));
    const { entries } = readOtadata(otadata);
    const damaged = entries[0]?.sequence === 2 ? 0x1000 : 0;
    otadata[damaged + 28] = otadata[damaged + 28]! ^ 1;
    const result = await update(board(otadata));
    expect(result.switched).toMatchObject({ before: 'app1', slot: 'app0' });
  });

  it('leaves the factory app for slot 0', async () => {
    const at = new FakeBoard().put(0x8000, withFactory);
    expect((await update(at)).switched).toMatchObject({ before: 'factory', slot: 'ota_0' });
    expect(at.flash[0x10000]).toBe(0xff);
  });

  it('takes a slot by its label', async () => {
    expect((await update(board(), { slot: 'ota_1' })).switched).toMatchObject({ slot: 'app1' });
    expect((await update(board(), { slot: 'app1' })).switched).toMatchObject({ slot: 'app1' });
  });

  it.each<[string, FakeBoard, Partial<SlotJob>, string]>([
    ['the slot that runs', board(), { slot: 'app0' }, 'AIOT_FLASH_REFUSED'],
    ['a slot that is not there', board(), { slot: 'app7' }, 'AIOT_USAGE'],
    ['a table with one app', board(blankOtadata(), single), {}, 'AIOT_FLASH_NO_SLOT'],
    ['a blank board', new FakeBoard(), {}, 'AIOT_FLASH_NO_SLOT'],
    [
      'a damaged image',
      board(),
      { image: { name: 'a', data: image.data.subarray(0, 999) } },
      'AIOT_IMAGE_MALFORMED',
    ],
    ['another chip', board(), { image: { name: 'a', data: espApp('esp32c3') } }, 'AIOT_FLASH_REFUSED'],
    [
      'an app larger than its slot',
      board(),
      { image: { name: 'a', data: espApp('esp32', 0x100000) } },
      'AIOT_FLASH_REFUSED',
    ],
  ])('refuses %s, with nothing written', async (_, at, job, code) => {
    await expect(update(at, job)).rejects.toMatchObject({ code });
    expect(at.log.filter((line) => line.startsWith('write'))).toEqual([]);
    expect(at.open).toBe(0);
  });
});

describe('an update that is watched', () => {
  const says = (verdict: Verdict) => async () => verdict;

  it('stays when the board is well', async () => {
    const at = board(firstOtadata(0, 2));
    const result = await update(at, {}, says({ healthy: true, reason: 'it said: up' }));
    expect(result.switched).toMatchObject({ healthy: true, restored: false, reason: 'it said: up' });
    expect(active(at)).toBe(1);
  });

  it.each([
    ['that was updated before', firstOtadata(0, 2)],
    ['that never was', blankOtadata()],
  ])('is set back to the very bytes before, on a board %s', async (_, otadata) => {
    const at = board(otadata);
    const result = await update(at, {}, says({ healthy: false, reason: 'it crashed' }));
    expect(result.switched).toEqual({
      slot: 'app1',
      before: 'app0',
      healthy: false,
      restored: true,
      reason: 'it crashed',
    });
    expect(at.bytes(0xe000, 0x2000).equals(Buffer.from(otadata))).toBe(true);
    expect(at.open).toBe(0);
  });
});
