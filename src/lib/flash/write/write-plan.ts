import { AiotError } from '../../core/index.js';
import type { Loader, Region } from '../loader/types.js';
import { hex } from '../plan/place.js';
import { joinSectors, type Stretch } from '../plan/sectors.js';
import { writeChanged } from './changed.js';
import { md5Of } from './md5.js';
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
  if (verify) await compare(loader, regions);
  return regions.map((region) => written.get(region)!);
}

async function writeWhole(
  loader: Loader,
  stretches: readonly Stretch[],
  erased: boolean,
): Promise<[Region, WrittenRegion][]> {
  if (stretches.length === 0) return [];
  const headed: Region[] = [];
  for (const stretch of stretches) headed.push(await withHead(loader, stretch, erased));
  const results = await loader.write(headed, { skipEqual: !erased });
  const written: [Region, WrittenRegion][] = [];
  for (const [i, { skipped, md5 }] of results.entries()) {
    const { parts, head } = stretches[i]!;
    for (const part of parts) {
      const { name, offset, data } = part;
      const bytes = data.length;
      const digest = parts.length === 1 && head === 0 ? md5 : await loader.md5(offset, bytes);
      written.push([part, { name, offset, bytes, skipped, written: skipped ? 0 : bytes, md5: digest }]);
    }
  }
  return written;
}

/** With what stands before it in its sector, since the erase takes that too. */
export async function withHead(loader: Loader, stretch: Stretch, erased: boolean): Promise<Region> {
  const { head, offset, data, name } = stretch;
  if (head === 0) return { offset, data, name };
  const start = offset - head;
  const before = erased ? new Uint8Array(head).fill(0xff) : await loader.read(start, head);
  return { offset: start, data: Buffer.concat([before, data]), name };
}

async function compare(loader: Loader, regions: readonly Region[]): Promise<void> {
  for (const { name, offset, data } of regions) {
    const [found, expected] = [await loader.md5(offset, data.length), md5Of(data)];
    if (found === expected) continue;
    const where = `${name} at ${hex(offset)}, ${data.length} bytes`;
    throw new AiotError('AIOT_FLASH_VERIFY', `${where}: the flash has MD5 ${found}, the file ${expected}`);
  }
}
