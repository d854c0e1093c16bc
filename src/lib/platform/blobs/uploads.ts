import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { largestBlob } from '../../api/contract/blobs.js';
import { dataSync, type Sync } from '../../core/append-log.js';
import { AiotError, systemCode, unless } from '../../core/errors.js';
import { readJson, removeLeftovers, syncFolder, writeJsonAtomic } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { onAbort } from '../../core/tasks.js';
import { storageError } from '../errors.js';
import { type BlobStore, hexOf } from './store.js';

/** How long until an upload without activity counts as abandoned, ms. */
export const uploadMs = 24 * 3600 * 1000;

/** Maximum number of unfinished uploads per user. */
const mostOpen = 64;

const noteSchema = z.object({
  digest: z.string(),
  bytes: z.int(),
  who: z.string(),
  /** Upload-Metadata as sent by the client. */
  metadata: z.string(),
  created: z.number(),
  done: z.boolean(),
});

type Note = z.output<typeof noteSchema>;

/** A resumable upload. */
export interface Upload extends Note {
  id: string;
  /** Number of bytes durably on disk. */
  offset: number;
  /** ms since 1970 */
  expires: number;
}

interface Parts {
  folder: string;
  blobs: BlobStore;
  now: () => number;
  sync?: Sync | undefined;
  /** Whether other processes serve the same platform. If so, another process may have started an upload. */
  shared?: boolean;
}

/**
 * Resumable uploads of blobs, which survive broken connections and restarts: `ID.part` contains the bytes received,
 * `ID.json` describes the expected blob. An offset is reported only once everything before it is synced. When two
 * clients append to one upload, the later one takes over.
 */
export class Uploads {
  private readonly writing = new Map<string, { stop: () => void; ended: Promise<unknown> }>();
  /** Complete uploads that are being stored as blobs. */
  private readonly finishing = new Map<string, Promise<Upload>>();
  /**
   * Sizes synced by this process. Bytes written by an earlier process may still be only in the operating system's
   * cache.
   */
  private readonly synced = new Map<string, number>();

  private constructor(private readonly parts: Parts) {}

  static async open(parts: Parts): Promise<Uploads> {
    await mkdir(parts.folder, { recursive: true });
    // Removes incomplete notes left by a killed process.
    await removeLeftovers(parts.folder);
    return new Uploads(parts);
  }

  /** @throws AIOT_REQUEST_INVALID (no digest), AIOT_REQUEST_TOO_LARGE, AIOT_RATE_LIMITED (too many unfinished uploads) */
  async create({
    digest,
    bytes,
    who,
    metadata,
  }: Pick<Note, 'digest' | 'bytes' | 'who' | 'metadata'>): Promise<Upload> {
    hexOf(digest);
    if (bytes > largestBlob) {
      throw new AiotError('AIOT_REQUEST_TOO_LARGE', `expected at most ${largestBlob} bytes, got ${bytes}`);
    }
    const others = (await this.list()).filter((upload) => upload.who === who && !upload.done);
    if (others.length >= mostOpen) {
      throw new AiotError('AIOT_RATE_LIMITED', `${who} has ${others.length} unfinished uploads`, {
        next: 'Finish them, or cancel them with DELETE.',
      });
    }
    const id = newId('up', this.parts.now());
    const note: Note = { digest, bytes, who, metadata, created: this.parts.now(), done: false };
    try {
      const file = await open(this.pathOf(id), 'wx');
      await file.close();
      await writeJsonAtomic(this.noteOf(id), note);
      await syncFolder(this.parts.folder);
    } catch (error) {
      throw storageError(error);
    }
    this.synced.set(id, 0);
    return this.get(id);
  }

  /**
   * If all bytes have arrived but the blob does not exist (for example, because S3 was unavailable), creates the blob now.
   * @throws AIOT_NOT_FOUND (unknown, abandoned or expired)
   */
  async get(id: string): Promise<Upload> {
    const note = await this.note(id);
    const { created } = note;
    if (note.done) return { id, ...note, offset: note.bytes, expires: created + uploadMs };
    const found = await stat(this.pathOf(id)).catch(absent);
    // The process was killed after it had stored the blob, but before it recorded that the upload was done.
    if (!found && (await this.parts.blobs.size(note.digest)) === note.bytes) {
      return this.note(id, { ...note, done: true }).then(() => this.get(id));
    }
    if (!found) throw unknown(id);
    if (found.size === note.bytes && !this.writing.has(id)) return this.finish(id, note);
    const expires = Math.max(created, found.mtimeMs) + uploadMs;
    if (expires <= this.parts.now()) throw unknown(id);
    return { id, ...note, offset: await this.durable(id, found.size), expires: Math.floor(expires) };
  }

