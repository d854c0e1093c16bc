import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { createClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import { errorOfAnswer } from '../../src/lib/api/errors.js';
import { parseModelReference, resolveModel } from '../../src/lib/api/reference.js';
import { eventData } from '../../src/lib/api/streams.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { withCutPlatform } from '../support/cut-platform.js';
import { testPlatform } from '../support/platform.js';
import { fc } from '../support/property.js';

describe('the client', () => {
  const folders: string[] = [];
  afterAll(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  it('reports an unreachable platform with its address, as a retryable error', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    await new Promise((resolve) => server.close(resolve));
    const client = createClient({ url: `https://127.0.0.1:${port}` });
    await expect(client.status()).rejects.toMatchObject({
      code: 'AIOT_PLATFORM_UNREACHABLE',
      endpoint: `https://127.0.0.1:${port}`,
      retryable: true,
      exit: 1,
    });
    await client.close();
  });

  it('reports an unreachable platform if the connection is cut during a download', async () => {
    await withCutPlatform(async (client) => {
      await expect(client.datasets.csv('imu', 'motor-1', 'walking1')).rejects.toMatchObject({
        code: 'AIOT_PLATFORM_UNREACHABLE',
        retryable: true,
      });
    });
  });

  it('trusts only the configured CA, and reports others as untrusted', async () => {
    const own = await testPlatform();
    const folder = await mkdtemp(join(tmpdir(), 'aiot-foreign-'));
    folders.push(folder);
    const foreign = await openAuthority(folder, Date.now);
    for (const ca of [foreign.certificate, undefined]) {
      const client = createClient({ url: own.platform.urls.http, token: own.token, ...(ca ? { ca } : {}) });
      await expect(client.status()).rejects.toMatchObject({ code: 'AIOT_PLATFORM_UNTRUSTED', exit: 5 });
      await client.close();
    }
    await own.stop();
  });

  it('never sends a token without TLS', () => {
    expect(() => createClient({ url: 'http://127.0.0.1:1', token: 'secret' })).toThrow(/https/);
  });

  it('reports an unreachable platform while it watches a rollout', async () => {
    const own = await testPlatform();
    const url = own.platform.urls.http;
    await own.platform.stop();
    await expect(own.client.rollouts.watch('ro_1', { retries: 0 }).next()).rejects.toMatchObject({
      code: 'AIOT_PLATFORM_UNREACHABLE',
      endpoint: url,
    });
    await own.stop();
  });

  it('reports a missing context', async () => {
    await expect(clientFor('nowhere')).rejects.toMatchObject({ code: 'AIOT_CONTEXT_NOT_FOUND', exit: 4 });
  });
});

const problem = (code: string) =>
  JSON.stringify({ type: `/errors/${code}`, title: 't', status: 409, detail: 'm', code });

describe('an error response', () => {
  it.each([
    [401, '', 'AIOT_TOKEN_INVALID'],
    [403, 'no', 'AIOT_NOT_ALLOWED'],
    [404, '<html>', 'AIOT_NOT_FOUND'],
    [502, '', 'AIOT_PLATFORM_FAILED'],
    [409, problem('AIOT_ALREADY_EXISTS'), 'AIOT_ALREADY_EXISTS'],
    [429, problem('AIOT_RATE_LIMITED'), 'AIOT_RATE_LIMITED'],
    [500, problem('constructor'), 'AIOT_PLATFORM_FAILED'],
  ])('with the status %i and the body "%s" becomes %s', (status, body, code) => {
    const retryable = status === 429 || status >= 500;
    expect(errorOfAnswer(status, body, 'https://x')).toMatchObject({ code, retryable });
  });

  it.each([
    ['7', 7000],
    ['soon', undefined],
    [undefined, undefined],
  ])('with the Retry-After %s keeps the delay', (header, retryAfterMs) => {
    const error = errorOfAnswer(429, problem('AIOT_RATE_LIMITED'), 'https://x', header);
    expect(error.retryAfterMs).toBe(retryAfterMs);
  });
});

describe('server-sent events', () => {
  it('are read correctly however the bytes are split', async () => {
    const text =
      ': hello\n\ndata: {"a":"ü"}\n\ndata: one\r\ndata: two\r\n\r\nevent: x\ndata:three\n\ndata: unfinished';
    const bytes = Buffer.from(text);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), bytes.length];
        async function* chunks() {
          let start = 0;
          for (const end of ends) {
            yield bytes.subarray(start, end);
            start = end;
          }
        }
        const read: string[] = [];
        for await (const data of eventData(chunks())) read.push(data);
        expect(read).toEqual(['{"a":"ü"}', 'one\ntwo', 'three']);
      }),
    );
  });
});

describe('a model reference', () => {
  it.each([
    ['har-1.x@12', 12],
    ['har-1.x', null],
    ['har-1.x@latest', 'latest'],
    ['har-1.x@production', 'production'],
  ])('is parsed from %s', (text, which) => {
    expect(parseModelReference(text)).toEqual({ name: 'har-1.x', which });
  });
  it.each(['', 'har@', 'har@0', 'har@1.2', '@1', 'har@-1', 'har@newest', 'har@1@2', 'a b@1'])(
    'is not parsed from "%s"',
    (text) => {
      expect(() => parseModelReference(text)).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
    },
  );

  it('with an unknown stage is rejected with the similar stage', () => {
    expect(() => parseModelReference('my-watch@prod')).toThrow(
      /got my-watch@prod\. Did you mean production\?$/,
    );
    expect(() => parseModelReference('my-watch@lates')).toThrow(/Did you mean latest\?$/);
  });

  const card = (version: number, stage: string) => ({ name: 'har', version, stage }) as ModelVersion;
  const client = (...versions: ModelVersion[]) => ({ models: { versions: async () => versions } });
  const several = client(card(3, 'dev'), card(2, 'staging'), card(1, 'production'));
  it.each([
    ['har@2', undefined, 2],
    ['har@latest', undefined, 3],
    ['har@production', undefined, 1],
    ['har', 'staging', 2],
    ['har@staging', 'staging', 2],
  ] as const)('is resolved from %s with --stage %s', async (text, stage, version) => {
    expect(await resolveModel(several, text, stage)).toEqual({ name: 'har', version });
  });
  it('may omit the version only if the model has a single version', async () => {
    expect(await resolveModel(client(card(7, 'dev')), 'har')).toEqual({ name: 'har', version: 7 });
    await expect(resolveModel(several, 'har')).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      message: 'har has 3 versions: har@3 (dev), har@2 (staging), har@1 (production)',
    });
  });
  it('is rejected for an empty stage, or with both a version and a stage', async () => {
    await expect(resolveModel(client(card(1, 'dev')), 'har@production')).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
    await expect(resolveModel(several, 'har@2', 'production')).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });
});
