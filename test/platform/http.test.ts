import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { problemSchema } from '../../src/lib/api/problem.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { type Answer, type Asked, ask, send } from '../support/raw-http.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

const call = (path: string, asked?: Asked) => ask(own, path, asked);
const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  call(path, { method: 'POST', body: JSON.stringify(body), headers });

describe('the HTTP API', () => {
  const nested = `${'['.repeat(40)}${']'.repeat(40)}`;
  it.each<[string, string, Asked, number, string]>([
    ['an unknown path', '/api/v1/nothing', {}, 404, 'AIOT_NOT_FOUND'],
    ['an unsupported method', '/api/v1/status', { method: 'DELETE' }, 405, 'AIOT_REQUEST_INVALID'],
    ['the method QUERY', '/api/v1/status', { method: 'QUERY' }, 405, 'AIOT_REQUEST_INVALID'],
    ['no token', '/api/v1/status', { token: '' }, 401, 'AIOT_TOKEN_INVALID'],
    [
      'a body that is too large',
      '/api/v1/labels',
      { method: 'POST', body: `"${'x'.repeat(1024 ** 2)}"` },
      413,
      'AIOT_REQUEST_TOO_LARGE',
    ],
    [
      'a target that is too long',
      `/api/v1/devices?after=${'x'.repeat(9000)}`,
      {},
      414,
      'AIOT_REQUEST_TOO_LARGE',
    ],
    [
      'another media type',
      '/api/v1/labels',
      { method: 'POST', body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'AIOT_REQUEST_INVALID',
    ],
    [
      'plain text',
      '/api/v1/labels',
      { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } },
      415,
      'AIOT_REQUEST_INVALID',
    ],
    [
      'a compressed body',
      '/api/v1/labels',
      { method: 'POST', body: '{}', headers: { 'content-encoding': 'gzip' } },
      415,
      'AIOT_REQUEST_INVALID',
    ],
    ['deeply nested JSON', '/api/v1/labels', { method: 'POST', body: nested }, 400, 'AIOT_REQUEST_INVALID'],
    [
      'JSON with a NUL',
      '/api/v1/labels',
      { method: 'POST', body: '{"label":"\\u0000"}' },
      400,
      'AIOT_REQUEST_INVALID',
    ],
    [
      'JSON that sets a prototype',
      '/api/v1/labels',
      { method: 'POST', body: '{"__proto__":{"x":1}}' },
      400,
      'AIOT_REQUEST_INVALID',
    ],
    ['a target with a NUL', '/api/v1/devices/a%00b', {}, 400, 'AIOT_REQUEST_INVALID'],
    ['a target that is not UTF-8', '/api/v1/devices/%ff', {}, 400, 'AIOT_REQUEST_INVALID'],
    ['a page that is too large', '/api/v1/users?limit=1001', {}, 400, 'AIOT_REQUEST_INVALID'],
    ['a name with path traversal', '/api/v1/users/..%2f..%2fstate.db', {}, 404, 'AIOT_NOT_FOUND'],
  ])('responds to %s with problem details (RFC 9457)', async (_, path, asked, status, code) => {
    const answer = await call(path, asked);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json(;|$)/);
    const problem = problemSchema.parse(JSON.parse(answer.text));
    expect([answer.status, problem.status, problem.code]).toEqual([status, status, code]);
    expect(problem.type).toBe(`/errors/${code}`);
    if (status === 405) expect(answer.headers.allow).toBe('GET, HEAD');
    if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
  });

  it.each([
    ['/api/v1/devices/simulated', 'GET', 'PUT'],
    ['/api/v1/devices/actions', 'PUT', 'POST'],
    ['/api/v1/rollouts/plan', 'PUT', 'POST'],
    ['/api/v1/devices/press-1', 'PUT', 'DELETE, GET, HEAD, PATCH'],
  ])('lists the methods of %s in Allow, not those of a sibling', async (path, method, allow) => {
    const { status, headers } = await call(path, { method: method === 'GET' ? 'POST' : method });
    expect([status, headers.allow]).toEqual([405, allow]);
  });

  it('counts requests as work, so that the heap may grow while there are many', async () => {
    const before = own.platform.load();
    for (let i = 0; i < 3; i++) expect((await call('/api/v1/status')).status).toBe(200);
    await expect.poll(() => own.platform.load() - before).toBeGreaterThanOrEqual(30);
  });

  it('reports a device that a simulation lists twice', async () => {
    const device = { name: 'press-1', digest: '0'.repeat(64) };
    const body = JSON.stringify({ type: 'esp32', devices: [device, { ...device, digest: '1'.repeat(64) }] });
    const answer = await call('/api/v1/devices/simulated', { method: 'PUT', body });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      detail: expect.stringContaining('devices.1.name: press-1 is listed twice'),
    });
  });

  it('accepts only true and false for flags in a query, as its description states', async () => {
    const path = '/api/v1/datasets/vibration/recordings?device=press-1&dryRun=';
    const of = async (flag: string) => (await call(`${path}${flag}`, { method: 'DELETE' })).status;
    expect([await of('true'), await of('false'), await of('yes'), await of('TRUE'), await of('')]).toEqual([
      404, 404, 400, 400, 400,
    ]);
    const { paths } = JSON.parse((await call('/openapi.json')).text);
    const parameters = paths['/api/v1/datasets/{stream}/recordings'].delete.parameters as {
      name: string;
      schema: object;
    }[];
    for (const name of ['labelled', 'dryRun'])
      expect(parameters.find((parameter) => parameter.name === name)?.schema).toEqual({ type: 'boolean' });
  });

  it('describes event streams, and responds with 410 for events that are gone', async () => {
    const { paths } = JSON.parse((await call('/openapi.json')).text);
    const events = paths['/api/v1/events'].get.responses;
    expect(Object.keys(events['200'].content)).toEqual(['application/json', 'text/event-stream']);
    expect(events['200'].content['application/json'].schema.properties).toHaveProperty('events');
    expect(events['410'].content).toHaveProperty('application/problem+json');
    for (const path of ['/rollouts/{id}/events', '/jobs/{id}/events', '/devices/{name}/live'])
      expect(Object.keys(paths[`/api/v1${path}`].get.responses['200'].content)).toEqual([
        'text/event-stream',
      ]);
    const gone = await call('/api/v1/events?after=999999', { headers: { accept: 'application/json' } });
    expect(gone.status).toBe(410);
  });

  it('opens no event stream without a token, nor for an unknown device', async () => {
    const live = '/api/v1/devices/none/live';
    const nobody = await call(live, { token: '' });
    expect([nobody.status, JSON.parse(nobody.text).code]).toEqual([401, 'AIOT_TOKEN_INVALID']);
    const unknown = await call(live);
    expect([unknown.status, JSON.parse(unknown.text).code]).toEqual([404, 'AIOT_NOT_FOUND']);
  });

  it('describes an error type at the address of the type', async () => {
    const { status, text } = await call('/errors/AIOT_NOT_FOUND', { token: '' });
    expect([status, JSON.parse(text).code]).toEqual([200, 'AIOT_NOT_FOUND']);
  });
});

