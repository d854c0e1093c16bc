import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { openBlobs } from '../../src/lib/platform/blobs/folder.js';
import { behavesAsBlobStore, bytesOf, pieces } from './blob-stores.js';

const temporary = () => mkdtemp(join(tmpdir(), 'aiot-blobs-'));

describe('a blob store in a folder', () => {
  behavesAsBlobStore(async () => {
    const folder = await temporary();
    const store = await openBlobs(folder);
    return { store, folder, end: () => rm(folder, { recursive: true, force: true }) };
  });
});

describe('a blob folder', () => {
  it('detects a changed blob file, and discards partial uploads left by a kill', async () => {
    const folder = await temporary();
    const content = randomBytes(1000);
    const digest = digestOf(content);
    const store = await openBlobs(folder);
    await store.put(digest, pieces(content));
    const hex = digest.slice('sha256:'.length);
    await writeFile(join(folder, 'sha256', hex.slice(0, 2), hex), randomBytes(1000));
    await expect(store.bytes(digest)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await writeFile(join(folder, 'incoming', 'left'), 'half');
    await openBlobs(folder);
    expect(await readdir(join(folder, 'incoming'))).toEqual([]);
    await rm(folder, { recursive: true });
  });

  it('allows a reader to finish a blob that is removed in the meantime', async () => {
    const folder = await temporary();
    const content = randomBytes(3_000_000);
    const store = await openBlobs(folder);
    await store.put(digestOf(content), pieces(content));
    const reading = store.stream(digestOf(content));
    await new Promise((resolve) => reading.once('readable', resolve));
    await store.remove(digestOf(content));
    expect((await bytesOf(reading)).equals(content)).toBe(true);
    await rm(folder, { recursive: true });
  });

  it('rejects URL schemes other than s3', async () => {
    const folder = await temporary();
    await expect(openBlobs(folder, undefined, 'ftp://x')).rejects.toMatchObject({ code: 'AIOT_USAGE' });
    await rm(folder, { recursive: true });
  });
});
