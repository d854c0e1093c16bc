import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Sessions } from '../../src/lib/platform/access/users.js';
import { Authorizer } from '../../src/lib/platform/broker/authorizer.js';
import { controlTargets, openControl } from '../../src/lib/platform/broker/control.js';
import { createLog } from '../../src/lib/platform/log.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { startBroker } from '../support/broker.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';

let own: TestPlatform;
/** The external broker's token. */
let token: string;
beforeAll(async () => {
  own = await testPlatform();
  for (const name of ['dev', 'other'])
    await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  const made = await own.client.tokens.create({
    ...{ name: 'emqx', role: 'operator', scopes: ['broker:authorize'] },
  });
  token = made.token;
});
afterAll(() => own.stop());

const question =
  (path: string) =>
  async (body: unknown, by = token) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await ask(own, `/api/v1/broker/${path}`, { method: 'POST', body: text, token: by });
    const told = JSON.parse(answer.text) as { result?: string };
    return { ...told, status: answer.status };
  };
const auth = question('auth');
const acl = question('acl');
const allowed = { status: 200, result: 'allow', is_superuser: false, superuser: false };
const denied = { status: 200, result: 'deny', is_superuser: false, superuser: false };
const certificateOf = (name: string) => readFile(join(own.folder, name, 'device.crt'), 'utf8');

