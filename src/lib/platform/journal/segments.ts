import { mkdir, open, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { JournalRecord, Place } from './entry.js';
import { parseLine } from './line.js';
import type { DamagedRange } from './lost.js';

/** Where the next line of the journal goes, or the next one that is read. */
export interface Position {
  segment: number;
  offset: number;
}

/** A segment's file. Removing recordings writes it anew, with the next generation. */
export interface SegmentFile {
  segment: number;
  generation: number;
  /** False: of a journal of version 1, whose lines have no checksums. */
  checked: boolean;
}

/** `00000012.log`, `00000012.3.log` after three removals; `00000012.ndjson` as version 1 wrote it. */
export function segmentPath(folder: string, { segment, generation, checked }: SegmentFile): string {
  const number = String(segment).padStart(8, '0');
  if (!checked) return join(folder, `${number}.ndjson`);
  return join(folder, `${number}${generation === 0 ? '' : `.${generation}`}.log`);
}

/** A segment's file as findings name it. */
export function placeOf(file: SegmentFile): string {
  return segmentPath('journal', file);
}

/** The segments that are there, rising; of one with several generations all, the newest last. Makes the folder. */
export async function listSegments(folder: string): Promise<SegmentFile[]> {
  await mkdir(folder, { recursive: true });
  const files: SegmentFile[] = [];
  for (const name of await readdir(folder)) {
    const [, number, generation = '0', kind] = /^(\d{8})(?:\.(\d{1,9}))?\.(log|ndjson)$/.exec(name) ?? [];
    if (number === undefined) continue;
    files.push({
      segment: Number.parseInt(number, 10),
      generation: Number.parseInt(generation, 10),
      checked: kind === 'log',
    });
  }
  const rank = ({ generation, checked }: SegmentFile) => (checked ? generation + 1 : 0);
  return files.sort((a, b) => a.segment - b.segment || rank(a) - rank(b));
}

/**
 * Reads a segment from an offset on and hands each record over with its place. A last line without its newline was being
 * written when the process was killed, so nobody was told that it is stored: it is cut off where `cut` says so. Lines that
 * are damaged are counted and passed over; `broken` gets each of them.
 */
export async function scanSegment(
  folder: string,
  file: SegmentFile,
  from: number,
  take: (record: JournalRecord, place: Place) => void | Promise<void>,
  cut = true,
  broken: (range: DamagedRange) => void = () => {},
  path = segmentPath(folder, file),
): Promise<{ end: number; damaged: number }> {
  let offset = from;
  let damaged = 0;
  for await (const line of linesFrom(path, from)) {
    const record = parseLine(line, file.checked);
    if (record) {
      const taken = take(record, { segment: file.segment, offset, length: line.length });
      if (taken !== undefined) await taken;
    } else {
      damaged++;
      broken({ from: offset, to: offset + line.length, bytes: Buffer.from(line.subarray(0, mostSalvaged)) });
    }
    offset += line.length + 1;
  }
  if (cut && (await stat(path)).size > offset) await truncate(path, offset);
  return { end: offset, damaged };
}

/** Bytes of a damaged line that are examined: a segment without any newline is one line. */
const mostSalvaged = 1 << 20;

/** Whole lines only, without their newline. */
async function* linesFrom(path: string, offset: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of file.createReadStream({ start: offset, highWaterMark: 1 << 20 })) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10, start)) {
        yield rest.subarray(start, newline);
        start = newline + 1;
      }
      rest = rest.subarray(start);
    }
  } finally {
    await file.close();
  }
}
