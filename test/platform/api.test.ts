import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { contract } from '../../src/lib/api/contract/contract.js';
import { type Endpoint, partsOf } from '../../src/lib/api/contract/endpoint.js';
import { digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { readBytes } from '../../src/lib/core/files.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { statusOf } from '../../src/lib/platform/errors.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let device: RegistryClient;
const identity = () => join(own.folder, 'dev');

beforeAll(async () => {
  own = await testPlatform();
  await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: identity() });
  const pem = async (file: string) => (await readBytes(join(identity(), file))).toString('utf8');
  const [cert, key] = [await pem('device.crt'), await pem('device.key')];
  device = createClient({ url: own.platform.urls.http, ca: own.ca, cert, key });
});
afterAll(async () => {
  await device.close();
  await own.stop();
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** Sends a request without the client, and returns the server's own response. */
function ask(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
) {
  return new Promise<Answer>((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options;
    const authorization = `Bearer ${own.token}`;
    const call = httpsRequest(
      new URL(path, own.platform.urls.http),
      { method, ca: own.ca, headers: { authorization, ...headers } },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}
const json = ({ body }: Answer) => JSON.parse(body.toString('utf8'));

describe('the API', () => {
  it('describes itself with valid JSON schemas', async () => {
    const answer = await ask('/openapi.json', { headers: { authorization: '' } });
    const document = json(answer);
    expect(document.openapi).toBe('3.1.0');
    const operations = Object.entries<Record<string, Record<string, unknown>>>(document.paths).flatMap(
      ([path, item]) =>
        Object.entries(item).map(([method, operation]) => ({
          name: `${method.toUpperCase()} ${path}`,
          operation,
        })),
    );
    expect(operations.map(({ name }) => name).sort()).toMatchSnapshot();
    const ajv = new Ajv2020({
      strict: false,
      formats: { base64: true, byte: true, uri: true, 'uri-reference': true },
    });
    for (const { name, operation } of operations) {
      expect(operation.summary, name).toBeTypeOf('string');
      const text = JSON.stringify(operation);
      expect(text, name).not.toContain('"$ref"');
      for (const [, value] of schemasIn(operation)) expect(() => ajv.compile(value), name).not.toThrow();
    }
  });

  it('documents the statuses that each endpoint of the contract can return', async () => {
    const { paths } = json(await ask('/openapi.json'));
    const endpoints = Object.values(contract).flatMap((noun): Endpoint[] => Object.values(noun));
    for (const endpoint of endpoints) {
      const { method, path } = partsOf(endpoint);
      if (method === 'HEAD') continue;
      const { responses } = paths[`/api/v1${path.replace(/:(\w+)/g, '{$1}')}`][method.toLowerCase()];
      const refusals = (endpoint.errors ?? []).map((code) => statusOf({ code }));
      const json = method === 'GET' && endpoint.result ? [304] : [];
      const wanted = [...refusals, ...(endpoint.statuses ?? []), ...json, 400, 500, 503];
      for (const status of wanted) expect(Object.keys(responses), endpoint.route).toContain(String(status));
    }
  });

  it('reports its health without authentication', async () => {
    expect(json(await ask('/healthz', { headers: { authorization: '' } }))).toEqual({ status: 'ok' });
  });

  it('exposes metrics in Prometheus’ text format', async () => {
    const { body, headers } = await ask('/metrics');
    expect(headers['content-type']).toContain('text/plain');
    const lines = body.toString('utf8').trim().split('\n');
    for (const line of lines)
      expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{.+\})? \d+(\.\d+)?(e-\d+)?)$/);
    expect(lines).toContain('aiot_devices 1');
  });

  it('reports its addresses and counts', async () => {
    expect(await own.client.status()).toMatchObject({
      urls: own.platform.urls,
      counts: { devices: 1, online: 0, models: 0, modelVersions: 0, datasets: 0, rollouts: 0 },
    });
  });

  it.each([
    ['no token', '/api/v1/status', { authorization: '' }, 401, 'AIOT_TOKEN_INVALID'],
    ['a wrong token', '/api/v1/status', { authorization: 'Bearer wrong' }, 401, 'AIOT_TOKEN_INVALID'],
    [
      'no token for a path that does not exist',
      '/api/v1/nothing',
      { authorization: '' },
      404,
      'AIOT_NOT_FOUND',
    ],
    ['an unknown device', '/api/v1/devices/nobody', {}, 404, 'AIOT_NOT_FOUND'],
    ['an unknown model', '/api/v1/models/none/versions/1', {}, 404, 'AIOT_NOT_FOUND'],
    ['a version that is not a number', '/api/v1/models/none/versions/x', {}, 400, 'AIOT_REQUEST_INVALID'],
    ['an unknown dataset', '/api/v1/datasets/constructor', {}, 404, 'AIOT_NOT_FOUND'],
    ['an unknown rollout’s events', '/api/v1/rollouts/ro_x/events', {}, 404, 'AIOT_NOT_FOUND'],
    ['a malformed digest', '/api/v1/blobs/sha256:xyz', {}, 400, 'AIOT_REQUEST_INVALID'],
    ['a path traversal', '/api/v1/blobs/..%2F..%2Fstate.db', {}, 400, 'AIOT_REQUEST_INVALID'],
  ])('rejects a request with %s', async (_, path, headers: Record<string, string>, status, code) => {
    const answer = await ask(path, { headers });
    expect([answer.status, json(answer).code]).toEqual([status, code]);
  });

  it.each([
    ['invalid JSON', '{'],
    ['no fields', '{}'],
    ['a name with a slash', '{"name":"a/b","type":"virtual","csr":"x"}'],
    ['an extra field', '{"name":"a","type":"virtual","csr":"x","admin":true}'],
    ['no content', ''],
  ])('rejects a body with %s, and registers nothing', async (_, body) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await ask('/api/v1/devices', { method: 'POST', headers, body });
    expect([answer.status, json(answer).code]).toEqual([400, 'AIOT_REQUEST_INVALID']);
    expect(await own.client.devices.list()).toHaveLength(1);
  });
});

function* schemasIn(value: unknown): Generator<[string, object]> {
  if (value === null || typeof value !== 'object') return;
  for (const [key, child] of Object.entries(value)) {
    if (key === 'schema') yield [key, child as object];
    else yield* schemasIn(child);
  }
}

describe('a device’s certificate', () => {
  it('grants access to the trust root and blobs', async () => {
    expect(await device.trust.get()).toEqual(trustRootOf(publicKeyOf(own.key)));
    await expect(device.blobs.get(digestOf('none'))).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it.each<[string, (client: RegistryClient) => Promise<unknown>]>([
    ['the status', (client) => client.status()],
    ['devices', (client) => client.devices.list()],
    ['an upload', (client) => client.blobs.put(digestOf('x'), Buffer.from('x'))],
    [
      'a new trust root',
      (client) => client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem))),
    ],
    ['labels', (client) => client.labels.post({ stream: 's', device: 'dev', recording: 'r', label: 'x' })],
  ])('is not sufficient for %s', async (_, call) => {
    await expect(call(device)).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED', exit: 5 });
  });
});

