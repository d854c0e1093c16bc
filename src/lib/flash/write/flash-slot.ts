import { AiotError } from '../../core/errors.js';
import { readEspImage } from '../../formats/esp-image/read.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { blankOtadata } from '../../formats/otadata.js';
import type { PartitionTable } from '../../formats/partitions.js';
import { withBoard } from '../board.js';
import type { Loader } from '../loader/types.js';
import { looksLike } from '../plan/looks.js';
import { planWrite } from '../plan/plan.js';
import { readBoardTable } from '../plan/table.js';
import type { Objection } from '../plan/types.js';
import { requireFirmwareAccepted } from './acceptance.js';
import {
  type AppSlots,
  changedOtadata,
  chooseSlot,
  readAppSlots,
  slotNamed,
  startSlot,
  writeOtadata,
} from './app-slots.js';
import { readIdentityNvs } from './board-nvs.js';
import { boardOf, restarts, secondsSince, versionsOf } from './flash-board.js';
import type { Flashed, Switched } from './result.js';
import { type JudgeOptions, judgeSwitched, rememberUnproven, settleUnproven } from './update-watch.js';
import { writeRegions } from './write-regions.js';

/** An update over the cable. */
export interface SlotJob {
  /** `envelope`: of a version of the registry, which is held against the board's identity. null: what the slot holds already is started. */
  image: { name: string; data: Uint8Array; envelope?: Envelope } | null;
  /** `next`, or a slot's label. */
  slot: string;
  verify: boolean;
  force: boolean;
}

export type SlotOptions = JudgeOptions;

interface SlotWritten {
  flashed: Omit<Flashed, 'port' | 'seconds' | 'switched'>;
  slots: AppSlots;
  /** Label of the slot that is started now. */
  slot: string;
  otadata: Uint8Array;
  canReset: boolean;
}

/**
 * Writes an app into a slot that is not running, compares it, and makes the bootloader start it. With a watch, a board
 * that does not come up healthy is set back to what it ran before.
 * @throws AIOT_FLASH_NO_SLOT, AIOT_FLASH_REFUSED, AIOT_IMAGE_MALFORMED before anything is written
 */
export async function flashSlot(job: SlotJob, options: SlotOptions): Promise<Flashed> {
  const { port } = options;
  const started = performance.now();
  if (job.image) readEspImage(job.image.data, job.image.name);
  const { flashed, ...state } = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    return await writeSlot(loader, job, options);
  });
  const { slots, slot, otadata, canReset } = state;
  const before = slots.running.label;
  const back = `aiot flash --slot ${before}`;
  const switched: Switched = { slot, before, healthy: null, restored: false, reason: null, back };
  const restore = (loader: Loader) => writeOtadata(loader, slots.otadata, otadata, slots.bytes);
  await judgeSwitched(switched, { mac: flashed.mac, kind: 'app', canReset, restore }, options);
  return { port, ...flashed, switched, seconds: secondsSince(started) };
}

async function writeSlot(loader: Loader, job: SlotJob, options: SlotOptions): Promise<SlotWritten> {
  const { image, slot: wanted, verify, force } = job;
  const table = await requireTable(loader);
  // Before the choice is read: what is next depends on it.
  const settled = await settleUnproven(loader, 'app');
  const slots = await readAppSlots(loader, table);
  if (image === null) return await startOnly(loader, { slots, wanted, force, settled }, options);
  const index = chooseSlot(slots, wanted, force);
  const released = await requireReleased(loader, table, image, force);
  const slot = slots.slots[index]!;
  const plan = planWrite({
    pieces: [{ name: image.name, data: image.data, place: slot.offset }],
    board: boardOf(loader),
    boardTable: table,
    header: {},
    erase: false,
    force,
  });
  const regions = await writeRegions(loader, plan.regions, { erase: false, verify, old: new Map() });
  const [done] = regions;
  if (options.watch && done) {
    const choice = changedOtadata(slots, index);
    const about = { slot: slot.label, before: slots.running.label, image: done, choice };
    await rememberUnproven({ mac: loader.chip.mac, kind: 'app' }, about);
  }
  const otadata = await startSlot(loader, slots, index);
  const flashed = {
    ...flashedOf(loader, options),
    regions,
    versions: versionsOf(plan.regions),
    warnings: settled === null ? plan.warnings : [...plan.warnings, settled],
    overridden: [...released, ...plan.overridden],
  };
  return { flashed, slots, slot: slot.label, otadata, canReset: loader.canReset };
}

