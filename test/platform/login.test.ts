import { mkdtemp, rm } from 'node:fs/promises';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { logIn } from '../../src/lib/api/login.js';
import { Provider, providerLimits } from '../../src/lib/platform/access/provider.js';
import { ProviderLogins } from '../../src/lib/platform/access/provider-logins.js';
import { Failures } from '../../src/lib/platform/access/secrets.js';
import { rightsOf, Tokens } from '../../src/lib/platform/access/tokens.js';
import { Sessions } from '../../src/lib/platform/access/users.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { openEngine } from '../../src/lib/platform/store/engine.js';
import { runCli } from '../support/cli.js';
import { type Lies, startFakeProvider } from '../support/fake-provider.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { refusal, type UpForTests, upForTests } from '../support/up.js';

let fake: Awaited<ReturnType<typeof startFakeProvider>>;
beforeAll(async () => {
  fake = await startFakeProvider();
});
afterAll(() => fake.stop());

const redirectUri = 'http://127.0.0.1:9/';
const here = { address: '127.0.0.1', agent: 'aiot' };

describe('a login through a provider', () => {
  let provider: Provider;
  beforeEach(() => {
    fake.state.lies = {};
    const { issuer } = fake;
    const roles = { staff: 'viewer', admins: 'operator' } as const;
    const options = { issuer, clientId: 'aiot', groupsClaim: 'groups', roles, recheckMs: 1000 };
    provider = new Provider(options, Date.now);
  });

  /** Logs in up to the redirect, whose query `change` changes. */
  const enter = async (lies: Lies = {}, change: (query: URLSearchParams) => void = () => {}) => {
    fake.state.lies = lies;
    const { url, ...made } = await provider.authorize(redirectUri);
    fake.state.nonce = made.nonce;
    const query = new URLSearchParams({ code: 's-1', state: new URL(url).searchParams.get('state') ?? '' });
    change(query);
    return provider.redeem(query.toString(), { redirectUri, ...made });
  };

  it('returns the user with the highest role of the groups', async () => {
    expect(await enter()).toMatchObject({ subject: 's-1', name: 'ana', role: 'viewer' });
    expect((await enter({ claims: { groups: ['staff', 'admins', 'x'] } })).role).toBe('operator');
    expect((await enter({ claims: { groups: 'staff' } })).role).toBe('viewer');
  });

  it.each<[string[], string | null, string | null]>([
    [['hall-3'], 'operator', 'site=hall-3'],
    [['hall-3', 'hall-4'], 'operator', 'site=hall-3 or (site=hall-4 or group=cranes)'],
    [['hall-4', 'hall-3', 'staff'], 'operator', 'site=hall-3 or (site=hall-4 or group=cranes)'],
    [['hall-3', 'admins'], 'operator', null],
    [['wall'], 'viewer', 'type=esp32'],
    [['wall', 'staff'], 'viewer', null],
    [['constructor'], null, null],
  ])(
    'limits the highest role of %j to the devices of the groups that have it',
    async (groups, role, selector) => {
      const { issuer } = fake;
      const roles = { staff: 'viewer', wall: 'viewer', admins: 'operator' } as const;
      const halls = { 'hall-3': 'operator', 'hall-4': 'operator' } as const;
      const selectors = {
        'hall-3': 'site=hall-3',
        'hall-4': 'site=hall-4 or group=cranes',
        wall: 'type=esp32',
      };
      const options = { issuer, clientId: 'aiot', groupsClaim: 'groups', recheckMs: 1000 };
      provider = new Provider({ ...options, roles: { ...roles, ...halls }, selectors }, Date.now);
      expect(await enter({ claims: { groups } })).toMatchObject({ role, selector });
    },
  );

  it.each([
    ['no groups', undefined],
    ['an unknown group', ['visitors']],
    ['a group named like a member of every object', ['constructor', '__proto__']],
    ['groups of another type', [{ staff: true }, 7, null]],
  ])('gives no role for %s', async (_, groups) => {
    expect((await enter({ claims: { groups } })).role).toBeNull();
  });

  it.each<[string, Lies]>([
    ['another issuer', { claims: { iss: 'https://other.example' } }],
    ['another audience', { claims: { aud: 'other' } }],
    ['several audiences and another authorized party', { claims: { aud: ['aiot', 'x'], azp: 'x' } }],
    ['an ID token that has expired', { claims: { exp: Math.floor(Date.now() / 1000) - 120 } }],
    ['an ID token without a lifetime', { claims: { exp: undefined } }],
    ['another nonce', { claims: { nonce: 'other' } }],
    ['no nonce', { claims: { nonce: undefined } }],
    ['no subject', { claims: { sub: undefined } }],
    ['an ID token without a signature', { sign: 'none' }],
    ['an ID token signed with HS256 and the public key', { sign: 'hmac' }],
    ['an ID token signed with another key', { sign: 'other key' }],
    ['an ID token with an unknown key id', { sign: 'unknown key' }],
  ])('rejects %s', async (_, lies) => {
    await expect(enter(lies)).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED', next: expect.any(String) });
  });

  it.each<[string, (query: URLSearchParams) => void]>([
    ['another state', (query) => query.set('state', 'other')],
    ['no state', (query) => query.delete('state')],
    ['two states', (query) => query.append('state', 'other')],
    ['no code', (query) => query.delete('code')],
    ['an error', (query) => query.set('error', 'access_denied')],
    ['a response of another issuer', (query) => query.set('iss', 'https://other.example')],
  ])('rejects a redirect with %s', async (_, change) => {
    await expect(enter({}, change)).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
  });

  it('rejects metadata of another issuer', async () => {
    const lies = { metadata: { issuer: 'https://other.example' } };
    await expect(enter(lies)).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
  });

  it('rejects login pages that are not web pages', async () => {
    const lies = { metadata: { authorization_endpoint: 'javascript:alert(1)' } };
    await expect(enter(lies)).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
    const device = {
      device_code: 'd',
      user_code: 'A',
      verification_uri: 'file:///etc/hosts',
      expires_in: 60,
    };
    fake.state.lies = {
      answer(path, response) {
        if (path !== '/device') return false;
        response.setHeader('content-type', 'application/json');
        return Boolean(response.end(JSON.stringify(device)));
      },
    };
    await expect(provider.startDevice()).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
  });

  it.each<[string, Lies['answer']]>([
    ['broken JSON', (_path, response) => Boolean(response.end('{'))],
    ['an HTML page', (_path, response) => Boolean(response.end('<html></html>'))],
    [
      'a status of 500',
      (_path, response) => {
        response.statusCode = 500;
        return Boolean(response.end());
      },
    ],
    [
      'a redirect to another host',
      (_path, response) => {
        response.writeHead(302, { location: 'https://other.example/' });
        return Boolean(response.end());
      },
    ],
    [
      'a closed connection',
      (_path, response) => {
        response.destroy();
        return true;
      },
    ],
  ])('reports a provider that answers with %s, and recovers', async (_, answer) => {
    const failing = enter(answer ? { answer } : {});
    await expect(failing).rejects.toMatchObject({ code: 'AIOT_PROVIDER_UNREACHABLE' });
    expect((await enter()).name).toBe('ana');
  });

  it('reports a response that is too large, without reading it to the end', async () => {
    let sent = 0;
    const answer: Lies['answer'] = (path, response) => {
      if (path !== '/token') return false;
      const more = () => {
        while (!response.destroyed && sent < 100 * 1024 ** 2) {
          sent += 65_536;
          if (!response.write(Buffer.alloc(65_536, 32))) return void response.once('drain', more);
        }
        response.end();
      };
      more();
      return true;
    };
    const failing = enter({ answer });
    await expect(failing).rejects.toMatchObject({
      code: 'AIOT_PROVIDER_UNREACHABLE',
      message: expect.stringContaining('more than 256 KiB'),
    });
    expect(sent).toBeLessThan(50 * 1024 ** 2);
  });

  it('reports a provider that is too slow', async () => {
    const before = performance.now();
    const answer: Lies['answer'] = (path) => path === '/token';
    await expect(enter({ answer })).rejects.toMatchObject({
      code: 'AIOT_PROVIDER_UNREACHABLE',
      message: expect.stringContaining('did not respond within 5 s'),
      retryable: true,
    });
    expect(performance.now() - before).toBeLessThan(providerLimits.timeoutMs + 5000);
  }, 20_000);

  it('loads the metadata and the keys once', async () => {
    const paths: string[] = [];
    const answer: Lies['answer'] = (path) => {
      paths.push(path);
      return false;
    };
    await enter({ answer });
    await enter({ answer });
    await enter({ answer });
    expect(paths.filter((path) => path === '/jwks')).toHaveLength(1);
    expect(paths.filter((path) => path.endsWith('openid-configuration'))).toHaveLength(1);
  });
});

