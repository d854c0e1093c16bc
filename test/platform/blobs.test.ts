import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/index.js';
import { parseRange } from '../../src/lib/platform/blobs/range.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
const bytes = randomBytes(300_000);
const digest = digestOf(bytes);

beforeAll(async () => {
  own = await testPlatform();
  await own.client.blobs.put(digest, bytes);
});
afterAll(() => own.stop());

const incoming = () => readdir(join(own.folder, 'data', 'blobs', 'incoming'));

function download(headers: Record<string, string>) {
  return new Promise<{ status?: number | undefined; headers: Record<string, unknown>; body: Buffer }>(
    (resolve) => {
      const url = new URL(`/api/v1/blobs/${digest}`, own.platform.urls.http);
      const authorization = `Bearer ${own.token}`;
      request(url, { ca: own.ca, headers: { authorization, ...headers } }, (answer) => {
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
  it('comes back as it was', async () => {
    const { total, bytes: rest } = await own.client.blobs.get(digest);
    expect(total).toBe(bytes.length);
    expect((await rest()).equals(bytes)).toBe(true);
  });

  it('is resumed from any byte', async () => {
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
  ])('answers Range %s with %i', async (range, status, contentRange, length) => {
    const answer = await download({ range });
    expect([answer.status, answer.headers['content-range'], answer.body.length]).toEqual([
      status,
      contentRange,
      length,
    ]);
    if (status !== 416) expect(answer.headers['content-length']).toBe(String(length));
  });

  it('is not sent again to who has it, and whole to who has another', async () => {
    const { headers } = await download({});
    const etag = String(headers.etag);
    expect((await download({ 'if-none-match': etag })).status).toBe(304);
    expect((await download({ range: 'bytes=0-0', 'if-range': '"other"' })).status).toBe(200);
    expect((await download({ range: 'bytes=0-0', 'if-range': etag })).status).toBe(206);
  });

  it('may be sent twice', async () => {
    expect(await own.client.blobs.put(digest, bytes)).toEqual({ digest, bytes: bytes.length });
  });

  it('that is not what its digest says is refused, and leaves nothing', async () => {
    const wrong = digestOf('something else');
    await expect(own.client.blobs.put(wrong, bytes)).rejects.toMatchObject({ code: 'AIOT_DIGEST_MISMATCH' });
    await expect(own.client.blobs.get(wrong)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await incoming()).toEqual([]);
  });

  it('whose upload is cut in the middle leaves nothing', async () => {
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

it('a range is within the blob, whatever is asked', () => {
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
