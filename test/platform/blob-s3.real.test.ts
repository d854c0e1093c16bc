import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { openBlobs } from '../../src/lib/platform/blobs/folder.js';
import type { BlobStore } from '../../src/lib/platform/blobs/store.js';
import { describeReal } from '../support/real.js';
import { type S3Server, startMoto, startVersitygw } from '../support/s3.js';
import { behavesAsBlobStore, bytesOf, pieces } from './blob-stores.js';

afterAll(() => vi.unstubAllEnvs());

async function opened(server: S3Server) {
  vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKey);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretKey);
  await server.makeBucket('blobs');
  const folder = await mkdtemp(join(tmpdir(), 'aiot-blobs-'));
  const store = await openBlobs(folder, undefined, `s3://blobs/a platform/?endpoint=${server.url}`);
  return {
    store,
    folder,
    async end() {
      await store.close();
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describeReal('streams', 'a blob store in moto', () => {
  behavesAsBlobStore(async () => opened(await startMoto()));
});

describeReal('versitygw', 'a blob store in versitygw', () => {
  behavesAsBlobStore(async () => opened(await startVersitygw()));
});

describeReal('versitygw', 'an S3 blob store', () => {
  let server: S3Server;
  let store: BlobStore;
  let folder: string;
  let end: () => Promise<void>;
  const content = randomBytes(3_000_000);
  const digest = digestOf(content);
  const object = () => join(server.folder, 'blobs', 'a platform', 'sha256', digest.slice('sha256:'.length));

  beforeAll(async () => {
    server = await startVersitygw();
    ({ store, folder, end } = await opened(server));
  }, 60_000);
  afterAll(() => end());

  it('detects changed or lost bytes on read, and is repaired by storing the blob again', async () => {
    await store.put(digest, pieces(content));
    expect((await readFile(object())).equals(content)).toBe(true);
    const changed = Buffer.from(content);
    changed[1_500_000] = (changed[1_500_000] as number) ^ 1;
    await writeFile(object(), changed);
    await expect(store.bytes(digest)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    const reading = store.stream(digest);
    let got = 0;
    const read = (async () => {
      for await (const chunk of reading) got += chunk.length;
    })();
    await expect(read).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    expect(got).toBeLessThan(content.length);
    await truncate(object(), 1_000_000);
    await expect(bytesOf(store.stream(digest))).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await store.put(digest, pieces(content));
    expect((await store.bytes(digest)).equals(content)).toBe(true);
    expect(await readdir(join(folder, 'incoming'))).toEqual([]);
  });

  it('distinguishes an unreachable server, a missing bucket and wrong keys from a missing blob', async () => {
    const open = (bucket: string) => openBlobs(folder, undefined, `s3://${bucket}?endpoint=${server.url}`);
    await expect(open('nowhere')).rejects.toMatchObject({
      code: 'AIOT_BLOBS_UNAVAILABLE',
      message: expect.stringContaining('NoSuchBucket'),
    });
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'another');
    await expect(open('blobs')).rejects.toMatchObject({ code: 'AIOT_BLOBS_UNAVAILABLE' });
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretKey);
    await server.kill();
    await expect(store.size(digest)).rejects.toMatchObject({
      code: 'AIOT_BLOBS_UNAVAILABLE',
      retryable: true,
    });
    await expect(bytesOf(store.stream(digest))).rejects.toMatchObject({ code: 'AIOT_BLOBS_UNAVAILABLE' });
    await server.start();
    expect(await store.size(digest)).toBe(content.length);
    await expect(store.bytes(digestOf('nothing'))).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });
});