  /**
   * Appends data at `offset`; the last byte completes the blob. Data received before a connection broke is retained.
   * @param check expected hash of the bytes, in base64; if given, the bytes are stored completely or not at all
   * @throws AIOT_NOT_FOUND, AIOT_UPLOAD_OFFSET, AIOT_REQUEST_TOO_LARGE, AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL
   */
  async append(
    id: string,
    offset: number,
    source: AsyncIterable<Uint8Array>,
    check?: { algorithm: string; sum: string },
  ): Promise<Upload> {
    await this.interrupt(id);
    const controller = new AbortController();
    const appending = this.appendNow(id, offset, { source, signal: controller.signal, check });
    const ended = appending.catch(() => {});
    this.writing.set(id, { stop: () => controller.abort(), ended });
    try {
      return await appending;
    } finally {
      if (this.writing.get(id)?.ended === ended) this.writing.delete(id);
    }
  }

  /** Aborts a running append, because a client that asks for the offset has lost the append's connection. */
  async interrupt(id: string): Promise<void> {
    const before = this.writing.get(id);
    before?.stop();
    await before?.ended;
  }

  /** @throws AIOT_NOT_FOUND */
  async remove(id: string): Promise<void> {
    await this.note(id);
    await this.interrupt(id);
    await this.forget(id);
  }

  /** Deletes abandoned uploads. Returns their number. */
  async sweep(): Promise<number> {
    const names = await readdir(this.parts.folder);
    const ids = new Set(names.flatMap((name) => /^(.+)\.(?:part|json)$/.exec(name)?.[1] ?? []));
    let gone = 0;
    for (const id of ids) {
      const newest = await this.touched(id);
      if (newest + uploadMs > this.parts.now() || this.writing.has(id)) continue;
      await this.forget(id);
      gone++;
    }
    return gone;
  }

  private async list(): Promise<Note[]> {
    const names = (await readdir(this.parts.folder)).filter((name) => name.endsWith('.json'));
    const notes = await Promise.all(
      names.map((name) => unless('AIOT_NOT_FOUND', this.note(name.slice(0, -'.json'.length)))),
    );
    return notes.filter((note) => note !== undefined && note.created + uploadMs > this.parts.now()) as Note[];
  }

  private async appendNow(
    id: string,
    offset: number,
    how: {
      source: AsyncIterable<Uint8Array>;
      signal: AbortSignal;
      check: { algorithm: string; sum: string } | undefined;
    },
  ): Promise<Upload> {
    const upload = await this.get(id);
    if (upload.offset !== offset) {
      throw new AiotError(
        'AIOT_UPLOAD_OFFSET',
        `${id}: expected a chunk at offset ${upload.offset}, got one at ${offset}`,
      );
    }
    if (upload.done) return upload;
    const size = await this.write(upload, how);
    if (size === upload.bytes) return this.finish(id, upload);
    return this.get(id);
  }

  private async write(
    { id, offset, bytes }: Upload,
    { source, signal, check }: Parameters<Uploads['appendNow']>[2],
  ): Promise<number> {
    const hash = check && createHash(check.algorithm);
    const file = await open(this.pathOf(id), 'r+');
    let at = offset;
    try {
      for await (const chunk of untilAborted(source, signal)) {
        if (at + chunk.length > bytes) {
          throw new AiotError('AIOT_REQUEST_TOO_LARGE', `${id} should have ${bytes} bytes, but more arrived`);
        }
        hash?.update(chunk);
        await file.write(chunk, 0, chunk.length, at);
        at += chunk.length;
      }
      if (hash && hash.digest('base64') !== check?.sum) {
        throw new AiotError('AIOT_CHECKSUM_MISMATCH', `${id}: the data does not match its checksum`);
      }
      return at;
    } catch (error) {
      if (check || !(signal.aborted || isBroken(error))) at = offset;
      throw storageError(error);
    } finally {
      // Rejected bytes are truncated, so that the next piece continues after the last valid one.
      await file.truncate(at).catch(() => {});
      await (this.parts.sync ?? dataSync)(file);
      this.synced.set(id, at);
      await file.close();
    }
  }

