import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { digestOf } from '../../core/crypto.js';
import { hasCode } from '../../core/errors.js';
import { type BlobRange, damagedBlob } from './store.js';

/**
 * Piece size for delivery from memory, bytes; files are delivered block by block. Each slow reader's connection buffers unread data twice,
 * plain and encrypted, so larger pieces would take more memory with little benefit.
 */
const fromMemory = 32 * 1024;

interface BlobFile {
  digest: string;
  path: string;
  memory: BlobMemory;
  blocks: BlobBlocks;
}

/** An open file, and the expected checksums of its blocks. */
interface OpenFile {
  file: FileHandle;
  bytes: number;
  sums: Uint32Array;
}

/**
 * A blob's file, or a range of the file. Small blobs are delivered from memory, others block by block, never ahead of
 * the reader. Altered content is never delivered.
 */
export class BlobReading extends Readable {
  private held: Held | null;
  private opened: OpenFile | null = null;
  private at: number;
  /** Exclusive end offset; null = the blob's end, if the size is not known yet. */
  private end: number | null;

  constructor(
    private readonly blob: BlobFile,
    range?: BlobRange,
  ) {
    super({ highWaterMark: 0 });
    this.held = blob.memory.hold(blob.digest);
    this.at = range?.first ?? 0;
    this.end = range ? range.last + 1 : null;
  }

  override _read(): void {
    if (this.held) this.give(this.held.content);
    else this.readOn().catch((error: Error) => this.destroy(error));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.held?.release();
    if (this.opened === null) {
      done(error);
      return;
    }
    this.opened.file.close().then(
      () => done(error),
      (failed: Error) => done(error ?? failed),
    );
  }

  private give(content: Buffer): void {
    const end = this.end ?? content.length;
    const piece = content.subarray(this.at, Math.min(end, this.at + fromMemory));
    if (piece.length === 0 && this.at < end) return void this.destroy(this.cutShort(content.length));
    this.at += piece.length;
    if (piece.length > 0) this.push(piece);
    if (this.at >= end) this.push(null);
  }

  private async readOn(): Promise<void> {
    if (this.opened === null) await this.open();
    if (this.destroyed) return;
    if (this.held) return this.give(this.held.content);
    if (this.opened === null || this.at >= (this.end ?? 0)) return void this.push(null);
    const piece = await this.readBlock(this.opened, Math.floor(this.at / blockBytes), this.end ?? 0);
    if (this.destroyed) return;
    this.at += piece.length;
    this.push(piece);
  }

  /** Returns the requested part of a block; the whole block is read and checked. */
  private async readBlock({ file, bytes, sums }: OpenFile, block: number, end: number): Promise<Buffer> {
    const start = block * blockBytes;
    const length = Math.min(blockBytes, bytes - start);
    if (length <= 0) throw this.cutShort(bytes);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, start);
    if (bytesRead < length) throw this.cutShort(start + bytesRead);
    if (crc32(buffer) !== sums[block]) {
      this.blob.blocks.forget(this.blob.digest);
      throw damagedBlob(this.blob.digest, `the ${length} bytes from byte ${start} on were modified`);
    }
    return buffer.subarray(this.at - start, end - start);
  }

  /** Loads the blob into memory or opens its file. Does nothing if the stream has been destroyed in the meantime. */
  private async open(): Promise<void> {
    const held = await openBlob(this.blob);
    if (this.destroyed) return closeBlob(held);
    if ('file' in held) {
      this.opened = held;
      this.end ??= held.bytes;
    } else {
      this.held = held;
      this.end ??= held.content.length;
    }
  }

  private cutShort(bytes: number): Error {
    return damagedBlob(this.blob.digest, `its file ends after ${bytes} bytes`);
  }
}

/** Returns a blob in memory, or its open file, once its digest is verified. @throws AIOT_BLOB_DAMAGED, and errors of opening the file */
export async function openBlob({ digest, path, memory, blocks }: BlobFile): Promise<Held | OpenFile> {
  const before = memory.removals;
  const file = await openRegular(path, digest);
  let kept = false;
  try {
    const found = await file.stat();
    const { size: bytes } = found;
    const stamp = stampOf(found);
    const held = await memory.load({ digest, bytes, opened: before, stamp }, () => wholeOf(file, digest));
    if (held !== null) return held;
    const sums = await blocks.of(file, { digest, stamp, bytes });
    kept = true;
    return { file, bytes, sums };
  } finally {
    if (!kept) await file.close();
  }
}

/**
 * Opens a blob's file. Anything but a regular file counts as damage: a pipe would block a thread forever, and a device file has no end.
 * @throws AIOT_BLOB_DAMAGED, and errors of opening the file
 */
