import { type FileHandle, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppendLog, writeAll } from '../../core/append-log.js';
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
  /** Folder; created if missing. */
  path: string;
  /** Maximum size on disk, bytes. */
  limit: number;
  /**
   * Action at the limit: appending waits, or the spool's oldest file is deleted and its messages are counted in
   * `dropped`.
   */
  full: 'wait' | 'drop-oldest';
}

interface Chunk {
  messages: OutgoingMessage[];
  /** Position at which the next chunk begins. */
  segment: number;
  offset: number;
}

/** A queue of messages on disk, for an unreachable destination. Only one process may use it at a time. */
export interface Spool {
  /** Number of messages that are not committed yet. */
  readonly messages: number;
  /** Total size of the files, bytes. */
  readonly bytes: number;
  readonly dropped: number;
  /** Number of damaged parts; their data is in files named *.damaged. */
  readonly damaged: number;
  /**
   * Reason why the reader's position cannot be written, for example because the disk is full. Reading continues, but
   * after a crash, more messages would be resent.
   */
  readonly trouble: string | undefined;
  /**
   * Resolves once all messages are on disk. If the promise rejects, none of them are.
   * @throws the signal's reason, AIOT_DISK_FULL, AIOT_FILE_NOT_WRITABLE
   */
  append(messages: readonly OutgoingMessage[], signal?: AbortSignal): Promise<void>;
  /** Returns the next messages. Returns the same messages until `commit` is called, and none if all are committed. */
  read(limit: number, byteLimit: number): Promise<Chunk>;
  /** Marks a chunk as delivered. After a crash, the messages committed in the last 200 ms are reread. */
  commit(chunk: Chunk): Promise<void>;
  close(): Promise<void>;
}

const largestSegment = 8 * 1024 * 1024;

/** Interval at which the reader's position is written, ms. */
const cursorMs = 200;

/** @throws AIOT_SPOOL_BUSY, AIOT_FILE_NOT_WRITABLE */
export async function openSpool({ path, limit, full }: SpoolOptions): Promise<Spool> {
  const release = await takeLock(join(path, '.lock'));
  if (!release) {
    throw new AiotError('AIOT_SPOOL_BUSY', `another process is using the spool ${path}`, {
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
  let writing: { segment: Segment; log: AppendLog } | undefined;
  let nextId = Math.max(cursor.segment, segments.at(-1)?.id ?? 0) + 1;
  let dropped = 0;
  let cursorWritten = 0;
  let trouble: string | undefined;
  let room: (() => void)[] = [];
  if (segments[0] && segments[0].id !== cursor.segment)
    cursor = { segment: segments[0].id, offset: 0, read: 0 };

  /**
   * Resolves when the last operation ends. Operations run one at a time, so that no file is removed while messages are
   * appended to it.
   */
  let last: Promise<unknown> = Promise.resolve();
  const exclusive = <T>(task: () => Promise<T>): Promise<T> => {
    const run = last.then(task);
    last = run.catch(() => {});
    return run;
  };
  const bytesNow = () => segments.reduce((sum, { bytes }) => sum + bytes, 0);
  let messages = segments.reduce((sum, { count }) => sum + count, 0) - cursor.read;

  /** Removes the oldest file; the reader continues with the next. */
  async function removeFirst(): Promise<void> {
    const first = segments.shift();
    if (!first) return;
    if (writing?.segment === first) {
      await writing.log.file.close();
      writing = undefined;
    }
    cursor = { segment: segments[0]?.id ?? nextId, offset: 0, read: 0 };
    // The cursor is written before the file is deleted, so that it never refers to a deleted file, whose number may be
    // reused. If the write fails because the disk is full, it is retried after the deletion, which frees space.
    await writeCursor();
    await rm(first.file, { force: true });
    if (trouble !== undefined) await writeCursor();
    for (const resolve of room) resolve();
    room = [];
  }

  /**
   * Writes the reader's position. A failure is only recorded, because sending must continue so that room is made on a
   * full disk. Some delivered messages may then be resent.
   */
  async function writeCursor(): Promise<void> {
    cursorWritten = performance.now();
    try {
      await writeJsonAtomic(cursorFile(path), cursor);
      trouble = undefined;
    } catch (error) {
      trouble = error instanceof Error ? error.message : String(error);
    }
  }

  async function startSegment(): Promise<{ segment: Segment; log: AppendLog }> {
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
    writing = { segment, log: new AppendLog(file, magic.length) };
    return writing;
  }

  async function seal(): Promise<void> {
    if (!writing) return;
    const { segment, log } = writing;
    writing = undefined;
    await log.file.close();
    Object.assign(segment, await closeSegment(path, segment));
  }

  /** Whether there is room. With `drop-oldest`, deletes the oldest files to make room. */
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

  /** Appends records. Returns undefined once they are on disk, or a promise to wait for if there is no room. */
  async function tryAppend(bytes: Buffer, count: number): Promise<{ room: Promise<void> } | undefined> {
    if (writing && writing.segment.bytes >= segmentBytes) await seal();
    if (!(await hasRoom(bytes.length))) return { room: new Promise((resolve) => room.push(resolve)) };
    const { segment, log } = writing ?? (await startSegment());
    await log.append(bytes);
    segment.bytes = log.end;
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
    // The chunk's file may have been deleted in the meantime to make room.
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

/** Number of bytes read at a time. */
const readBytes = 1024 * 1024;

/** Result of reading records from one file, starting at a position. */
interface Read {
  messages: OutgoingMessage[];
  /** Position of the next record. */
  offset: number;
  /** Whether the rest of the file is unreadable, and was set aside as FILE.damaged. */
  damaged: boolean;
}

/**
 * Reads up to `limit` complete records with about `byteLimit` bytes of payload, but at least one record if there is any.
 * @param end the end of the data that is safely on disk
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
        // If fewer bytes than requested were read, the file is truncated, so reading again would not help.
        if (bytes.length >= read.needed) continue;
      }
      if (offset >= end || messages.length > 0) break;
      // If a full disk has no room for a copy of the data, the whole file is renamed.
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
  /** Number of undelivered messages. */
  messages: number;
  bytes: number;
  /** Time of the last write, ms since 1970. */
  last?: number;
  /** Number of files set aside as damaged. */
  damaged: number;
}

/** Describes the contents of a spool without disturbing its users; undefined if there is no spool. */
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
    // The file may have been deleted in the meantime.
    const found = await stat(join(path, name)).catch(() => undefined);
    if (!found) continue;
    state.bytes += found.size;
    const inFile = count === undefined ? await countRecords(join(path, name)) : Number(count);
    state.messages += inFile - (Number(id) === cursor.segment ? cursor.read : 0);
    state.last = Math.max(state.last ?? 0, found.mtimeMs);
  }
  return state;
}

/**
 * Counts the records in a file that is still being written, because the file's name does not contain the number yet.
 */
async function countRecords(file: string): Promise<number> {
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  let count = 0;
  for (let offset = magic.length; ; count++) {
    const read = decodeRecord(bytes, offset);
    if (read.kind !== 'record') return count;
    offset += read.bytes;
  }
}
