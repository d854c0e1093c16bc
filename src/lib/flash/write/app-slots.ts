import { AiotError } from '../../core/errors.js';
import {
  blankOtadata,
  nextOtadata,
  otadataBytes,
  otadataSector,
  readOtadata,
} from '../../formats/otadata.js';
import {
  otaSlots,
  type Partition,
  type PartitionTable,
  partitionSubtypes,
  partitionTypes,
} from '../../formats/partitions.js';
import type { Loader, Region } from '../loader/types.js';

/** The app slots of a board, and the app that it starts. */
export interface AppSlots {
  slots: Partition[];
  otadata: Partition;
  /** Current contents of the otadata partition. */
  bytes: Uint8Array;
  /** The app that the bootloader starts now: a slot, or the factory app. */
  running: Partition;
  /** The factory app, which is started if otadata selects no slot; null = the table has none. */
  factory: Partition | null;
}

/** Reads which app a board starts. @throws AIOT_FLASH_NO_SLOT if its table has no slots to choose from */
export async function readAppSlots(loader: Pick<Loader, 'read'>, table: PartitionTable): Promise<AppSlots> {
  const { data, app } = partitionTypes;
  const of = (type: number, subtype: number | undefined) =>
    table.partitions.find((p) => p.type === type && p.subtype === subtype);
  const otadata = of(data, partitionSubtypes[data]?.ota);
  const slots = otaSlots(table);
  const factory = of(app, partitionSubtypes[app]?.factory);
  const first = factory ?? slots[0];
  if (!otadata || !first || slots.length + (factory ? 1 : 0) < 2) {
    throw new AiotError('AIOT_FLASH_NO_SLOT', "the board's partition table has no second app slot", {
      next: 'Write the app to the slot that boots with `aiot flash app.bin@0x10000`. Or create a table with two slots (`aiot firmware partitions create IN.csv table.bin`) and write it with `aiot flash table.bin@0x8000`.',
    });
  }
  const bytes = await loader.read(otadata.offset, otadataBytes);
  const active = activeSlot(bytes, slots.length);
  const running = active === null ? first : slots[active]!;
  return { slots, otadata, bytes, running, factory: factory ?? null };
}

/** Number of the slot that the bootloader starts. A damaged sector counts as blank. */
export function activeSlot(bytes: Uint8Array, count: number): number | null {
  const blank = blankOtadata();
  const read = (choice: Uint8Array) => {
    try {
      return readOtadata(choice).active(count);
    } catch (error) {
      if (error instanceof AiotError) return null;
      throw error;
    }
  };
  const first = bytes.subarray(0, otadataSector);
  const second = bytes.subarray(otadataSector);
  const empty = blank.subarray(otadataSector);
  return read(bytes) ?? read(Buffer.concat([first, empty])) ?? read(Buffer.concat([empty, second])) ?? null;
}

/**
 * The slot to write. `next`: the one after the running slot; otherwise the slot with this label.
 * @throws AIOT_USAGE (no such slot), AIOT_FLASH_REFUSED (the running slot, because there would be no fallback)
 */
export function chooseSlot(found: AppSlots, wanted: string, force: boolean): number {
  const { slots, running } = found;
  if (wanted === 'next') return (slots.indexOf(running) + 1) % slots.length;
  const index = slotNamed(found, wanted);
  const slot = slots[index]!;
  if (slot === running && !force) {
    const why = `the board currently boots ${slot.label} and would have no slot to fall back to`;
    throw new AiotError('AIOT_FLASH_REFUSED', why, { next: 'Use the other slot: --slot next' });
  }
  return index;
}

/** Number of the slot with this label or name (`ota_0`). @throws AIOT_USAGE */
export function slotNamed({ slots }: Pick<AppSlots, 'slots'>, wanted: string): number {
  const index = slots.findIndex(
    ({ label, subtype }) => label === wanted || `ota_${subtype - 0x10}` === wanted,
  );
  if (index >= 0) return index;
  const labels = slots.map(({ label }) => label).join(', ');
  throw new AiotError('AIOT_USAGE', `app slot ${wanted} does not exist`, {
    next: `Use --slot next, or one of ${labels}.`,
  });
}

/**
 * Makes the bootloader start a slot. Only one sector is written. If the power fails during the write, the previous selection remains in
 * effect.
 * @returns the partition's new contents
 */
export async function startSlot(loader: Loader, found: AppSlots, slot: number): Promise<Uint8Array> {
  const wanted = nextOtadata(found.bytes, slot, found.slots.length);
  await writeOtadata(loader, found.otadata, found.bytes, wanted);
  return wanted;
}

/** The sectors of otadata that `startSlot` will change, before and after the change. */
export function changedOtadata({ otadata, bytes, slots }: AppSlots, slot: number) {
  const wanted = nextOtadata(bytes, slot, slots.length);
  return changedSectors(otadata, bytes, wanted).map(({ name, offset, data }) => {
    const at = offset - otadata.offset;
    return { name, offset, before: bytes.slice(at, at + otadataSector), now: data };
  });
}

/** Writes the sectors of `wanted` that differ from `now`. */
export async function writeOtadata(
  loader: Loader,
  partition: Partition,
  now: Uint8Array,
  wanted: Uint8Array,
): Promise<void> {
  const sectors = changedSectors(partition, now, wanted);
  if (sectors.length > 0) await loader.write(sectors, { skipEqual: false });
}

function changedSectors({ offset, label }: Partition, now: Uint8Array, wanted: Uint8Array): Region[] {
  return [0, otadataSector]
    .map((at) => ({ at, data: wanted.slice(at, at + otadataSector) }))
    .filter(({ at, data }) => Buffer.compare(data, now.subarray(at, at + otadataSector)) !== 0)
    .map(({ at, data }) => ({ name: label, offset: offset + at, data }));
}
