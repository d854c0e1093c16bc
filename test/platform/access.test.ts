import { readFile, stat, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { withClient } from '../../src/lib/api/context.js';
import { madeTokenSchema, tokenSchema, userSchema } from '../../src/lib/api/contract/access.js';
import { savedTokenSchema } from '../../src/lib/api/token-file.js';
import { systemClock } from '../../src/lib/core/time.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

const day = 86_400_000;
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

describe('aiot user update', () => {
  let lab: TestPlatform;
  beforeAll(async () => {
    lab = await testPlatform();
  });
  afterAll(() => lab.stop());
  const as = (secret: string) => {
    const client = createClient({ url: lab.platform.urls.http, ca: lab.ca, token: secret });
    clients.push(client);
    return client;
  };
  const update = (...argv: string[]) => ok(userSchema, ['user', 'update', ...argv]);
  const eventsOf = async (name: string) =>
    (await withClient(undefined, (admin) => admin.events.page({ types: ['user.update'], subject: name })))
      .events;

  it('changes the role and the devices of a user, and with them the rights of the tokens', async () => {
    await ok(userSchema, ['user', 'add', 'carol', '--role', 'operator']);
    const { token: secret } = await token('desk', '--user', 'carol', '--role', 'operator');
    const client = withToken(secret);
    await client.users.list();
    expect(await update('carol', '--role', 'viewer')).toMatchObject({ role: 'viewer', selector: null });
    await expect(client.users.list()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await client.status();
    expect(await update('carol', '--role', 'operator', '--selector', 'site=hall-3')).toMatchObject({
      ...{ role: 'operator', selector: 'site=hall-3' },
    });
    await expect(client.users.list()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    expect((await runCli(['user', 'update', 'carol', '--selector', 'all'])).stdout).toContain(
      'carol now has the role operator.',
    );
    await client.users.list();
    // A change to the same rights is none.
    await update('carol', '--role', 'operator');
    expect((await eventsOf('carol')).map(({ data }) => data)).toEqual([
      { role: 'viewer', selector: null, before: { role: 'operator', selector: null } },
      { role: 'operator', selector: 'site=hall-3', before: { role: 'viewer', selector: null } },
      { role: 'operator', selector: null, before: { role: 'operator', selector: 'site=hall-3' } },
    ]);
    expect(await refusal(['user', 'update', 'carol'])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    expect(await refusal(['user', 'update', 'carol', '--selector', 'fw=1'])).toMatchObject({
      code: 'AIOT_SELECTOR_INVALID',
    });
    expect(await refusal(['user', 'update', 'karol', '--role', 'ci'])).toMatchObject({
      ...{ code: 'AIOT_NOT_FOUND', message: expect.stringContaining('Did you mean carol') },
    });
    await ok(z.unknown(), ['user', 'remove', 'carol', '--yes']);
  });

  it('changes only what is named on the command line, not what variables for other commands contain', async () => {
    await ok(userSchema, ['user', 'add', 'gil', '--role', 'viewer', '--selector', 'site=hall-3']);
    process.env.AIOT_ROLE = 'operator';
    process.env.AIOT_SELECTOR = 'all';
    try {
      expect(await refusal(['user', 'update', 'gil'])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
      await ok(z.unknown(), ['user', 'update', 'gil', '--role', 'ci']);
    } finally {
      delete process.env.AIOT_ROLE;
      delete process.env.AIOT_SELECTOR;
    }
    const gil = (await ok(z.array(userSchema), ['user', 'list'])).find(({ name }) => name === 'gil');
    expect(gil).toMatchObject({ role: 'ci', selector: 'site=hall-3' });
    await ok(z.unknown(), ['user', 'remove', 'gil', '--yes']);
  });

  it('closes open connections at once', async () => {
    const admin = lab.client;
    await admin.users.add({ name: 'dora', role: 'operator' });
    const { token: secret } = await admin.tokens.create({ name: 'desk', owner: 'dora', role: 'operator' });
    const seen: string[] = [];
    const following = (async () => {
      for await (const { type } of as(secret).events.follow({ from: 'now', retries: 0 })) seen.push(type);
    })().catch(({ code }: { code: string }) => seen.push(code));
    for (let n = 0; seen.length === 0; n++) await admin.users.add({ name: `probe-${n}`, role: 'viewer' });
    const before = performance.now();
    await admin.users.change('dora', { role: 'viewer' });
    await following;
    expect(performance.now() - before).toBeLessThan(900);
    expect(seen.at(-1)).toBe('AIOT_PLATFORM_UNREACHABLE');
  });

  it('never widens the rights of the own user, or those of others by a token with scopes', async () => {
    const admin = lab.client;
    await admin.users.add({ name: 'erin', role: 'operator', selector: 'site=hall-3' });
    await admin.users.add({ name: 'ever', role: 'operator' });
    const { token: limited } = await admin.tokens.create({ name: 'a', owner: 'erin', role: 'operator' });
    const { token: scoped } = await admin.tokens.create({
      ...{ name: 'b', owner: 'ever', role: 'operator', scopes: ['users:write'] },
    });
    for (const [secret, name, change] of [
      [limited, 'erin', { selector: null }],
      [limited, 'erin', { selector: 'site=hall-4' }],
      [scoped, 'erin', { selector: null }],
      [scoped, 'ever', { selector: 'site=hall-3', role: 'operator' }],
    ] as const) {
      const changed = as(secret).users.change(name, change);
      const isNarrower = name === 'ever';
      if (isNarrower) expect(await changed).toMatchObject({ selector: 'site=hall-3' });
      else await expect(changed).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    }
    // The token is limited now, and cannot return the rights.
    await expect(as(scoped).users.change('ever', { selector: null })).rejects.toMatchObject({
      ...{ code: 'AIOT_NOT_ALLOWED' },
    });
    expect(await admin.users.get('erin')).toMatchObject({ selector: 'site=hall-3' });
    for (const name of ['erin', 'ever']) await admin.users.remove(name);
  });

  it('removes an operator without tokens, even if no token is valid for long', async () => {
    let ahead = 0;
    const late = await testPlatform({ clock: { ...systemClock, now: () => Date.now() + ahead } });
    try {
      const [initial] = await late.client.tokens.list();
      await late.client.users.add({ name: 'bob', role: 'operator' });
      ahead = initial!.expires - Date.now() - 5 * day;
      await late.client.users.change('bob', { role: 'viewer' });
      await late.client.users.change('bob', { role: 'operator' });
      await late.client.users.remove('bob');
      expect(await late.client.users.list()).toEqual([]);
    } finally {
      await late.stop();
    }
  });

  it('keeps the last administrator, also from being disabled or removed', async () => {
    const admin = lab.client;
    await admin.users.add({ name: 'root', role: 'operator' });
    const root = as((await admin.tokens.create({ name: 'r', owner: 'root', role: 'operator' })).token);
    const { id: rootToken } = await root.tokens.get('self');
    const ownerless = (await admin.tokens.list()).filter(({ owner }) => owner === null);
    // While the tokens without an owner are valid, root is not the last administrator.
    expect(ownerless.length).toBeGreaterThan(0);
    await admin.users.add({ name: 'other', role: 'operator', selector: 'site=hall-3' });
    await admin.tokens.create({ name: 'o', owner: 'other', role: 'operator' });
    // Neither tokens that expire soon nor those with scopes would be an administrator's for long.
    await admin.tokens.create({ name: 'soon', role: 'operator', validMs: 7 * day });
    await admin.tokens.create({ name: 'narrow', role: 'operator', scopes: ['users:write'] });
    for (const { id } of ownerless) await root.tokens.revoke(id);
    const refused = {
      ...{ code: 'AIOT_NOT_ALLOWED', message: expect.stringContaining('root is the last administrator') },
    };
    await expect(root.users.change('root', { role: 'viewer' })).rejects.toMatchObject(refused);
    await expect(root.users.change('root', { selector: 'site=hall-3' })).rejects.toMatchObject(refused);
    await expect(root.users.act('root', 'disable')).rejects.toMatchObject(refused);
    await expect(root.users.remove('root')).rejects.toMatchObject(refused);
    await expect(root.tokens.revoke(rootToken)).rejects.toMatchObject({
      ...{ code: 'AIOT_NOT_ALLOWED', message: expect.stringContaining(`${rootToken} is the last token`) },
    });
    expect(await root.tokens.get('self')).toMatchObject({ state: 'valid' });
    // Its secret can be replaced, and another token can take its place.
    const rotated = await root.tokens.rotate(rootToken, 0);
    const first = as(rotated.token);
    await first.users.add({ name: 'second', role: 'operator' });
    const made = await first.tokens.create({ name: 's', owner: 'second', validMs: 8 * day });
    const second = as(made.token);
    // Of two administrators that revoke each other, one remains.
    const outcomes = await Promise.allSettled([
      first.tokens.revoke(made.id),
      second.tokens.revoke(rotated.id),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const remaining = outcomes[0].status === 'fulfilled' ? first : second;
    const { owner, id } = await remaining.tokens.get('self');
    await expect(remaining.users.act(String(owner), 'disable')).rejects.toMatchObject({
      ...{ code: 'AIOT_NOT_ALLOWED' },
    });
    // Once another token takes its place, the user can be limited.
    await remaining.users.change('other', { selector: null });
    expect(await remaining.users.change(String(owner), { role: 'ci' })).toMatchObject({ role: 'ci' });
    expect(await remaining.tokens.get(id)).toMatchObject({ state: 'valid', role: 'ci' });
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
