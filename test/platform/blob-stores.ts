import { randomBytes } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { BlobStore } from '../../src/lib/platform/blobs/store.js';

/** Yields the bytes in pieces. */
export async function* pieces(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function digests(store: BlobStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { digest } of store.list()) found.push(digest);
  return found.sort();
}

/**
 * The requirements for every blob store, regardless of its engine. @param open a function that opens a new, empty store, with
 * a folder for files
 */
export function behavesAsBlobStore(
  open: () => Promise<{ store: BlobStore; folder: string; end(): Promise<unknown> }>,
): void {
  let own: Awaited<ReturnType<typeof open>>;
  const small = randomBytes(100_000);
  // Slightly more than two parts of an upload to S3.
  const large = randomBytes(17 * 1024 ** 2);

  beforeAll(async () => {
    own = await open();
  }, 60_000);
  afterAll(() => own.end());

  it.each([
    ['an empty blob', Buffer.alloc(0)],
    ['a small blob', small],
    ['a large blob', large],
  ])('returns %s as stored, in full and by range', async (_what, content) => {
    const digest = digestOf(content);
    const { store } = own;
    expect(await store.size(digest)).toBeNull();
    const started = Date.now();
    expect(await store.put(digest, pieces(content))).toEqual({ digest, bytes: content.length });
    expect(await store.size(digest)).toBe(content.length);
    expect((await store.bytes(digest)).equals(content)).toBe(true);
    expect((await bytesOf(store.stream(digest))).equals(content)).toBe(true);
    for await (const listed of store.list()) {
      if (listed.digest !== digest) continue;
      expect(listed.bytes).toBe(content.length);
      // The clocks of file systems and of S3 have a resolution of one second.
      expect(listed.at).toBeGreaterThanOrEqual(Math.floor(started / 1000) * 1000 - 1000);
    }
    if (content.length === 0) return;
    const last = content.length - 1;
    for (const [first, end] of [
      [0, 0],
      [10, 99],
      [last, last],
    ] as const) {
      const part = await bytesOf(store.stream(digest, { first, last: end }));
      expect(part.equals(content.subarray(first, end + 1))).toBe(true);
    }
  });

  it('accepts the same content again, and adopts a local file', async () => {
    const digest = digestOf(small);
    await own.store.put(digest, pieces(small));
    const big = digestOf(large);
    await own.store.put(big, pieces(large));
    const path = join(own.folder, 'file');
    const content = randomBytes(1000);
    await writeFile(path, content);
    expect(await own.store.adopt(digestOf(content), path)).toEqual({
      digest: digestOf(content),
      bytes: 1000,
    });
    expect((await own.store.bytes(digestOf(content))).equals(content)).toBe(true);
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('stores nothing if the digest does not match or the upload breaks off', async () => {
    const before = await digests(own.store);
    const digest = digestOf('what was promised');
    await expect(own.store.put(digest, pieces(Buffer.from('another')))).rejects.toMatchObject({
      code: 'AIOT_DIGEST_MISMATCH',
    });
    const broken = (async function* () {
      yield Buffer.from('what was');
      throw new Error('the line is dead');
    })();
    await expect(own.store.put(digest, broken)).rejects.toThrow('the line is dead');
    expect(await own.store.size(digest)).toBeNull();
    expect(await digests(own.store)).toEqual(before);
  });

  it('rejects an invalid digest before reading any data', async () => {
    for (const wrong of ['sha256:abc', 'sha256:../../../etc/passwd', `md5:${'0'.repeat(64)}`]) {
      await expect(own.store.put(wrong, pieces(small))).rejects.toMatchObject({
        code: 'AIOT_REQUEST_INVALID',
      });
    }
  });

  it('removes a blob, tolerates a second removal, and reports it missing', async () => {
    const digest = digestOf(small);
    await own.store.remove(digest);
    await own.store.remove(digest);
    expect(await own.store.size(digest)).toBeNull();
    await expect(own.store.bytes(digest)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await digests(own.store)).not.toContain(digest);
  });

  it('accepts concurrent uploads', async () => {
    const contents = Array.from({ length: 12 }, () => randomBytes(50_000));
    await Promise.all(contents.map((content) => own.store.put(digestOf(content), pieces(content))));
    const read = await Promise.all(contents.map((content) => own.store.bytes(digestOf(content))));
    expect(read.every((bytes, i) => bytes.equals(contents[i] as Buffer))).toBe(true);
  });
}
