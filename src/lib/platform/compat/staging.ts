import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError } from '../../core/index.js';
import type { BlobStore } from '../blobs/store.js';
import { contentType, sniffedBytes } from './http/content-type.js';
import type { Quota, Room } from './quota.js';

/** Largest file taken of people whom nobody knows, bytes. */
export const largestUpload = 256 * 1024 ** 2;

/** A file that came in and is on no record yet. */
export interface Staged {
  digest: string;
  bytes: number;
  /** Content-Type by its name and first bytes. */
  type: string;
  /** Puts it among the blobs; resolves when it is durable. */
  keep(blobs: BlobStore): Promise<void>;
  /** Call in any case. */
  discard(): Promise<void>;
}

/** Where uploads wait until they are whole: blobs are stored under a digest that is known at the end only. */
export interface Staging {
  /** @throws AIOT_REQUEST_TOO_LARGE for more than `largestUpload`, AIOT_GUIDE_FULL, and what the disk says */
  take(name: string, source: AsyncIterable<Uint8Array>): Promise<Staged>;
}

/** What a crash has left in the folder goes. */
export async function openStaging(folder: string, quota: Pick<Quota, 'begin'>): Promise<Staging> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    async take(name, source) {
      const path = join(folder, randomBytes(8).toString('hex'));
      const room = await quota.begin();
      const discard = async () => {
        room.end();
        await rm(path, { force: true });
      };
      try {
        const { digest, bytes, head } = await receive(path, source, room);
        const type = contentType(name, head);
        const keep = async (blobs: BlobStore) => void (await blobs.put(digest, createReadStream(path)));
        return { digest, bytes, type, keep, discard };
      } catch (error) {
        await discard();
        throw error;
      }
    },
  };
}

async function receive(path: string, source: AsyncIterable<Uint8Array>, room: Room) {
  const hash = createHash('sha256');
  const file = await open(path, 'wx', 0o600);
  let bytes = 0;
  let head = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > largestUpload) {
        throw new AiotError('AIOT_REQUEST_TOO_LARGE', `expected at most ${largestUpload} bytes`);
      }
      room.take(chunk.length);
      if (head.length < sniffedBytes) head = Buffer.concat([head, chunk]).subarray(0, sniffedBytes);
      hash.update(chunk);
      await file.writeFile(chunk);
    }
  } finally {
    await file.close();
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes, head };
}
