import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { withClient } from '../../src/lib/api/context.js';
import { tokenSchema, userSchema } from '../../src/lib/api/contract/access.js';
import { type LoginOptions, logIn } from '../../src/lib/api/login.js';
import { readContexts } from '../../src/lib/core/contexts.js';
import { runCli } from '../support/cli.js';
import {
  browse,
  clientId,
  clientSecret,
  type RunningProvider,
  startProvider,
} from '../support/oidc-provider.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';

/** Interval after which the platform asks the provider again, ms; a login expires after twelve intervals. */
const recheckMs = 1000;

let provider: RunningProvider;
let own: UpForTests;
let ca: string;
const clients: RegistryClient[] = [];

beforeAll(async () => {
  provider = await startProvider();
  process.env.AIOT_OIDC_SECRET = clientSecret;
  own = await upForTests({
    provider: {
      ...{ issuer: provider.issuer, clientId, groupsClaim: 'groups', recheckMs },
      roles: { admins: 'operator', builders: 'ci', staff: 'viewer' },
    },
  });
  delete process.env.AIOT_OIDC_SECRET;
  ca = await readFile(own.ca, 'utf8');
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await own?.stop();
  await provider?.stop();
});
beforeEach(() => {
  provider.accounts.clear();
  provider.accounts.set('s-1', { name: 'ana', groups: ['staff'] });
  provider.next = 's-1';
});

const withToken = (token: string) => {
  const client = createClient({ url: own.url, ca, token });
  clients.push(client);
  return client;
};

/** Logs in as the test's user does, and follows the redirect to the command's listener. */
async function enter(options: Partial<LoginOptions> = {}) {
  const pages: { url: string; code: string | null }[] = [];
  const done = await logIn({
    ...{ name: 'work', way: 'browser', signal: AbortSignal.timeout(30_000) },
    show: async (page) => {
      pages.push(page);
      const { url } = await browse(page.url);
      if (page.code === null) await fetch(url).then((response) => response.text());
    },
    ...options,
  });
  const { contexts } = await readContexts();
  return { done, pages, token: contexts[done.context]?.token ?? '' };
}

/** Waits until the platform asks the provider again. */
const untilDue = () => new Promise((resolve) => setTimeout(resolve, recheckMs + 50));

const events = async () =>
  (await withClient('local', (client) => client.events.page({ limit: 1000 }))).events;

describe.each(['browser', 'device'] as const)('aiot login with a %s', (way) => {
  it('stores a login with the role of the groups, and keeps the local token', async () => {
    const before = (await readContexts()).contexts.local?.token;
    const { done, token, pages } = await enter({ way });
    expect(done).toMatchObject({ context: 'work', url: own.url, user: 'ana', role: 'viewer' });
    expect(pages[0]?.code === null).toBe(way === 'browser');
    await withToken(token).status();
    const { contexts, current } = await readContexts();
    expect(current).toBe('work');
    expect(contexts.local?.token).toBe(before);
    expect(contexts.work).toMatchObject({ login: true, token });
    await expect(withToken(token).users.list()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    expect(await events()).toContainEqual(
      expect.objectContaining({
        type: 'login.begin',
        subject: 'ana',
        data: expect.objectContaining({ via: 'cli' }),
      }),
    );
    expect(await ok(z.array(userSchema), ['user', 'list', '--context', 'local'])).toMatchObject([
      { name: 'ana', role: 'viewer' },
    ]);
  });

  it('fails when the user refuses', async () => {
    provider.next = null;
    await expect(enter({ way })).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
    const failures = (await events()).filter(({ type }) => type === 'login.fail');
    expect(failures.at(-1)?.data).toMatchObject({ reason: expect.stringContaining('access_denied') });
  });

  it('gives no access to an account without a role', async () => {
    provider.accounts.set('s-2', { name: 'eve', groups: ['visitors'] });
    provider.next = 's-2';
    const refused = enter({ way });
    await expect(refused).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
      message: expect.stringContaining('eve has the groups visitors'),
      next: expect.stringContaining('--oidc-role'),
    });
  });
});

