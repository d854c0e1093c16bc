import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { openBlobs } from '../../src/lib/platform/blobs/folder.js';
import { BlobMemory } from '../../src/lib/platform/blobs/reading.js';
import { testPlatform } from '../support/platform.js';
import { bytesOf, pieces } from './blob-stores.js';

const mb = 1024 ** 2;

const here = (memory: BlobMemory, digest: string) => {
  const held = memory.hold(digest);
  held?.release();
  return held !== null;
};

describe('the blob cache', () => {
  const load = (memory: BlobMemory, digest: string, opened = memory.removals, bytes = 2 * mb) =>
    memory.load({ digest, bytes, opened, stamp: '1' }, async () => Buffer.alloc(bytes));

  it('never exceeds its limit, including blobs being read', async () => {
    const memory = new BlobMemory(4 * mb);
    const [a, b] = [await load(memory, 'a'), await load(memory, 'b')];
    expect(await load(memory, 'c')).toBeNull();
    // The blob is removed while it is still being read.
    memory.forget('a');
    expect(memory.hold('a')).toBeNull();
    expect(await load(memory, 'c')).toBeNull();
    a?.release();
    a?.release();
    const c = await load(memory, 'c');
    expect(c?.content).toHaveLength(2 * mb);
    expect(await load(memory, 'd')).toBeNull();
    b?.release();
    c?.release();
    expect(here(memory, 'b')).toBe(true);
    memory.close();
  });

  it('evicts the least recently used blob to make room', async () => {
    const memory = new BlobMemory(4 * mb);
    for (const digest of ['a', 'b']) (await load(memory, digest))?.release();
    memory.hold('a')?.release();
    (await load(memory, 'c'))?.release();
    expect(['a', 'b', 'c'].map((digest) => here(memory, digest))).toEqual([true, false, true]);
    expect(await load(memory, 'large', memory.removals, 5 * mb)).toBeNull();
    memory.close();
  });

  it('reads a blob once for concurrent requests, and again after a failure', async () => {
    const memory = new BlobMemory();
    let reads = 0;
    const ask = (fails: boolean) =>
      memory.load({ digest: 'a', bytes: 1, opened: memory.removals, stamp: '1' }, async () => {
        reads++;
        if (fails) throw new Error('the disk is gone');
        return Buffer.alloc(1);
      });
    await expect(Promise.all([ask(true), ask(true)])).rejects.toThrow('the disk is gone');
    expect(await Promise.all([ask(false), ask(false)])).toHaveLength(2);
    expect(reads).toBe(2);
    memory.close();
  });

  it('does not keep a blob that was removed between opening its file and reading it', async () => {
    const memory = new BlobMemory();
    const opened = memory.removals;
    memory.forget('a');
    expect(await load(memory, 'a', opened)).toBeNull();
    expect(memory.hold('a')).toBeNull();
    memory.close();
  });

  it('evicts blobs that are idle for a while', async () => {
    const memory = new BlobMemory(4 * mb, 20);
    const a = await load(memory, 'a');
    (await load(memory, 'b'))?.release();
    await expect.poll(() => here(memory, 'b')).toBe(false);
    expect(here(memory, 'a')).toBe(true);
    a?.release();
    await expect.poll(() => here(memory, 'a')).toBe(false);
    memory.close();
  });
});

describe('a blob with a damaged file', () => {
  const pathIn = (folder: string, digest: string) => {
    const hex = digest.slice('sha256:'.length);
    return join(folder, 'sha256', hex.slice(0, 2), hex);
  };

  it.each([
    ['small', 1000],
    ['large', 5 * mb],
  ])('ends a read with an error if it is truncated (%s)', async (_what, bytes) => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-blobs-'));
    const store = await openBlobs(folder);
    const content = randomBytes(bytes);
    const digest = digestOf(content);
    await store.put(digest, pieces(content));
    await truncate(pathIn(folder, digest), bytes / 2);
    const wanted = { first: 0, last: bytes - 1 };
    await expect(bytesOf(store.stream(digest, wanted))).rejects.toMatchObject({
      code: 'AIOT_BLOB_DAMAGED',
    });
    await store.close();
    await rm(folder, { recursive: true });
  });

  it('is detected whatever is cached, and is served again once its content is restored', async () => {
    const own = await testPlatform();
    const content = randomBytes(10_000);
    const digest = digestOf(content);
    await own.client.blobs.put(digest, content);
    const get = async () => (await own.client.blobs.get(digest)).bytes();
    expect((await get()).equals(content)).toBe(true);
    await writeFile(pathIn(join(own.folder, 'data', 'blobs'), digest), randomBytes(10_000));
    await expect(get()).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await rm(pathIn(join(own.folder, 'data', 'blobs'), digest));
    await expect(get()).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await own.client.blobs.put(digest, content);
    expect((await get()).equals(content)).toBe(true);
    expect((await get()).equals(content)).toBe(true);
    await own.stop();
  });
});
