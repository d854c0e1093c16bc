import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { isEntry, parseLine } from './entry.js';
import type { SegmentState } from './index/segment-rows.js';
import { type Position, type SegmentFile, segmentPath } from './segments.js';
import type { JournalReader, PlacedEntry } from './telemetry.js';

/** What a reader needs to know of the journal's files. */
interface FollowedJournal {
  folder: string;
  /** Behind what is durable: nothing is read beyond. */
  end(): Position;
  segments(): SegmentState[];
  fileOf(segment: number): SegmentFile;
  /** Files stay while it is held; what is returned lets go of them. */
  lease(): () => void;
  /** A damaged line was met in this segment: it is passed over. */
  damaged?(segment: number): void;
}

/** Where a reader stands: behind a line, whose checksum finds it again when the segment was written anew. */
interface Stand extends Position {
  generation: number;
  mark: string;
}

const blockBytes = 512 * 1024;
/** How soon what is new is seen, ms. */
const lookEveryMs = 100;

/** Reads the journal's files in the order in which they were written, and goes on with what is appended. */
export function followJournal(journal: FollowedJournal): JournalReader {
  return {
    async end() {
      const { segment, offset } = journal.end();
      // No line has this checksum: where the segment is written anew, it is read from its beginning.
      return textOf({ segment, offset, generation: journal.fileOf(segment).generation, mark: '00000000' });
    },
    async *from(position, signal) {
      let stand = standOf(position) ?? { ...firstOf(journal), generation: -1, mark: '' };
      while (!signal.aborted) {
        const end = journal.end();
        const there = journal.segments().find(({ segment }) => segment === stand.segment);
        const isOpen = stand.segment >= end.segment;
        const gone = !isOpen && (there === undefined || there.generation < 0);
        const file = journal.fileOf(stand.segment);
        if (!gone && file.generation !== stand.generation) stand = await foundAgain(journal, stand, file);
        const limit = isOpen ? end.offset : gone ? 0 : (there?.bytes ?? 0);
        if (stand.offset < limit) {
          const { batch, next } = await readOn(journal, file, stand, limit);
          stand = next;
          if (batch.length > 0) yield batch;
        } else if (isOpen) await delay(lookEveryMs, undefined, { signal }).catch(() => {});
        else stand = { ...following(journal, stand.segment), generation: -1, mark: '' };
      }
    },
  };
}

function standOf(position: string | null): Stand | null {
  const [, segment, generation, offset, mark = ''] =
    /^(\d+):(\d+):(\d+):([0-9a-f]{8})$/.exec(position ?? '') ?? [];
  if (segment === undefined) return null;
  return { segment: Number(segment), generation: Number(generation), offset: Number(offset), mark };
}

function textOf({ segment, generation, offset, mark }: Stand): string {
  return `${segment}:${generation}:${offset}:${mark}`;
}

function firstOf(journal: FollowedJournal): Position {
  return following(journal, 0);
}

/** The beginning of the next segment that is there. */
function following(journal: FollowedJournal, behind: number): Position {
  const next = journal.segments().find(({ segment, generation }) => segment > behind && generation >= 0);
  return { segment: next?.segment ?? journal.end().segment, offset: 0 };
}

/**
 * The same place in another generation of the segment's file: behind the line that was read last. Where that was removed, the
 * segment's beginning: what is left of it is read twice, and nothing is left out.
 */
async function foundAgain(journal: FollowedJournal, stand: Stand, file: SegmentFile): Promise<Stand> {
  const begin = { ...stand, generation: file.generation, offset: 0 };
  if (stand.mark === '') return begin;
  const release = journal.lease();
  try {
    const handle = await open(segmentPath(journal.folder, file), 'r');
    try {
      for (let offset = 0; ; ) {
        const { lines, length } = await linesAt(handle, offset, Number.POSITIVE_INFINITY);
        if (length === 0) return begin;
        const line = lines.find(({ bytes }) => markOf(bytes, file.checked) === stand.mark);
        if (line) return { ...begin, offset: offset + line.end };
        offset += length;
      }
    } finally {
      await handle.close();
    }
  } finally {
    release();
  }
}

async function readOn(
  journal: FollowedJournal,
  file: SegmentFile,
  stand: Stand,
  limit: number,
): Promise<{ batch: PlacedEntry[]; next: Stand }> {
  const release = journal.lease();
  try {
    const handle = await open(segmentPath(journal.folder, file), 'r');
    try {
      const { lines, length } = await linesAt(handle, stand.offset, limit - stand.offset);
      const batch: PlacedEntry[] = [];
      // A rest without a newline is what nobody was told of: it is passed over.
      let next = { ...stand, offset: length === 0 ? limit : stand.offset + length };
      for (const { bytes, end } of lines) {
        const record = parseLine(bytes, file.checked);
        if (!record) journal.damaged?.(stand.segment);
        if (!record || !isEntry(record)) continue;
        const behind = { ...stand, offset: stand.offset + end, mark: markOf(bytes, file.checked) };
        next = { ...next, mark: behind.mark };
        if (!record.repeat) batch.push({ entry: record, position: textOf(behind) });
      }
      return { batch, next };
    } finally {
      await handle.close();
    }
  } finally {
    release();
  }
}

interface ReadLine {
  bytes: Buffer;
  /** Offset behind its newline, from where the block begins. */
  end: number;
}

/** Whole lines of a block, which grows where not even one fits. `length`: bytes of these lines; 0 = there is none. */
async function linesAt(
  file: FileHandle,
  from: number,
  most: number,
): Promise<{ lines: ReadLine[]; length: number }> {
  for (let size = Math.min(blockBytes, most); ; size = Math.min(size * 2, most)) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size), 0, size, from);
    const block = buffer.subarray(0, bytesRead);
    const lines: ReadLine[] = [];
    let start = 0;
    for (let newline = block.indexOf(10); newline >= 0; newline = block.indexOf(10, start)) {
      lines.push({ bytes: block.subarray(start, newline), end: newline + 1 });
      start = newline + 1;
    }
    if (lines.length > 0 || bytesRead < size || size >= most) return { lines, length: start };
  }
}

/** The checksum that the line bears, or one that is made of it. */
function markOf(line: Buffer, checked: boolean): string {
  return checked ? line.toString('latin1', 0, 8) : crc32(line).toString(16).padStart(8, '0');
}
