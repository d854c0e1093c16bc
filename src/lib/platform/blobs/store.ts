import type { Readable } from 'node:stream';
import { digestPattern } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Pace } from './reading.js';

/** Content-addressed store: a blob exists complete, under its digest, or not at all. */
export interface BlobStore {
  /** Stores a stream and resolves when it is durable. @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL, AIOT_REQUEST_INVALID */
  put(digest: string, source: AsyncIterable<Uint8Array>): Promise<StoredBlob>;
  /** Moves a file whose digest is already verified into the store. */
  adopt(digest: string, path: string): Promise<StoredBlob>;
  /** Size in bytes, or null. */
  size(digest: string): Promise<number | null>;
  /**
   * `first` and `last` are inclusive offsets. Altered bytes are never delivered; the stream ends with AIOT_BLOB_DAMAGED before them. A
   * range of an S3 object is delivered as S3 returns it.
   */
  stream(digest: string, range?: BlobRange): Readable;
  /** Returns the whole blob, checked against its digest. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
  bytes(digest: string): Promise<Buffer>;
  /** Resolves when `stream` may begin: a file that has not been read yet is read whole. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
  ready(digest: string): Promise<void>;
  /** Reads the whole blob again, ignoring caches, and resolves with its size in bytes. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
  verify(digest: string, pace?: Pace): Promise<number>;
  /** Removes a blob; succeeds even if it does not exist. Current readers can still read the blob to its end. */
  remove(digest: string): Promise<void>;
  /** All blobs, in no particular order. */
  list(): AsyncIterable<ListedBlob>;
  close(): Promise<void>;
}

interface StoredBlob {
  digest: string;
  bytes: number;
}

interface ListedBlob extends StoredBlob {
  /** Upload time, ms since 1970. */
  at: number;
}

export interface BlobRange {
  first: number;
  last: number;
}

/** The hex digits of a digest. @throws AIOT_REQUEST_INVALID */
export function hexOf(digest: string): string {
  if (digestPattern.test(digest)) return digest.slice('sha256:'.length);
  throw new AiotError('AIOT_REQUEST_INVALID', `expected sha256: and 64 hex digits, got ${digest}`);
}

export function noSuchBlob(digest: string): AiotError {
  return new AiotError('AIOT_NOT_FOUND', `the blob ${digest} does not exist`);
}

/** Error for content that differs from what was stored. */
export function damagedBlob(digest: string, how: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BLOB_DAMAGED', `the blob ${digest} is damaged: ${how}`, { cause });
}

/**
 * Parses one range of a Range header (RFC 9110, 14.1.2) into inclusive offsets. Null means to send everything, because the header is
 * missing or malformed, or has another unit or several ranges; the RFC allows servers to ignore all of these. `unsatisfiable`: the range
 * begins beyond the end.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): { first: number; last: number } | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  const [, from = '', to = ''] = match ?? [];
  if (!match || (from === '' && to === '')) return null;
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== '' && Number(to) < first) return null;
  return first < size ? { first, last } : 'unsatisfiable';
}
