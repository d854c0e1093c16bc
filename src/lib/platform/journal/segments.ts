import { type FileHandle, mkdir, open, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../core/errors.js';
import { type Entry, isEntry, type JournalRecord, type Place, parseLine } from './entry.js';
import type { Spot } from './index/rows.js';
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

/** Bytes that one read takes at most, and what may lie between two lines that are read at once. */
const blockBytes = 256 * 1024;

const gapBytes = 16 * 1024;

/**
 * The entries at these spots of one segment, in the order given; neighbours are read together. Lines that are damaged are
 * told of and passed over.
 */
export async function* entriesAt(
  path: string,
  spots: readonly Spot[],
  checked: boolean,
  damaged: (spot: Spot) => void,
): AsyncGenerator<Entry> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    return null;
  });
  if (!file) {
    for (const spot of spots) damaged(spot);
    return;
  }
  try {
    for (const { from, to, some } of blocksOf(spots)) {
      const bytes = await readBlock(file, from, to - from);
      for (const spot of some) {
        const { offset, length } = spot;
        const record = parseLine(bytes.subarray(offset - from, offset - from + length), checked);
        if (record && isEntry(record)) yield record;
        else damaged(spot);
      }
    }
  } finally {
    await file.close();
  }
}

function* blocksOf(spots: readonly Spot[]) {
  let block: { from: number; to: number; some: Spot[] } | undefined;
  for (const spot of spots) {
    const to = spot.offset + spot.length;
    const near = block && spot.offset >= block.to && spot.offset - block.to <= gapBytes;
    if (block && near && to - block.from <= blockBytes) {
      block.to = to;
      block.some.push(spot);
    } else {
      if (block) yield block;
      block = { from: spot.offset, to, some: [spot] };
    }
  }
  if (block) yield block;
}

async function readBlock(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, from + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes;
}