describe('provisioning', () => {
  const csr = () => certificateRequest(generateKeyPair().privatePem, 'x');

  it('rejects a name that is taken, even if two requests arrive at the same time', async () => {
    await expect(own.client.devices.provision('dev', 'virtual', await csr())).rejects.toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
      subject: 'device',
    });
    const asked = [await csr(), await csr()].map((request) =>
      own.client.devices.provision('twin', 'virtual', request),
    );
    const results = await Promise.allSettled(asked);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('rejects an invalid certificate request, and registers nothing', async () => {
    await expect(own.client.devices.provision('forged', 'virtual', 'nonsense')).rejects.toMatchObject({
      code: 'AIOT_CSR_INVALID',
    });
    await expect(own.client.devices.get('forged')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it('rejects a folder that contains an identity, before it contacts the platform', async () => {
    const again = provisionDevice({ client: own.client, name: 'other', type: 'virtual', out: identity() });
    await expect(again).rejects.toMatchObject({ code: 'AIOT_ALREADY_EXISTS', subject: 'identity' });
    await expect(own.client.devices.get('other')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  });

  it('leaves no folder behind if the platform rejects the device', async () => {
    const out = join(own.folder, 'refused', 'deep');
    await expect(
      provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out }),
    ).rejects.toMatchObject({ code: 'AIOT_ALREADY_EXISTS', subject: 'device' });
    expect((await readdir(own.folder)).includes('refused')).toBe(false);
  });

  it('gives a folder to only one of several concurrent devices, and revokes the others', async () => {
    const out = join(own.folder, 'contested');
    const names = ['first', 'second', 'third'];
    const asked = names.map((name) => provisionDevice({ client: own.client, name, type: 'virtual', out }));
    const results = await Promise.allSettled(asked);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const winner = names[results.findIndex(({ status }) => status === 'fulfilled')] as string;
    const subject = new X509Certificate(await readFile(join(out, 'device.crt')));
    expect(subject.subject).toContain(`CN=${winner}`);
    expect(subject.checkPrivateKey(createPrivateKey(await readFile(join(out, 'device.key'))))).toBe(true);
    expect(JSON.parse(await readFile(join(out, 'device.json'), 'utf8')).name).toBe(winner);
    for (const name of names.filter((name) => name !== winner)) {
      const { state } = await own.client.devices.get(name).catch(() => ({ state: 'revoked' }));
      expect(state).toBe('revoked');
    }
  });

  it('keeps the files of another run when it removes its own folders', async () => {
    const ids = join(own.folder, 'ids');
    const failing = provisionDevice({
      client: {
        trust: own.client.trust,
        devices: {
          ...own.client.devices,
          async provision() {
            await provisionDevice({
              client: own.client,
              name: 'kept',
              type: 'virtual',
              out: join(ids, 'kept'),
            });
            throw new Error('refused');
          },
        },
      },
      ...{ name: 'given-up', type: 'virtual', out: join(ids, 'given-up') },
    });
    await expect(failing).rejects.toThrow('refused');
    expect(await readdir(ids)).toEqual(['kept']);
    expect(await readdir(join(ids, 'kept'))).toContain('device.key');
  });

  it('can reuse the name of a revoked device', async () => {
    await own.client.devices.provision('lost', 'virtual', await csr());
    await own.client.devices.act('lost', 'revoke');
    await expect(own.client.devices.act('lost', 'resume')).rejects.toMatchObject({
      code: 'AIOT_DEVICE_STATE',
    });
    expect((await own.client.devices.provision('lost', 'virtual', await csr())).device.state).toBe(
      'provisioned',
    );
  });
});

it('the client’s connection still works after an upload is rejected midway', async () => {
  const upload = own.client.blobs.put('sha256:none', Buffer.alloc(8 * 1024 ** 2));
  await expect(upload).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
  const small = Buffer.from('small');
  await own.client.blobs.put(digestOf(small), small);
}, 10_000);

it.each<[string, { headers?: Record<string, string>; body?: string }]>([
  ['nothing', {}],
  ['JSON', { headers: { 'content-type': 'application/json' }, body: '{}' }],
])('an upload of %s as a blob is rejected', async (_, options) => {
  const answer = await ask(`/api/v1/blobs/${digestOf('x')}`, { method: 'PUT', ...options });
  expect([answer.status, json(answer).code]).toEqual([400, 'AIOT_REQUEST_INVALID']);
});

describe('the trust root', () => {
  it('is not replaced by another one of the same version', async () => {
    const other = trustRootOf(publicKeyOf(generateKeyPair().privatePem));
    await expect(own.client.trust.put(other)).rejects.toMatchObject({ code: 'AIOT_TRUST_CONFLICT' });
    expect(await own.client.trust.put(trustRootOf(publicKeyOf(own.key)))).toBeTruthy();
  });

  it('is rejected if no signature could ever satisfy it', async () => {
    const mine = trustRootOf(publicKeyOf(own.key));
    const unusable = [
      { ...mine, keys: {} },
      { ...mine, roles: { release: { ...mine.roles.release, threshold: 2 } } },
      { ...mine, roles: { release: { keyids: ['x'], threshold: 1 } } },
    ];
    for (const trust of unusable) {
      await expect(own.client.trust.put({ ...trust, version: 9 })).rejects.toMatchObject({
        code: 'AIOT_REQUEST_INVALID',
      });
    }
    expect(await own.client.trust.get()).toEqual(mine);
  });
});
