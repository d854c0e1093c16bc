import { readFile, stat, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { withClient } from '../../src/lib/api/context.js';
import { madeTokenSchema, tokenSchema, userSchema } from '../../src/lib/api/contract/access.js';
import { savedTokenSchema } from '../../src/lib/api/token-file.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let ca: string;
const clients: RegistryClient[] = [];
beforeAll(async () => {
  own = await upForTests();
  ca = await readFile(own.ca, 'utf8');
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await own.stop();
});

const withToken = (token: string) => {
  const client = createClient({ url: own.url, ca, token });
  clients.push(client);
  return client;
};
const token = (...argv: string[]) => ok(madeTokenSchema, ['token', 'create', ...argv]);

describe('aiot user', () => {
  it('adds, lists, disables, enables and removes users', async () => {
    expect(await ok(userSchema, ['user', 'add', 'alice', '--role', 'ci'])).toMatchObject({
      role: 'ci',
      disabled: null,
    });
    const { token: secret } = await token('laptop', '--user', 'alice', '--role', 'ci');
    const client = withToken(secret);
    await client.status();
    expect(await ok(z.array(userSchema), ['user', 'list'])).toMatchObject([{ name: 'alice', tokens: 1 }]);
    await ok(userSchema, ['user', 'disable', 'alice']);
    await expect(client.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    const enabled = await runCli(['user', 'enable', 'alice']);
    expect(enabled.code).toBe(0);
    expect(enabled.stdout).toMatch(/alice is enabled\. Valid again: \d+ earlier tokens?/);
    await client.status();
    expect((await runCli(['user', 'enable', 'alice'])).stdout).toContain(
      'alice is already enabled; nothing was changed.',
    );
    await runCli(['user', 'add', 'bob', '--role', 'viewer']);
    await runCli(['user', 'disable', 'bob']);
    expect((await runCli(['user', 'disable', 'bob'])).stdout).toContain('bob is already disabled');
    expect((await runCli(['user', 'enable', 'bob'])).stdout).toContain(
      'aiot token create bob --user bob --role viewer',
    );
    await runCli(['user', 'remove', '--yes', 'bob']);
    const { json } = await runCli(['user', 'remove', '--yes', 'alice', '--json']);
    expect(json).toEqual({ name: 'alice', tokensRevoked: 1 });
    await ok(userSchema, ['user', 'add', 'alice', '--role', 'operator']);
    await expect(client.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
  });

  it.each([
    [['user', 'add', 'alice', '--role', 'viewer'], 'AIOT_ALREADY_EXISTS', 2],
    [['user', 'add', 'operator', '--role', 'viewer'], 'AIOT_REQUEST_INVALID', 2],
    [['user', 'add', '../x', '--role', 'viewer'], 'AIOT_REQUEST_INVALID', 2],
    [['user', 'disable', 'nobody-here'], 'AIOT_NOT_FOUND', 4],
    [['user', 'remove', '--yes', 'a b'], 'AIOT_NOT_FOUND', 4],
    [['token', 'create', 'x', '--role', 'ci', '--user', 'nobody-here'], 'AIOT_NOT_FOUND', 4],
    [['token', 'create', 'x', '--role', 'ci', '--scope', 'models:eat'], 'AIOT_USAGE', 2],
    [['token', 'create', 'x', '--role', 'ci', '--scope', 'stream:a/#/b'], 'AIOT_USAGE', 2],
    [['token', 'create', 'x', '--role', 'ci', '--expires', '5s'], 'AIOT_USAGE', 2],
    [['token', 'create', 'x'], 'AIOT_USAGE', 2],
    [['token', 'revoke', '--yes', 'tok_none'], 'AIOT_NOT_FOUND', 4],
    [['token', 'rotate', 'tok_none'], 'AIOT_NOT_FOUND', 4],
  ])('and aiot token reject %j', async (argv, code, exit) => {
    expect(await refusal(argv)).toMatchObject({ code, exit });
  });

  it('checks the minimum token lifetime, which the platform enforces for other clients', async () => {
    const made = withClient(undefined, (client) =>
      client.tokens.create({ name: 'x', role: 'ci', validMs: 5000 }),
    );
    await expect(made).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
  });
});

describe('aiot token', () => {
  it('shows the secret once and omits it from the list', async () => {
    const made = await token('builds', '--role', 'ci', '--scope', 'models:push', '--expires', '90d');
    expect(made).toMatchObject({ role: 'ci', scopes: ['models:push'], state: 'valid', lastUsed: null });
    expect(made.token).toMatch(/^aiot_[\w-]{43}$/);
    expect(made.expires - made.created).toBe(90 * 86_400_000);
    const { stdout } = await runCli(['token', 'list']);
    expect(stdout).toContain(made.id);
    expect(stdout).not.toContain(made.token);
  });

  it('creates tokens that are valid for 90 days by default', async () => {
    const { created, expires } = await token('usual', '--role', 'viewer');
    expect(expires - created).toBe(90 * 24 * 3600_000);
  });

  it('revokes a token immediately', async () => {
    const made = await token('short-lived', '--role', 'operator');
    const client = withToken(made.token);
    await client.status();
    expect(await ok(tokenSchema, ['token', 'revoke', '--yes', made.id])).toMatchObject({ state: 'revoked' });
    await expect(client.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    expect(await refusal(['token', 'rotate', made.id])).toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
  });

  it('rotates a token: the old one ends immediately, or after the grace period', async () => {
    const first = await token('rotated', '--role', 'viewer');
    const second = await ok(madeTokenSchema, ['token', 'rotate', first.id, '--grace', '1h']);
    await withToken(first.token).status();
    await withToken(second.token).status();
    const third = await ok(madeTokenSchema, ['token', 'rotate', second.id]);
    await expect(withToken(second.token).status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    expect(third).toMatchObject({ role: 'viewer', name: 'rotated' });
    await withToken(third.token).status();
  });

  it('saves a token to a file instead of printing it, and replaces itself in that file', async () => {
    const file = join(own.folder, 'ci-token.txt');
    const argv = ['token', 'create', 'job', '--role', 'viewer', '--out', file];
    const first = await ok(savedTokenSchema, argv);
    expect(first).toMatchObject({ name: 'job', file });
    expect(first.token).toBeUndefined();
    const before = (await readFile(file, 'utf8')).trim();
    expect(before).toMatch(/^aiot_[\w-]{43}$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const { stdout } = await runCli(argv);
    expect(stdout).toContain(`Saved the token to ${file}.`);
    expect(stdout).not.toMatch(/aiot_/);
    await writeFile(file, before);
    process.env.AIOT_TOKEN = before;
    try {
      const second = await ok(savedTokenSchema, ['token', 'rotate', 'self', '--out', file]);
      expect(second).toMatchObject({ name: 'job', role: 'viewer', file });
      expect(await refusal(['token', 'rotate', 'self', '--out', file])).toMatchObject({
        code: 'AIOT_TOKEN_INVALID',
      });
    } finally {
      delete process.env.AIOT_TOKEN;
    }
    await expect(withToken(before).status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    await withToken((await readFile(file, 'utf8')).trim()).status();
  });

  it('reads, rotates and revokes itself whatever its scopes, but no other token', async () => {
    const [narrow, other] = [
      await token('narrow', '--role', 'ci', '--scope', 'devices:read'),
      await token('other', '--role', 'viewer'),
    ];
    const client = withToken(narrow.token);
    expect(await client.tokens.get('self')).toMatchObject({ id: narrow.id, scopes: ['devices:read'] });
    const denied = { code: 'AIOT_NOT_ALLOWED' };
    await expect(client.tokens.get(other.id)).rejects.toMatchObject(denied);
    await expect(client.tokens.rotate(other.id, 0)).rejects.toMatchObject(denied);
    await expect(client.tokens.revoke(other.id)).rejects.toMatchObject(denied);
    await expect(client.tokens.create({ name: 'more' })).rejects.toMatchObject(denied);
    const next = await client.tokens.rotate(narrow.id, 0);
    expect(next).toMatchObject({ role: 'ci', scopes: ['devices:read'], expires: expect.any(Number) });
    expect(await withToken(next.token).tokens.revoke('self')).toMatchObject({ state: 'revoked' });
    await expect(withToken(next.token).devices.list()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
  });

  it('creates no token if its file cannot be written', async () => {
    const count = async () => (await ok(z.array(tokenSchema), ['token', 'list'])).length;
    const before = await count();
    const file = join(own.folder, 'is-a-file');
    await writeFile(file, '');
    expect(
      await refusal(['token', 'create', 'job', '--role', 'viewer', '--out', join(file, 'token.txt')]),
    ).toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE' });
    expect(await count()).toBe(before);
  });
});

describe('privileges', () => {
  it('cannot be escalated by role, by scope or on behalf of other users', async () => {
    const ci = withToken((await token('ci', '--role', 'ci')).token);
    const narrow = withToken((await token('narrow', '--role', 'operator', '--scope', 'users:write')).token);
    const denied = { code: 'AIOT_NOT_ALLOWED' };
    await expect(ci.tokens.create({ name: 'x', role: 'operator' })).rejects.toMatchObject(denied);
    await expect(ci.tokens.create({ name: 'x', owner: 'alice', role: 'ci' })).rejects.toMatchObject(denied);
    await expect(ci.users.add({ name: 'mallory', role: 'operator' })).rejects.toMatchObject(denied);
    await expect(ci.users.list()).rejects.toMatchObject(denied);
    await expect(narrow.tokens.create({ name: 'x' })).rejects.toMatchObject(denied);
    await expect(narrow.tokens.create({ name: 'x', scopes: ['devices:write'] })).rejects.toMatchObject(
      denied,
    );
    await expect(narrow.devices.list()).rejects.toMatchObject(denied);
    expect(await narrow.tokens.create({ name: 'x', scopes: ['users:read'] })).toMatchObject({
      role: 'operator',
    });
  });

  it('allow a viewer only to read, and prevent ci tokens from revoking or rotating devices', async () => {
    const viewer = withToken((await token('viewer', '--role', 'viewer')).token);
    const ci = withToken((await token('ci-2', '--role', 'ci')).token);
    await viewer.devices.list();
    const denied = { code: 'AIOT_NOT_ALLOWED' };
    await expect(
      viewer.labels.post({ stream: 's', device: 'd', recording: 'r', label: 'l' }),
    ).rejects.toMatchObject(denied);
    await expect(viewer.blobs.put(`sha256:${'0'.repeat(64)}`, Buffer.from('x'))).rejects.toMatchObject(
      denied,
    );
    await expect(ci.devices.act('x', 'revoke')).rejects.toMatchObject(denied);
    await expect(ci.devices.rotate('x', 'csr', true)).rejects.toMatchObject(denied);
  });
});

it('changes to users and tokens are recorded as events', async () => {
  const { stdout } = await runCli(['events', 'tail', '--from', '0', '--count', '13', '--json']);
  const types = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).type);
  expect(types).toEqual(
    expect.arrayContaining(['user.add', 'token.create', 'user.disable', 'user.enable', 'user.remove']),
  );
});

it('the connections of a revoked token are closed, over MQTT and in event streams', async () => {
  const made = await token(
    'connected',
    '--role',
    'viewer',
    '--scope',
    'stream:lab/#',
    '--scope',
    'events:read',
  );
  const { connectAsync } = await import('mqtt');
  const client = await connectAsync(own.mqtts, {
    ca,
    username: 'x',
    password: made.token,
    reconnectPeriod: 0,
  });
  const [allowed] = await client.subscribeAsync('lab/#');
  expect(allowed?.qos).toBe(0);
  await expect(client.subscribeAsync('other/#')).rejects.toThrow();
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const { status, ended } = await openStream(`${own.url}/api/v1/events`, made.token);
  expect(status).toBe(200);
  await ok(tokenSchema, ['token', 'revoke', '--yes', made.id]);
  await Promise.all([closed, ended]);
  client.end(true);
}, 15_000);

/** Opens server-sent events; `ended` resolves when the server ends them. */
function openStream(
  url: string,
  secret: string,
): Promise<{ status: number | undefined; ended: Promise<void> }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${secret}`, accept: 'text/event-stream' };
    const call = httpsRequest(url, { ca, headers, agent: false }, (answer) => {
      answer.resume();
      const ended = new Promise<void>((done) => answer.once('close', () => done()));
      resolve({ status: answer.statusCode, ended });
    });
    call.on('error', reject);
    call.end();
  });
}
