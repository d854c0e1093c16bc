import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import type { ClientRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { formOf, testGuide } from '../support/guide.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
afterEach(() => own.stop());

/** Starts a request with half of its body. The response arrives once the rest is sent. */
function begin(
  url: string,
  how: { path: string; method: string; headers: Record<string, string>; ca: string },
): { call: ClientRequest; status: Promise<number> } {
  const { hostname, port } = new URL(url);
  const call = httpsRequest({ hostname, port, agent: false, ...how });
  const status = new Promise<number>((resolve, reject) => {
    call.on('error', reject);
    call.on('response', (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
  });
  status.catch(() => {});
  return { call, status };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** The outcome of a new request: its status, or the code of the error. */
const outcome = (url: string, ca: string) => {
  const { call, status } = begin(url, { path: '/healthz', method: 'GET', headers: {}, ca });
  call.end();
  return status.catch(({ code }: NodeJS.ErrnoException) => code);
};
/** Waits until the platform is receiving an upload. */
const receiving = (part: 'blobs' | 'guide') =>
  expect.poll(() => readdir(join(own.folder, 'data', part, 'incoming'))).toHaveLength(1);

async function beginBlob(content: Buffer) {
  const upload = begin(own.platform.urls.http, {
    path: `/api/v1/blobs/${digestOf(content)}`,
    method: 'PUT',
    ca: own.ca,
    headers: {
      authorization: `Bearer ${own.token}`,
      'content-type': 'application/octet-stream',
      'content-length': String(content.length),
    },
  });
  upload.call.write(content.subarray(0, 1000));
  await receiving('blobs');
  return upload;
}

describe('a stopping platform', () => {
  it('responds to requests in progress, and accepts no new ones', async () => {
    own = await testPlatform();
    const content = randomBytes(50_000);
    const { call, status } = await beginBlob(content);
    const stopping = own.platform.stop();
    await expect.poll(() => outcome(own.platform.urls.http, own.ca)).toBe('ECONNREFUSED');
    call.end(content.subarray(1000));
    await expect(status).resolves.toBe(201);
    await stopping;
    await own.restart();
    await expect((await own.client.blobs.get(digestOf(content))).bytes()).resolves.toEqual(content);
  });

  it('does not wait for event streams, which never end', async () => {
    own = await testPlatform({ drainMs: 60_000 });
    const ended = new AbortController();
    const events = own.client.events.follow({ from: 0, retries: 0, signal: ended.signal });
    await events[Symbol.asyncIterator]().next();
    const before = performance.now();
    await own.platform.stop();
    expect(performance.now() - before).toBeLessThan(30_000);
    ended.abort();
  });

  it('cuts off requests that exceed the drain time', async () => {
    own = await testPlatform({ drainMs: 300 });
    const { status } = await beginBlob(randomBytes(50_000));
    await own.platform.stop();
    await expect(status).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('responds to uploads in progress from the guide’s clients too', async () => {
    const guide = await testGuide();
    own = guide;
    const { body, headers } = formOf('2022-05-06-20:36:11-model.zip', randomBytes(50_000));
    const { call, status } = begin(guide.urls.models, {
      ...{ path: '/uploadModel', method: 'POST', ca: own.ca },
      headers: { ...headers, 'content-length': String(body.length) },
    });
    call.write(body.subarray(0, 1000));
    await receiving('guide');
    const stopping = own.platform.stop();
    await pause(150);
    call.end(body.subarray(1000));
    await expect(status).resolves.toBe(200);
    await stopping;
  });
});