/** Logins in a database of their own, with a clock that the test advances. */
describe('logins through a provider', () => {
  const recheckMs = 60_000;
  const pauseMs = 30_000;
  let folder: string;
  let engine: Awaited<ReturnType<typeof openEngine>>;
  let time: number;
  let logins: ProviderLogins;
  let tokens: Tokens;
  /** Numbers of requests to the token endpoint, by the account's subject. */
  let asked: Map<string, number>;
  const now = () => time;

  /** Starts the platform's part again, with the same database. */
  const start = (issuer = fake.issuer) => {
    const { store, turns } = engine;
    const [events, sessions, failures] = [eventsIn(store, now), new Sessions(), new Failures(now)];
    const roles = { staff: 'viewer', admins: 'operator', halls: 'operator' } as const;
    const selectors = { halls: 'site=hall-3' };
    const provider = { issuer, clientId: 'aiot', groupsClaim: 'groups', roles, selectors, recheckMs };
    const log = pino({ level: 'silent' });
    logins = new ProviderLogins({ store, events, sessions, failures, log, now, provider });
    tokens = new Tokens({ store, turns, events, sessions, providerLogins: logins, now });
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-logins-'));
    engine = await openEngine(join(folder, 'state.db'));
    time = Date.now();
    lie();
    start();
  });
  afterEach(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** Changes the groups, and the responses of the token endpoint about some accounts. */
  const lie = (groups = ['admins'], answers: Record<string, (response: ServerResponse) => unknown> = {}) => {
    asked = new Map();
    const answer: Lies['answer'] = (path, response, form) => {
      if (path !== '/token') return false;
      const subject = form.get('refresh_token') ?? form.get('device_code') ?? '';
      asked.set(subject, (asked.get(subject) ?? 0) + 1);
      response.setHeader('content-type', 'application/json');
      answers[subject]?.(response);
      return answers[subject] !== undefined;
    };
    fake.state.lies = { claims: { groups }, answer };
  };
  const refusing = (error: string) => (response: ServerResponse) => {
    response.statusCode = 400;
    response.end(JSON.stringify({ error }));
  };

  /** Logs in with an account. Returns the login's token. */
  const enter = async (subject: string): Promise<string> => {
    const { login, url } = await logins.begin({ kind: 'browser', redirectUri }, '127.0.0.1');
    const { searchParams } = new URL(url);
    fake.state.nonce = searchParams.get('nonce') ?? '';
    const query = new URLSearchParams({ code: subject, state: searchParams.get('state') ?? '' });
    const done = await logins.finish({ login, response: query.toString() }, 'cli', here);
    return 'secret' in done ? done.secret : '';
  };
  const roleOf = async (token: string) => (await tokens.identify(token))?.role;

  it.each<[string, (response: ServerResponse) => unknown]>([
    ['rejects its request', refusing('invalid_request')],
    [
      'sends a wrong ID token',
      (response) => response.end('{"access_token":"a","token_type":"Bearer","id_token":"x"}'),
    ],
    ['sends a response that is too large', (response) => response.end(' '.repeat(300_000))],
  ])('keep the pause to one login if the provider %s', async (_, answer) => {
    const [ana, ben] = [await enter('s-1'), await enter('s-2')];
    time += recheckMs;
    lie(['staff'], { 's-2': answer });
    expect(await roleOf(ben)).toBe('operator');
    expect(await roleOf(ana)).toBe('viewer');
    time += pauseMs - 1;
    await roleOf(ben);
    expect(asked.get('s-2')).toBe(1);
    time += 1;
    lie(['staff']);
    expect(await roleOf(ben)).toBe('viewer');
  });

  it('limit the token to the devices of the groups, as soon as the groups change, and back', async () => {
    const ana = await enter('s-1');
    const reachOf = async () => (await tokens.identify(ana))?.reach?.text ?? null;
    expect(await reachOf()).toBeNull();
    time += recheckMs;
    lie(['halls']);
    expect(await reachOf()).toBe('site=hall-3');
    expect(await roleOf(ana)).toBe('operator');
    const [{ subject = '' } = {}] = await engine.store
      .selectFrom('events')
      .select(['subject'])
      .where('type', '=', 'user.role')
      .execute();
    expect(subject).toBe('ana');
    time += recheckMs;
    lie(['admins']);
    expect(await reachOf()).toBeNull();
  });

  it.each([
    ['invalid_grant'],
    ['access_denied'],
    ['interaction_required'],
    ['consent_required'],
    ['login_required'],
  ])('end one login at once if the provider responds with %s', async (error) => {
    const [ana, ben] = [await enter('s-1'), await enter('s-2')];
    time += recheckMs;
    lie(['staff'], { 's-2': refusing(error) });
    expect(await roleOf(ben)).toBeUndefined();
    expect(await roleOf(ana)).toBe('viewer');
  });

  it('end one login at once if the provider responds with another user', async () => {
    const [ana, ben] = [await enter('s-1'), await enter('s-2')];
    time += recheckMs;
    const body = { access_token: 'a', token_type: 'Bearer', id_token: fake.idToken('s-1') };
    lie(['staff'], { 's-2': (response) => response.end(JSON.stringify(body)) });
    expect(await roleOf(ben)).toBeUndefined();
    expect(await roleOf(ana)).toBe('viewer');
  });

  it('end at the next check if the platform has another provider, which gets no refresh token', async () => {
    const ana = await enter('s-1');
    start('http://127.0.0.1:9');
    expect(await roleOf(ana)).toBe('operator');
    time += recheckMs;
    lie();
    expect(await roleOf(ana)).toBeUndefined();
    expect(asked.size).toBe(0);
  });

  it.each([[true], [false]])(
    'end only with their own secret or token (refresh token: %s)',
    async (hasRefresh) => {
      const issued = { access_token: 'a', token_type: 'Bearer' };
      const reply = (response: ServerResponse) =>
        response.end(JSON.stringify({ ...issued, id_token: fake.idToken('s-1') }));
      lie(['admins'], hasRefresh ? {} : { '': reply });
      const secret = await enter('s-1');
      const { token } = (await tokens.identify(secret)) ?? { token: '' };
      expect(await logins.end(token, 'A'.repeat(43))).toBeNull();
      expect(await roleOf(secret)).toBe('operator');
      expect(await logins.end(token, secret)).toBe(false);
      expect(await roleOf(secret)).toBeUndefined();
    },
  );

  it('with a code ask the provider at most once in each interval', async () => {
    const { login, intervalMs } = await logins.begin({ kind: 'device' }, '127.0.0.1');
    expect(intervalMs).toBe(1000);
    const poll = () => logins.finish({ login }, 'cli', here);
    lie([], { 's-1': refusing('authorization_pending') });
    expect(await poll()).toEqual({ intervalMs: 1000 });
    expect(asked.size).toBe(0);
    time += 1000;
    expect(await Promise.all(Array.from({ length: 8 }, poll))).toContainEqual({ intervalMs: 1000 });
    expect(asked.get('s-1')).toBe(1);
    time += 1000;
    lie([], { 's-1': refusing('slow_down') });
    expect(await poll()).toEqual({ intervalMs: 6000 });
    time += 5999;
    await poll();
    expect(asked.get('s-1')).toBe(1);
    time += 1;
    lie();
    const done = await poll();
    expect(await roleOf('secret' in done ? done.secret : '')).toBe('operator');
  });

  it.each<[string, (response: ServerResponse) => unknown]>([
    ['does not know the client', refusing('invalid_client')],
    ['does not grant the client renewals', refusing('unauthorized_client')],
    ['is overloaded', refusing('temporarily_unavailable')],
    ['closes the connection', (response) => response.destroy()],
  ])('all continue without another request for 30 s if the provider %s', async (_, answer) => {
    const [ana, ben] = [await enter('s-1'), await enter('s-2')];
    time += recheckMs;
    lie(['staff'], { 's-2': answer });
    expect(await roleOf(ben)).toBe('operator');
    expect(await roleOf(ana)).toBe('operator');
    expect(asked.get('s-1')).toBeUndefined();
    time += pauseMs;
    lie(['staff']);
    expect(await roleOf(ana)).toBe('viewer');
    expect(await roleOf(ben)).toBe('viewer');
  });
});

