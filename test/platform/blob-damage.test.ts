import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import { mkdtemp, open, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { openBlobs } from '../../src/lib/platform/blobs/folder.js';
import { BlobHealth, watchedBlobs } from '../../src/lib/platform/verify/scrub.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';
import { bytesOf, pieces } from './blob-stores.js';

const mib = 1024 ** 2;
const fileOf = (folder: string, digest: string) => {
  const hex = digest.slice('sha256:'.length);
  return join(folder, 'sha256', hex.slice(0, 2), hex);
};

/** Flips one bit without changing the file's times, like a failing disk. */
async function flip(path: string, at: number): Promise<void> {
  const { atime, mtime } = await stat(path);
  const file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  buffer[0] = (buffer[0] as number) ^ (1 << randomInt(8));
  await file.write(buffer, 0, 1, at);
  await file.close();
  await utimes(path, atime, mtime);
}

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

/** Downloads a blob, and returns the bytes that arrive before it ends or the connection breaks. */
function download(digest: string, headers: Record<string, string> = {}, method = 'GET') {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: Buffer; broken: boolean }>(
    (resolve, reject) => {
      const url = new URL(`/api/v1/blobs/${digest}`, own.platform.urls.http);
      const authorization = `Bearer ${own.token}`;
      request(url, { method, ca: own.ca, headers: { authorization, ...headers } }, (answer) => {
        const chunks: Buffer[] = [];
        const end = (broken: boolean) =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(chunks),
            broken,
          });
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () => end(false));
        answer.on('error', () => end(true));
      })
        .on('error', reject)
        .end();
    },
  );
}

async function put(bytes: number): Promise<{ content: Buffer; digest: string; path: string }> {
  const content = randomBytes(bytes);
  const digest = digestOf(content);
  await own.client.blobs.put(digest, content);
  return { content, digest, path: fileOf(join(own.folder, 'data', 'blobs'), digest) };
}

