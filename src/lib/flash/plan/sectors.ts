import { AiotError } from '../../core/errors.js';
import { sectorBytes } from '../../formats/partitions.js';
import type { Region } from '../loader/types.js';
import { hex, sectorOf } from './place.js';

/** What is written in one go: whole regions, with what lies between them in a sector they share. */
export interface Stretch extends Region {
  /** The regions in it. */
  parts: Region[];
}

/**
 * Regions sorted and joined where they share a sector: the second one's erase would take the end of the first.
 * @throws AIOT_USAGE for regions that overlap or hold nothing
 */
export function joinSectors(regions: readonly Region[]): Stretch[] {
  const sorted = [...regions].sort((a, b) => a.offset - b.offset);
  const stretches: Stretch[] = [];
  for (const region of sorted) {
    if (region.data.length === 0) throw new AiotError('AIOT_USAGE', `${region.name} is empty`);
    const last = stretches.at(-1);
    if (last && sectorOf(last.offset + last.data.length - 1) >= sectorOf(region.offset)) {
      join(last, region);
    } else {
      stretches.push({ ...region, parts: [region] });
    }
  }
  return stretches;
}

function join(last: Stretch, region: Region): void {
  const end = last.offset + last.data.length;
  if (end > region.offset) {
    const where = `${last.name} ends at ${hex(end)} and ${region.name} begins at ${hex(region.offset)}`;
    throw new AiotError('AIOT_USAGE', `two regions overlap: ${where}`);
  }
  const data = new Uint8Array(region.offset - last.offset + region.data.length).fill(0xff);
  data.set(last.data);
  data.set(region.data, region.offset - last.offset);
  last.data = data;
  last.parts.push(region);
  last.name = `${last.name} + ${region.name}`;
}

/**
 * What of a region differs from what the flash holds, in runs of whole 4 KiB sectors of the flash, cut to the region.
 * What lies past the old bytes counts as changed: nobody knows what is there.
 */
export function changedSectors(region: Region, old: Uint8Array): Region[] {
  const { offset, data, name } = region;
  const runs: Region[] = [];
  let from = offset;
  while (from < offset + data.length) {
    const to = Math.min(sectorOf(from) + sectorBytes, offset + data.length);
    const [at, end] = [from - offset, to - offset];
    if (!sameBytes(data.subarray(at, end), old.subarray(at, end))) {
      const last = runs.at(-1);
      if (last && last.offset + last.data.length === from) {
        last.data = data.subarray(last.offset - offset, end);
      } else {
        runs.push({ offset: from, data: data.subarray(at, end), name });
      }
    }
    from = to;
  }
  return runs;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
