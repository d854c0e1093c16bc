import { AiotError } from '../../core/index.js';
import type { Loader } from '../loader/types.js';
import { hex } from '../plan/place.js';
import { changedSectors, type Stretch } from '../plan/sectors.js';
import { md5Of } from './md5.js';
import type { WrittenRegion } from './result.js';

/**
 * Writes the sectors in which a region differs from what the board holds; null when the board does not hold that, so that
 * all of it has to be written.
 * @throws AIOT_FLASH_VERIFY and what the loader throws
 */
export async function writeChanged(
  loader: Loader,
  stretch: Stretch,
  old: Uint8Array,
): Promise<WrittenRegion | null> {
  const { name, offset, data } = stretch;
  const wanted = md5Of(data);
  const bytes = data.length;
  if ((await loader.md5(offset, bytes)) === wanted) {
    return { name, offset, bytes, skipped: true, written: 0, md5: wanted };
  }
  if ((await loader.md5(offset, old.length)) !== md5Of(old)) return null;
  const runs = changedSectors(stretch, old);
  const first = runs[0];
  if (first?.offset === offset && stretch.head > 0) {
    const start = offset - stretch.head;
    const head = await loader.read(start, stretch.head);
    runs[0] = { ...first, offset: start, data: Buffer.concat([head, first.data]) };
  }
  await loader.write(runs, { skipEqual: false });
  const md5 = await loader.md5(offset, bytes);
  if (md5 !== wanted) {
    const where = `${name} at ${hex(offset)}, ${bytes} bytes`;
    throw new AiotError('AIOT_FLASH_VERIFY', `${where}: the flash has MD5 ${md5}, the file ${wanted}`);
  }
  const written = runs.reduce((sum, run) => sum + run.data.length, 0);
  return { name, offset, bytes, skipped: false, written, md5 };
}
