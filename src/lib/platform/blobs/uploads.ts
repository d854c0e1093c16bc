import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode, unless } from '../../core/errors.js';
import { readJson, removeLeftovers, syncFolder, writeJsonAtomic } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { onAbort } from '../../core/tasks.js';
import { storageError } from '../errors.js';
import { dataSync, type Sync } from '../sync.js';
import { type BlobStore, hexOf, largestBlob } from './store.js';

/** An upload that nobody goes on with is given up after this, ms. */
export const uploadMs = 24 * 3600 * 1000;

/** Uploads of one person or program that are not at their end. */
const mostOpen = 64;

const noteSchema = z.object({
  digest: z.string(),
  bytes: z.int(),
  who: z.string(),
  /** As the client gave it. */
  metadata: z.string(),
  created: z.number(),
  done: z.boolean(),
});

type Note = z.output<typeof noteSchema>;

/** An upload in pieces. */
export interface Upload extends Note {
  id: string;
  /** Bytes that are on disk for good. */
  offset: number;
  /** ms since 1970 */
  expires: number;
}

interface Parts {
  folder: string;
  blobs: BlobStore;
  now: () => number;
  sync?: Sync | undefined;
  /** Whether other processes serve the same platform: an upload may have been begun in one of them. */
  shared?: boolean;
}

/**
 * Blobs that come in pieces, over broken connections and restarts: `ID.part` has what came, `ID.json` what it is to be. An
 * offset is told only when all before it is synced. Of two who append to one upload the later one has it.
 */
export class Uploads {
  private readonly writing = new Map<string, { stop: () => void; ended: Promise<unknown> }>();
  /** All bytes are there, and become a blob. */
  private readonly finishing = new Map<string, Promise<Upload>>();
  /** Sizes that were synced by this process: what a process before it has written may be in the system's memory alone. */
  private readonly synced = new Map<string, number>();

  private constructor(private readonly parts: Parts) {}

  static async open(parts: Parts): Promise<Uploads> {
    await mkdir(parts.folder, { recursive: true });
    // Notes that were being written when the process before this one was killed.
    await removeLeftovers(parts.folder);
    return new Uploads(parts);
  }

  /** @throws AIOT_REQUEST_INVALID (no digest), AIOT_REQUEST_TOO_LARGE, AIOT_RATE_LIMITED (too many that are open) */
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
      throw new AiotError(
        'AIOT_RATE_LIMITED',
        `${who} has ${others.length} uploads that are not at their end`,
        {
          next: 'Go on with them, or give them up (DELETE).',
        },
      );
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

  /** All of it there and no blob yet (S3 was away, say): it is made one now. @throws AIOT_NOT_FOUND (never there, given up, or too old) */
  async get(id: string): Promise<Upload> {
    const note = await this.note(id);
    const { created } = note;
    if (note.done) return { id, ...note, offset: note.bytes, expires: created + uploadMs };
    const found = await stat(this.pathOf(id)).catch(absent);
    // A kill between the last byte and the note of it: the blob is there.
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
   * Adds what comes at `offset`; with the last byte it becomes a blob. What came before a connection broke is kept.
   * @param check what the bytes must hash to, in base64: then they are kept whole or not at all
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

  /** Ends what is being appended: who asks how far it has come has lost that connection. */
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

  /** Gives up those that nobody went on with. Returns how many. */
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
        `${id} has ${upload.offset} bytes: expected what follows them, got an offset of ${offset}`,
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
          throw new AiotError('AIOT_REQUEST_TOO_LARGE', `${id} is of ${bytes} bytes, and more came`);
        }
        hash?.update(chunk);
        await file.write(chunk, 0, chunk.length, at);
        at += chunk.length;
      }
      if (hash && hash.digest('base64') !== check?.sum) {
        throw new AiotError(
          'AIOT_CHECKSUM_MISMATCH',
          `${id}: what came is not of the checksum that came with it`,
        );
      }
      return at;
    } catch (error) {
      if (check || !(signal.aborted || isBroken(error))) at = offset;
      throw storageError(error);
    } finally {
      // What is not to be kept goes: the next piece begins where the last good one ended.
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
        next: 'Upload it anew.',
      });
    }
    await this.parts.blobs.adopt(digest, path);
    this.synced.delete(id);
    const note = await this.note(id, { digest, bytes, who, metadata, created, done: true });
    return { id, ...note, offset: bytes, expires: created + uploadMs };
  }

  /** Bytes that are on disk for good. */
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

/** The client went away: what it sent before is good. */
function isBroken(error: unknown): boolean {
  return ['ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'EPIPE'].includes(systemCode(error) ?? '');
}

function unknown(id: string, shared = false): AiotError {
  const named = `there is no upload ${id.slice(0, 60)}`;
  if (!shared) return new AiotError('AIOT_NOT_FOUND', named, { next: 'Begin it anew.' });
  return new AiotError(
    'AIOT_NOT_FOUND',
    `${named} in this process: an open upload is of the process of the platform that began it`,
    { next: 'Go on with it at the address where it was begun, or begin it anew.' },
  );
}

function absent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}

/** What comes, until somebody else takes the upload over. @throws AIOT_REQUEST_INVALID then */
async function* untilAborted(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(new AiotError('AIOT_REQUEST_INVALID', 'somebody else goes on with this upload'));
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