describe('an external broker that asks the platform', () => {
  it('admits a device by its certificate, under its own name and client id only', async () => {
    const certificate = await certificateOf('dev');
    const asked = { username: 'dev', clientId: 'dev', certificate };
    expect(await auth(asked)).toEqual(allowed);
    expect(await auth({ ...asked, clientId: 'dev/2' })).toEqual(allowed);
    for (const wrong of [
      { username: 'other' },
      { clientId: 'other' },
      { clientId: 'dev2' },
      { clientId: '' },
      { clientId: null },
      { clientId: `dev/${'x'.repeat(300)}` },
      { certificate: own.ca },
      { certificate: 'no certificate' },
      { certificate: 'x'.repeat(20_000) },
    ])
      expect(await auth({ ...asked, ...wrong }), JSON.stringify(wrong).slice(0, 80)).toEqual(denied);
  });

  it('admits a device by the common name of a certificate that the broker has verified', async () => {
    expect(await auth({ username: 'dev', clientId: 'dev', commonName: 'dev' })).toEqual(allowed);
    expect(await auth({ username: 'dev', clientId: 'dev', commonName: 'nobody' })).toEqual(denied);
    // Placeholders without a value.
    for (const commonName of ['', 'undefined', null])
      expect(await auth({ username: 'dev', clientId: 'dev', commonName })).toEqual(denied);
  });

  it('admits a device by its secret over TLS, and limits wrong secrets by the address of the client', async () => {
    const { secret } = await own.client.secrets.make('dev');
    const asked = { username: 'dev', clientId: 'dev', address: '198.51.100.7', password: secret };
    expect(await auth(asked)).toEqual(denied);
    expect(await auth({ ...asked, tls: 'true' })).toEqual(allowed);
    expect(await auth({ ...asked, tls: true })).toEqual(allowed);
    expect(await auth({ ...asked, tls: true, username: 'other', clientId: 'other' })).toEqual(denied);
    for (let i = 0; i < 6; i++)
      expect(await auth({ ...asked, tls: true, address: '198.51.100.8', password: `wrong ${i}` })).toEqual(
        denied,
      );
    // The limit does not apply to secrets that were verified before, so a new one is needed.
    const again = await own.client.secrets.make('dev');
    expect(await auth({ ...asked, tls: true })).toEqual(denied);
    const right = { ...asked, tls: true, password: again.secret };
    expect(await auth({ ...right, address: '198.51.100.8' })).toEqual(denied);
    expect(await auth({ ...right, address: '198.51.100.9' })).toEqual(allowed);
  });

  it('denies a token that is limited to devices if the platform cannot end its subscriptions', async () => {
    const made = await own.client.tokens.create({ name: 'hall', role: 'operator', selector: 'name=dev' });
    const username = `token:${made.id}`;
    expect(await auth({ username, clientId: username, password: made.token })).toEqual(denied);
    const topics = ['aiot/v1/dev/log', 'aiot/v1/+/log', '#'];
    for (const action of ['subscribe', 'publish'])
      for (const topic of topics)
        expect((await acl({ username, action, topic })).result, `${action} ${topic}`).toBe('deny');
  });

  it('admits a user by a token under the name of the token, until the token expires', async () => {
    const made = await own.client.tokens.create({ name: 'wall', role: 'viewer', scopes: ['stream:lab/#'] });
    const username = `token:${made.id}`;
    const asked = { username, clientId: username, password: made.token };
    expect(await auth(asked)).toEqual({ ...allowed, expire_at: Math.floor(made.expires / 1000) });
    expect(await auth({ ...asked, username: 'dev', clientId: 'dev' })).toEqual(denied);
    expect(await auth({ ...asked, clientId: 'dev' })).toEqual(denied);
    const may = async (action: string, topic: string) => (await acl({ username, action, topic })).result;
    expect(await may('subscribe', 'lab/1')).toBe('allow');
    expect(await may('subscribe', '$share/group/lab/+')).toBe('allow');
    expect(await may('subscribe', '#')).toBe('deny');
    expect(await may('publish', 'lab/1')).toBe('deny');
    await own.client.tokens.revoke(made.id);
    expect(await may('subscribe', 'lab/1')).toBe('deny');
    expect(await auth(asked)).toEqual(denied);
  });

  it('gives a device the rights that it has at the built-in broker', async () => {
    const may = async (action: string, topic: string) =>
      (await acl({ username: 'dev', action, topic })).result;
    expect(await may('publish', 'aiot/v1/dev/telemetry/s')).toBe('allow');
    // RMQTT sends 2 for publish and 1 for subscribe.
    expect(await may('2', 'aiot/v1/dev/telemetry/s')).toBe('allow');
    expect(await may('1', 'aiot/v1/dev/command')).toBe('allow');
    for (const [action, topic] of [
      ['publish', 'aiot/v1/other/telemetry/s'],
      ['publish', 'aiot/v1/dev/command'],
      ['publish', '$SYS/x'],
      ['publish', ''],
      ['subscribe', 'aiot/v1/+/command'],
      ['subscribe', 'aiot/v1/dev/#'],
      ['subscribe', 'aiot/v1/other/command'],
      ['1', 'aiot/v1/dev/telemetry/s'],
      ['all', 'aiot/v1/dev/telemetry/s'],
      ['', 'aiot/v1/dev/telemetry/s'],
    ] as const)
      expect(await may(action, topic), `${action} ${topic}`).toBe('deny');
    expect((await acl({ username: 'nobody', action: 'publish', topic: 'x' })).result).toBe('deny');
  });

  it('denies a suspended device, whatever it presents, until it is resumed', async () => {
    const { secret } = await own.client.secrets.make('other');
    const base = { username: 'other', clientId: 'other', address: '198.51.100.20' };
    const ways = [
      { ...base, certificate: await certificateOf('other') },
      { ...base, commonName: 'other' },
      { ...base, tls: true, password: secret },
    ];
    const publish = { username: 'other', action: 'publish', topic: 'aiot/v1/other/telemetry/s' };
    for (const way of ways) expect(await auth(way)).toEqual(allowed);
    await own.client.devices.act('other', 'suspend');
    for (const way of ways) expect(await auth(way)).toEqual(denied);
    expect(await acl(publish)).toEqual({ status: 200, result: 'deny' });
    await own.client.devices.act('other', 'resume');
    for (const way of ways) expect(await auth(way)).toEqual(allowed);
    expect(await acl(publish)).toEqual({ status: 200, result: 'allow' });
  });

  it("leaves the broker's own users to the broker", async () => {
    const asked = { username: 'local:platform', clientId: 'x', password: 'p' };
    expect((await auth(asked)).result).toBe('ignore');
    expect((await acl({ username: 'local:platform', action: 'publish', topic: 'x' })).result).toBe('ignore');
  });

  it('answers only tokens that may ask', async () => {
    const asked = { username: 'dev', clientId: 'dev', certificate: await certificateOf('dev') };
    const scoped = async (role: 'viewer' | 'ci' | 'operator', scopes?: string[]) =>
      (await own.client.tokens.create({ name: 'x', role, ...(scopes ? { scopes } : {}) })).token;
    expect((await auth(asked, own.token)).status).toBe(200);
    expect((await auth(asked, '')).status).toBe(401);
    expect((await auth(asked, await scoped('viewer'))).status).toBe(403);
    expect((await auth(asked, await scoped('ci'))).status).toBe(403);
    expect((await auth(asked, await scoped('operator', ['platform:write', 'devices:write']))).status).toBe(
      403,
    );
    // The broker's token can do nothing else.
    for (const path of ['/api/v1/devices', '/api/v1/tokens', '/api/v1/audit'])
      expect((await ask(own, path, { token })).status, path).toBe(403);
  });

  it('denies what it cannot read, because brokers may admit clients after an HTTP error', async () => {
    for (const body of [
      '{',
      '[]',
      '"x"',
      '{"username":1}',
      `{"username":"a\\u0000"}`,
      `{"username":"${'x'.repeat(1_100_000)}"}`,
    ]) {
      expect(await auth(body), body.slice(0, 30)).toEqual(denied);
      expect((await acl(body)).result, body.slice(0, 30)).toBe('deny');
    }
    expect(await auth(JSON.parse('{"password":"x"}'))).toEqual(denied);
  });

  it('records denied attempts in the audit log, without secrets', async () => {
    await auth({ username: 'dev', clientId: 'dev', password: 'guess', tls: true, address: '203.0.113.5' });
    await acl({ username: 'dev', action: 'publish', topic: 'aiot/v1/other/log', address: '203.0.113.5' });
    const noted = async () => {
      const { entries } = await own.client.audit.log({ type: 'access.deny', limit: 1000 });
      return entries.filter(({ data }) => (data as { address?: string }).address === '203.0.113.5');
    };
    await expect
      .poll(async () => (await noted()).map(({ subject }) => subject).sort(), { timeout: 10_000 })
      .toEqual(['mqtt connect', 'mqtt publish']);
    expect(JSON.stringify(await noted())).not.toContain('guess');
  });
});

