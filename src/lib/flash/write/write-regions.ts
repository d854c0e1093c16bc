import { AiotError } from '../../core/errors.js';
import type { Loader, Region } from '../loader/types.js';
import { md5Of } from '../md5.js';
import { hex } from '../plan/place.js';
import { changedSectors, joinSectors, type Stretch } from '../plan/sectors.js';
import type { WrittenRegion } from './result.js';

interface WriteChoices {
  /** The whole flash is erased first. */
  erase: boolean;
  /** Compare all regions again once the last one is written. */
  verify: boolean;
  /** What the board is believed to hold, by the offset of the region that replaces it. */
  old: ReadonlyMap<number, Uint8Array>;
}

/** Writes regions that a plan has let through. In the order of `regions`. @throws AIOT_FLASH_…, AIOT_SERIAL_…, AIOT_CHIP_… */
export async function writeRegions(
  loader: Loader,
  regions: readonly Region[],
  { erase, verify, old }: WriteChoices,
): Promise<WrittenRegion[]> {
  if (erase) await loader.eraseAll();
  const written = new Map<Region, WrittenRegion>();
  const whole: Stretch[] = [];
  for (const stretch of joinSectors(regions)) {
    const [only, ...more] = stretch.parts;
    const before = more.length === 0 ? old.get(stretch.offset) : undefined;
    const done = before && !erase ? await writeChanged(loader, stretch, before) : null;
    if (only && done) written.set(only, done);
    else whole.push(stretch);
  }
  for (const [region, result] of await writeWhole(loader, whole, erase)) written.set(region, result);
  // The loader has compared each as it was written: that of one region is already the last word.
  if (verify && regions.length > 1) await compare(loader, regions);
  return regions.map((region) => written.get(region)!);
}

async function writeWhole(
  loader: Loader,
  stretches: readonly Stretch[],
  erased: boolean,
): Promise<[Region, WrittenRegion][]> {
  if (stretches.length === 0) return [];
  const results = await loader.write(stretches, { skipEqual: !erased });
  return results.flatMap(({ skipped }, i) =>
    stretches[i]!.parts.map((part): [Region, WrittenRegion] => {
      const { name, offset, data } = part;
      const bytes = data.length;
      return [part, { name, offset, bytes, skipped, written: skipped ? 0 : bytes, md5: md5Of(data) }];
    }),
  );
}

/** Each region once more, after the last was written. @throws AIOT_FLASH_VERIFY */
async function compare(loader: Loader, regions: readonly Region[]): Promise<void> {
  for (const region of regions) {
    if (!(await loader.matches(region))) throw notWritten(region);
  }
}

/**
 * Writes the sectors in which a region differs from what the board holds; null when the board does not hold that, so that
 * all of it has to be written.
 * @throws AIOT_FLASH_VERIFY and what the loader throws
 */
async function writeChanged(loader: Loader, region: Region, old: Uint8Array): Promise<WrittenRegion | null> {
  const { name, offset, data } = region;
  const done = { name, offset, bytes: data.length, md5: md5Of(data) };
  if (await loader.matches(region)) return { ...done, skipped: true, written: 0 };
  if (!(await loader.matches({ ...region, data: old }))) return null;
  const runs = changedSectors(region, old);
  await loader.write(runs, { skipEqual: false });
  if (!(await loader.matches(region))) throw notWritten(region);
  return { ...done, skipped: false, written: runs.reduce((sum, run) => sum + run.data.length, 0) };
}

/** A comparison after the last write that failed. */
function notWritten({ name, offset, data }: Region): AiotError {
  const where = `${name} at ${hex(offset)}, ${data.length} bytes`;
  return new AiotError('AIOT_FLASH_VERIFY', `the flash has something else than ${where}`, {
    retryable: true,
  });
}
