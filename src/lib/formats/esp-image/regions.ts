import { AiotError } from '../../core/errors.js';
import { hex } from '../image-errors.js';

/** Bytes for a place in flash (or memory). */
export interface ByteRegion {
  offset: number;
  data: Uint8Array;
}

/** By offset, regions that touch joined into one. They must not overlap (`firstOverlap`). */
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

/** Two regions that want the same byte, the one that begins later second; null when there are none. */
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
  /** Bytes of the whole flash: the file is filled with 0xFF up to its end. */
  flashBytes?: number;
}

/** Most that esp_flash addresses: 128 MiB (image header, size 7). */
const largestFlash = 0x800_0000;

/**
 * One file of several regions, for one write at `start`: what lies between them is 0xFF, as in erased flash.
 * @throws AIOT_USAGE: they overlap, one begins before `start`, or one passes the end of the flash, or of any
 */
export function mergeImages(
  regions: readonly (ByteRegion & { name?: string })[],
  options: MergeOptions = {},
): Uint8Array {
  const { start = 0, flashBytes } = options;
  refuseOverlaps(regions);
  const [first] = regions.toSorted((a, b) => a.offset - b.offset);
  if (first === undefined) throw new AiotError('AIOT_USAGE', 'there is nothing to merge');
  if (first.offset < start) {
    throw new AiotError('AIOT_USAGE', `${nameOf(first)} begins before the file does, at ${hex(start)}`);
  }
  const end = Math.max(...regions.map(({ offset, data }) => offset + data.length));
  if (flashBytes !== undefined && end > flashBytes) {
    const last = regions.find(({ offset, data }) => offset + data.length === end) ?? first;
    throw new AiotError('AIOT_USAGE', `${nameOf(last)} ends at ${hex(end)}, the flash at ${hex(flashBytes)}`);
  }
  if (end > largestFlash) {
    const last = regions.find(({ offset, data }) => offset + data.length === end) ?? first;
    throw new AiotError(
      'AIOT_USAGE',
      `${nameOf(last)} ends at ${hex(end)}, the largest flash at ${hex(largestFlash)}`,
    );
  }
  const merged = new Uint8Array(Math.max(end, flashBytes ?? 0) - start).fill(0xff);
  for (const { offset, data } of regions) merged.set(data, offset - start);
  return merged;
}

/** @throws AIOT_USAGE naming the two */
export function refuseOverlaps(regions: readonly (ByteRegion & { name?: string })[]): void {
  const overlap = firstOverlap(regions);
  if (overlap === null) return;
  const [first, second] = overlap;
  const end = hex(first.offset + first.data.length);
  throw new AiotError('AIOT_USAGE', `${nameOf(first)} reaches up to ${end} and into ${nameOf(second)}`, {
    next: `Leave one of them out, or place the second at ${hex(alignedUp(first.offset + first.data.length))} or later.`,
  });
}

/** Flash is erased by sectors of 4096 bytes. */
const alignedUp = (offset: number) => Math.ceil(offset / 0x1000) * 0x1000;

function nameOf({ name, offset }: ByteRegion & { name?: string }): string {
  return name === undefined ? `the region at ${hex(offset)}` : `${name} at ${hex(offset)}`;
}