describe('a limited user at a broker that asks the platform by HTTP', () => {
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  interface Asking {
    platform: TestPlatform;
    port: number;
    /** Ends the platform, and starts it again at the same broker. */
    restart(): Promise<void>;
    closed: string[];
  }

  /** A real broker that asks about each client, publish and subscription, with EMQX's API to end clients and their sessions. */
  const start = async (listing = { fails: false, listed: 0 }): Promise<Asking> => {
    let platform: TestPlatform | undefined;
    const users = new Map<string, string>();
    const closed: string[] = [];
    const { aedes, port, close } = await startBroker();
    stops.push(close);
    const isAllowed = async (path: 'auth' | 'acl', body: object) => {
      if (!platform) return false;
      const { result } = await platform.client.broker[path](body as never);
      return result === 'allow';
    };
    aedes.authenticate = (client, username, password, done) => {
      const [user, clientId] = [username ?? '', client.id];
      users.set(clientId, user);
      if (user.startsWith('local:')) return done(null, true);
      isAllowed('auth', { username: user, clientId, password: String(password), tls: true })
        .then((may) => done(null, may))
        .catch(() => done(null, false));
    };
    const may = (client: { id: string } | null, action: string, topic: string) => {
      const username = users.get(client?.id ?? '') ?? '';
      return username.startsWith('local:')
        ? Promise.resolve(true)
        : isAllowed('acl', { username, action, topic });
    };
    aedes.authorizePublish = (client, packet, done) => {
      may(client, 'publish', packet.topic)
        .then((is) => done(is ? null : new Error('denied')))
        .catch(done);
    };
    aedes.authorizeSubscribe = (client, subscription, done) => {
      may(client, 'subscribe', subscription.topic)
        .then((is) => done(null, is ? subscription : null))
        .catch(() => done(null, null));
    };
    const server = createServer(({ method = '', url = '' }, answer) => {
      const at = new URL(url, 'http://x');
      if (method === 'GET' && at.searchParams.has('like_username') && listing.fails)
        return answer.writeHead(503).end();
      if (method === 'GET') {
        const [user, like] = [at.searchParams.get('username'), at.searchParams.get('like_username')];
        if (like !== null) listing.listed++;
        const rows = [...users].filter(([, name]) =>
          user === null ? name.includes(like ?? '') : name === user,
        );
        return answer.end(
          JSON.stringify({ data: rows.map(([clientid, username]) => ({ clientid, username })) }),
        );
      }
      const id = decodeURIComponent(at.pathname.split('/').at(-1) ?? '');
      const client = (aedes as unknown as { clients: Record<string, { close(): void }> }).clients[id];
      users.delete(id);
      closed.push(id);
      client?.close();
      answer.writeHead(204).end();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const engines = {
      broker: `mqtt://local%3Aplatform:x@127.0.0.1:${port}`,
      brokerControl: `emqx+http://k:s@127.0.0.1:${(server.address() as AddressInfo).port}`,
    };
    const made = await testPlatform({ engines });
    platform = made;
    stops.push(() => made.stop());
    const restart = async () => {
      await made.restart({ engines });
    };
    return { platform: made, port, restart, closed };
  };

  it('gets messages of its devices only, and loses a device with its subscription within two seconds', async () => {
    const { platform, port, restart, closed } = await start();
    for (const name of ['dev', 'next', 'secret'])
      await provisionDevice({
        client: platform.client,
        name,
        type: 'virtual',
        out: join(platform.folder, name),
      });
    const tag = (name: string, site: string | null) =>
      platform.client.devices.patch(name, { tags: { site } });
    await tag('dev', 'hall');
    const made = await platform.client.tokens.create({
      name: 'hall',
      role: 'operator',
      selector: 'site=hall',
    });
    const username = `token:${made.id}`;
    const boss = await connect(`mqtt://127.0.0.1:${port}`, { username: 'local:boss', password: 'x' });
    stops.push(() => boss.endAsync(true));
    for (const name of ['dev', 'next', 'secret'])
      await boss.publishAsync(`aiot/v1/${name}/log`, `retained ${name}`, { qos: 1, retain: true });
    const heard: string[] = [];
    const enter = async (clientId: string) => {
      const options = { username, password: made.token, clientId: `${username}/${clientId}` };
      const client = await connect(`mqtt://127.0.0.1:${port}`, options);
      stops.push(() => client.endAsync(true));
      client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
      const gone = new Promise<number>((resolve) => client.once('close', () => resolve(performance.now())));
      const granted = async (topic: string) =>
        (await client.subscribeAsync(topic, { qos: 1 }).catch(() => [{ qos: 128 }]))[0]?.qos;
      return { client, gone, granted };
    };
    const user = await enter('1');
    for (const topic of [
      ...[
        '#',
        '+/#',
        'aiot/#',
        'aiot/v1/#',
        'aiot/v1/+/log',
        'aiot/v1/secret/log',
        'aiot/+/dev/log',
        '+/v1/dev/log',
      ],
      ...['$share/g/aiot/v1/dev/log', '$share/g/aiot/v1/secret/log', '$SYS/#', 'lab/x'],
    ])
      expect(await user.granted(topic), topic).toBe(128);
    expect(await user.granted('aiot/v1/dev/#')).toBe(1);
    await expect.poll(() => heard).toEqual(['aiot/v1/dev/log retained dev']);

    // A device enters: the next request is allowed, and the connection stays open.
    await tag('next', 'hall');
    expect(await user.granted('aiot/v1/next/log')).toBe(1);
    await expect.poll(() => heard.at(-1)).toBe('aiot/v1/next/log retained next');
    await tag('secret', 'yard');
    expect(user.client.connected).toBe(true);

    // A device leaves.
    const left = performance.now();
    await tag('dev', null);
    expect((await user.gone) - left).toBeLessThan(2000);
    await expect.poll(() => closed.length, { timeout: 5000 }).toBeGreaterThan(0);
    const again = await enter('2');
    expect(await again.granted('aiot/v1/dev/log')).toBe(128);
    expect(await again.granted('aiot/v1/next/log')).toBe(1);
    await boss.publishAsync('aiot/v1/dev/log', 'hidden', { qos: 1 });
    await boss.publishAsync('aiot/v1/next/log', 'end', { qos: 1 });
    await expect.poll(() => heard.at(-1)).toMatch(/^aiot\/v1\/next\/log /);
    expect(heard.join()).not.toMatch(/hidden|secret/);

    // After a restart, the platform does not know what changed before, so the user has to subscribe anew.
    const last = await enter('3');
    await Promise.all([restart(), last.gone]);
    expect(closed).toContain(`${username}/3`);
  }, 60_000);

  it('stays connected when the platform lists the users that it has admitted itself', async () => {
    // The first list fails, so that the platform lists the users after one has connected.
    const listing = { fails: true, listed: 0 };
    const { platform, port, closed } = await start(listing);
    const made = await platform.client.tokens.create({
      ...{ name: 'hall', role: 'viewer', selector: 'site=hall' },
    });
    const username = `token:${made.id}`;
    const options = { username, password: made.token, clientId: username };
    const client = await connect(`mqtt://127.0.0.1:${port}`, options);
    stops.push(() => client.endAsync(true));
    listing.fails = false;
    await expect.poll(() => listing.listed, { timeout: 20_000 }).toBeGreaterThan(0);
    await delay(500);
    expect(closed).toEqual([]);
    expect(client.connected).toBe(true);
  }, 60_000);

  it('is disconnected when a request shows its new limit before the tokens are compared', async () => {
    // As with two replicas: the other one has changed the limit, and this one gets a publish within the same second.
    let site = 'hall';
    const cutOff: string[] = [];
    const identityOf = async () => ({
      ...{ kind: 'user', name: 'x', token: 't', role: 'operator', scopes: null },
      reach: {
        ...{ selectors: [`site=${site}`], text: `site=${site}`, matches: () => true },
        has: (name: string) => name === site,
      },
    });
    const authorizer = new Authorizer({
      devices: { select: () => [{ name: site }], onSelectableChange: () => () => {} },
      tokens: { identityOf },
      sessions: new Sessions(),
      broker: { figures: {}, disconnectUser: (user: string) => cutOff.push(user), endsUsers: true },
      log: await createLog(undefined),
    } as never);
    const publishes = async (device: string) => {
      const asked = { username: 'token:t', action: 'publish', topic: `aiot/v1/${device}/command` };
      return (await authorizer.acl(asked, '127.0.0.1')).result;
    };
    expect([await publishes('hall'), await publishes('hall')]).toEqual(['allow', 'allow']);
    expect(cutOff).toEqual([]);
    site = 'yard';
    expect([await publishes('yard'), await publishes('yard')]).toEqual(['allow', 'allow']);
    expect(cutOff).toEqual(['token:t']);
    // Another process admitted this client, so its connections are closed by the next look although it has published here, and by the one
    // after that if this fails.
    expect([await authorizer.follow('t'), await authorizer.follow('t')]).toEqual([true, true]);
    authorizer.settle('t');
    expect(await authorizer.follow('t')).toBe(false);
  });
});

/** The HTTP APIs need no devices. */
const noDevices = { records: () => [], hasCertificate: () => false };

interface Asked {
  method: string;
  url: string;
  authorization: string | undefined;
}

describe('closing connections at an external broker', () => {
  const stops: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  /** A broker's HTTP API with the documented requests of EMQX 5 and RMQTT, for one list of clients. */
  const api = async (list: (rows: unknown[]) => unknown, failures = 0) => {
    const clients = new Map([
      ['dev', 'dev'],
      ['dev/2', 'dev'],
      ['other', 'other'],
    ]);
    const asked: Asked[] = [];
    let failing = failures;
    const server = createServer(({ method = '', url = '', headers }, answer) => {
      asked.push({ method, url, authorization: headers.authorization });
      if (failing-- > 0) return answer.writeHead(503).end();
      if (method === 'GET') {
        const rows = [...clients].map(([clientid, username]) => ({ clientid, username, connected: true }));
        return answer.setHeader('content-type', 'application/json').end(JSON.stringify(list(rows)));
      }
      const id = decodeURIComponent(url.split('/').at(-1) ?? '');
      answer.writeHead(clients.delete(id) ? 204 : 404).end();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    return { at: `127.0.0.1:${(server.address() as AddressInfo).port}`, clients, asked };
  };

  it("ends a user's clients at EMQX and no others, and tries again until it succeeds", async () => {
    const emqx = await api((data) => ({ data, meta: { page: 1, limit: 1000, count: data.length } }), 2);
    const control = await openControl(`emqx+http://key:se%40cret@${emqx.at}`, {
      log: await createLog(undefined),
      devices: noDevices,
      againMs: 10,
    });
    stops.push(() => control.close());
    control.cutOff('dev', () => true);
    await expect.poll(() => [...emqx.clients.keys()], { timeout: 10_000 }).toEqual(['other']);
    const basic = `Basic ${Buffer.from('key:se@cret').toString('base64')}`;
    expect(new Set(emqx.asked.map(({ authorization }) => authorization))).toEqual(new Set([basic]));
    expect(emqx.asked[0]?.url).toBe('/api/v5/clients?username=dev&limit=1000');
    expect(emqx.asked.at(-1)?.url).toBe('/api/v5/clients/dev%2F2');
  });

  it('asks every node of an RMQTT cluster, and closes what connects while a device is being suspended', async () => {
    const nodes = [await api((rows) => rows), await api((rows) => rows)] as const;
    const control = await openControl(nodes.map(({ at }) => `rmqtt+http://secret@${at}`).join(','), {
      log: await createLog(undefined),
      devices: noDevices,
      againMs: 2000,
    });
    stops.push(() => control.close());
    control.cutOff('dev', () => false);
    for (const { clients } of nodes)
      await expect.poll(() => [...clients.keys()], { timeout: 10_000 }).toEqual(['other']);
    nodes[1].clients.set('dev/late', 'dev');
    await expect.poll(() => [...nodes[1].clients.keys()], { timeout: 10_000 }).toEqual(['other']);
    expect(nodes[0].asked[0]).toEqual({
      ...{ method: 'GET', url: '/api/v1/clients?username=dev&_limit=1000', authorization: 'Bearer secret' },
    });
  });

  it('handles thousands of changes together, and one that comes later anew', async () => {
    const emqx = await api((data) => ({ data }));
    const control = await openControl(`emqx+http://k:s@${emqx.at}`, {
      ...{ log: await createLog(undefined), devices: noDevices, againMs: 300 },
    });
    stops.push(() => control.close());
    for (let change = 0; change < 2000; change++) control.cutOff('dev', () => false);
    await expect.poll(() => [...emqx.clients.keys()], { timeout: 2000 }).toEqual(['other']);
    for (const id of ['dev/3', 'dev/4']) {
      emqx.clients.set(id, 'dev');
      for (let change = 0; change < 2000; change++) control.cutOff('dev', () => false);
      await expect.poll(() => [...emqx.clients.keys()], { timeout: 2000 }).toEqual(['other']);
    }
    await delay(800);
    emqx.clients.set('dev/5', 'dev');
    control.cutOff('dev', () => false);
    await expect.poll(() => [...emqx.clients.keys()], { timeout: 2000 }).toEqual(['other']);
    await delay(800);
    // A pass for each of the four times, and one after each that was not followed by another change.
    expect(emqx.asked.filter(({ method }) => method === 'GET').length).toBeLessThanOrEqual(8);
  });

  it('rejects addresses that are not those of a known API, without repeating their secrets', () => {
    for (const text of ['https://x', 'emqx+ftp://x', 'vernemq+https://x', 'rmqtt+http://s3cret@x/api', ''])
      expect(() => controlTargets(text), text).toThrow(/^--broker-control: (?!.*s3cret)/);
  });

  it('begins within two seconds when a device is suspended or revoked, or a token ends', async () => {
    const outside = await testPlatform({ plain: { port: 0 } });
    stops.push(() => outside.stop());
    const emqx = await api((data) => ({ data }));
    const broker = `${outside.platform.urls.mqtt?.replace('mqtt://', `mqtt://local:${outside.token}@`)}`;
    const platform = await testPlatform({ engines: { broker, brokerControl: `emqx+http://k:s@${emqx.at}` } });
    stops.push(() => platform.stop());
    for (const name of ['dev', 'other'])
      await provisionDevice({
        client: platform.client,
        name,
        type: 'virtual',
        out: join(platform.folder, name),
      });
    const made = await platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    const username = `token:${made.id}`;
    emqx.clients.set(username, username);
    const asked = { username, clientId: username, password: made.token };
    const answer = await platform.client.broker.auth(asked);
    expect(answer.result).toBe('allow');
    const gone = async (id: string, act: () => Promise<unknown>) => {
      await act();
      const began = performance.now();
      await expect.poll(() => emqx.clients.has(id), { timeout: 10_000, interval: 20 }).toBe(false);
      return performance.now() - began;
    };
    expect(await gone('dev', () => platform.client.devices.act('dev', 'suspend'))).toBeLessThan(2000);
    expect(await gone('other', () => platform.client.devices.act('other', 'revoke'))).toBeLessThan(2000);
    expect(await gone(username, () => platform.client.tokens.revoke(made.id))).toBeLessThan(2000);
    // The external broker is real, and the platform is its client.
    const reader = await connect(broker, {});
    await reader.endAsync(true);
  });
});