export async function openRegular(path: string, digest: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw damagedBlob(digest, 'its path is not a regular file');
}

export async function closeBlob(blob: Held | OpenFile): Promise<void> {
  if ('file' in blob) await blob.file.close();
  else blob.release();
}

/** Identifies a version of a blob's file; the stamp changes when the file is replaced or modified. */
export function stampOf({ ino, mtimeMs, size }: { ino: number; mtimeMs: number; size: number }): string {
  return `${ino} ${mtimeMs} ${size}`;
}

/** @throws AIOT_BLOB_DAMAGED */
async function wholeOf(file: FileHandle, digest: string): Promise<Buffer> {
  const content = await file.readFile();
  const got = digestOf(content);
  if (got !== digest) throw damagedBlob(digest, `its ${content.length} bytes have the digest ${got}`);
  return content;
}

/** Size of a block, the unit of reading, checking and delivery, bytes. */
const blockBytes = 48 * 1024;

/**
 * Number of blocks to read at a time while a whole file is checked, and maximum number of cached checksums (enough for
 * 48 GiB).
 */
const blocksAtOnce = 16;

const mostSums = 2 ** 20;

interface CheckedFile {
  digest: string;
  /** Changes when the file is modified. */
  stamp: string;
  bytes: number;
}

/** Called after each piece with its size in bytes; throttles the reader, which waits for the returned promise. */
export type Pace = (bytes: number) => Promise<void> | undefined;

/** How long a damaged file is not reread, ms. A modified file is read immediately. */
const damagedMs = 60_000;

interface Table {
  stamp: string;
  sums: Promise<Uint32Array>;
  count: number;
  /** Time until which the file is not reread because it was damaged; null = no damage found. */
  failedUntil: number | null;
}

/**
 * A CRC-32 for each block of files that were read whole and matched their digest. When such a file, or a range of it, is read later, each
 * block is checked before any of its bytes is delivered.
 */
export class BlobBlocks {
  /** Least recently requested first. */
  private readonly tables = new Map<string, Table>();
  private count = 0;

  /**
   * Returns the checksums of a file's blocks. If they are unknown, reads the whole file first, once for all callers.
   * @throws AIOT_BLOB_DAMAGED
   */
  of(file: FileHandle, checked: CheckedFile): Promise<Uint32Array> {
    const { digest, stamp } = checked;
    const known = this.tables.get(digest);
    const stale = (known?.failedUntil ?? Number.POSITIVE_INFINITY) < performance.now();
    if (known?.stamp !== stamp || stale) return this.learn(file, checked);
    this.tables.delete(digest);
    this.tables.set(digest, known);
    return known.sums;
  }

  /** Reads the whole file, regardless of cached checksums. @throws AIOT_BLOB_DAMAGED */
  async learn(file: FileHandle, checked: CheckedFile, pace?: Pace): Promise<Uint32Array> {
    const { digest, stamp, bytes } = checked;
    this.forget(digest);
    const count = Math.ceil(bytes / blockBytes);
    const table: Table = { stamp, count, sums: sumsOf(file, checked, pace), failedUntil: null };
    this.tables.set(digest, table);
    this.count += table.count;
    for (const [other, { count }] of this.tables) {
      if (this.count <= mostSums || other === digest) break;
      this.count -= count;
      this.tables.delete(other);
    }
    try {
      return await table.sums;
    } catch (error) {
      if (hasCode(error, 'AIOT_BLOB_DAMAGED')) table.failedUntil = performance.now() + damagedMs;
      else if (this.tables.get(digest) === table) this.forget(digest);
      throw error;
    }
  }

  forget(digest: string): void {
    this.count -= this.tables.get(digest)?.count ?? 0;
    this.tables.delete(digest);
  }
}

async function sumsOf(
  file: FileHandle,
  { digest, bytes }: CheckedFile,
  pace: Pace | undefined,
): Promise<Uint32Array> {
  const sums = new Uint32Array(Math.ceil(bytes / blockBytes));
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafeSlow(Math.min(blocksAtOnce * blockBytes, Math.max(1, bytes)));
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, bytes - at), at);
    const wanted = Math.min(buffer.length, bytes - at);
    if (bytesRead < wanted) throw damagedBlob(digest, `its file ends after ${at + bytesRead} bytes`);
    hash.update(buffer.subarray(0, bytesRead));
    for (let from = 0; from < bytesRead; from += blockBytes)
      sums[(at + from) / blockBytes] = crc32(buffer.subarray(from, Math.min(bytesRead, from + blockBytes)));
    at += bytesRead;
    await pace?.(bytesRead);
  }
  const got = `sha256:${hash.digest('hex')}`;
  if (got !== digest) throw damagedBlob(digest, `its ${bytes} bytes have the digest ${got}`);
  return sums;
}