describe('a login whose role changes', () => {
  const recheckMs = 500;
  let own: TestPlatform;
  beforeEach(async ({ task }) => {
    fake.state.lies = { claims: { groups: ['admins'] } };
    // The regular check would hide a connection that is not closed at once.
    if (!task.name.includes('replica')) vi.spyOn(Sessions.prototype, 'watch').mockReturnValue(() => {});
    const roles = { staff: 'viewer', admins: 'operator' } as const;
    const provider = { issuer: fake.issuer, clientId: 'aiot', groupsClaim: 'groups', roles, recheckMs };
    own = await testPlatform({ provider });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await own.stop();
  });

  /** Logs in as the account s-1. Returns the login's token. */
  const enter = async (): Promise<string> => {
    const { url: platform, ca } = { url: own.platform.urls.http, ca: own.ca };
    const anyone = createClient({ url: platform, ca });
    const { login, url } = await anyone.session.start({ kind: 'browser', redirectUri });
    const { searchParams } = new URL(url);
    fake.state.nonce = searchParams.get('nonce') ?? '';
    const response = new URLSearchParams({ code: 's-1', state: searchParams.get('state') ?? '' });
    const { done } = await anyone.session.finish({ login, response: response.toString() });
    await anyone.close();
    return done?.token ?? '';
  };
  const connected = (token: string) =>
    connect(own.platform.urls.mqtts, { ca: own.ca, username: 'u', password: token });
  const whenClosed = (mqtt: Awaited<ReturnType<typeof connect>>) =>
    new Promise<void>((resolve) => mqtt.once('close', () => resolve()));

  it('loses its open MQTT connections when a check finds another role', async () => {
    const token = await enter();
    const [mqtt, other] = [await connected(token), await connected(own.token)];
    const closed = whenClosed(mqtt);
    fake.state.lies = { claims: { groups: ['staff'] } };
    await new Promise((resolve) => setTimeout(resolve, recheckMs + 50));
    const client = createClient({ url: own.platform.urls.http, ca: own.ca, token });
    await client.status();
    await client.close();
    await closed;
    expect(other.connected).toBe(true);
    await Promise.all([mqtt.endAsync(true), other.endAsync(true)]);
  });

  it('is listed as a login of the command line, and loses everything when an operator ends it', async () => {
    const token = await enter();
    const mqtt = await connected(token);
    const closed = whenClosed(mqtt);
    const [login, ...others] = await own.client.sessions.list();
    expect(others).toEqual([]);
    const own30Days = 30 * 86_400_000;
    expect(login).toMatchObject({
      ...{
        id: login?.token,
        kind: 'cli',
        method: 'provider',
        owner: 'ana',
        role: 'operator',
        current: false,
      },
      ...{ address: '127.0.0.1', selector: null },
    });
    expect((login?.expires ?? 0) - (login?.created ?? 0)).toBe(own30Days);
    const theirs = createClient({ url: own.platform.urls.http, ca: own.ca, token });
    expect((await theirs.sessions.list())[0]?.current).toBe(true);
    await own.client.sessions.revoke(login?.id ?? '');
    await closed;
    await expect(theirs.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
    expect(await own.client.sessions.list()).toEqual([]);
    await expect(own.client.sessions.revoke(login?.id ?? '')).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
    const { events } = await own.client.events.page({ from: 0, types: ['login.end', 'session.revoke'] });
    expect(events).toMatchObject([
      { type: 'login.end', subject: 'ana', data: { reason: 'revoked', token: login?.token } },
      { type: 'session.revoke', subject: login?.token, data: { session: login?.id, kind: 'cli' } },
    ]);
    expect(new Set(events.map(({ who }) => who)).size).toBe(1);
    await Promise.all([mqtt.endAsync(true), theirs.close()]);
  });

  it('loses its open MQTT connections when another login has another role', async () => {
    const mqtt = await connected(await enter());
    const closed = whenClosed(mqtt);
    fake.state.lies = { claims: { groups: ['staff'] } };
    await enter();
    await closed;
    await mqtt.endAsync(true);
  });

  it('loses its connections to another replica within two seconds', async () => {
    vi.useFakeTimers();
    const rights = new Map<string, string>([
      ['tok_1', rightsOf('operator')],
      ['tok_2', rightsOf('operator')],
    ]);
    const sessions = new Sessions();
    const ended: string[] = [];
    for (const token of rights.keys()) sessions.begin({ token, role: 'operator' }, () => ended.push(token));
    const closed = new Set<string>();
    sessions.begin({ token: 'tok_1', role: 'operator', session: 'd1' }, () => ended.push('d1'));
    const stop = sessions.watch(
      { validRights: async () => rights },
      { validSessions: async (digests) => new Set(digests.filter((digest) => !closed.has(digest))) },
      () => {},
    );
    await vi.advanceTimersByTimeAsync(2000);
    expect(ended).toEqual([]);
    closed.add('d1');
    await vi.advanceTimersByTimeAsync(2000);
    expect(ended.splice(0)).toEqual(['d1']);
    rights.set('tok_1', rightsOf('viewer'));
    await vi.advanceTimersByTimeAsync(2000);
    expect(ended).toEqual(['tok_1']);
    rights.delete('tok_2');
    await vi.advanceTimersByTimeAsync(2000);
    expect(ended).toEqual(['tok_1', 'tok_2']);
    stop();
    vi.useRealTimers();
  });
});

describe('aiot login', () => {
  let own: UpForTests;
  beforeAll(async () => {
    const provider = { issuer: fake.issuer, clientId: 'aiot', groupsClaim: 'groups', recheckMs: 60_000 };
    own = await upForTests({ provider: { ...provider, roles: { staff: 'viewer' } } });
  });
  afterAll(() => own.stop());
  beforeEach(() => {
    fake.state.lies = {};
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** Logs in with a browser that opens the page after `before`. */
  const enter = (before: (redirect: URL) => Promise<unknown> = async () => {}) =>
    logIn({
      ...{ name: 'work', way: 'browser', signal: AbortSignal.timeout(30_000) },
      async show({ url }) {
        const { searchParams } = new URL(url);
        fake.state.nonce = searchParams.get('nonce') ?? '';
        const redirect = new URL(searchParams.get('redirect_uri') ?? '');
        await before(redirect);
        redirect.search = `code=s-1&state=${searchParams.get('state')}`;
        await fetch(redirect).then((response) => response.text());
      },
    });
  const responding = (changes: object) => {
    const begin = ProviderLogins.prototype.begin;
    vi.spyOn(ProviderLogins.prototype, 'begin').mockImplementation(async function (
      this: ProviderLogins,
      ...args
    ) {
      return { ...(await begin.apply(this, args)), ...changes };
    });
  };

  it('answers requests that are not the redirect, also for an invalid path', async () => {
    const statuses: (number | undefined)[] = [];
    const ask = ({ hostname, port }: URL, path: string) =>
      new Promise<void>((resolve, reject) => {
        const asked = get({ host: hostname, port, path }, (response: IncomingMessage) => {
          statuses.push(response.statusCode);
          response.resume().once('end', resolve);
        });
        asked.once('error', reject);
      });
    const done = await enter(async (redirect) => {
      for (const path of ['//', '/?state=other', '/favicon.ico']) await ask(redirect, path);
    });
    expect(statuses).toEqual([404, 404, 404]);
    expect(done).toMatchObject({ user: 'ana', role: 'viewer' });
  });

  it('works if the clocks of the machine and the platform differ', async () => {
    responding({ expires: Date.now() - 3_600_000 });
    expect(await enter()).toMatchObject({ user: 'ana' });
    responding({ expires: Date.now() + 100 * 86_400_000 });
    expect(await enter()).toMatchObject({ user: 'ana' });
  });

  it.each(['browser', 'device'] as const)('opens only web pages, with a %s', async (way) => {
    responding({ url: 'file:///etc/hosts' });
    const show = vi.fn();
    const login = logIn({ name: 'work', way, signal: AbortSignal.timeout(30_000), show });
    await expect(login).rejects.toMatchObject({ code: 'AIOT_LOGIN_FAILED' });
    expect(show).not.toHaveBeenCalled();
  });
});

describe('a platform without a login provider', () => {
  let own: UpForTests;
  beforeAll(async () => {
    own = await upForTests();
  });
  afterAll(() => own.stop());

  it('rejects a login, and names the alternatives', async () => {
    expect(await refusal(['login', 'work', '--no-browser'])).toMatchObject({
      code: 'AIOT_NOT_FOUND',
      exit: 4,
    });
    expect((await runCli(['login', 'work', '--no-browser'])).stderr).toContain('aiot context add');
  });

  it('is noticed before a login opens a port', async () => {
    const listen = vi.spyOn(NetServer.prototype, 'listen');
    try {
      expect(await refusal(['login', 'work', '--browser'])).toMatchObject({
        ...{ code: 'AIOT_NOT_FOUND', message: `the platform at ${own.url} has no login provider` },
      });
      expect(listen).not.toHaveBeenCalled();
    } finally {
      listen.mockRestore();
    }
  });

  it('rejects a login that needs a name, or would overwrite a token', async () => {
    expect(await refusal(['login'])).toMatchObject({ code: 'AIOT_ALREADY_EXISTS', exit: 2 });
    expect(await refusal(['login', '--url', own.url])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    expect(await refusal(['logout'])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
  });
});

describe('aiot up', () => {
  const base = ['up', '--oidc-client', 'aiot'];
  afterEach(() => {
    delete process.env.AIOT_OIDC_SECRET;
  });

  it.each([
    [[...base, '--oidc-issuer', 'http://sso.example', '--oidc-role', 'a=viewer'], '--oidc-issuer'],
    [[...base, '--oidc-issuer', 'https://u:p@sso.example', '--oidc-role', 'a=viewer'], '--oidc-issuer'],
    [[...base, '--oidc-issuer', 'https://sso.example', '--oidc-role', 'a=admin'], '--oidc-role'],
    [[...base, '--oidc-issuer', 'https://sso.example', '--oidc-role', '=viewer'], '--oidc-role'],
    [[...base, '--oidc-issuer', 'https://sso.example', '--oidc-role', 'a=viewerx:site=b'], '--oidc-role'],
    [[...base, '--oidc-issuer', 'https://sso.example', '--oidc-role', 'a=viewer:'], '--oidc-role'],
    [[...base, '--oidc-issuer', 'https://sso.example'], '--oidc-role'],
    [
      [...base, '--oidc-issuer', 'https://sso.example', '--oidc-role', 'a=ci', '--oidc-recheck', '2h'],
      '--oidc-recheck',
    ],
  ])('rejects %j', async (argv, flag) => {
    const { code, message } = await refusal(argv);
    expect(code).toBe('AIOT_USAGE');
    expect(message).toContain(flag);
  });
});
