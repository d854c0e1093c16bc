import type { Readable } from 'node:stream';
import { digestPattern } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Pace } from './reading.js';

/** Largest blob taken, bytes. */
export const largestBlob = 1024 ** 3;

/** Content-addressed: a blob is there whole, under its digest, or not at all. */
export interface BlobStore {
  /** Takes it as it comes and resolves when it is durable. @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL, AIOT_REQUEST_INVALID */
  put(digest: string, source: AsyncIterable<Uint8Array>): Promise<StoredBlob>;
  /** Takes a file whose contents were found to be of this digest, and which is on disk; the file is gone afterwards. */
  adopt(digest: string, path: string): Promise<StoredBlob>;
  /** Size in bytes, or null. */
  size(digest: string): Promise<number | null>;
  /**
   * `first` and `last` are inclusive offsets. Bytes that are not as they were put are not given: it ends in AIOT_BLOB_DAMAGED
   * before them. A range of an object in S3 is given as S3 has it.
   */
  stream(digest: string, range?: BlobRange): Readable;
  /** The whole of it, checked against its digest. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
  bytes(digest: string): Promise<Buffer>;
  /** Resolves when `stream` may begin: a file that was not read yet is read whole. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
  ready(digest: string): Promise<void>;
  /** Reads all of it again, whatever is remembered, and resolves with its bytes. @throws AIOT_NOT_FOUND, AIOT_BLOB_DAMAGED */
  verify(digest: string, pace?: Pace): Promise<number>;
  /** What is not there is gone already. Who reads it now reads it to its end. */
  remove(digest: string): Promise<void>;
  /** All that are there, in no order. */
  list(): AsyncIterable<ListedBlob>;
  close(): Promise<void>;
}

interface StoredBlob {
  digest: string;
  bytes: number;
}

interface ListedBlob extends StoredBlob {
  /** When it was put, ms since 1970. */
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
  return new AiotError('AIOT_NOT_FOUND', `there is no blob ${digest}`);
}

/** What was read is not what was put. */
export function damagedBlob(digest: string, how: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_BLOB_DAMAGED', `the blob ${digest} is damaged: ${how}`, { cause });
}

/**
 * One range of a Range header (RFC 9110, 14.1.2) as inclusive offsets. Null = send everything: no header, another unit,
 * several ranges, or a malformed one, all of which the RFC lets a server ignore. `unsatisfiable`: it begins behind the end.
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
