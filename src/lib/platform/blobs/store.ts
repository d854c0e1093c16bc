import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { AiotError, digestPattern, syncFolder, systemCode } from '../../core/index.js';
import { storageError } from '../errors.js';
import { dataSync, type Sync } from '../sync.js';

/** Largest blob taken, bytes. */
export const largestBlob = 1024 ** 3;

/** Content-addressed files: a blob is there whole, under its digest, or not at all. */
export interface BlobStore {
  /** Streams to disk and resolves when it is durable. @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL, AIOT_REQUEST_INVALID */
  put(digest: string, source: AsyncIterable<Uint8Array>): Promise<{ digest: string; bytes: number }>;
  /** Size in bytes, or null. */
  size(digest: string): Promise<number | null>;
  /** `first` and `last` are inclusive offsets. */
  stream(digest: string, range?: { first: number; last: number }): Readable;
  /** @throws AIOT_NOT_FOUND */
  bytes(digest: string): Promise<Buffer>;
  /** What is not there is gone already. Who reads it now reads it to its end. */
  remove(digest: string): Promise<void>;
}

/** Opens the folder; what an interrupted upload has left there goes. */
export async function openBlobs(folder: string, sync: Sync = dataSync): Promise<BlobStore> {
  const incoming = join(folder, 'incoming');
  await rm(incoming, { recursive: true, force: true });
  await mkdir(incoming, { recursive: true });
  return {
    async put(digest, source) {
      const path = pathOf(folder, digest);
      const temporary = join(incoming, randomBytes(8).toString('hex'));
      try {
        const bytes = await receive(temporary, digest, source, sync);
        await mkdir(dirname(path), { recursive: true });
        await rename(temporary, path);
        await syncFolder(dirname(path));
        await syncFolder(dirname(dirname(path)));
        return { digest, bytes };
      } catch (error) {
        await rm(temporary, { force: true });
        throw storageError(error);
      }
    },
    async size(digest) {
      const found = await stat(pathOf(folder, digest)).catch(absent);
      return found?.size ?? null;
    },
    stream(digest, range) {
      const path = pathOf(folder, digest);
      return createReadStream(path, range ? { start: range.first, end: range.last } : {});
    },
    async bytes(digest) {
      const found = await readFile(pathOf(folder, digest)).catch(absent);
      if (found) return found;
      throw new AiotError('AIOT_NOT_FOUND', `there is no blob ${digest}`);
    },
    async remove(digest) {
      const path = pathOf(folder, digest);
      await rm(path, { force: true });
      if (existsSync(dirname(path))) await syncFolder(dirname(path));
    },
  };
}

function pathOf(folder: string, digest: string): string {
  if (!digestPattern.test(digest)) {
    throw new AiotError('AIOT_REQUEST_INVALID', `expected sha256: and 64 hex digits, got ${digest}`);
  }
  const hex = digest.slice('sha256:'.length);
  return join(folder, 'sha256', hex.slice(0, 2), hex);
}

async function receive(
  path: string,
  digest: string,
  source: AsyncIterable<Uint8Array>,
  sync: Sync,
): Promise<number> {
  const hash = createHash('sha256');
  const file = await open(path, 'wx');
  let bytes = 0;
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > largestBlob) {
        throw new AiotError('AIOT_REQUEST_INVALID', `expected at most ${largestBlob} bytes`);
      }
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    const got = `sha256:${hash.digest('hex')}`;
    if (got !== digest) throw new AiotError('AIOT_DIGEST_MISMATCH', `expected ${digest}, got ${got}`);
    await sync(file);
  } finally {
    await file.close();
  }
  return bytes;
}

function absent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}
