import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { openBlobs } from '../../src/lib/platform/blobs/folder.js';
import { Uploads, uploadMs } from '../../src/lib/platform/blobs/uploads.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { pieces } from './blob-stores.js';

let own: TestPlatform;
const content = randomBytes(500_000);
const digest = digestOf(content);
const metadata = (of = digest) => `digest ${Buffer.from(of).toString('base64')}`;

beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

interface Answer {
  status: number | undefined;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

function ask(
  method: string,
  path: string,
  headers: Record<string, string | number> = {},
  body?: Uint8Array | ((send: ReturnType<typeof request>) => void),
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(path, own.platform.urls.http),
      {
        method,
        ca: own.ca,
        headers: { authorization: `Bearer ${own.token}`, 'tus-resumable': '1.0.0', ...headers },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode,
            headers: answer.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    sent.on('error', reject);
    if (typeof body === 'function') body(sent);
    else sent.end(body);
  });
}

const code = ({ body }: Answer) => (JSON.parse(body) as { code: string }).code;

async function begin(of = digest, bytes = content.length): Promise<string> {
  const answer = await ask('POST', '/api/v1/uploads', {
    'upload-length': bytes,
    'upload-metadata': metadata(of),
  });
  expect(answer.status, answer.body).toBe(201);
  return String(answer.headers.location);
}

const patch = (path: string, offset: number, bytes: Uint8Array, more: Record<string, string> = {}) =>
  ask(
    'PATCH',
    path,
    { 'content-type': 'application/offset+octet-stream', 'upload-offset': offset, ...more },
    bytes,
  );
/** The file with the bytes of an upload that have arrived. */
const partOf = (path: string) =>
  join(own.folder, 'data', 'blobs', 'uploads', `${path.split('/').at(-1)}.part`);
const offsetOf = async (path: string) => Number((await ask('HEAD', path)).headers['upload-offset']);

describe('a chunked upload', () => {
  it('becomes the blob with its digest once its last byte arrives', async () => {
    const path = await begin();
    expect(await ask('HEAD', path)).toMatchObject({
      status: 200,
      headers: { 'upload-offset': '0', 'upload-length': '500000', 'cache-control': 'no-store' },
    });
    expect(await patch(path, 0, content.subarray(0, 200_000))).toMatchObject({
      status: 204,
      headers: { 'upload-offset': '200000', 'tus-resumable': '1.0.0' },
    });
    await expect(own.client.blobs.get(digest)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await patch(path, 200_000, content.subarray(200_000))).toMatchObject({
      status: 204,
      headers: { 'upload-offset': '500000', 'upload-expires': expect.stringMatching(/GMT$/) },
    });
    expect((await (await own.client.blobs.get(digest)).bytes()).equals(content)).toBe(true);
    expect(await offsetOf(path)).toBe(500_000);
  });

  it('resumes after a restart of the platform and after a connection lost in the middle of a chunk', async () => {
    const other = randomBytes(400_000);
    const path = await begin(digestOf(other), other.length);
    const arrived = () =>
      stat(partOf(path)).then(
        ({ size }) => size,
        () => 0,
      );
    let looking: NodeJS.Timeout | undefined;
    const broken = ask(
      'PATCH',
      path,
      { 'content-type': 'application/offset+octet-stream', 'upload-offset': 0, 'content-length': 400_000 },
      (sent) => {
        sent.write(other.subarray(0, 150_000));
        looking = setInterval(async () => {
          if ((await arrived()) === 0) return;
          clearInterval(looking);
          sent.destroy();
        }, 20);
      },
    );
    try {
      await expect(broken).rejects.toThrow();
    } finally {
      clearInterval(looking);
    }
    const offset = await offsetOf(path);
    expect(offset).toBeGreaterThan(0);
    expect(offset).toBeLessThanOrEqual(150_000);
    await own.restart();
    expect(await offsetOf(path)).toBe(offset);
    expect(await patch(path, offset, other.subarray(offset))).toMatchObject({ status: 204 });
    expect((await (await own.client.blobs.get(digestOf(other))).bytes()).equals(other)).toBe(true);
  });

  it('is taken over from a hanging connection', async () => {
    const other = randomBytes(100_000);
    const path = await begin(digestOf(other), other.length);
    const hanging = ask(
      'PATCH',
      path,
      { 'content-type': 'application/offset+octet-stream', 'upload-offset': 0, 'content-length': 100_000 },
      (sent) => sent.write(other.subarray(0, 40_000)),
    ).catch(() => null);
    await expect.poll(async () => (await stat(partOf(path))).size).toBe(40_000);
    expect(await offsetOf(path)).toBe(40_000);
    expect(await patch(path, 40_000, other.subarray(40_000))).toMatchObject({ status: 204 });
    await hanging;
    expect((await (await own.client.blobs.get(digestOf(other))).bytes()).equals(other)).toBe(true);
  });

  it('discards a chunk with a wrong checksum, and accepts the correct one', async () => {
    const other = randomBytes(1000);
    const path = await begin(digestOf(other), other.length);
    const sum = digestOf(other).slice('sha256:'.length);
    const good = `sha256 ${Buffer.from(sum, 'hex').toString('base64')}`;
    const wrong = await patch(path, 0, randomBytes(1000), { 'upload-checksum': good });
    expect([wrong.status, code(wrong)]).toEqual([460, 'AIOT_CHECKSUM_MISMATCH']);
    expect(await offsetOf(path)).toBe(0);
    expect(await patch(path, 0, other, { 'upload-checksum': good })).toMatchObject({ status: 204 });
  });

  it('can include its first bytes in the request that creates it', async () => {
    const other = randomBytes(2000);
    const answer = await ask(
      'POST',
      '/api/v1/uploads',
      {
        'upload-length': 2000,
        'upload-metadata': metadata(digestOf(other)),
        'content-type': 'application/offset+octet-stream',
      },
      other,
    );
    expect(answer).toMatchObject({ status: 201, headers: { 'upload-offset': '2000' } });
    expect((await own.client.blobs.get(digestOf(other))).total).toBe(2000);
  });

  it('is discarded if its content does not match its digest', async () => {
    const path = await begin(digestOf('another'), 7);
    const answer = await patch(path, 0, Buffer.from('not it!'));
    expect([answer.status, code(answer)]).toEqual([422, 'AIOT_DIGEST_MISMATCH']);
    expect(await ask('HEAD', path)).toMatchObject({ status: 404 });
  });

  it('can be canceled', async () => {
    const path = await begin();
    expect(await ask('DELETE', path)).toMatchObject({ status: 204 });
    expect(await ask('HEAD', path)).toMatchObject({ status: 404 });
    expect(await ask('DELETE', path)).toMatchObject({ status: 404 });
  });
});