  private finish(id: string, note: Note): Promise<Upload> {
    const finishing =
      this.finishing.get(id) ?? this.becomeBlob(id, note).finally(() => this.finishing.delete(id));
    this.finishing.set(id, finishing);
    return finishing;
  }

  private async becomeBlob(id: string, { digest, bytes, who, metadata, created }: Note): Promise<Upload> {
    const path = this.pathOf(id);
    await this.durable(id, bytes);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }))
      hash.update(chunk as Buffer);
    const got = `sha256:${hash.digest('hex')}`;
    if (got !== digest) {
      await this.forget(id);
      throw new AiotError('AIOT_DIGEST_MISMATCH', `expected ${digest}, got ${got}`, {
        next: 'Upload it again.',
      });
    }
    await this.parts.blobs.adopt(digest, path);
    this.synced.delete(id);
    const note = await this.note(id, { digest, bytes, who, metadata, created, done: true });
    return { id, ...note, offset: bytes, expires: created + uploadMs };
  }

  /** Returns the number of bytes durably on disk. */
  private async durable(id: string, size: number): Promise<number> {
    const known = this.synced.get(id);
    if (known !== undefined) return Math.min(known, size);
    const file = await open(this.pathOf(id), 'r+');
    try {
      await (this.parts.sync ?? dataSync)(file);
    } finally {
      await file.close();
    }
    this.synced.set(id, size);
    return size;
  }

  private async touched(id: string): Promise<number> {
    const found = await Promise.all([
      stat(this.pathOf(id)).catch(absent),
      stat(this.noteOf(id)).catch(absent),
    ]);
    return Math.max(0, ...found.map((each) => each?.mtimeMs ?? 0));
  }

  private async forget(id: string): Promise<void> {
    this.synced.delete(id);
    await rm(this.noteOf(id), { force: true });
    await rm(this.pathOf(id), { force: true });
  }

  private async note(id: string, value?: Note): Promise<Note> {
    if (!/^up_[a-z0-9]+$/i.test(id)) throw unknown(id);
    const { shared = false } = this.parts;
    if (value) {
      await writeJsonAtomic(this.noteOf(id), value);
      return value;
    }
    const found = await readJson(this.noteOf(id)).catch((error: unknown) => {
      if (error instanceof AiotError && error.code === 'AIOT_FILE_NOT_FOUND') throw unknown(id, shared);
      throw error;
    });
    return noteSchema.parse(found);
  }

  private pathOf(id: string): string {
    return join(this.parts.folder, `${id}.part`);
  }

  private noteOf(id: string): string {
    return join(this.parts.folder, `${id}.json`);
  }
}

/** Whether the client disconnected; data received before that is valid. */
function isBroken(error: unknown): boolean {
  return ['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'EPIPE'].includes(systemCode(error) ?? '');
}

function unknown(id: string, shared = false): AiotError {
  const named = `the upload ${id.slice(0, 60)} does not exist`;
  if (!shared) return new AiotError('AIOT_NOT_FOUND', named, { next: 'Start the upload again.' });
  return new AiotError(
    'AIOT_NOT_FOUND',
    `${named} in this process: an unfinished upload belongs to the platform process where it began`,
    { next: 'Continue at the address where it began, or start again.' },
  );
}

function absent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}

/** Yields incoming data until another client takes over the upload. @throws AIOT_REQUEST_INVALID then */
async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () =>
      reject(
        new AiotError('AIOT_REQUEST_INVALID', 'another client is continuing this upload', {
          next: 'Wait until it ends, then get the current offset with HEAD.',
        }),
      );
  });
  stopped.catch(() => {});
  const leave = onAbort(signal, stop);
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), stopped]);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    leave();
    void iterator.return?.()?.catch(() => {});
  }
}
