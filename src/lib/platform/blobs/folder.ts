import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { largestBlob } from '../../api/contract/blobs.js';
import { dataSync, type Sync } from '../../core/append-log.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { syncFolder } from '../../core/files.js';
import { storageError } from '../errors.js';
import { BlobBlocks, BlobMemory, BlobReading, closeBlob, openBlob, openRegular, stampOf } from './reading.js';
import { type BlobStore, damagedBlob, hexOf, noSuchBlob } from './store.js';

/**
 * Opens the folder, or the bucket of `s3://BUCKET[/PREFIX]?endpoint=…&region=…`, in which case the folder contains only uploads in
 * progress.
 * @throws AIOT_USAGE (another scheme), AIOT_STREAM_URL, AIOT_BLOBS_UNAVAILABLE
 */
export async function openBlobs(folder: string, sync?: Sync, url?: string): Promise<BlobStore> {
  if (url === undefined) return openFolder(folder, sync);
  if (!url.startsWith('s3://')) {
    throw new AiotError('AIOT_USAGE', 'expected --blobs s3://BUCKET, got a URL with another scheme');
  }
  const { openS3 } = await import('./s3.js');
  return openS3(url, folder);
}

/** Stores each blob in a file, `sha256/ab/abcd…`. */
async function openFolder(folder: string, sync: Sync = dataSync): Promise<BlobStore> {
  const incoming = await openIncoming(join(folder, 'incoming'));
  const memory = new BlobMemory();
  const blocks = new BlobBlocks();
  const pathOf = (digest: string) => {
    const hex = hexOf(digest);
    return join(folder, 'sha256', hex.slice(0, 2), hex);
  };

  const fileOf = (digest: string) => ({ digest, path: pathOf(digest), memory, blocks });
  const missing = (digest: string) => (error: unknown) => {
    throw systemCode(error) === 'ENOENT' ? noSuchBlob(digest) : error;
  };

  const place = async (digest: string, from: string) => {
    const path = pathOf(digest);
    await mkdir(dirname(path), { recursive: true });
    await rename(from, path);
    await syncFolder(dirname(path));
    await syncFolder(dirname(dirname(path)));
  };

  return {
    async put(digest, source) {
      hexOf(digest);
      try {
        const { path, bytes } = await incoming.receive(digest, source, sync);
        await place(digest, path).catch(async (error: unknown) => {
          await rm(path, { force: true });
          throw error;
        });
        return { digest, bytes };
      } catch (error) {
        throw storageError(error);
      }
    },
    async adopt(digest, path) {
      const { size: bytes } = await stat(path);
      await place(digest, path);
      return { digest, bytes };
    },
    async size(digest) {
      const found = await stat(pathOf(digest)).catch(absent);
      // If the file was deleted or changed outside the platform, the cached copy is invalid.
      memory.keepOnly(digest, found && stampOf(found));
      return found?.size ?? null;
    },
    stream(digest, range) {
      return new BlobReading(fileOf(digest), range);
    },
    async bytes(digest) {
      const file = await openRegular(pathOf(digest), digest).catch(missing(digest));
      const found = await file.readFile().finally(() => file.close());
      const got = digestOf(found);
      if (got !== digest) throw damagedBlob(digest, `its ${found.length} bytes have the digest ${got}`);
      return found;
    },
    async ready(digest) {
      const held = memory.hold(digest);
      if (held) return held.release();
      await closeBlob(await openBlob(fileOf(digest)).catch(missing(digest)));
    },
    async verify(digest, pace) {
      const file = await openRegular(pathOf(digest), digest).catch(missing(digest));
      try {
        const found = await file.stat();
        await blocks.learn(file, { digest, stamp: stampOf(found), bytes: found.size }, pace);
        return found.size;
      } finally {
        await file.close();
      }
    },
    async remove(digest) {
      const path = pathOf(digest);
      await rm(path, { force: true });
      memory.forget(digest);
      blocks.forget(digest);
      if (existsSync(dirname(path))) await syncFolder(dirname(path));
    },
    async *list() {
      for (const two of (await readdir(join(folder, 'sha256')).catch(absent)) ?? []) {
        for (const hex of (await readdir(join(folder, 'sha256', two)).catch(absent)) ?? []) {
          const found = await stat(join(folder, 'sha256', two, hex)).catch(absent);
          if (found) yield { digest: `sha256:${hex}`, bytes: found.size, at: found.mtimeMs };
        }
      }
    },
    close: async () => memory.close(),
  };
}

function absent(error: unknown): null {
  if (systemCode(error) === 'ENOENT') return null;
  throw error;
}

/** Receives files. Files left by interrupted uploads are deleted when the folder is opened. */
interface Incoming {
  /**
   * Writes the incoming data to a separate file, which the caller moves or removes.
   * @param sync also makes the file durable
   * @throws AIOT_DIGEST_MISMATCH, AIOT_REQUEST_INVALID (too large); the file is then removed
   */
  receive(
    digest: string,
    source: AsyncIterable<Uint8Array>,
    sync?: Sync,
  ): Promise<{ path: string; bytes: number }>;
}

export async function openIncoming(folder: string): Promise<Incoming> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return {
    async receive(digest, source, sync) {
      const path = join(folder, randomBytes(8).toString('hex'));
      try {
        return { path, bytes: await write(path, digest, source, sync) };
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
    },
  };
}

async function write(
  path: string,
  digest: string,
  source: AsyncIterable<Uint8Array>,
  sync: Sync | undefined,
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
    await sync?.(file);
  } finally {
    await file.close();
  }
  return bytes;
}
