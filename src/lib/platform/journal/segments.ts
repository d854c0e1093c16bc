import { mkdir, open, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type Entry, entrySchema, type Place } from './entry.js';

export interface Position {
  segment: number;
  offset: number;
}

export function segmentFile(folder: string, segment: number): string {
  return join(folder, `${String(segment).padStart(8, '0')}.ndjson`);
}

/** Numbers of the segments that are there, rising. Makes the folder. */
export async function listSegments(folder: string): Promise<number[]> {
  await mkdir(folder, { recursive: true });
  const names = await readdir(folder);
  return names
    .filter((name) => /^\d{8}\.ndjson$/.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b);
}

/**
 * Reads the journal from a position on, hands each entry over with its place, and returns where the next line is to go.
 * A last line without its newline was being written when the process was killed, so nobody was told that it is stored:
 * it is cut off. Lines that are no entries (damage by the disk) are counted and passed over.
 */
export async function replay(
  folder: string,
  from: Position,
  take: (entry: Entry, place: Place) => void,
): Promise<Position & { damaged: number }> {
  const segments = (await listSegments(folder)).filter((segment) => segment >= from.segment);
  let end: Position = from;
  let damaged = 0;
  for (const segment of segments) {
    const path = segmentFile(folder, segment);
    let offset = segment === from.segment ? from.offset : 0;
    for await (const line of linesFrom(path, offset)) {
      const entry = parseLine(line);
      if (entry) take(entry, { segment, offset, length: line.length });
      else damaged++;
      offset += line.length + 1;
    }
    if ((await stat(path)).size > offset) await truncate(path, offset);
    end = { segment, offset };
  }
  return { ...end, damaged };
}

/** The entries at these places, in the order given. Places of one segment share one open file. */
export async function* readEntries(folder: string, places: Iterable<Place>): AsyncGenerator<Entry> {
  let current: { segment: number; file: Awaited<ReturnType<typeof open>> } | undefined;
  try {
    for (const { segment, offset, length } of places) {
      if (current?.segment !== segment) {
        await current?.file.close();
        current = { segment, file: await open(segmentFile(folder, segment), 'r') };
      }
      const bytes = Buffer.alloc(length);
      await current.file.read(bytes, 0, length, offset);
      for (const line of bytes.toString('utf8').split('\n')) {
        const entry = parseLine(Buffer.from(line));
        if (entry) yield entry;
      }
    }
  } finally {
    await current?.file.close();
  }
}

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

function parseLine(line: Buffer): Entry | null {
  try {
    const result = entrySchema.safeParse(JSON.parse(line.toString('utf8')));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}
