import { stat } from 'node:fs/promises';
import type { Finding } from '../verify/finding.js';
import { brokenLines, type DamagedRange, findingsOf, salvaged, Tallies, type Tally } from './lost.js';
import { placeOf, type SegmentFile, scanSegment, segmentPath } from './segments.js';

export interface DamagedSegment {
  file: SegmentFile;
  ranges: DamagedRange[];
  /** Lines that are damaged; not those that are missing. */
  lines: number;
  problem: string;
}

/** All of a segment that cannot be read. @param bytes that it had */
export async function damagedRanges(
  folder: string,
  file: SegmentFile,
  bytes: number,
): Promise<DamagedSegment> {
  const size = (await stat(segmentPath(folder, file)).catch(() => null))?.size ?? null;
  const ranges: DamagedRange[] = [];
  if (size !== null)
    await scanSegment(
      folder,
      file,
      0,
      () => {},
      false,
      (range) => ranges.push(range),
    );
  const lines = ranges.length;
  const short = size === null || size < bytes;
  if (short) ranges.push({ from: size ?? 0, to: Infinity, bytes: Buffer.alloc(0) });
  const problem = size === null ? 'is gone' : short ? 'is shorter than it was' : brokenLines;
  return { file, ranges, lines, problem };
}

/** By the index where it knows the messages; else by what is left of their lines. */
export function findingsIn(
  { file, problem }: DamagedSegment,
  { tallies, unknown }: { tallies: Tally[]; unknown: DamagedRange[] },
): Finding[] {
  const all = new Tallies([...tallies, ...unknown.flatMap(salvaged)]);
  return findingsOf(placeOf(file), problem, all.all());
}
