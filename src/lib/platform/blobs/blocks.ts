import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { hasCode } from '../../core/index.js';
import { damagedBlob } from './port.js';

/** Bytes of a block: read, checked and given at a time. */
export const blockBytes = 48 * 1024;

/** Blocks that are read at a time while a whole file is checked, and checksums that are remembered in all (of 48 GiB). */
const blocksAtOnce = 16;
const mostSums = 2 ** 20;

export interface CheckedFile {
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
