import { partitionTableOffset } from '../../formats/index.js';
import type { Loader } from '../loader/types.js';
import { readBoardTable, tableInForce } from '../plan/table.js';
import type { LeftBehind, Piece } from '../plan/types.js';
import { dataPartition, nvsValue, readIdentityNvs } from './nvs-on-board.js';

/**
 * Name of the device whose identity a board has in its NVS; null where it has none, or one that cannot be read from here
 * (encrypted flash, secure download).
 */
export async function heldDevice(loader: Pick<Loader, 'chip' | 'read' | 'stub'>): Promise<string | null> {
  if (loader.chip.security.secureDownload) return null;
  const table = await readBoardTable(loader);
  const nvs = table && (await readIdentityNvs(loader, table));
  return nvs && nvsValue(nvs, 'string', 'aiot', 'name');
}

/**
 * The identity that a board would no longer find: its NVS is at one offset, and the table that is written puts NVS at
 * another. null where no table is written, or NVS stays where it is, or is written as well.
 */
export async function leftBehind(
  loader: Pick<Loader, 'chip' | 'read' | 'stub'>,
  pieces: readonly Piece[],
): Promise<LeftBehind | null> {
  if (loader.chip.security.secureDownload) return null;
  const placed = pieces.flatMap(({ name, data, place }) => {
    const offset = place === 'partition-table' ? partitionTableOffset : place;
    return typeof offset === 'number' ? [{ name, data, offset }] : [];
  });
  const { known } = tableInForce(placed, null, null);
  const before = known && (await readBoardTable(loader));
  const from = before && dataPartition(before, 'nvs');
  if (!known || !before || !from) return null;
  const to = dataPartition(known.table, 'nvs');
  if (to?.offset === from.offset && to.size >= from.size) return null;
  if (to && pieces.some(({ place }) => place === to.offset || place === to.label)) return null;
  const nvs = await readIdentityNvs(loader, before);
  const device = nvs && nvsValue(nvs, 'string', 'aiot', 'name');
  return device === null ? null : { device, from, to: to ?? null };
}
