import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';

/** Bytes with their offset in flash (or memory). */
export interface ByteRegion {
  offset: number;
  data: Uint8Array;
}

/** Sorts regions by offset and joins adjacent regions. Regions must not overlap (see `firstOverlap`). */
export function joinRegions(regions: readonly ByteRegion[]): ByteRegion[] {
  const groups: ByteRegion[][] = [];
  let end = -1;
  for (const region of regions.toSorted((a, b) => a.offset - b.offset)) {
    if (region.data.length === 0) continue;
    if (region.offset === end) groups.at(-1)?.push(region);
    else groups.push([region]);
    end = region.offset + region.data.length;
  }
  return groups.map((group) => ({
    offset: group[0]?.offset ?? 0,
    data: group.length === 1 && group[0] ? group[0].data : Buffer.concat(group.map(({ data }) => data)),
  }));
}

/** The first two overlapping regions, in the order of their offsets; null if none overlap. */
export function firstOverlap<T extends ByteRegion>(regions: readonly T[]): [T, T] | null {
  let last: T | null = null;
  for (const region of regions.toSorted((a, b) => a.offset - b.offset)) {
    if (region.data.length === 0) continue;
    if (last !== null && region.offset < last.offset + last.data.length) return [last, region];
    if (last === null || region.offset + region.data.length > last.offset + last.data.length) last = region;
  }
  return null;
}

export interface MergeOptions {
  /** Flash offset of the file's first byte (default 0). */
  start?: number;
  /** Size of the whole flash, bytes. The file is padded with 0xFF to this size. */
  flashBytes?: number;
}

/** The chips' maximum flash size: 128 MiB (image header, size 7). */
const largestFlash = 0x800_0000;

/**
 * Merges regions into one file to be written at `start`. Gaps are filled with 0xFF, as in erased flash.
 * @throws AIOT_USAGE if there are no regions, if they overlap, or if a region begins before `start` or ends beyond the flash or the maximum
 * flash size
 */
export function mergeImages(
  regions: readonly (ByteRegion & { name?: string })[],
  options: MergeOptions = {},
): Uint8Array {
  const { start = 0, flashBytes } = options;
  refuseOverlaps(regions);
  const [first] = regions.toSorted((a, b) => a.offset - b.offset);
  if (first === undefined) throw new AiotError('AIOT_USAGE', 'there are no files to merge');
  if (first.offset < start) {
    throw new AiotError(
      'AIOT_USAGE',
      `${nameOf(first)} begins before the start of the file at ${hex(start)}`,
    );
  }
  const end = Math.max(...regions.map(({ offset, data }) => offset + data.length));
  if (flashBytes !== undefined && end > flashBytes) {
    const last = regions.find(({ offset, data }) => offset + data.length === end) ?? first;
    throw new AiotError(
      'AIOT_USAGE',
      `${nameOf(last)} ends at ${hex(end)}, but the flash ends at ${hex(flashBytes)}`,
    );
  }
  if (end > largestFlash) {
    const last = regions.find(({ offset, data }) => offset + data.length === end) ?? first;
    throw new AiotError(
      'AIOT_USAGE',
      `${nameOf(last)} ends at ${hex(end)}, but the largest flash ends at ${hex(largestFlash)}`,
    );
  }
  const merged = new Uint8Array(Math.max(end, flashBytes ?? 0) - start).fill(0xff);
  for (const { offset, data } of regions) merged.set(data, offset - start);
  return merged;
}

/** Rejects overlapping regions. @throws AIOT_USAGE with the two regions */
export function refuseOverlaps(regions: readonly (ByteRegion & { name?: string })[]): void {
  const overlap = firstOverlap(regions);
  if (overlap === null) return;
  const [first, second] = overlap;
  const end = hex(first.offset + first.data.length);
  throw new AiotError('AIOT_USAGE', `${nameOf(first)} ends at ${end} and overlaps ${nameOf(second)}`, {
    next: `Leave out one of them, or place the second at ${hex(alignedUp(first.offset + first.data.length))} or later.`,
  });
}

/** Flash is erased in sectors of 4096 bytes. */
const alignedUp = (offset: number) => Math.ceil(offset / 0x1000) * 0x1000;

function nameOf({ name, offset }: ByteRegion & { name?: string }): string {
  return name === undefined ? `the region at ${hex(offset)}` : `${name} at ${hex(offset)}`;
}