describe('upload validation', () => {
  it('rejects invalid requests with the matching status and error code', async () => {
    const path = await begin();
    const wrongPlace = await patch(path, 7, content);
    expect([wrongPlace.status, code(wrongPlace)]).toEqual([409, 'AIOT_UPLOAD_OFFSET']);
    const tooMuch = await patch(path, 0, Buffer.concat([content, Buffer.from('!')]));
    expect([tooMuch.status, code(tooMuch)]).toEqual([413, 'AIOT_REQUEST_TOO_LARGE']);
    expect(await offsetOf(path)).toBe(0);
    const old = await ask('HEAD', path, { 'tus-resumable': '0.2.2' });
    expect(old).toMatchObject({ status: 412, headers: { 'tus-version': '1.0.0' } });
    for (const headers of [
      { 'upload-length': 5 },
      { 'upload-length': 'many', 'upload-metadata': metadata() },
      { 'upload-metadata': metadata() },
      { 'upload-length': 5, 'upload-metadata': metadata('sha256:../../etc') },
    ]) {
      const answer = await ask('POST', '/api/v1/uploads', headers as Record<string, string>);
      expect([answer.status, code(answer)]).toEqual([400, 'AIOT_REQUEST_INVALID']);
    }
    const huge = await ask('POST', '/api/v1/uploads', {
      'upload-length': 2 ** 31,
      'upload-metadata': metadata(),
    });
    expect([huge.status, code(huge)]).toEqual([413, 'AIOT_REQUEST_TOO_LARGE']);
    expect(await ask('HEAD', '/api/v1/uploads/..%2f..%2fstate')).toMatchObject({ status: 404 });
    expect(await ask('OPTIONS', '/api/v1/uploads')).toMatchObject({
      status: 204,
      headers: { 'tus-version': '1.0.0', 'tus-max-size': String(2 ** 30) },
    });
  });

  it('allows at most 64 unfinished uploads per user', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-uploads-'));
    const blobs = await openBlobs(folder);
    const uploads = await Uploads.open({ folder: join(folder, 'uploads'), blobs, now: Date.now });
    const create = (who: string) => uploads.create({ digest, bytes: 10, who, metadata: '' });
    for (let i = 0; i < 64; i++) await create('one');
    await expect(create('one')).rejects.toMatchObject({ code: 'AIOT_RATE_LIMITED' });
    await create('another');
    await rm(folder, { recursive: true });
  });
});

describe('upload records truncated by a kill', () => {
  it('are removed at the next start, and do not count as uploads', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-uploads-'));
    const parts = { folder: join(folder, 'uploads'), blobs: await openBlobs(folder), now: () => Date.now() };
    const before = await Uploads.open(parts);
    const begun = await before.create({ digest, bytes: content.length, who: 'x', metadata: '' });
    await writeFile(join(parts.folder, '.0a590318d955.tmp'), '{"digest":');
    expect(await before.sweep()).toBe(0);
    const after = await Uploads.open(parts);
    expect((await readdir(parts.folder)).sort()).toEqual([`${begun.id}.json`, `${begun.id}.part`]);
    expect(await after.get(begun.id)).toMatchObject({ offset: 0, done: false });
    await rm(folder, { recursive: true });
  });
});

describe('abandoned uploads', () => {
  it('are removed after a day, and one interrupted after its blob was stored counts as done', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-uploads-'));
    const blobs = await openBlobs(folder);
    const now = Date.now();
    const uploads = await Uploads.open({ folder: join(folder, 'uploads'), blobs, now: () => now });
    const bytes = content.length;
    const old = await uploads.create({ digest, bytes, who: 'x', metadata: '' });
    const fresh = await uploads.create({ digest, bytes, who: 'x', metadata: '' });
    const past = (now - uploadMs - 1000) / 1000;
    for (const end of ['part', 'json']) await utimes(join(folder, 'uploads', `${old.id}.${end}`), past, past);
    await writeFile(join(folder, 'uploads', 'stray.part'), 'x');
    await utimes(join(folder, 'uploads', 'stray.part'), past, past);
    expect(await uploads.sweep()).toBe(2);
    expect((await readdir(join(folder, 'uploads'))).sort()).toEqual([`${fresh.id}.json`, `${fresh.id}.part`]);
    await blobs.put(digest, pieces(content));
    await rm(join(folder, 'uploads', `${fresh.id}.part`));
    expect(await uploads.get(fresh.id)).toMatchObject({ done: true, offset: bytes });
    await rm(folder, { recursive: true });
  });
});