describe('a blob altered on disk', () => {
  it.each([
    ['a few bytes', 10],
    ['100 kB', 100_000],
    ['cached in memory while requested', 2 * mib],
    ['read from its file', 9 * mib],
  ])('is never sent, and the response is 500 with an error code and no ETag: %s', async (_what, bytes) => {
    for (let round = 0; round < 5; round++) {
      const { digest, path } = await put(bytes);
      await flip(path, randomInt(bytes));
      const answer = await download(digest);
      expect(answer.status).toBe(500);
      expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
      expect(answer.headers).not.toHaveProperty('etag');
      expect(answer.headers['cache-control']).toBe('no-store');
      expect((await download(digest, {}, 'HEAD')).status).toBe(500);
      expect((await download(digest, { range: `bytes=${bytes - 5}-` })).status).toBe(500);
    }
  });

  it('sends no altered bytes to a resuming client, even if it was intact a moment ago', async () => {
    const bytes = 9 * mib;
    const { content, digest, path } = await put(bytes);
    expect((await download(digest)).body.equals(content)).toBe(true);
    const at = 6 * mib + 17;
    await flip(path, at);
    for (const first of [0, 5 * mib, at - 3]) {
      const { body, broken } = await download(digest, { range: `bytes=${first}-` });
      expect(broken || body.length < bytes - first).toBe(true);
      // The whole block with the altered byte is withheld.
      if (broken) expect(body.equals(content.subarray(first, first + body.length))).toBe(true);
      expect(first + (broken ? body.length : 0)).toBeLessThanOrEqual(at);
    }
    expect((await download(digest, { range: `bytes=0-${mib - 1}` })).status).toBe(500);
  });

  it('sends no ETag or range headers with the error, even if it was intact a moment ago', async () => {
    const { digest, path } = await put(9 * mib);
    // The times are whole numbers, so that `flip` can restore them exactly.
    await utimes(path, 1_700_000_000, 1_700_000_000);
    expect((await download(digest)).headers).toHaveProperty('etag');
    await flip(path, 5);
    for (const headers of [{ range: 'bytes=0-100' }, {}] as Record<string, string>[]) {
      const refused = await download(digest, headers);
      expect(refused.status).toBe(500);
      expect(refused.headers['cache-control']).toBe('no-store');
      for (const name of ['etag', 'content-range', 'accept-ranges'])
        expect(refused.headers).not.toHaveProperty(name);
    }
  });

  it('is not sent and blocks no requests if a pipe, a device or a folder replaces its file', async () => {
    for (const take of [
      (path: string) => execFileSync('mkfifo', [path]),
      (path: string) => symlinkSync('/dev/zero', path),
      (path: string) => mkdirSync(path),
    ]) {
      const { digest, path } = await put(1000);
      await rm(path);
      take(path);
      const answers = await Promise.all(Array.from({ length: 6 }, () => download(digest)));
      expect(answers.map(({ status }) => status)).toEqual([500, 500, 500, 500, 500, 500]);
      expect(JSON.parse(String(answers[0]?.body))).toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
      await rm(path, { recursive: true });
    }
  });

  it('is not rolled out: the start is rejected before any device is offered the blob', async () => {
    const { name, version, sequence, digest } = await pushTiny(own.client, own.key);
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(own.folder, 'dev') });
    const wanted = oneWave({ name, version, sequence });
    const path = fileOf(join(own.folder, 'data', 'blobs'), digest);
    await flip(path, 100);
    await expect(own.client.rollouts.start(wanted)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await expect(own.client.rollouts.plan(wanted)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    expect(await own.client.rollouts.list()).toEqual([]);
  });

  it.each([
    ['emptied', 0],
    ['cut', 5000],
  ])('is not sent if its file was %s', async (_what, left) => {
    const { digest, path } = await put(100_000);
    await truncate(path, left);
    expect((await download(digest)).status).toBe(500);
  });

  it('is served again once the same content has been pushed', async () => {
    const { content, digest, path } = await put(5 * mib);
    await flip(path, 4 * mib);
    expect((await download(digest)).status).toBe(500);
    await own.client.blobs.put(digest, content);
    expect((await download(digest)).body.equals(content)).toBe(true);
  });

  it('does not affect ranges of an intact blob', async () => {
    const { content, digest } = await put(5 * mib);
    for (const [first, last] of [
      [0, 0],
      [48 * 1024 - 1, 48 * 1024],
      [5 * mib - 1, 5 * mib - 1],
      [100_001, 4_000_003],
    ] as const) {
      const { status, body } = await download(digest, { range: `bytes=${first}-${last}` });
      expect(status).toBe(206);
      expect(body.equals(content.subarray(first, last + 1))).toBe(true);
    }
  });
});

describe('blob health', () => {
  it('tracks damaged blobs, whichever read finds them, until they are intact again', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-blobs-'));
    const told: string[] = [];
    const health = new BlobHealth(Date.now, (digest, is) => told.push(`${is} ${digest}`));
    const store = watchedBlobs(await openBlobs(folder), health);
    const contents = [randomBytes(1000), randomBytes(2000), randomBytes(5 * mib)] as const;
    const [a, b, c] = contents.map((content) => digestOf(content)) as [string, string, string];
    for (const content of contents) await store.put(digestOf(content), pieces(content));
    for (const digest of [a, b, c]) {
      expect(await store.verify(digest)).toBeGreaterThan(0);
      await writeFile(fileOf(folder, digest), 'other');
    }
    await expect(store.bytes(a)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await expect(store.verify(b)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await expect(bytesOf(store.stream(c))).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    await expect(store.bytes(a)).rejects.toMatchObject({ code: 'AIOT_BLOB_DAMAGED' });
    expect(health.damaged).toEqual([a, b, c]);
    expect(told).toEqual([a, b, c].map((digest) => `damaged ${digest}`));
    await store.put(a, pieces(contents[0]));
    await writeFile(fileOf(folder, b), contents[1]);
    await store.verify(b);
    await store.remove(c);
    expect(health.damaged).toEqual([]);
    expect(told.slice(3)).toEqual([a, b, c].map((digest) => `whole ${digest}`));
    await store.close();
    await rm(folder, { recursive: true });
  });
});
