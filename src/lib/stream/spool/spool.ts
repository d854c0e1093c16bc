import { type FileHandle, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { syncFolder, unwritable, writeJsonAtomic } from '../../core/files.js';
import { takeLock } from '../../core/lock.js';
import { untilAborted } from '../../core/tasks.js';
import type { OutgoingMessage } from '../message.js';
import {
  closeSegment,
  cursorFile,
  decodeRecord,
  encodeRecord,
  findSegments,
  magic,
  readCursor,
  type Segment,
  segmentName,
  setAside,
} from './segments.js';

interface SpoolOptions {
  /** Folder, made where it is missing. */
  path: string;
  /** Most bytes on disk. */
  limit: number;
  /** At the limit: appending waits, or the oldest file of the spool is thrown away and its messages are counted in `dropped`. */
  full: 'wait' | 'drop-oldest';
}

interface Chunk {
  messages: OutgoingMessage[];
  /** Where the next chunk begins. */
  segment: number;
  offset: number;
}

/** Messages on disk, first in first out: for a far side that is not there. One process at a time. */
export interface Spool {
  /** Not committed yet. */
  readonly messages: number;
  /** Total of all its files. */
  readonly bytes: number;
  readonly dropped: number;
  /** Places where records did not agree with their checksums; what stood there is in a file *.damaged. */
  readonly damaged: number;
  /** Why the place of the reader cannot be written, such as on a full disk: reading goes on, and a crash now would send more of it again. */
  readonly trouble: string | undefined;
  /** Resolves when they are on disk, all of them; otherwise none is. @throws the signal's reason, AIOT_DISK_FULL, AIOT_FILE_NOT_WRITABLE */
  append(messages: readonly OutgoingMessage[], signal?: AbortSignal): Promise<void>;
  /** The next ones, none where all are committed. Gives the same again until `commit`. */
  read(limit: number, byteLimit: number): Promise<Chunk>;
  /** They have arrived. After a crash up to 200 ms of them are read once more. */
  commit(chunk: Chunk): Promise<void>;
  close(): Promise<void>;
}

const largestSegment = 8 * 1024 * 1024;

/** How often the place of the reader is written. */
const cursorMs = 200;

/** @throws AIOT_SPOOL_BUSY, AIOT_FILE_NOT_WRITABLE */
export async function openSpool({ path, limit, full }: SpoolOptions): Promise<Spool> {
  const release = await takeLock(join(path, '.lock'));
  if (!release) {
    throw new AiotError('AIOT_SPOOL_BUSY', `another process works with the spool ${path}`, {
      endpoint: path,
    });
  }
  const found = await findSegments(path).catch((error: unknown) => {
    release();
    throw error;
  });
  const segmentBytes = Math.min(largestSegment, Math.max(Math.floor(limit / 8), 64 * 1024));
  const { segments } = found;
  let { damaged } = found;
  let cursor = await readCursor(path);
  let writing: { segment: Segment; file: FileHandle } | undefined;
  let nextId = Math.max(cursor.segment, segments.at(-1)?.id ?? 0) + 1;
  let dropped = 0;
  let cursorWritten = 0;
  let trouble: string | undefined;
  let room: (() => void)[] = [];
  if (segments[0] && segments[0].id !== cursor.segment)
    cursor = { segment: segments[0].id, offset: 0, read: 0 };

  /** One at a time: a file is not to be emptied and removed while something is appended to it. */
  let last: Promise<unknown> = Promise.resolve();
  const exclusive = <T>(task: () => Promise<T>): Promise<T> => {
    const run = last.then(task);
    last = run.catch(() => {});
    return run;
  };
  const bytesNow = () => segments.reduce((sum, { bytes }) => sum + bytes, 0);
  let messages = segments.reduce((sum, { count }) => sum + count, 0) - cursor.read;

  /** Removes the oldest file; the reader goes on with the next. */
  async function removeFirst(): Promise<void> {
    const first = segments.shift();
    if (!first) return;
    if (writing?.segment === first) {
      await writing.file.close();
      writing = undefined;
    }
    cursor = { segment: segments[0]?.id ?? nextId, offset: 0, read: 0 };
    // The cursor first: it must not stand in a file that is gone and whose number comes again. One that could not be written stands
    // further back, and numbers go on behind it.
    await writeCursor();
    await rm(first.file, { force: true });
    if (trouble !== undefined) await writeCursor();
    for (const resolve of room) resolve();
    room = [];
  }

  /** What was sent may be sent once more; that is no reason not to send, which is what makes room on a full disk. */
  async function writeCursor(): Promise<void> {
    cursorWritten = performance.now();
    try {
      await writeJsonAtomic(cursorFile(path), cursor);
      trouble = undefined;
    } catch (error) {
      trouble = error instanceof Error ? error.message : String(error);
    }
  }

  async function startSegment(): Promise<{ segment: Segment; file: FileHandle }> {
    const id = nextId++;
    const name = join(path, segmentName(id));
    const file = await open(name, 'wx', 0o600);
    try {
      await writeAll(file, magic, 0);
      await file.sync();
      await syncFolder(path);
    } catch (error) {
      await file.close();
      await rm(name, { force: true });
      throw error;
    }
    const segment: Segment = { id, file: name, count: 0, bytes: magic.length };
    if (segments.length === 0) cursor = { segment: id, offset: 0, read: 0 };
    segments.push(segment);
    writing = { segment, file };
    return writing;
  }

  async function seal(): Promise<void> {
    if (!writing) return;
    const { segment, file } = writing;
    writing = undefined;
    await file.close();
    Object.assign(segment, await closeSegment(path, segment));
  }

  /** Whether there is room now; makes it where the oldest may go. */
  async function hasRoom(wanted: number): Promise<boolean> {
    while (segments.length > 0 && bytesNow() + wanted > limit) {
      if (full === 'wait') return false;
      const lost = (segments[0]?.count ?? 0) - cursor.read;
      await removeFirst();
      dropped += lost;
      messages -= lost;
    }
    return true;
  }

  /** Undefined when they are on disk, otherwise what to wait for. */
  async function tryAppend(bytes: Buffer, count: number): Promise<{ room: Promise<void> } | undefined> {
    if (writing && writing.segment.bytes >= segmentBytes) await seal();
    if (!(await hasRoom(bytes.length))) return { room: new Promise((resolve) => room.push(resolve)) };
    const { segment, file } = writing ?? (await startSegment());
    try {
      await writeAll(file, bytes, segment.bytes);
      await file.datasync();
    } catch (error) {
      // Such as a full disk in the middle of a record.
      await file.truncate(segment.bytes).catch(() => {});
      throw error;
    }
    segment.bytes += bytes.length;
    segment.count += count;
    messages += count;
    return undefined;
  }

  async function append(all: readonly OutgoingMessage[], signal?: AbortSignal): Promise<void> {
    const bytes = Buffer.concat(all.map(encodeRecord));
    for (;;) {
      const full = await exclusive(() => tryAppend(bytes, all.length));
      if (!full) return;
      await untilAborted(full.room, signal);
    }
  }

  async function read(most: number, byteLimit: number): Promise<Chunk> {
    for (;;) {
      const [segment] = segments;
      if (!segment) return { messages: [], segment: cursor.segment, offset: cursor.offset };
      const {
        messages: found,
        offset,
        damaged: bad,
      } = await readRecords(segment, cursor.offset, segment.bytes, most, byteLimit);
      if (found.length > 0) return { messages: found, segment: segment.id, offset };
      if (bad) {
        damaged++;
        messages -= segment.count - cursor.read;
        dropped += segment.count - cursor.read;
      }
      await removeFirst();
    }
  }

  async function commit(chunk: Chunk): Promise<void> {
    // Its file may have been thrown away for want of room while it was under way.
    const [segment] = segments;
    if (!segment || segment.id !== chunk.segment) return;
    messages -= chunk.messages.length;
    cursor = { segment: chunk.segment, offset: chunk.offset, read: cursor.read + chunk.messages.length };
    if (cursor.offset >= segment.bytes) await removeFirst();
    else if (performance.now() - cursorWritten >= cursorMs) await writeCursor();
  }

  return {
    get messages() {
      return messages;
    },
    get bytes() {
      return bytesNow();
    },
    get dropped() {
      return dropped;
    },
    get damaged() {
      return damaged;
    },
    get trouble() {
      return trouble;
    },
    append: (all, signal) =>
      append(all, signal).catch((error: unknown) => {
        throw systemCode(error) === undefined || error === signal?.reason ? error : unwritable(path, error);
      }),
    read: (most, byteLimit) => exclusive(() => read(most, byteLimit)),
    commit: (chunk) => exclusive(() => commit(chunk)),
    close: () =>
      exclusive(async () => {
        try {
          await seal();
          if (segments.length > 0) await writeCursor();
        } finally {
          release();
        }
      }),
  };
}

/** A write may take less than it was given, without an error: when the disk is full it does. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

/** Bytes read at once. */
const readBytes = 1024 * 1024;

/** Records of one file, from a place in it. */
interface Read {
  messages: OutgoingMessage[];
  /** Where the next one begins. */
  offset: number;
  /** What follows cannot be read: it was set aside as FILE.damaged. */
  damaged: boolean;
}

/**
 * Up to `limit` whole records, and about `byteLimit` bytes of payload, at least one where there is one.
 * @param end of what is on disk safely
 */
async function readRecords(
  segment: Segment,
  from: number,
  end: number,
  limit: number,
  byteLimit: number,
): Promise<Read> {
  const file = await open(segment.file, 'r');
  try {
    let offset = Math.max(from, magic.length);
    const messages: OutgoingMessage[] = [];
    let bytes = await slice(file, offset, Math.min(end, offset + readBytes));
    let at = 0;
    let payload = 0;
    while (messages.length < limit && payload < byteLimit) {
      const read = decodeRecord(bytes, at);
      if (read.kind === 'record') {
        messages.push(read.message);
        payload += read.message.payload.length;
        at += read.bytes;
        offset += read.bytes;
        continue;
      }
      const more = read.kind === 'short' && offset < end;
      if (more && offset + read.needed <= end) {
        bytes = await slice(file, offset, Math.min(end, offset + Math.max(read.needed, readBytes)));
        at = 0;
        // Fewer than there should be: the file ends before its time, and asking again would give no more.
        if (bytes.length >= read.needed) continue;
      }
      if (offset >= end || messages.length > 0) break;
      // A full disk has no room for a second file, but for another name.
      await setAside(segment.file, await slice(file, offset, end)).catch(() =>
        rename(segment.file, `${segment.file}.damaged`),
      );
      return { messages, offset: end, damaged: true };
    }
    return { messages, offset, damaged: false };
  } finally {
    await file.close();
  }
}

async function slice(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, to - from));
  const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
  return bytes.subarray(0, bytesRead);
}

