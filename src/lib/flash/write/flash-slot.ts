import { AiotError } from '../../core/index.js';
import { type PartitionTable, readEspImage } from '../../formats/index.js';
import type { Loader } from '../loader/types.js';
import { planWrite } from '../plan/plan.js';
import { readBoardTable } from '../plan/table.js';
import { type AppSlots, chooseSlot, readAppSlots, startSlot, writeOtadata } from './app-slots.js';
import { boardOf, type FlashBoardOptions, restarts, secondsSince } from './flash-board.js';
import type { Verdict } from './health.js';
import type { Flashed, Switched } from './result.js';
import { versionsOf } from './versions.js';
import { withBoard } from './with-board.js';
import { writeRegions } from './write-plan.js';

/** An update over the cable. */
export interface SlotJob {
  image: { name: string; data: Uint8Array };
  /** `next`, or a slot's label. */
  slot: string;
  verify: boolean;
  force: boolean;
}

export interface SlotOptions extends FlashBoardOptions {
  /** Listens to the restarted board; without it nobody judges the new app. */
  watch?: ((port: string) => Promise<Verdict>) | undefined;
}

interface Written {
  flashed: Omit<Flashed, 'port' | 'seconds' | 'switched'>;
  slots: AppSlots;
  /** Label of the slot that is started now. */
  slot: string;
  otadata: Uint8Array;
}

/**
 * Writes an app into a slot that is not running, compares it, and makes the bootloader start it. With a watch, a board
 * that does not come up healthy is set back to what it ran before.
 * @throws AIOT_FLASH_NO_SLOT, AIOT_FLASH_REFUSED, AIOT_IMAGE_MALFORMED before anything is written
 */
export async function flashSlot(job: SlotJob, options: SlotOptions): Promise<Flashed> {
  const { port, watch } = options;
  const started = performance.now();
  readEspImage(job.image.data, job.image.name);
  const { flashed, ...state } = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    return await writeSlot(loader, job, options);
  });
  const before = state.slots.running.label;
  const switched: Switched = { slot: state.slot, before, healthy: null, restored: false, reason: null };
  if (watch) {
    const verdict = await watch(port);
    Object.assign(switched, verdict);
    if (!verdict.healthy) {
      await withBoard(options, (loader) =>
        writeOtadata(loader, state.slots.otadata, state.otadata, state.slots.bytes),
      );
      switched.restored = true;
    }
  }
  return { port, ...flashed, switched, seconds: secondsSince(started) };
}

async function writeSlot(loader: Loader, job: SlotJob, options: SlotOptions): Promise<Written> {
  const { image, slot: wanted, verify, force } = job;
  const table = await requireTable(loader);
  const slots = await readAppSlots(loader, table);
  const index = chooseSlot(slots, wanted, force);
  const slot = slots.slots[index]!;
  const plan = planWrite({
    pieces: [{ ...image, place: slot.offset }],
    board: boardOf(loader),
    boardTable: table,
    header: {},
    erase: false,
    force,
  });
  const regions = await writeRegions(loader, plan.regions, { erase: false, verify, old: new Map() });
  const otadata = await startSlot(loader, slots, index);
  const { chip, mac, flash } = loader.chip;
  const flashed = {
    chip,
    mac,
    flashBytes: flash.bytes,
    erased: false,
    regions,
    verified: !loader.chip.security.secureDownload,
    restarted: restarts(loader, options),
    device: null,
    certificate: null,
    versions: versionsOf(plan.regions),
    warnings: plan.warnings,
    overridden: plan.overridden,
  };
  return { flashed, slots, slot: slot.label, otadata };
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
