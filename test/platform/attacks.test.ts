import { readFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { systemClock } from '../../src/lib/core/time.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { type Asked, ask, send } from '../support/raw-http.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

const call = (path: string, asked?: Asked) => ask(own, path, asked);

describe('path traversal in a name', () => {
  const names = ['..%2f..%2fpki%2fca.key', '%2e%2e%2fstate.db', '..%5c..%5cpki', '....%2f%2fetc%2fpasswd'];
  const places: [string, string][] = [
    ['GET', '/api/v1/blobs/NAME'],
    ['PUT', '/api/v1/blobs/NAME'],
    ['GET', '/api/v1/blobs/sha256:NAME'],
    ['HEAD', '/api/v1/uploads/NAME'],
    ['PATCH', '/api/v1/uploads/NAME'],
    ['DELETE', '/api/v1/uploads/NAME'],
    ['GET', '/api/v1/datasets/NAME'],
    ['GET', '/api/v1/datasets/s/recordings/NAME/NAME'],
    ['GET', '/api/v1/devices/NAME'],
    ['DELETE', '/api/v1/devices/NAME'],
    ['GET', '/api/v1/models/NAME/versions/1'],
    ['GET', '/api/v1/firmware/NAME/versions'],
    ['GET', '/api/v1/jobs/NAME'],
    ['GET', '/errors/NAME'],
  ];
  it.each(places)('is rejected by %s %s', async (method, path) => {
    for (const name of names) {
      const headers = { 'tus-resumable': '1.0.0', 'content-type': 'application/octet-stream' };
      const body = method === 'PUT' ? 'x' : undefined;
      const answer = await call(path.replaceAll('NAME', name), {
        method,
        headers,
        ...(body ? { body } : {}),
      });
      expect([400, 404, 405, 412, 415], `${name}: ${answer.status} ${answer.text}`).toContain(answer.status);
      expect(answer.text).not.toMatch(/PRIVATE KEY|SQLite format|root:/);
    }
  });
});

describe('forged Host, Origin and forwarding headers', () => {
  it('do not affect the response: no origin is allowed, and no address is built from them', async () => {
    const headers = {
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      origin: 'https://evil.example',
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const asked = (what: string) =>
      send(
        own,
        `${what} HTTP/1.1\r\n${lines.join('')}Authorization: Bearer ${own.token}\r\nConnection: close\r\n\r\n`,
      );
    for (const path of ['/openapi.json', '/api/v1/status', '/api/v1/devices', '/errors/AIOT_NOT_FOUND']) {
      const answer = await asked(`GET ${path}`);
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer).not.toContain('evil.example');
    }
    const preflight = await asked('OPTIONS /api/v1/devices');
    expect(preflight).toMatch(/^HTTP\/1\.1 4/);
    expect(preflight).not.toMatch(/^access-control/im);
  });

  it('do not evade the limit on wrong tokens', async () => {
    const guessed = await testPlatform();
    const statuses = [];
    for (let i = 0; i < 22; i++) {
      const headers = { 'x-forwarded-for': `10.0.0.${i}`, forwarded: `for=10.0.0.${i}` };
      const wrong = { token: `aiot_${'y'.repeat(43)}`, headers };
      statuses.push((await ask(guessed, '/api/v1/status', wrong)).status);
    }
    expect(statuses.at(-1)).toBe(429);
    await guessed.stop();
  });
});

describe('a request with many headers', () => {
  /** Sends a request with `count` headers. The last one contains the token. */
  const asked = async (count: number, path = '/api/v1/trust') => {
    const lines = Array.from({ length: count - 3 }, (_, i) => `X-${i}: 1\r\n`).join('');
    return send(
      own,
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${lines}Authorization: Bearer ${own.token}\r\n\r\n`,
    );
  };

  it('is accepted with up to 100 headers', async () => {
    for (const count of [4, 99, 100]) expect(await asked(count), `${count}`).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('is rejected with 431 beyond 100 headers; none is dropped silently', async () => {
    for (const count of [101, 102, 128, 129, 200, 400, 1000])
      for (const path of ['/api/v1/trust', '/healthz']) {
        const answer = await asked(count, path);
        expect(answer, `${path} with ${count}`).toMatch(/^HTTP\/1\.1 431 /);
        expect(answer).toContain('AIOT_REQUEST_TOO_LARGE');
      }
  });
});

describe('a client certificate in addition to a valid token', () => {
  let shown: Record<'foreign' | 'revoked' | 'suspended' | 'unregistered' | 'registered', Agent>;
  const agentOf = (cert: string, key: string) => new Agent({ cert, key, ca: own.ca });
  const device = async (name: string) => {
    const out = join(own.folder, name);
    await provisionDevice({ client: own.client, name, type: 'virtual', out });
    const pem = (file: string) => readFile(join(out, file), 'utf8');
    return agentOf(await pem('device.crt'), await pem('device.key'));
  };
  const issued = async (folder: string) => {
    const key = generateKeyPair().privatePem;
    const csr = await certificateRequest(key, 'pump');
    const authority = await openAuthority(folder, Date.now);
    return agentOf((await authority.device({ csr, name: 'pump', id: 'dev_1' })).certificate, key);
  };
  beforeAll(async () => {
    shown = {
      foreign: await issued(join(own.folder, 'foreign')),
      unregistered: await issued(join(own.folder, 'data', 'pki')),
      registered: await device('pump'),
      revoked: await device('revoked'),
      suspended: await device('suspended'),
    };
    await own.client.devices.act('revoked', 'revoke');
    await own.client.devices.act('suspended', 'suspend');
  });
  afterAll(() => {
    for (const agent of Object.values(shown)) agent.destroy();
  });

  it.each(['foreign', 'revoked', 'suspended', 'unregistered'] as const)(
    'is rejected if it is %s',
    async (kind) => {
      for (const [method, path] of [
        ['GET', '/api/v1/status'],
        ['GET', '/api/v1/trust'],
        ['GET', '/metrics'],
        ['POST', '/api/v1/tokens'],
      ] as const) {
        const asked = { method, agent: shown[kind], ...(method === 'POST' ? { body: '{"name":"x"}' } : {}) };
        const { status, text } = await call(path, asked);
        expect([status, JSON.parse(text).code], path).toEqual([401, 'AIOT_TOKEN_INVALID']);
        expect(text).toContain('client certificate');
      }
      const gateway = await own.client.tokens.create({ name: 'gateway', scopes: ['ddi:gateway'] });
      const headers = { authorization: `GatewayToken ${gateway.token}` };
      const { status } = await call('/default/controller/v1/boiler', {
        token: '',
        headers,
        agent: shown[kind],
      });
      expect(status).toBe(401);
    },
  );

  it('takes precedence over the token if it belongs to a registered device', async () => {
    const agent = shown.registered;
    expect((await call('/api/v1/trust', { agent })).status).toBe(200);
    expect((await call('/api/v1/status', { agent })).status).toBe(403);
    expect((await call('/api/v1/status')).status).toBe(200);
    const { secret } = await own.client.secrets.make('pump');
    const asked = { token: '', agent, headers: { authorization: `TargetToken ${secret}` } };
    expect((await call('/default/controller/v1/pump', asked)).status).toBe(200);
    expect((await call('/default/controller/v1/suspended', asked)).status).toBe(401);
  });
});

it.each([
  ['{"passphrase":"short"}', /body: passphrase: expected at least 12 characters/],
  ['{}', /body: passphrase: expected/],
])('a backup request with %s is rejected, without mentioning command-line options', async (body, message) => {
  const { status, text } = await call('/api/v1/backups', { method: 'POST', body });
  expect(status).toBe(400);
  expect(JSON.parse(text).code).toBe('AIOT_REQUEST_INVALID');
  expect(text).toMatch(message);
  expect(text).not.toMatch(/command|--|AIOT_BACKUP|aiot /);
});

it('many uploads on one connection leak no listeners', async () => {
  const warnings: string[] = [];
  const warned = ({ message }: Error) => warnings.push(message);
  process.on('warning', warned);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 15; i++) {
    const content = `blob ${i}`;
    const headers = { 'content-type': 'application/octet-stream' };
    const asked = { method: 'PUT', headers, body: content, agent };
    expect((await call(`/api/v1/blobs/${digestOf(content)}`, asked)).status).toBe(201);
  }
  agent.destroy();
  await new Promise(setImmediate);
  process.off('warning', warned);
  expect(warnings).toEqual([]);
});

it('the platform records when a token was last used, and rejects expired tokens and missing scopes', async () => {
  const make = (more: object) => own.client.tokens.create({ name: 'narrow', ...more });
  const [narrow, brief] = [await make({ scopes: ['models:read'] }), await make({ validMs: 60_000 })];
  const status = async (token: string, path: string) => (await call(path, { token })).status;
  expect(await status(narrow.token, '/api/v1/models')).toBe(200);
  expect(await status(narrow.token, '/api/v1/devices')).toBe(403);
  expect(await status(brief.token, '/api/v1/devices')).toBe(200);
  const used = async () => {
    const all = await own.client.tokens.list();
    return [narrow, brief].map(({ id }) => typeof all.find((one) => one.id === id)?.lastUsed);
  };
  await expect.poll(used).toEqual(['number', 'number']);
  await own.restart({ clock: { ...systemClock, now: () => Date.now() + 61_000 } });
  expect(await status(brief.token, '/api/v1/devices')).toBe(401);
  expect(await status(narrow.token, '/api/v1/models')).toBe(200);
});

describe.runIf(process.env.AIOT_LONG === '1')('a slow client', () => {
  const wait = (bytes: string) => {
    const before = performance.now();
    return send(own, bytes, 60_000).then((text) => ({ text, ms: performance.now() - before }));
  };
  it('times out while it sends headers or a body, and others are still served', {
    timeout: 90_000,
  }, async () => {
    const head = wait('GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: 1');
    const authorization = `Authorization: Bearer ${own.token}`;
    const body = wait(
      `POST /api/v1/labels HTTP/1.1\r\nHost: localhost\r\n${authorization}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a":`,
    );
    const idle = Array.from({ length: 50 }, () => wait('GET /healthz HTTP/1.1\r\nHost: localhost\r\n'));
    expect((await call('/api/v1/trust')).status).toBe(200);
    const [slowHead, slowBody] = await Promise.all([head, body, ...idle]);
    expect(slowHead?.ms).toBeLessThan(30_000);
    expect(slowHead?.text).toMatch(/^HTTP\/1\.1 408 |^$/);
    expect(slowBody?.ms).toBeLessThan(45_000);
    expect((await call('/api/v1/trust')).status).toBe(200);
  });
});