interface SpoolState {
  /** Waiting. */
  messages: number;
  bytes: number;
  /** When something was last written, ms since 1970. */
  last?: number;
  /** Files that were set aside. */
  damaged: number;
}

/** What is in a spool, without disturbing whoever works with it; undefined where there is none. */
export async function spoolState(path: string): Promise<SpoolState | undefined> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const cursor = await readCursor(path);
  const state: SpoolState = {
    messages: 0,
    bytes: 0,
    damaged: names.filter((name) => name.endsWith('.damaged')).length,
  };
  for (const name of names) {
    const [, id, count] = /^(\d{12})(?:-(\d+))?\.spool$/.exec(name) ?? [];
    if (id === undefined) continue;
    // It may be gone by now.
    const found = await stat(join(path, name)).catch(() => undefined);
    if (!found) continue;
    state.bytes += found.size;
    const inFile = count === undefined ? await countRecords(join(path, name)) : Number(count);
    state.messages += inFile - (Number(id) === cursor.segment ? cursor.read : 0);
    state.last = Math.max(state.last ?? 0, found.mtimeMs);
  }
  return state;
}

/** Of a file that is being written, whose name does not say it. */
async function countRecords(file: string): Promise<number> {
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  let count = 0;
  for (let offset = magic.length; ; count++) {
    const read = decodeRecord(bytes, offset);
    if (read.kind !== 'record') return count;
    offset += read.bytes;
  }
}