describe('a login', () => {
  it('does not overwrite the token of a local user', async () => {
    const refused = enter({ name: undefined, context: 'local' });
    await expect(refused).rejects.toMatchObject({ code: 'AIOT_ALREADY_EXISTS' });
  });

  it('gives no access to a local user of the same name', async () => {
    await ok(userSchema, ['user', 'add', 'root', '--role', 'operator', '--context', 'local']);
    provider.accounts.set('s-3', { name: 'root', groups: ['staff'] });
    provider.next = 's-3';
    const { done } = await enter();
    expect(done.user).toMatch(/^root-[0-9a-f]{8}$/);
    expect(done.role).toBe('viewer');
    expect((await enter()).done.user).toBe(done.user);
  });

  it('follows the groups without another login', async () => {
    const { token } = await enter();
    const client = withToken(token);
    provider.accounts.set('s-1', { name: 'ana', groups: ['staff', 'admins'] });
    await untilDue();
    expect((await client.users.list()).length).toBeGreaterThan(0);
    provider.accounts.set('s-1', { name: 'ana', groups: ['staff'] });
    await untilDue();
    await expect(client.users.list()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    const roles = (await events()).filter(({ type }) => type === 'user.role').map(({ data }) => data);
    expect(roles.slice(-2)).toEqual([
      { role: 'operator', selector: null },
      { role: 'viewer', selector: null },
    ]);
  });

  it('is renewed once for concurrent requests', async () => {
    const { token } = await enter();
    await untilDue();
    const before = provider.requests.get('/token') ?? 0;
    const client = withToken(token);
    await Promise.all(Array.from({ length: 8 }, () => client.status()));
    expect(provider.requests.get('/token')).toBe(before + 1);
  });

  it('ends when the groups no longer have a role', async () => {
    const { token } = await enter();
    provider.accounts.set('s-1', { name: 'ana', groups: [] });
    await untilDue();
    await expect(withToken(token).status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    const ended = (await events()).filter(({ type }) => type === 'login.end').at(-1);
    expect(ended?.data).toMatchObject({ reason: 'none of the groups has a role' });
  });

  it('ends when the account is deleted', async () => {
    const { token } = await enter();
    const client = withToken(token);
    await client.status();
    provider.accounts.delete('s-1');
    await untilDue();
    await expect(client.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    const { code, stderr } = await runCli(['status', '--context', 'work']);
    expect(code).toBe(5);
    expect(stderr).toContain('aiot login work');
  });

  it('ends when an operator disables the user, who cannot log in again', async () => {
    const { token } = await enter();
    await ok(userSchema, ['user', 'disable', 'ana', '--context', 'local']);
    await expect(withToken(token).status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    await expect(enter()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await ok(userSchema, ['user', 'enable', 'ana', '--context', 'local']);
  });

  it('cannot create tokens that outlive the account', async () => {
    provider.accounts.set('s-1', { name: 'ana', groups: ['admins'] });
    const { token } = await enter();
    const client = withToken(token);
    const made = client.tokens.create({ name: 'mine' });
    await expect(made).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    const { id } = (await client.tokens.list()).find(
      ({ owner, state }) => owner === 'ana' && state === 'valid',
    ) ?? { id: '' };
    await expect(client.tokens.rotate(id, 0)).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await client.users.add({ name: 'builds', role: 'ci' });
    const other = await client.tokens.create({ name: 'builds', owner: 'builds' });
    await withToken(other.token).status();
  });

  it('ends at logout, also at the provider', async () => {
    const { token } = await enter();
    const before = provider.requests.get('/token/revocation') ?? 0;
    const { code, stdout } = await runCli(['logout', '--context', 'work']);
    expect(code).toBe(0);
    expect(stdout).toContain('Logged out of work');
    expect(provider.requests.get('/token/revocation')).toBe(before + 1);
    await expect(withToken(token).status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    const { contexts } = await readContexts();
    expect(contexts.work).toMatchObject({ url: own.url, login: true });
    expect(contexts.work?.token).toBeUndefined();
    const ended = (await events()).filter(({ type }) => type === 'login.end').at(-1);
    expect(ended?.data).toMatchObject({ reason: 'logged out' });
    const again = await runCli(['logout', '--context', 'local', '--json']);
    expect(again.code).toBe(2);
  });

  it('is listed and revoked like any token', async () => {
    const { token } = await enter();
    const list = await ok(z.array(tokenSchema), ['token', 'list', '--context', 'local']);
    const valid = list.filter(({ owner, state }) => owner === 'ana' && state === 'valid');
    expect(valid.at(-1)).toMatchObject({ name: 'login (cli)', role: 'viewer' });
    for (const { id } of valid) await runCli(['token', 'revoke', '--yes', id, '--context', 'local']);
    await expect(withToken(token).status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
  });

  it('begins a dashboard session, which is renewed and ends with the login', async () => {
    const redirectUri = 'http://127.0.0.1:9/';
    const anybody = createClient({ url: own.url, ca });
    clients.push(anybody);
    expect((await anybody.session.get()).provider).toBe(new URL(provider.issuer).host);
    const started = await anybody.session.start({ kind: 'browser', redirectUri });
    const { url } = await browse(started.url);
    const response = new URL(url).search.slice(1);
    const { login } = started;
    const { user } = await anybody.session.begin({ login, response });
    expect(user).toMatchObject({ role: 'viewer', name: expect.stringMatching(/^user ana tok_/) });
    const again = anybody.session.begin({ login, response });
    await expect(again).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
  });
});

describe('a provider that is down', () => {
  it('does not lock out local users, and logins continue until they expire', async () => {
    const { token } = await enter();
    const client = withToken(token);
    await provider.stop();
    await untilDue();
    await client.status();
    expect((await runCli(['status', '--context', 'local'])).code).toBe(0);
    await expect(enter({ way: 'device' })).rejects.toMatchObject({ code: 'AIOT_PROVIDER_UNREACHABLE' });
    const lapse = 12 * recheckMs;
    await new Promise((resolve) => setTimeout(resolve, lapse));
    await expect(client.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    expect((await runCli(['status', '--context', 'local'])).code).toBe(0);
  }, 40_000);
});
