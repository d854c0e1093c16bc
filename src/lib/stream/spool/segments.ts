import { open, readdir, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder, systemCode } from '../../core/index.js';
import { decodeRecord } from './record.js';

/** First bytes of a spool's file. */
export const magic = Buffer.from('AIOTSPL1');

/** One file of a spool. */
export interface Segment {
  id: number;
  file: string;
  /** Messages in it. */
  count: number;
  /** Its size. */
  bytes: number;
}

/** `000000000001.spool` while it is written, `000000000001-250.spool` (its messages) when it is whole. */
export function segmentName(id: number, count?: number): string {
  return `${String(id).padStart(12, '0')}${count === undefined ? '' : `-${count}`}.spool`;
}

/**
 * The files in a spool's folder, oldest first. What a crash left of a file that was being written is checked, cut behind its last whole record (what
 * follows was never acknowledged), and closed.
 */
export async function findSegments(folder: string): Promise<{ segments: Segment[]; damaged: number }> {
  const segments: Segment[] = [];
  let damaged = 0;
  for (const name of (await readdir(folder)).sort()) {
    const [, id, count] = /^(\d{12})(?:-(\d+))?\.spool$/.exec(name) ?? [];
    if (id === undefined) continue;
    const file = join(folder, name);
    if (count !== undefined) {
      segments.push({ id: Number(id), file, count: Number(count), bytes: (await stat(file)).size });
      continue;
    }
    const recovered = await recover(folder, file, Number(id));
    damaged += recovered.damaged;
    if (recovered.segment) segments.push(recovered.segment);
  }
  return { segments, damaged };
}

async function recover(
  folder: string,
  file: string,
  id: number,
): Promise<{ segment?: Segment; damaged: number }> {
  const bytes = await readFile(file);
  let offset = magic.length;
  let count = 0;
  let damaged = 0;
  for (;;) {
    const read = decodeRecord(bytes, offset);
    if (read.kind === 'record') {
      offset += read.bytes;
      count++;
      continue;
    }
    // A whole record after it: that is damage and no torn end, so the bytes are kept for whoever wants to look.
    if (read.kind === 'damaged' && decodeRecord(bytes, offset + read.bytes).kind === 'record') {
      damaged = 1;
      await setAside(file, bytes.subarray(offset));
    }
    break;
  }
  if (count === 0) {
    await rm(file, { force: true });
    return { damaged };
  }
  await truncate(file, offset);
  return { segment: await closeSegment(folder, { id, file, count, bytes: offset }), damaged };
}

/** Gives a file that is whole the name that says how many messages it has. */
export async function closeSegment(folder: string, segment: Segment): Promise<Segment> {
  const file = join(folder, segmentName(segment.id, segment.count));
  await rename(segment.file, file);
  await syncFolder(folder);
  return { ...segment, file };
}

/** Keeps what cannot be read as FILE.damaged. */
export async function setAside(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(`${file}.damaged`, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Where the reader stands: everything before it has arrived. */
export interface Cursor {
  segment: number;
  offset: number;
  /** Messages of that segment before it. */
  read: number;
}

export const cursorFile = (folder: string) => join(folder, 'cursor.json');

/** A cursor that is missing or cannot be read stands at the beginning: that sends again and loses nothing. */
export async function readCursor(folder: string): Promise<Cursor> {
  try {
    const { segment, offset, read } = JSON.parse(await readFile(cursorFile(folder), 'utf8')) as Cursor;
    if ([segment, offset, read].every(Number.isSafeInteger)) return { segment, offset, read };
  } catch (error) {
    if (!(error instanceof SyntaxError) && systemCode(error) !== 'ENOENT') throw error;
  }
  return { segment: 0, offset: 0, read: 0 };
}
