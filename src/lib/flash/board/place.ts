import { AiotError } from '../../core/index.js';
import { partitionTableOffset } from '../../formats/index.js';
import type { Loader } from '../loader/types.js';
import { hex, offsetOf, resolvePlace } from '../plan/place.js';
import { readBoardTable } from '../plan/table.js';

/** A part of the flash as people name it: an offset and a length, or a partition's label. */
export interface PlaceWords {
  place: string;
  /** Without it: the whole partition, or up to the flash's end. */
  length?: string | undefined;
}

/** Numbers are checked before a port is opened. @throws AIOT_USAGE */
export function checkPlace({ place, length }: PlaceWords): void {
  if (offsetOf(place) === null && !/^[A-Za-z_][\w.-]{0,15}$/.test(place)) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected an offset such as 0x10000 or a partition's label, got "${place}"`,
    );
  }
  if (length === undefined) return;
  const bytes = offsetOf(length);
  if (bytes === null || bytes === 0) {
    throw new AiotError('AIOT_USAGE', `expected a number of bytes such as 0x1000 or 64K, got "${length}"`);
  }
}

/** @throws AIOT_USAGE for a label that the board's table has not, AIOT_FLASH_READ where the flash tells no size */
export async function findPlace(
  loader: Loader,
  { place, length }: PlaceWords,
): Promise<{ offset: number; length: number }> {
  const given = length === undefined ? null : offsetOf(length);
  const number = offsetOf(place);
  if (number !== null) return { offset: number, length: given ?? upToEnd(loader, number) };
  if (place === 'bootloader') {
    const { chip } = loader.chip;
    const offset = resolvePlace(place, chip, null);
    return { offset, length: given ?? partitionTableOffset - offset };
  }
  if (place === 'partition-table') return { offset: partitionTableOffset, length: given ?? 0x1000 };
  const table = await readBoardTable(loader);
  const offset = resolvePlace(place, loader.chip.chip, table && { table, from: 'board' });
  const size = table?.partitions.find(({ label }) => label === place)?.size ?? 0;
  if (given !== null && given > size) {
    throw new AiotError('AIOT_USAGE', `partition ${place} has ${hex(size)} bytes, fewer than ${hex(given)}`);
  }
  return { offset, length: given ?? size };
}

function upToEnd({ chip }: Loader, offset: number): number {
  const { bytes } = chip.flash;
  if (bytes === null) {
    throw new AiotError('AIOT_FLASH_READ', 'the flash does not tell its size', {
      next: 'Give a length too: aiot flash read 0x0 4M',
    });
  }
  if (offset < bytes) return bytes - offset;
  throw new AiotError('AIOT_USAGE', `${hex(offset)} is past the flash's end at ${hex(bytes)}`);
}