function flashedOf(loader: Loader, options: SlotOptions) {
  const { chip, mac, flash, security } = loader.chip;
  return {
    ...{ chip, mac, flashBytes: flash.bytes, erased: false },
    verified: !security.secureDownload,
    restarted: restarts(loader, options),
    device: null,
    certificate: null,
  };
}

/** Names a slot that has its app already: the way back by hand. */
async function startOnly(
  loader: Loader,
  {
    slots,
    wanted,
    force,
    settled,
  }: { slots: AppSlots; wanted: string; force: boolean; settled: string | null },
  options: SlotOptions,
): Promise<SlotWritten> {
  const { label, otadata } = await startHeld(loader, slots, { wanted, force });
  const flashed = {
    ...flashedOf(loader, options),
    ...{ regions: [], versions: [], warnings: settled === null ? [] : [settled], overridden: [] },
  };
  return { flashed, slots, slot: label, otadata, canReset: loader.canReset };
}

/** What `force` overrode. @throws AIOT_SIGNATURE_INVALID, AIOT_UPDATE_DEVICE_TYPE */
async function requireReleased(
  loader: Loader,
  table: PartitionTable,
  { name, envelope }: NonNullable<SlotJob['image']>,
  force: boolean,
): Promise<Objection[]> {
  if (!envelope) return [];
  const nvs = await readIdentityNvs(loader, table);
  return requireFirmwareAccepted({ name, envelope }, { nvs, chip: loader.chip.chip, force });
}

/** @throws AIOT_FLASH_NO_SLOT */
export async function requireTable(loader: Loader): Promise<PartitionTable> {
  const table = loader.chip.security.secureDownload ? null : await readBoardTable(loader);
  if (table) return table;
  throw new AiotError(
    'AIOT_FLASH_NO_SLOT',
    'the board has no partition table that can be read, so it has no slots',
    {
      next: 'Write bootloader, table and app first: aiot flash --project DIR',
    },
  );
}

/** Of an image: enough to tell a program from anything else. */
const headBytes = 512;

/**
 * Makes the bootloader start an app that is on the board already. The factory app is started when otadata is blank.
 * @throws AIOT_USAGE (no such slot), AIOT_FLASH_REFUSED (it holds no program for this chip), unless `force`
 */
async function startHeld(
  loader: Loader,
  slots: AppSlots,
  { wanted, force }: { wanted: string; force: boolean },
): Promise<{ label: string; otadata: Uint8Array }> {
  const { factory, running, bytes } = slots;
  const index = factory?.label === wanted ? null : slotNamed(slots, wanted);
  const slot = index === null ? factory! : slots.slots[index]!;
  const { chip, security } = loader.chip;
  if (!security.flashEncryption && !force) {
    const looks = looksLike(await loader.read(slot.offset, headBytes));
    if (looks?.chip !== chip) {
      throw new AiotError('AIOT_FLASH_REFUSED', `${slot.label} holds no program for this chip`, {
        next: `Write one into it: aiot flash --slot ${slot.label} --firmware app.bin`,
      });
    }
  }
  const { label } = slot;
  if (slot === running) return { label, otadata: bytes };
  if (index !== null) return { label, otadata: await startSlot(loader, slots, index) };
  const otadata = blankOtadata();
  await writeOtadata(loader, slots.otadata, bytes, otadata);
  return { label, otadata };
}
