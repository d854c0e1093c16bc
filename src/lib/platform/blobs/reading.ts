import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { digestOf } from '../../core/index.js';
import { type BlobBlocks, blockBytes } from './blocks.js';
import type { BlobMemory, Held } from './memory.js';
import { type BlobRange, damagedBlob } from './port.js';

/**
 * Bytes given at a time from memory; from a file it is a block. What a slow reader has not taken yet is held for it alone, encrypted,
 * and as it was read from a file: larger pieces cost memory, and gain little.
 */
const fromMemory = 32 * 1024;

export interface BlobFile {
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
  const file = await open(path);
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
