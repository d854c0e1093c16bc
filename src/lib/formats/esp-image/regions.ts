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
