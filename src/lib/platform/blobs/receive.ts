import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError } from '../../core/index.js';
import type { Sync } from '../sync.js';
import { largestBlob } from './port.js';

/** Files on their way in. What an interrupted upload has left there goes when the folder is opened. */
export interface Incoming {
  /**
   * Writes what comes to a file of its own, which the caller moves or removes.
   * @param sync also makes it durable
   * @throws AIOT_DIGEST_MISMATCH, AIOT_REQUEST_INVALID (too large); then nothing is left
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
