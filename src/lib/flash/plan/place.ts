import { AiotError } from '../../core/errors.js';
import { type ChipName, espChips } from '../../formats/esp-image/chips.js';
import { partitionTableOffset, sectorBytes } from '../../formats/partitions.js';
import type { KnownTable } from './types.js';

/** The largest flash that a chip addresses with 32 bits. */
const lastOffset = 0xffff_ffff;

const multiples: Record<string, number> = { '': 1, K: 1024, M: 1024 ** 2 };

/** `0x10000`, `65536`, `64K`, `1M` → bytes; null when it is no number. */
export function offsetOf(text: string): number | null {
  const [, hex, decimal, unit = ''] = /^(?:(0x[0-9a-f]{1,8})|(\d{1,10})([KM]?))$/i.exec(text.trim()) ?? [];
  const value = hex === undefined ? Number(decimal) * (multiples[unit.toUpperCase()] ?? 1) : Number(hex);
  return Number.isSafeInteger(value) && value <= lastOffset ? value : null;
}

/**
 * `app.bin@0x10000`, `app.bin@ota_0`, `fonts@2.bin@64K`: the file and its place. Without an `@` the place is null: HEX
 * and UF2 files hold their addresses.
 * @throws AIOT_USAGE
 */
export function parsePlaced(text: string): { file: string; place: number | string | null } {
  const at = text.lastIndexOf('@');
  if (at < 0) return { file: text, place: null };
  const [file, place] = [text.slice(0, at), text.slice(at + 1)];
  const offset = offsetOf(place);
  if (file !== '' && offset !== null) return { file, place: offset };
  // What begins with a digit is a number gone wrong, and no label.
  if (file !== '' && /^[A-Za-z_][\w.-]{0,15}$/.test(place)) return { file, place };
  throw new AiotError('AIOT_USAGE', `expected FILE@OFFSET such as app.bin@0x10000, got "${text}"`, {
    next: 'An offset is a number (0x10000, 65536, 64K), or the label of a partition: app.bin@ota_0',
  });
}

/** The offset that a place is at on this chip with this table. @throws AIOT_USAGE for a label that is not in the table */
export function resolvePlace(place: number | string, chip: ChipName, known: KnownTable | null): number {
  if (typeof place === 'number') return place;
  if (place === 'bootloader') return espChips[chip].bootloaderOffset;
  if (place === 'partition-table') return partitionTableOffset;
  const found = known?.table.partitions.find(({ label }) => label === place);
  if (found) return found.offset;
  const labels = known?.table.partitions.map(({ label }) => label).join(', ');
  throw new AiotError('AIOT_USAGE', `there is no partition ${place}`, {
    next: labels
      ? `The table has ${labels}.`
      : 'The board has no partition table: write one too (table.bin@0x8000), or give an offset.',
  });
}

/** 65536 → `0x10000` */
export function hex(offset: number): string {
  return `0x${offset.toString(16)}`;
}

/** The start of the sector that holds this offset. */
export function sectorOf(offset: number): number {
  return offset - (offset % sectorBytes);
}
