import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { digestOf } from '../../core/crypto.js';
import { hasCode } from '../../core/errors.js';
import { type BlobRange, damagedBlob } from './store.js';

/**
 * Bytes given at a time from memory; from a file it is a block. What a slow reader has not taken yet is held for it alone, encrypted,
 * and as it was read from a file: larger pieces cost memory, and gain little.
 */
const fromMemory = 32 * 1024;

interface BlobFile {
  digest: string;
  path: string;
  memory: BlobMemory;
  blocks: BlobBlocks;
}

/** An open file, and the checksums that its blocks have to have. */
interface OpenFile {
  file: FileHandle;
  bytes: number;
  sums: Uint32Array;
}

/**
 * A blob's file, or a range of it: from memory where it is small, else block by block, and never ahead of who reads. What is not as it
 * was put is never given.
 */
export class BlobReading extends Readable {
  private held: Held | null;
  private opened: OpenFile | null = null;
  private at: number;
  /** Behind the last byte; null = that of the blob, which is not known yet. */
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

  /** What is wanted of a block, which is read and checked whole. */
  private async readBlock({ file, bytes, sums }: OpenFile, block: number, end: number): Promise<Buffer> {
    const start = block * blockBytes;
    const length = Math.min(blockBytes, bytes - start);
    if (length <= 0) throw this.cutShort(bytes);
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, start);
    if (bytesRead < length) throw this.cutShort(start + bytesRead);
    if (crc32(buffer) !== sums[block]) {
      this.blob.blocks.forget(this.blob.digest);
      throw damagedBlob(
        this.blob.digest,
        `it was changed at byte ${start} or within ${length} bytes behind it`,
      );
    }
    return buffer.subarray(this.at - start, end - start);
  }

  /** Has all of it in memory afterwards, or its file open; nothing of both when it was destroyed meanwhile. */
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

/** A blob in memory, or its open file, once it is known to have its digest. @throws AIOT_BLOB_DAMAGED, and as opening a file does */
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
 * Anything but a regular file is damage: a pipe in its place would hold a thread for good, and a device has no end.
 * @throws AIOT_BLOB_DAMAGED, and as opening a file does
 */
export async function openRegular(path: string, digest: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw damagedBlob(digest, 'there is something else than a file in its place');
}

export async function closeBlob(blob: Held | OpenFile): Promise<void> {
  if ('file' in blob) await blob.file.close();
  else blob.release();
}

/** Tells one file of a blob from another that took its place, and from what it was before it was written to. */
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

/** Bytes of a block: read, checked and given at a time. */
const blockBytes = 48 * 1024;

/** Blocks that are read at a time while a whole file is checked, and checksums that are remembered in all (of 48 GiB). */
const blocksAtOnce = 16;

const mostSums = 2 ** 20;

interface CheckedFile {
  digest: string;
  /** Another one when the file was written to. */
  stamp: string;
  bytes: number;
}

/** Called after each piece with its bytes: what it waits for slows the reading down. */
export type Pace = (bytes: number) => Promise<void> | undefined;

/** How long a file that was found to be damaged, and was not written to since, is not read again, ms. */
const damagedMs = 60_000;

interface Table {
  stamp: string;
  sums: Promise<Uint32Array>;
  count: number;
  /** Until when its failure counts; null = it has not failed. */
  failedUntil: number | null;
}

/**
 * A CRC-32 for each block of files that were read whole and found to have their digest. With it any part of such a file is
 * checked while it is read: a range as much as the whole, and before any of its bytes is given to somebody.
 */
export class BlobBlocks {
  /** The one that was asked for longest ago first. */
  private readonly tables = new Map<string, Table>();
  private count = 0;

  /** The checksums of a file's blocks; reads it whole first where they are not known, once for all who ask. @throws AIOT_BLOB_DAMAGED */
  of(file: FileHandle, checked: CheckedFile): Promise<Uint32Array> {
    const { digest, stamp } = checked;
    const known = this.tables.get(digest);
    const stale = (known?.failedUntil ?? Number.POSITIVE_INFINITY) < performance.now();
    if (known?.stamp !== stamp || stale) return this.learn(file, checked);
    this.tables.delete(digest);
    this.tables.set(digest, known);
    return known.sums;
  }

  /** Reads the file whole, whatever is known of it. @throws AIOT_BLOB_DAMAGED */
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

/** Bytes of all blobs that are kept in memory, and of the largest of them: a fleet asks for the same one at the same time. */
const mostBytes = 16 * 1024 ** 2;

const largestKept = 4 * 1024 ** 2;

/** How long one that nobody reads is kept, ms. */
const keptMs = 30_000;

/** A blob in memory. Its bytes count until it is let go of, also when it was removed meanwhile. */
interface Held {
  content: Buffer;
  release(): void;
}

interface Entry {
  bytes: number;
  /** Of its file, when it was read. */
  stamp: string;
  readers: number;
  /** It was removed, and stays for its readers alone. */
  gone: boolean;
  content: Buffer | Promise<Buffer>;
}

/** Small blobs that were asked for lately. With those that are read now they are never more than so many bytes. */
export class BlobMemory {
  /** The one that was asked for longest ago first. */
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;
  /** How often a blob was removed: what was opened before is not kept for those who ask afterwards. */
  removals = 0;
  private sweeping: NodeJS.Timeout | undefined;

  constructor(
    private readonly most = mostBytes,
    private readonly quietMs = keptMs,
  ) {}

  /** What was read from another file than there is now goes; null = there is none. */
  keepOnly(digest: string, stamp: string | null): void {
    const entry = this.entries.get(digest);
    if (entry && entry.stamp !== stamp) this.forget(digest);
  }

  /** Null = it is not here. */
  hold(digest: string): Held | null {
    const entry = this.entries.get(digest);
    if (!entry || !Buffer.isBuffer(entry.content)) return null;
    return this.held(digest, entry, entry.content);
  }

  /**
   * Reads it once for all who ask meanwhile; null = it cannot be kept just now.
   * @param opened `removals` before its file was opened
   * @param stamp as `keepOnly` is asked later
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

  /** It is removed. Who reads it reads it to its end. */
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

  /** What nobody has asked for in the time goes. */
  private sweepLater(): void {
    this.sweeping ??= setTimeout(() => {
      this.sweeping = undefined;
      for (const [digest, { readers }] of this.entries) if (readers === 0) this.drop(digest);
    }, this.quietMs).unref();
  }
}
