import { randomBytes } from 'node:crypto';
import { readdir, readlink } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { parseRange } from '../../src/lib/platform/blobs/store.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { fc } from '../support/property.js';

let own: TestPlatform;
const bytes = randomBytes(300_000);
const digest = digestOf(bytes);

beforeAll(async () => {
  own = await testPlatform();
  await own.client.blobs.put(digest, bytes);
});
afterAll(() => own.stop());

const incoming = () => readdir(join(own.folder, 'data', 'blobs', 'incoming'));

function download(headers: Record<string, string>, method = 'GET') {
  return new Promise<{ status?: number | undefined; headers: Record<string, unknown>; body: Buffer }>(
    (resolve) => {
      const url = new URL(`/api/v1/blobs/${digest}`, own.platform.urls.http);
      const authorization = `Bearer ${own.token}`;
      request(url, { method, ca: own.ca, headers: { authorization, ...headers } }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      }).end();
    },
  );
}

describe('a blob', () => {
  it('is downloaded unchanged', async () => {
    const { total, bytes: rest } = await own.client.blobs.get(digest);
    expect(total).toBe(bytes.length);
    expect((await rest()).equals(bytes)).toBe(true);
  });

  it('resumes from any byte', async () => {
    const { total, from, bytes: rest } = await own.client.blobs.get(digest, { from: 299_990 });
    expect([total, from]).toEqual([300_000, 299_990]);
    expect((await rest()).equals(bytes.subarray(299_990))).toBe(true);
  });

  it.each([
    ['bytes=0-9', 206, 'bytes 0-9/300000', 10],
    ['bytes=-5', 206, 'bytes 299995-299999/300000', 5],
    ['bytes=299999-400000', 206, 'bytes 299999-299999/300000', 1],
    ['bytes=300000-', 416, 'bytes */300000', 0],
    ['bytes=9-3', 200, undefined, 300_000],
    ['bytes=0-1,5-6', 200, undefined, 300_000],
    ['lines=1-2', 200, undefined, 300_000],
  ])('responds to Range %s with %i', async (range, status, contentRange, length) => {
    const answer = await download({ range });
    expect([answer.status, answer.headers['content-range'], answer.body.length]).toEqual([
      status,
      contentRange,
      length,
    ]);
    if (status !== 416) expect(answer.headers['content-length']).toBe(String(length));
  });

  it('is not resent if the ETag matches, and is sent in full if If-Range does not match', async () => {
    const { headers } = await download({});
    const etag = String(headers.etag);
    expect((await download({ 'if-none-match': etag })).status).toBe(304);
    expect((await download({ range: 'bytes=0-0', 'if-range': '"other"' })).status).toBe(200);
    expect((await download({ range: 'bytes=0-0', 'if-range': etag })).status).toBe(206);
  });

  it('matches its ETag in a list, and responds to HEAD without a body', async () => {
    const etag = `"${digest}"`;
    for (const header of [`"other", ${etag}`, `W/${etag}`, '*']) {
      expect((await download({ 'if-none-match': header })).status).toBe(304);
    }
    expect((await download({ 'if-none-match': '"other"' })).status).toBe(200);
    const head = await download({}, 'HEAD');
    expect([head.status, head.body.length, head.headers['content-length'], head.headers.etag]).toEqual([
      200,
      0,
      '300000',
      etag,
    ]);
  });

  it('is no longer open after its client disconnects, and is served to many clients at once', async () => {
    const large = randomBytes(8_000_000);
    await own.client.blobs.put(digestOf(large), large);
    const open = async () => {
      const links = await readdir('/proc/self/fd');
      const paths = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
      return paths.filter((path) => path.endsWith(digestOf(large).slice('sha256:'.length))).length;
    };
    const url = new URL(`/api/v1/blobs/${digestOf(large)}`, own.platform.urls.http);
    const authorization = `Bearer ${own.token}`;
    const going = request(url, { ca: own.ca, headers: { authorization } }, (answer) =>
      answer.once('data', () => answer.pause()),
    );
    going.on('error', () => {});
    going.end();
    await expect.poll(open).toBe(1);
    going.destroy();
    await expect.poll(open).toBe(0);
    const all = await Promise.all(Array.from({ length: 8 }, () => download({ range: 'bytes=100-200000' })));
    expect(all.every(({ body }) => body.equals(bytes.subarray(100, 200_001)))).toBe(true);
  });

  it('may be uploaded twice', async () => {
    expect(await own.client.blobs.put(digest, bytes)).toEqual({ digest, bytes: bytes.length });
  });

  it('is rejected if it does not match its digest, and leaves nothing behind', async () => {
    const wrong = digestOf('something else');
    await expect(own.client.blobs.put(wrong, bytes)).rejects.toMatchObject({ code: 'AIOT_DIGEST_MISMATCH' });
    await expect(own.client.blobs.get(wrong)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await incoming()).toEqual([]);
  });

  it('leaves nothing behind if its upload is cut off', async () => {
    const other = randomBytes(200_000);
    const url = new URL(`/api/v1/blobs/${digestOf(other)}`, own.platform.urls.http);
    const headers = {
      authorization: `Bearer ${own.token}`,
      'content-type': 'application/octet-stream',
      'content-length': String(other.length),
    };
    const upload = request(url, { method: 'PUT', ca: own.ca, headers });
    upload.on('error', () => {});
    upload.write(other.subarray(0, 100_000));
    await expect.poll(incoming).toHaveLength(1);
    upload.destroy();
    await expect.poll(incoming).toEqual([]);
    await expect(own.client.blobs.get(digestOf(other))).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });
});

it('a parsed range stays within the blob, whatever the header', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(100), fc.nat(100), fc.nat(50), (junk, a, b, size) => {
      for (const header of [junk, `bytes=${a}-${b}`, `bytes=${a}-`, `bytes=-${a}`]) {
        const range = parseRange(header, size);
        if (range === null || range === 'unsatisfiable') continue;
        expect(range.first).toBeGreaterThanOrEqual(0);
        expect(range.last).toBeGreaterThanOrEqual(range.first);
        expect(range.last).toBeLessThan(size);
      }
    }),
  );
});
