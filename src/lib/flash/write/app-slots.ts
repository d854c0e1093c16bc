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

/** The app slots of a board and which of them it starts. */
export interface AppSlots {
  slots: Partition[];
  otadata: Partition;
  /** The otadata partition as it is. */
  bytes: Uint8Array;
  /** What the bootloader starts now: a slot, or the factory app. */
  running: Partition;
  /** Started where otadata names no slot; null = the table has none. */
  factory: Partition | null;
}

/** Reads which app a board starts. @throws AIOT_FLASH_NO_SLOT where its table has no slots to choose from */
export async function readAppSlots(loader: Pick<Loader, 'read'>, table: PartitionTable): Promise<AppSlots> {
  const { data, app } = partitionTypes;
  const of = (type: number, subtype: number | undefined) =>
    table.partitions.find((p) => p.type === type && p.subtype === subtype);
  const otadata = of(data, partitionSubtypes[data]?.ota);
  const slots = otaSlots(table);
  const factory = of(app, partitionSubtypes[app]?.factory);
  const first = factory ?? slots[0];
  if (!otadata || !first || slots.length + (factory ? 1 : 0) < 2) {
    throw new AiotError('AIOT_FLASH_NO_SLOT', 'the board’s partition table has no second app slot', {
      next: 'Write the app where it is started: aiot flash app.bin@0x10000; aiot firmware partitions create makes a table with two slots.',
    });
  }
  const bytes = await loader.read(otadata.offset, otadataBytes);
  const active = activeSlot(bytes, slots.length);
  const running = active === null ? first : slots[active]!;
  return { slots, otadata, bytes, running, factory: factory ?? null };
}

/** As the bootloader chooses it; a sector that is damaged counts as blank. */
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
 * The slot to be written: `next` after the one that runs, or the one of this label.
 * @throws AIOT_USAGE (no such slot), AIOT_FLASH_REFUSED (the one that runs: there would be nothing to go back to)
 */
export function chooseSlot(found: AppSlots, wanted: string, force: boolean): number {
  const { slots, running } = found;
  if (wanted === 'next') return (slots.indexOf(running) + 1) % slots.length;
  const index = slotNamed(found, wanted);
  const slot = slots[index]!;
  if (slot === running && !force) {
    const why = `the board starts ${slot.label} now, and would have nothing to go back to`;
    throw new AiotError('AIOT_FLASH_REFUSED', why, { next: 'Take the other one: --slot next' });
  }
  return index;
}

/** Number of the slot of this label, or of this name (`ota_0`). @throws AIOT_USAGE */
export function slotNamed({ slots }: Pick<AppSlots, 'slots'>, wanted: string): number {
  const index = slots.findIndex(
    ({ label, subtype }) => label === wanted || `ota_${subtype - 0x10}` === wanted,
  );
  if (index >= 0) return index;
  const labels = slots.map(({ label }) => label).join(', ');
  throw new AiotError('AIOT_USAGE', `there is no app slot ${wanted}`, {
    next: `--slot next, or one of ${labels}`,
  });
}

/**
 * Makes the bootloader start a slot: one sector is written, and a power cut while it is leaves the choice before.
 * @returns the partition's bytes as they are then
 */
export async function startSlot(loader: Loader, found: AppSlots, slot: number): Promise<Uint8Array> {
  const wanted = nextOtadata(found.bytes, slot, found.slots.length);
  await writeOtadata(loader, found.otadata, found.bytes, wanted);
  return wanted;
}

/** The sectors of otadata that `startSlot` will change, as they are and as they will be. */
export function changedOtadata({ otadata, bytes, slots }: AppSlots, slot: number) {
  const wanted = nextOtadata(bytes, slot, slots.length);
  return changedSectors(otadata, bytes, wanted).map(({ name, offset, data }) => {
    const at = offset - otadata.offset;
    return { name, offset, before: bytes.slice(at, at + otadataSector), now: data };
  });
}

/** Writes the sectors in which `wanted` differs from `now`. */
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