/**
 * Maximum size of all blobs cached in memory, and of a single one, bytes. The cache exists because devices in a fleet
 * request the same blob at the same time.
 */
const mostBytes = 16 * 1024 ** 2;

const largestKept = 4 * 1024 ** 2;

/** How long a blob without readers stays cached, ms. */
const keptMs = 30_000;

/** A blob in memory. Its bytes count toward the limit until it is released, even if it has been removed in the meantime. */
interface Held {
  content: Buffer;
  release(): void;
}

interface Entry {
  bytes: number;
  /** Stamp of the file that the blob was read from. */
  stamp: string;
  readers: number;
  /** Whether the blob was removed and is retained only for current readers. */
  gone: boolean;
  content: Buffer | Promise<Buffer>;
}

/** Recently requested small blobs. Together with blobs that are being read, they never exceed the byte limit. */
export class BlobMemory {
  /** Least recently requested first. */
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;
  /** Number of removals so far. A blob whose file was opened before a removal is not cached for later readers. */
  removals = 0;
  private sweeping: NodeJS.Timeout | undefined;

  constructor(
    private readonly most = mostBytes,
    private readonly quietMs = keptMs,
  ) {}

  /**
   * Drops the cached blob if its file has been replaced or modified since the blob was read.
   * @param stamp the file's current stamp; null = there is no file
   */
  keepOnly(digest: string, stamp: string | null): void {
    const entry = this.entries.get(digest);
    if (entry && entry.stamp !== stamp) this.forget(digest);
  }

  /** Returns the cached blob, which must then be released; null = not cached. */
  hold(digest: string): Held | null {
    const entry = this.entries.get(digest);
    if (!entry || !Buffer.isBuffer(entry.content)) return null;
    return this.held(digest, entry, entry.content);
  }

  /**
   * Reads a blob once for all concurrent callers; null = the blob cannot be cached at present.
   * @param opened `removals` before the blob's file was opened
   * @param stamp the file's stamp, which `keepOnly` compares with later stamps
   * @throws as `read` does
   */
  async load(
    file: { digest: string; bytes: number; opened: number; stamp: string },
    read: () => Promise<Buffer>,
  ) {
    const { digest, bytes, opened, stamp } = file;
    const entry =
      this.entries.get(digest) ??
      (opened === this.removals ? this.begin({ digest, bytes, stamp }, read) : null);
    if (!entry) return null;
    entry.readers++;
    try {
      return this.held(digest, entry, await entry.content);
    } finally {
      this.left(entry);
    }
  }

  /** Forgets a removed blob. Current readers can still read the blob to its end. */
  forget(digest: string): void {
    this.removals++;
    this.drop(digest);
  }

  close(): void {
    clearTimeout(this.sweeping);
    for (const digest of this.entries.keys()) this.drop(digest);
  }

  private drop(digest: string): void {
    const entry = this.entries.get(digest);
    if (!entry) return;
    this.entries.delete(digest);
    entry.gone = true;
    if (entry.readers === 0) this.bytes -= entry.bytes;
  }

  private begin(
    { digest, bytes, stamp }: { digest: string; bytes: number; stamp: string },
    read: () => Promise<Buffer>,
  ): Entry | null {
    if (bytes > largestKept) return null;
    for (const [other, { readers }] of this.entries) {
      if (this.bytes + bytes <= this.most) break;
      if (readers === 0) this.drop(other);
    }
    if (this.bytes + bytes > this.most) return null;
    const content = read();
    const entry: Entry = { bytes, stamp, content, readers: 0, gone: false };
    this.entries.set(digest, entry);
    this.bytes += bytes;
    content.then(
      (whole) => {
        entry.content = whole;
      },
      () => {
        if (!entry.gone) this.drop(digest);
      },
    );
    return entry;
  }

  private held(digest: string, entry: Entry, content: Buffer): Held {
    entry.readers++;
    if (!entry.gone) {
      this.entries.delete(digest);
      this.entries.set(digest, entry);
    }
    let over = false;
    const release = () => {
      if (over) return;
      over = true;
      this.left(entry);
    };
    return { content, release };
  }

  private left(entry: Entry): void {
    if (--entry.readers > 0) return;
    if (entry.gone) this.bytes -= entry.bytes;
    else this.sweepLater();
  }

  /**
   * Drops all blobs without readers after the retention time, which starts when the first such blob loses its last
   * reader.
   */
  private sweepLater(): void {
    this.sweeping ??= setTimeout(() => {
      this.sweeping = undefined;
      for (const [digest, { readers }] of this.entries) if (readers === 0) this.drop(digest);
    }, this.quietMs).unref();
  }
}