describe('an ambiguous or oversized request', () => {
  const head = 'POST /api/v1/labels HTTP/1.1\r\nHost: localhost\r\n';
  it.each([
    ['length and chunks', `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['two lengths', `${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`],
    ['a length with a sign', `${head}Content-Length: +4\r\n\r\nabcd`],
    ['an invalid chunk size', `${head}Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n`],
    ['an unknown transfer coding', `${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['a space before the colon', `${head}Content-Length : 4\r\n\r\nabcd`],
    ['a folded header', `${head}X-A: 1\r\n 2\r\n\r\n`],
    ['bare line feeds', 'GET /healthz HTTP/1.1\nHost: localhost\n\n'],
    [
      'two authorizations',
      'GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n',
    ],
    ['no host', 'GET /healthz HTTP/1.1\r\n\r\n'],
    ['two hosts', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ])('is rejected: %s', async (_, bytes) => {
    const text = await send(own, bytes.replace(/\r\n\r\n/, '\r\nConnection: close\r\n\r\n'));
    expect(text.split('\r\n')[0]).toMatch(/^(HTTP\/1\.1 (400|401) .*|)$/);
    expect(text.match(/HTTP\/1\.1 \d/g)?.length ?? 0).toBeLessThan(2);
  });

  it('is rejected with 431 if its headers are too large', async () => {
    expect(await send(own, `GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 [\s\S]*AIOT_REQUEST_TOO_LARGE/,
    );
  });
});

it.each([
  ['an unknown path', 'GET /api/v1/nothing', 404],
  ['an unsupported method', 'DELETE /api/v1/status', 405],
  ['no token', 'GET /api/v1/status', 401],
])('the connection stays open after a request without a body is rejected: %s', async (_, target, status) => {
  const first = `${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const text = await send(own, `${first}GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code)).toEqual([`${status}`, '200']);
});

it('a connection takes a request right after a large response, also if its body follows in another TLS record', async () => {
  // In another process, because a client in this one would never send while the platform is still writing.
  const client = fileURLToPath(new URL('../support/split-requests.mjs', import.meta.url));
  const env = { ...process.env, PORT: new URL(own.platform.urls.http).port, TOKEN: own.token, CA: own.ca };
  const { stdout } = await promisify(execFile)(process.execPath, [client], { env, timeout: 60_000 });
  expect(JSON.parse(stdout)).toEqual({ 200: 240 });
});

it('the connection is closed after a request with an unread body is rejected', async () => {
  const head = 'POST /api/v1/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n';
  expect(await send(own, `${head}part of it`)).toMatch(/^HTTP\/1\.1 404 [\s\S]*connection: close/i);
});

it('a response has security headers, and no other origin may read it', async () => {
  const { headers } = await call('/api/v1/status', { headers: { origin: 'https://evil.example' } });
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  });
  expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
});

describe('an Idempotency-Key', () => {
  const add = (name: string, key: string) =>
    post('/api/v1/users', { name, role: 'viewer' }, { 'idempotency-key': key });

  it('returns the same response again, even after a restart', async () => {
    const key = randomUUID();
    const first = await add('ida', key);
    const second = await add('ida', key);
    await own.restart();
    const third = await add('ida', key);
    expect([first.status, second.status, third.status]).toEqual([201, 201, 201]);
    expect([second.text, third.text]).toEqual([first.text, first.text]);
    expect([first, second, third].map(({ headers }) => headers['idempotency-replayed'])).toEqual([
      undefined,
      'true',
      'true',
    ]);
    expect((await own.client.users.list()).filter(({ name }) => name === 'ida')).toHaveLength(1);
  });

  it('also returns the headers of the created resource', async () => {
    const headers = {
      'idempotency-key': randomUUID(),
      'tus-resumable': '1.0.0',
      'upload-length': '3',
      'upload-metadata': `digest ${Buffer.from(digestOf('abc')).toString('base64')}`,
    };
    const begin = () => call('/api/v1/uploads', { method: 'POST', headers });
    const [first, second] = [await begin(), await begin()];
    expect([first.status, second.status, second.headers['idempotency-replayed']]).toEqual([201, 201, 'true']);
    expect(first.headers.location).toMatch(/^\/api\/v1\/uploads\/up_/);
    const telling = ({
      headers: { location, 'upload-offset': offset, 'upload-expires': expires },
    }: Answer) => [...[location, offset, expires]];
    expect(telling(second)).toEqual(telling(first));
  });

  it('is rejected for a different request', async () => {
    const key = randomUUID();
    await add('idb', key);
    const other = await add('idc', key);
    expect([other.status, JSON.parse(other.text).code]).toEqual([422, 'AIOT_IDEMPOTENCY_REUSED']);
    await expect(own.client.users.list()).resolves.not.toContainEqual(
      expect.objectContaining({ name: 'idc' }),
    );
  });

  it('runs one of many concurrent requests, and returns its response to all', async () => {
    const key = randomUUID();
    const made = await Promise.all(
      Array.from({ length: 8 }, () => post('/api/v1/tokens', { name: 'once' }, { 'idempotency-key': key })),
    );
    expect(new Set(made.map(({ text }) => text)).size).toBe(1);
    expect((await own.client.tokens.list()).filter(({ name }) => name === 'once')).toHaveLength(1);
  });

  it('does not keep an error, so the request can be retried', async () => {
    const key = randomUUID();
    const path = '/api/v1/users/late/state';
    const disable = () => post(path, { action: 'disable' }, { 'idempotency-key': key });
    expect((await disable()).status).toBe(404);
    await own.client.users.add({ name: 'late', role: 'viewer' });
    expect((await disable()).status).toBe(200);
  });

  it.each(['a b', 'x'.repeat(256), 'ü'])('is rejected if it is malformed: %s', async (key) => {
    expect((await add('idd', Buffer.from(key, 'utf8').toString('latin1'))).status).toBe(400);
  });
});

describe('an ETag', () => {
  it('avoids resending unchanged content', async () => {
    const { headers, status } = await call('/api/v1/trust');
    expect(status).toBe(200);
    const again = await call('/api/v1/trust', { headers: { 'if-none-match': `"x", W/${headers.etag}` } });
    expect([again.status, again.text, again.headers.etag]).toEqual([304, '', headers.etag]);
  });
});

describe('too many requests', () => {
  it('are rejected per token, with a time to wait, while open paths are still served', async () => {
    const slow = await testPlatform({ rates: { known: 5 } });
    const asked = [];
    for (let i = 0; i < 5; i++) asked.push(await ask(slow, '/api/v1/trust'));
    const refused = asked.at(-1);
    expect(refused?.status).toBe(429);
    expect(Number(refused?.headers['retry-after'])).toBeGreaterThan(0);
    expect(JSON.parse(refused?.text ?? '').code).toBe('AIOT_RATE_LIMITED');
    expect((await ask(slow, '/healthz', { token: '' })).status).toBe(200);
    await slow.stop();
  });

  it('with wrong tokens are rejected sooner, and a valid token is still accepted', async () => {
    const guessed = await testPlatform();
    const statuses = [];
    for (let i = 0; i < 22; i++)
      statuses.push((await ask(guessed, '/api/v1/status', { token: `aiot_${'x'.repeat(43)}` })).status);
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(statuses.slice(-1)).toEqual([429]);
    expect((await ask(guessed, '/api/v1/status')).status).toBe(200);
    await guessed.stop();
  });
});

describe('requests without credentials', () => {
  it('share the limit of open paths, and do not count as wrong tokens', async () => {
    const open = await testPlatform({ rates: { anonymous: 30, failures: 5 } });
    const status = async (path: string, token = '') => (await ask(open, path, { token })).status;
    const guarded = [];
    for (let i = 0; i < 25; i++) guarded.push(await status('/api/v1/status'));
    expect(guarded).toEqual(Array(25).fill(401));
    const rest = [];
    for (let i = 0; i < 6; i++) rest.push(await status('/openapi.json'));
    expect(rest).toEqual([200, 200, 200, 200, 200, 429]);
    const refused = await ask(open, '/api/v1/status', { token: '' });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(await status('/api/v1/status', open.token)).toBe(200);
    await open.stop();
  });
});

describe('/readyz', () => {
  it('reports readiness, and the individual checks to authenticated clients', async () => {
    const [anybody, somebody] = [await call('/readyz', { token: '' }), await call('/readyz')];
    expect([anybody.status, JSON.parse(anybody.text)]).toEqual([200, { status: 'ready' }]);
    expect(JSON.parse(somebody.text).checks).toMatchObject({
      database: null,
      disk: null,
      blobs: null,
      broker: null,
    });
  });
});

it('/metrics has a histogram of response times, and requires a token', async () => {
  await call('/api/v1/trust');
  const { text } = await call('/metrics');
  const bucket =
    /aiot_http_request_duration_seconds_bucket\{method="GET",route="\/api\/v1\/trust",status="200",le="\+Inf"\} (\d+)/;
  const count =
    /aiot_http_request_duration_seconds_count\{method="GET",route="\/api\/v1\/trust",status="200"\} (\d+)/;
  expect(Number(bucket.exec(text)?.[1])).toBeGreaterThan(0);
  expect(bucket.exec(text)?.[1]).toBe(count.exec(text)?.[1]);
  expect(text).toMatch(/^aiot_build_info\{version="/m);
  expect((await call('/metrics', { token: '' })).status).toBe(401);
});

it('a paged list does not shift when an entry is added', async () => {
  for (let i = 0; i < 25; i++)
    await own.client.users.add({ name: `page-${String(i).padStart(2, '0')}`, role: 'viewer' });
  const page = async (after?: string) =>
    JSON.parse((await call(`/api/v1/users?limit=10${after ? `&after=${after}` : ''}`)).text);
  const first = await page();
  await own.client.users.add({ name: 'aaa-first-of-all', role: 'viewer' });
  const seen = first.users.map(({ name }: { name: string }) => name);
  for (let next = first.next; next !== null; ) {
    const { users, next: after } = await page(next);
    seen.push(...users.map(({ name }: { name: string }) => name));
    next = after;
  }
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen.filter((name: string) => name.startsWith('page-'))).toHaveLength(25);
  const audit = JSON.parse((await call('/api/v1/audit?limit=3')).text);
  const older = JSON.parse((await call(`/api/v1/audit?limit=3&after=${audit.next}`)).text);
  expect(older.entries[0].id).toBe(audit.entries[2].id - 1);
});
