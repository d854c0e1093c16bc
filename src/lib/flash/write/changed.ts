import type { Loader, Region } from '../loader/types.js';
import { changedSectors } from '../plan/sectors.js';
import { md5Of } from './md5.js';
import { notWritten } from './not-written.js';
import type { WrittenRegion } from './result.js';

/**
 * Writes the sectors in which a region differs from what the board holds; null when the board does not hold that, so that
 * all of it has to be written.
 * @throws AIOT_FLASH_VERIFY and what the loader throws
 */
export async function writeChanged(
  loader: Loader,
  region: Region,
  old: Uint8Array,
): Promise<WrittenRegion | null> {
  const { name, offset, data } = region;
  const done = { name, offset, bytes: data.length, md5: md5Of(data) };
  if (await loader.matches(region)) return { ...done, skipped: true, written: 0 };
  if (!(await loader.matches({ ...region, data: old }))) return null;
  const runs = changedSectors(region, old);
  await loader.write(runs, { skipEqual: false });
  if (!(await loader.matches(region))) throw notWritten(region);
  return { ...done, skipped: false, written: runs.reduce((sum, run) => sum + run.data.length, 0) };
}
