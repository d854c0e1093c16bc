import type { Readable } from 'node:stream';
import { AiotError, digestPattern } from '../../core/index.js';

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
  /** `first` and `last` are inclusive offsets. What cannot be read to its end, and as it was put, ends in an error. */
  stream(digest: string, range?: BlobRange): Readable;
  /** The whole of it, checked against its digest. @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH */
  bytes(digest: string): Promise<Buffer>;
  /** What is not there is gone already. Who reads it now reads it to its end. */
  remove(digest: string): Promise<void>;
  /** All that are there, in no order. */
  list(): AsyncIterable<ListedBlob>;
  close(): Promise<void>;
}

export interface StoredBlob {
  digest: string;
  bytes: number;
}

export interface ListedBlob extends StoredBlob {
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
export function otherBytes(digest: string, got: string, where: string): AiotError {
  return new AiotError('AIOT_DIGEST_MISMATCH', `${where}: expected ${digest}, got ${got}`);
}
