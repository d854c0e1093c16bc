import type { Loader, Region } from '../loader/types.js';
import { joinSectors, type Stretch } from '../plan/sectors.js';
import { writeChanged } from './changed.js';
import { md5Of } from './md5.js';
import { notWritten } from './not-written.js';
import type { WrittenRegion } from './result.js';

export interface WriteChoices {
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
