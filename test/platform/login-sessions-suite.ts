import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { liveCloseCodes } from '../../src/lib/api/live.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';

/** Two replicas of a platform, which may be the same process. */
export interface Pair {
  /** Their origins. */
  first: string;
  second: string;
  /** An operator's client of the first one. */
  client: RegistryClient;
  ca: string;
  folder: string;
  stop(): Promise<void>;
}

/** A login in a browser. */
interface Browser {
  cookie: string;
  csrf: string;
}

/** Tests of the list of logins, and of ending them. */
export function testLoginSessions(start: () => Promise<Pair>): void {
  let own: Pair;
  let agent: Agent;
  /** Tokens of users, by the users' names; `limited` is an operator for some devices. */
  const tokens = new Map<string, string>();
  const clients: RegistryClient[] = [];
  const sockets: WebSocket[] = [];

  beforeAll(async () => {
    own = await start();
    agent = new Agent({ connect: { ca: own.ca } });
    await own.client.users.add({ name: 'ada', role: 'viewer' });
    await own.client.users.add({ name: 'bob', role: 'viewer' });
    await own.client.users.add({ name: 'limited', role: 'operator', selector: 'site=hall-3' });
    for (const owner of ['ada', 'bob', 'limited'])
      tokens.set(owner, (await own.client.tokens.create({ name: 'laptop', owner })).token);
    await provisionDevice({
      client: own.client,
      name: 'pump-1',
      type: 'virtual',
      out: `${own.folder}/pump-1`,
    });
  }, 120_000);
  afterAll(async () => {
    for (const socket of sockets) socket.terminate();
    await Promise.all(clients.map((client) => client.close()));
    await agent?.close();
    await own?.stop();
  }, 60_000);

  const call = (
    origin: string,
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    browser?: Browser,
    body?: object,
  ) =>
    request(`${origin}/api/v1${path}`, {
      ...{ method, dispatcher: agent },
      headers: {
        'user-agent': 'Test browser 1.0',
        ...(body && { 'content-type': 'application/json' }),
        ...(browser && { cookie: browser.cookie, 'x-aiot-csrf': browser.csrf }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });

  async function logIn(user: string): Promise<Browser> {
    const { headers, body } = await call(own.first, 'POST', '/session', undefined, {
      token: tokens.get(user),
    });
    const { user: found } = (await body.json()) as { user: { csrf: string } };
    return { cookie: String(headers['set-cookie']).split(';')[0] ?? '', csrf: found.csrf };
  }

  const statusOf = async (origin: string, browser: Browser) => {
    const { statusCode, body } = await call(origin, 'GET', '/devices', browser);
    await body.dump();
    return statusCode;
  };

  /** The client of a user's token. */
  const clientOf = (user: string) => {
    const client = createClient({ url: own.first, ca: own.ca, token: tokens.get(user) ?? '' });
    clients.push(client);
    return client;
  };

  /** The dashboard sessions of a user, as an operator sees them. */
  const sessionsOf = async (user: string) =>
    (await own.client.sessions.list()).filter(({ owner }) => owner === user);

  /** Opens an event stream and a live connection. `ended` resolves when the server has ended both. */
  async function follow(
    origin: string,
    { cookie }: Browser,
  ): Promise<{ isOpen: () => boolean; ended: Promise<unknown> }> {
    const headers = { cookie, accept: 'text/event-stream' };
    const stream = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
      const asked = httpsRequest(`${origin}/api/v1/events`, { ca: own.ca, headers, agent: false }, resolve);
      asked.on('error', reject);
      asked.end();
    });
    expect(stream.statusCode).toBe(200);
    stream.resume();
    stream.on('error', () => {});
    const socket = new WebSocket(`${origin.replace('https', 'wss')}/live`, {
      ...{ ca: own.ca, headers: { cookie, origin } },
    });
    sockets.push(socket);
    const closed = once(socket, 'close').then(([code]) => expect(code).toBe(liveCloseCodes.sessionEnded));
    await once(socket, 'open');
    return {
      isOpen: () => !stream.closed && socket.readyState === socket.OPEN,
      ended: Promise.all([new Promise<void>((resolve) => stream.once('close', () => resolve())), closed]),
    };
  }

  it('lists logins with their users and clients, and marks the one that asks', async () => {
    const browser = await logIn('ada');
    const [session, ...others] = await sessionsOf('ada');
    expect(others).toEqual([]);
    expect(session).toMatchObject({
      ...{ kind: 'dashboard', method: 'token', owner: 'ada', role: 'viewer', selector: null },
      ...{ address: '127.0.0.1', agent: 'Test browser 1.0', current: false },
    });
    expect(session?.id).toMatch(/^ses_[0-9a-f]{12}$/);
    expect((session?.expires ?? 0) - (session?.created ?? 0)).toBe(7 * 86_400_000);
    await expect.poll(async () => (await sessionsOf('ada'))[0]?.lastUsed ?? null).toBeNull();
    expect(await statusOf(own.second, browser)).toBe(200);
    await expect.poll(async () => (await sessionsOf('ada'))[0]?.lastUsed).toBeGreaterThan(0);
    const { body } = await call(own.second, 'GET', '/sessions', browser);
    expect(await body.json()).toMatchObject({ sessions: [{ id: session?.id, current: true }], next: null });
    await own.client.sessions.revoke(session?.id ?? '');
  });

  it('ends one login with all its connections to every replica, and no other login of the same token', async () => {
    const [lost, kept] = [await logIn('ada'), await logIn('ada')];
    const { body } = await call(own.first, 'GET', '/sessions', lost);
    const { sessions } = (await body.json()) as { sessions: { id: string; current: boolean }[] };
    const id = sessions.find(({ current }) => current)?.id ?? '';
    const theirs = [await follow(own.first, lost), await follow(own.second, lost)];
    const others = [await follow(own.first, kept), await follow(own.second, kept)];
    expect(await own.client.sessions.revoke(id)).toMatchObject({ id, owner: 'ada', current: false });
    await Promise.all(theirs.map(({ ended }) => ended));
    for (const origin of [own.first, own.second]) {
      expect(await statusOf(origin, lost)).toBe(401);
      expect(await statusOf(origin, kept)).toBe(200);
    }
    expect(others.map(({ isOpen }) => isOpen())).toEqual([true, true]);
    expect(await sessionsOf('ada')).toHaveLength(1);
    await expect(own.client.sessions.revoke(id)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    const { events } = await own.client.events.page({ from: 0, types: ['session.revoke'], limit: 100 });
    expect(events.at(-1)).toMatchObject({
      ...{
        subject: sessions.length > 0 ? expect.stringMatching(/^tok_/) : '',
        who: expect.stringMatching(/^operator /),
      },
      data: { session: id, kind: 'dashboard' },
    });
    const [remaining] = await sessionsOf('ada');
    await own.client.sessions.revoke(remaining?.id ?? '');
    await Promise.all(others.map(({ ended }) => ended));
  });

  it('ends the connections of a browser that logs out, in all its tabs', async () => {
    const browser = await logIn('ada');
    const tabs = [await follow(own.first, browser), await follow(own.second, browser)];
    const { statusCode, body } = await call(own.first, 'DELETE', '/session', browser);
    await body.dump();
    expect(statusCode).toBe(200);
    await Promise.all(tabs.map(({ ended }) => ended));
    expect(await sessionsOf('ada')).toEqual([]);
  });

  it('lets users end their own logins, and only operators without a device limit those of others', async () => {
    await logIn('ada');
    await logIn('bob');
    const [theirs] = await sessionsOf('bob');
    const id = theirs?.id ?? '';
    const denied = { code: 'AIOT_NOT_ALLOWED' };
    expect((await clientOf('ada').sessions.list()).map(({ owner }) => owner)).toEqual(['ada']);
    expect(await clientOf('limited').sessions.list()).toEqual([]);
    await expect(clientOf('ada').sessions.revoke(id)).rejects.toMatchObject(denied);
    await expect(clientOf('limited').sessions.revoke(id)).rejects.toMatchObject(denied);
    for (const wrong of ['ses_000000000000', 'tok_000000000000', 'ses_%', 'x'])
      await expect(own.client.sessions.revoke(wrong)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await sessionsOf('bob')).toHaveLength(1);
    expect((await clientOf('bob').sessions.revoke(id)).id).toBe(id);
    expect(await sessionsOf('bob')).toEqual([]);
    const { token } = await own.client.tokens.create({ name: 'narrow', scopes: ['users:read'] });
    tokens.set('narrow', token);
    const [ada] = await clientOf('narrow').sessions.list();
    expect(ada?.owner).toBe('ada');
    await expect(clientOf('narrow').sessions.revoke(ada?.id ?? '')).rejects.toMatchObject(denied);
    await own.client.sessions.revoke(ada?.id ?? '');
  });

  it('returns the list page by page, without logins whose token has ended', async () => {
    for (let i = 0; i < 3; i++) await logIn('bob');
    const { id, token } = await own.client.tokens.create({ name: 'gone', owner: 'bob' });
    tokens.set('gone', token);
    await logIn('gone');
    expect(await sessionsOf('bob')).toHaveLength(4);
    await own.client.tokens.revoke(id);
    const all = await sessionsOf('bob');
    expect(all).toHaveLength(3);
    const seen: string[] = [];
    for (let after = ''; ; ) {
      const query = after === '' ? 'limit=1' : `limit=1&after=${after}`;
      const { body } = await request(`${own.first}/api/v1/sessions?${query}`, {
        ...{ dispatcher: agent, headers: { authorization: `Bearer ${tokens.get('bob')}` } },
      });
      const page = (await body.json()) as { sessions: { id: string }[]; next: string | null };
      expect(page.sessions.length).toBeLessThanOrEqual(1);
      seen.push(...page.sessions.map((each) => each.id));
      if (page.next === null) break;
      after = page.next;
    }
    expect(seen).toEqual(all.map((each) => each.id));
  });
}
