import type { Loader } from '../loader/types.js';
import { readBoardTable } from '../plan/table.js';
import { nvsValue, readIdentityNvs } from './nvs-on-board.js';

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
