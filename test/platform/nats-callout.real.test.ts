import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { IClientOptions, MqttClient } from 'mqtt';
import { connect as connectNats, type NatsConnection } from 'nats';
import { afterEach, expect, it, vi } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root, runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type NatsServer, natsServerProgram, startNats } from '../support/nats.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';

let own: TestPlatform | undefined;
const servers: NatsServer[] = [];
const clients: MqttClient[] = [];
const connections: NatsConnection[] = [];
/** Ends the parts of the last test in reverse order, even if it ran out of time. */
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true);
  for (const nc of connections.splice(0)) await nc.close();
  await own?.stop();
  for (const server of servers.splice(0)) await server.stop();
  for (const end of endings.splice(0).reverse()) await end();
  own = undefined;
  vi.unstubAllEnvs();
});

const passwords = { AIOT_NATS_PASSWORD: 'platform-secret', AIOT_NATS_SYSTEM_PASSWORD: 'system-secret' };

interface Place extends Servers {
  platform: TestPlatform;
}

interface Servers {
  /** Addresses of each server: MQTT, and NATS without and with the system user. */
  mqtt: string[];
  nats: string[];
  engines: { broker: string; brokerControl: string };
}

/** A platform whose devices connect to NATS servers. */
async function start(devices: readonly string[], count = 1): Promise<Place> {
  const platform = await testPlatform();
  own = platform;
  for (const name of devices)
    await provisionDevice({
      client: platform.client,
      name,
      type: 'virtual',
      out: join(platform.folder, name),
    });
  const place = await startServers(platform.folder, join(platform.folder, 'data', 'pki'), count);
  await platform.client.close();
  await platform.platform.stop();
  // A new cluster needs a moment until JetStream has a leader, and rejects MQTT clients until then.
  await expect
    .poll(() => platform.start({ engines: place.engines }).then(() => 'started', String), { timeout: 60_000 })
    .toBe('started');
  return { platform, ...place };
}

/** Servers that are set up as in docs/reference/nats/nats.conf, with the files of a platform. */
async function startServers(folder: string, pki: string, count = 1): Promise<Servers> {
  const docs = await readFile(join(root, 'docs', 'reference', 'nats', 'nats.conf'), 'utf8');
  const auth = await readFile(join(pki, 'nats-auth.conf'), 'utf8');
  const routes = await Promise.all(Array.from({ length: count }, () => freePort()));
  const ports = await Promise.all(Array.from({ length: count }, () => freePort()));
  const started = await Promise.all(
    routes.map((route, at) => {
      const config = docs
        .replaceAll('/etc/nats/aiot/', `${pki}/`)
        .replace('include "aiot/nats-auth.conf"', auth)
        .replace('server_name: nats-1', `server_name: nats-${at}`)
        .replace('listen: 0.0.0.0:4222', '')
        .replace('store_dir: /var/lib/nats, sync_interval: always', `store_dir: "${folder}/store-${at}"`)
        .replace('0.0.0.0:8883', `127.0.0.1:${ports[at]}`);
      const others = routes.map((other) => `nats://127.0.0.1:${other}`).join(', ');
      const cluster = `cluster { name: c, listen: "127.0.0.1:${route}", routes: [${others}] }`;
      const text = count > 1 ? `${config}\n${cluster}` : config;
      return startNats(text, { jetstream: false, program: natsServerProgram, env: passwords });
    }),
  );
  servers.push(...started);
  const mqtt = ports.map((port) => `mqtts://127.0.0.1:${port}`);
  const nats = started.map(({ port }) => `127.0.0.1:${port}`);
  vi.stubEnv('AIOT_CONFIG_DIR', join(folder, 'config'));
  for (const address of [mqtt[0] ?? '', ...nats.map((host) => `natss://${host}`)]) {
    const login = await runCli([
      'stream',
      'login',
      address,
      '--ca',
      join(pki, 'ca.crt'),
      '--untried',
      '--json',
    ]);
    expect(login.code, login.stdout + login.stderr).toBe(0);
  }
  const user = `platform:${passwords.AIOT_NATS_PASSWORD}`;
  const engines = {
    broker: `natss://${user}@${nats.join(',')}?mqtt=${ports[0]}`,
    brokerControl: `natss://system:${passwords.AIOT_NATS_SYSTEM_PASSWORD}@${nats.join(',')}`,
  };
  return { mqtt, nats, engines };
}

const by = async (place: Place, name: string, options: IClientOptions = {}, at = 0) => {
  const folder = join(place.platform.folder, name);
  const client = await connectDevice(place.mqtt[at] ?? '', folder, { clientId: name, ...options });
  clients.push(client);
  return client;
};

/** A client without a certificate. */
const plain = async (place: Place, options: IClientOptions, at = 0) => {
  const client = await connect(place.mqtt[at] ?? '', { ca: place.platform.ca, ...options });
  clients.push(client);
  return client;
};

/** Time until a client's connection is closed after `act`, ms. */
async function closedAfter(client: MqttClient, act: () => Promise<unknown>): Promise<number> {
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const began = performance.now();
  await act();
  await closed;
  return performance.now() - began;
}

const sample = (x: number) => JSON.stringify({ seq: x, t: x, rate: 10, recording: 'r', x });
const refused = /Not authorized/i;
/** Nobody has answered the server's question. */
const unanswered = /Not authorized|connack timeout/i;

describeReal('nats-server', 'a NATS server that asks the platform about its clients', () => {
  it('gives devices the rights that they have at the built-in broker, by certificate and by secret', async () => {
    const place = await start(['dev', 'other']);
    const { platform } = place;
    // A new secret ends the device's connections.
    const secret = String((await platform.client.secrets.make('dev')).secret);
    const stored = async () => (await platform.client.datasets.list()).map(({ samples }) => samples);
    const dev = await by(place, 'dev');
    await dev.publishAsync('aiot/v1/dev/telemetry/s', sample(1), { qos: 1 });
    await expect.poll(stored, { timeout: 10_000 }).toEqual([1]);

    // NATS acknowledges a forbidden message, and drops it.
    const other = await by(place, 'other', { clientId: 'other/2' });
    await other.publishAsync('aiot/v1/dev/telemetry/s', sample(2), { qos: 1 });
    await other.publishAsync('aiot/v1/other/telemetry/s', sample(1), { qos: 1 });
    await expect.poll(async () => (await platform.client.datasets.get('s')).recordings.length).toBe(2);
    expect(await stored()).toEqual([2]);
    const heard: string[] = [];
    for (const [name, client] of Object.entries({ dev, other }))
      client.on('message', (topic, payload) => heard.push(`${name} ${topic} ${payload}`));
    for (const topic of ['aiot/v1/dev/command', 'aiot/v1/other/#', '#', '$SYS/#', 'aiot/v1/other/log']) {
      const [granted] = await other.subscribeAsync(topic, { qos: 1 }).catch(() => [{ qos: 128 }]);
      expect(granted?.qos, topic).toBe(128);
    }
    await other.subscribeAsync('aiot/v1/other/command', { qos: 1 });
    await dev.subscribeAsync('aiot/v1/dev/command', { qos: 1 });
    const token = (await platform.client.tokens.create({ name: 'boss', role: 'operator' })).token;
    const { id } = (await platform.client.tokens.list()).find(({ name }) => name === 'boss') ?? { id: '' };
    const boss = await plain(place, { username: `token:${id}`, password: token, clientId: `token:${id}/1` });
    for (const name of ['dev', 'other']) await boss.publishAsync(`aiot/v1/${name}/command`, name, { qos: 1 });
    await expect
      .poll(() => heard.sort())
      .toEqual(['dev aiot/v1/dev/command dev', 'other aiot/v1/other/command other']);

    const withSecret = { username: 'dev', password: secret, clientId: 'dev/secret' };
    const again = await plain(place, withSecret);
    await again.publishAsync('aiot/v1/dev/telemetry/s', sample(2), { qos: 1 });
    await expect.poll(stored).toEqual([3]);
    for (const wrong of [
      { ...withSecret, password: 'wrong' },
      { ...withSecret, username: 'other', clientId: 'other' },
      { ...withSecret, clientId: 'other' },
      { ...withSecret, username: 'nobody', clientId: 'nobody' },
      { clientId: 'dev' },
      { username: 'platform', password: secret, clientId: 'dev' },
    ])
      await expect(plain(place, wrong), JSON.stringify(wrong)).rejects.toThrow(refused);
    await expect(by(place, 'dev', { clientId: 'other' })).rejects.toThrow(refused);
    await expect(by(place, 'dev', { clientId: 'dev', username: 'other', password: 'x' })).rejects.toThrow(
      refused,
    );
    // The will of a device on another one's topic is dropped with the connection.
    const ghost = await by(place, 'other', {
      clientId: 'other/ghost',
      will: { topic: 'aiot/v1/dev/command', payload: Buffer.from('will'), qos: 1, retain: false },
    });
    ghost.stream.destroy();
    await boss.publishAsync('aiot/v1/dev/command', 'last', { qos: 1 });
    await expect.poll(() => heard).toContain('dev aiot/v1/dev/command last');
    expect(heard).not.toContain('dev aiot/v1/dev/command will');
    const attempts = async () =>
      (await platform.client.audit.log({ type: 'access.deny', limit: 1000 })).entries.map(({ data }) => data);
    await expect
      .poll(attempts, { timeout: 10_000 })
      .toContainEqual(
        expect.objectContaining({ address: '127.0.0.1', reason: expect.stringContaining('token or secret') }),
      );
  }, 240_000);

  it('closes the connection of a suspended or revoked device within two seconds, and admits it no more', async () => {
    const place = await start(['dev', 'gone', 'other']);
    const { client } = place.platform;
    const logged: string[] = [];
    await place.platform.restart({ engines: place.engines, log: (line) => logged.push(line) });
    const other = await by(place, 'other');
    const dev = await by(place, 'dev', { clean: false });
    expect(await closedAfter(dev, () => place.platform.client.devices.act('dev', 'suspend'))).toBeLessThan(
      2000,
    );
    await expect(by(place, 'dev')).rejects.toThrow(refused);
    await expect.poll(() => logged.join('')).toContain('the device dev is suspended');
    await place.platform.client.devices.act('dev', 'resume');
    const back = await by(place, 'dev', { clean: false });

    const gone = await by(place, 'gone');
    expect(await closedAfter(gone, () => place.platform.client.devices.act('gone', 'revoke'))).toBeLessThan(
      2000,
    );
    await expect(by(place, 'gone')).rejects.toThrow(refused);
    await expect.poll(() => logged.join('')).toContain('the device gone is revoked');

    const made = await place.platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    const username = `token:${made.id}`;
    const wall = await plain(place, { username, password: made.token, clientId: username });
    await wall.subscribeAsync('aiot/v1/+/telemetry/#', { qos: 1 });
    expect(await closedAfter(wall, () => place.platform.client.tokens.revoke(made.id))).toBeLessThan(2000);
    await expect(plain(place, { username, password: made.token, clientId: username })).rejects.toThrow(
      refused,
    );
    expect([other.connected, back.connected]).toEqual([true, true]);
    expect(logged.join('')).not.toContain(made.token);
    await client.close();
  }, 240_000);

  it('closes connections whose clients lost their access while no replica was running', async () => {
    const place = await start(['dev', 'other']);
    const { platform } = place;
    const [dev, other] = [await by(place, 'dev'), await by(place, 'other')];
    await platform.platform.stop();
    await expect(by(place, 'dev', { clientId: 'dev/2' })).rejects.toThrow(unanswered);
    expect([dev.connected, other.connected]).toEqual([true, true]);
    await platform.start();
    await platform.client.devices.act('dev', 'suspend');
    expect(dev.connected).toBe(true);
    const closed = await closedAfter(dev, () => platform.restart({ engines: place.engines }));
    expect(closed).toBeGreaterThan(0);
    await delay(500);
    expect(other.connected).toBe(true);
  }, 240_000);

  it('gives clients of the NATS protocol the same rights, and none to its own services', async () => {
    const place = await start(['dev', 'other']);
    const { platform } = place;
    const secret = String((await platform.client.secrets.make('dev')).secret);
    const servers = place.nats.map((address) => address.replace('127.0.0.1', 'localhost'));
    const at = (user: string, pass: string) =>
      connectNats({
        ...{ servers, user, pass, reconnect: false, tls: { ca: platform.ca } },
      }).then((nc) => {
        connections.push(nc);
        return nc;
      });
    const dev = await at('dev', secret);
    const problems: string[] = [];
    void (async () => {
      for await (const { type, data } of dev.status()) if (type === 'error') problems.push(String(data));
    })();
    const made = await platform.client.tokens.create({ name: 'boss', role: 'operator' });
    const boss = await at(`token:${made.id}`, made.token);
    const heard: string[] = [];
    const subscription = boss.subscribe('aiot.v1.>', { callback: (_, { subject }) => heard.push(subject) });
    const command = dev.subscribe('aiot.v1.dev.command', { max: 1 });
    await boss.flush();
    await dev.flush();
    dev.publish('aiot.v1.dev.log', 'x');
    dev.publish('aiot.v1.other.log', 'x');
    dev.publish('$JS.API.INFO', '');
    await dev.flush();
    await expect.poll(() => heard).toEqual(['aiot.v1.dev.log']);
    await expect.poll(() => problems.length).toBe(2);
    boss.publish('aiot.v1.dev.command', 'go');
    for await (const message of command) expect(message.string()).toBe('go');
    await expect(boss.request('$SYS.REQ.SERVER.PING', '', { timeout: 500 })).rejects.toThrow();
    subscription.unsubscribe();
    await expect(at('dev', 'wrong')).rejects.toThrow(/authorization/i);
    await expect(at(`token:${made.id}`, 'wrong')).rejects.toThrow(/authorization/i);
    const closed = dev.closed();
    const began = performance.now();
    await platform.client.devices.act('dev', 'suspend');
    await closed;
    expect(performance.now() - began).toBeLessThan(2000);
  }, 240_000);

  it('lets a limited user reach its devices and no others, by MQTT and by NATS', async () => {
    const place = await start(['dev', 'other']);
    const { client } = place.platform;
    await client.devices.patch('dev', { tags: { site: 'hall' } });
    const made = await client.tokens.create({ name: 'hall', role: 'operator', selector: 'site=hall' });
    const username = `token:${made.id}`;
    const [dev, other] = [await by(place, 'dev'), await by(place, 'other')];
    // Retained, so that it is there for every later subscription.
    for (const [name, device] of Object.entries({ dev, other }))
      await device.publishAsync(`aiot/v1/${name}/log`, `retained ${name}`, { qos: 1, retain: true });
    const hall = await plain(place, { username, password: made.token, clientId: `${username}/1` });
    const heard: string[] = [];
    hall.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
    const granted = async (topic: string) =>
      (await hall.subscribeAsync(topic, { qos: 1 }).catch(() => [{ qos: 128 }]))[0]?.qos;
    for (const topic of [
      ...[
        '#',
        '+/#',
        'aiot/#',
        'aiot/v1/#',
        'aiot/v1/+/log',
        'aiot/v1/other/log',
        'aiot/v1/other/#',
        '+/+/+/log',
      ],
      ...[
        '$share/g/aiot/v1/other/log',
        '$share/g/aiot/v1/+/log',
        '$SYS/#',
        '$JS/API/#',
        '$MQTT/msgs/#',
        '_INBOX/#',
      ],
    ])
      expect(await granted(topic), topic).toBe(128);
    expect(await granted('aiot/v1/dev/#')).toBe(1);
    await expect.poll(() => heard).toEqual(['aiot/v1/dev/log retained dev']);
    for (const [name, device] of Object.entries({ dev, other })) {
      await device.subscribeAsync(`aiot/v1/${name}/command`, { qos: 1 });
      device.on('message', (topic, payload) => heard.push(`${name} got ${topic} ${payload}`));
      await hall.publishAsync(`aiot/v1/${name}/command`, 'go', { qos: 1 });
    }
    await other.publishAsync('aiot/v1/other/log', 'secret', { qos: 1 });
    await dev.publishAsync('aiot/v1/dev/log', 'end', { qos: 1 });
    await expect.poll(() => heard).toContain('aiot/v1/dev/log end');
    await expect.poll(() => heard).toContain('dev got aiot/v1/dev/command go');
    expect(heard.join()).not.toMatch(/other|secret/);

    const problems: string[] = [];
    const nc = await connectNats({
      ...{
        servers: place.nats.map((address) => address.replace('127.0.0.1', 'localhost')),
        reconnect: false,
      },
      ...{ user: username, pass: made.token, tls: { ca: place.platform.ca } },
    });
    connections.push(nc);
    void (async () => {
      for await (const { type, data } of nc.status()) if (type === 'error') problems.push(String(data));
    })();
    const subjects: string[] = [];
    // Called with an error for a forbidden subscription.
    const note = {
      callback: (error: unknown, msg: { subject: string }) => error === null && subjects.push(msg.subject),
    };
    const forbidden = [
      '>',
      '*.>',
      'aiot.v1.*.log',
      'aiot.v1.other.>',
      '$SYS.>',
      '$JS.API.>',
      '_INBOX.>',
    ].concat(['$MQTT.sub.>', '$MQTT.msgs.>', '$KV.>', '_R_.>', '$SRV.PING']);
    for (const subject of forbidden) nc.subscribe(subject, note);
    nc.subscribe('aiot.v1.dev.log', { ...note, queue: 'g' });
    nc.subscribe('aiot.v1.dev.>', note);
    const forbiddenRequests = ['$JS.API.STREAM.MSG.GET.$MQTT_msgs', '$JS.API.CONSUMER.CREATE.$MQTT_rmsgs'];
    for (const subject of [...forbiddenRequests, 'aiot.v1.other.command', 'lab.x', '$SYS.REQ.SERVER.PING'])
      nc.publish(subject, '{}', { reply: 'aiot.v1.dev.reply' });
    await nc.flush();
    await other.publishAsync('aiot/v1/other/log', 'secret', { qos: 1 });
    await dev.publishAsync('aiot/v1/dev/log', 'end', { qos: 1 });
    await expect.poll(() => subjects).toEqual(['aiot.v1.dev.log']);
    // Each forbidden subject, the queue group, and each forbidden publish.
    await expect.poll(() => problems.length).toBe(forbidden.length + 1 + 5);
  }, 240_000);

  it('disconnects a limited user within two seconds when its devices change, also for stored sessions', async () => {
    const place = await start(['dev', 'next', 'other']);
    const { client } = place.platform;
    const tag = (name: string, site: string | null) =>
      place.platform.client.devices.patch(name, { tags: { site } });
    await tag('dev', 'hall');
    await client.users.add({ name: 'ann', role: 'operator', selector: 'site=hall' });
    const made = await client.tokens.create({ name: 'hall', owner: 'ann' });
    const username = `token:${made.id}`;
    const stored = { username, password: made.token, clientId: `${username}/s`, clean: false };
    const [dev, next] = [await by(place, 'dev'), await by(place, 'next')];
    const heard: string[] = [];
    const enter = async () => {
      const user = await plain(place, stored);
      user.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
      return user;
    };
    const unlimited = await client.tokens.create({ name: 'all', role: 'viewer' });
    const all = await plain(place, {
      ...{ username: `token:${unlimited.id}`, password: unlimited.token, clientId: `token:${unlimited.id}` },
    });
    let user = await enter();
    await user.subscribeAsync('aiot/v1/dev/log', { qos: 1 });
    await dev.publishAsync('aiot/v1/dev/log', '1', { qos: 1 });
    await expect.poll(() => heard).toEqual(['aiot/v1/dev/log 1']);
    await expect(user.subscribeAsync('aiot/v1/next/log', { qos: 1 })).rejects.toThrow();

    // A device enters.
    expect(await closedAfter(user, () => tag('next', 'hall'))).toBeLessThan(2000);
    user = await enter();
    await user.subscribeAsync('aiot/v1/next/log', { qos: 1 });
    await next.publishAsync('aiot/v1/next/log', '2', { qos: 1 });
    await expect.poll(() => heard.at(-1)).toBe('aiot/v1/next/log 2');

    // A device leaves. The session still has its subscription, and messages are published while the user is away.
    expect(await closedAfter(user, () => tag('dev', null))).toBeLessThan(2000);
    await dev.publishAsync('aiot/v1/dev/log', 'secret', { qos: 1, retain: true });
    user = await enter();
    await dev.publishAsync('aiot/v1/dev/log', 'secret too', { qos: 1 });
    await next.publishAsync('aiot/v1/next/log', '3', { qos: 1 });
    await expect.poll(() => heard.at(-1)).toBe('aiot/v1/next/log 3');
    await delay(1500);
    expect(heard.join()).not.toContain('secret');
    expect([user.connected, all.connected]).toEqual([true, true]);

    // A change that concerns other devices leaves the connection open.
    await tag('other', 'yard');
    await delay(1500);
    expect(user.connected).toBe(true);

    // The role changes, then the selector, and at last the device is removed.
    expect(await closedAfter(user, () => client.users.change('ann', { role: 'viewer' }))).toBeLessThan(2000);
    user = await enter();
    await user.publishAsync('aiot/v1/next/command', 'no', { qos: 1 });
    expect(await closedAfter(user, () => client.users.change('ann', { selector: 'site=yard' }))).toBeLessThan(
      2000,
    );
    user = await enter();
    expect(await user.subscribeAsync('aiot/v1/other/log', { qos: 1 })).toMatchObject([{ qos: 1 }]);
    await expect(user.subscribeAsync('aiot/v1/next/log', { qos: 1 })).rejects.toThrow();

    // A will keeps the rights that the connection began with.
    const dying = {
      topic: 'aiot/v1/other/command',
      payload: Buffer.from('will'),
      qos: 1 as const,
      retain: false,
    };
    const boss = await client.tokens.create({ name: 'boss', role: 'operator', selector: 'site=yard' });
    const last = await plain(place, {
      ...{ username: `token:${boss.id}`, password: boss.token, clientId: `token:${boss.id}`, will: dying },
    });
    const other = await by(place, 'other');
    const commands: string[] = [];
    other.on('message', (_, payload) => commands.push(String(payload)));
    await other.subscribeAsync('aiot/v1/other/command', { qos: 1 });
    expect(await closedAfter(last, () => tag('other', null))).toBeLessThan(2000);
    await expect.poll(() => commands).toEqual(['will']);

    // A stored session keeps its subscription, and what was published while the device was gone.
    await other.publishAsync('aiot/v1/other/log', 'meanwhile', { qos: 1 });
    user = await enter();
    await tag('other', 'yard');
    await delay(1500);
    user = await enter();
    await expect.poll(() => heard.at(-1)).toBe('aiot/v1/other/log meanwhile');

    // A change that was missed while no replica was running is found at the next start.
    await place.platform.platform.stop();
    await place.platform.start();
    await tag('other', null);
    expect(user.connected).toBe(true);
    expect(await closedAfter(user, () => place.platform.restart({ engines: place.engines }))).toBeGreaterThan(
      0,
    );
    await client.close();
  }, 240_000);

  it('answers at three servers, and closes connections at the one that has them', async () => {
    const place = await start(['dev', 'other'], 3);
    const devices = [await by(place, 'dev', {}, 1), await by(place, 'other', {}, 2)];
    for (const [at, device] of devices.entries()) {
      const name = ['dev', 'other'][at] ?? '';
      const { client } = place.platform;
      expect(await closedAfter(device, () => client.devices.act(name, 'suspend'))).toBeLessThan(2000);
      await expect(by(place, name, {}, at)).rejects.toThrow(refused);
    }
  }, 240_000);

  it('closes connections at the servers that answer while another one hangs', async () => {
    const place = await start(['dev'], 3);
    const [first = ''] = place.nats;
    const only = (address: string) => address.replace(/@[^?]+/, `@${first}`);
    const { broker, brokerControl } = place.engines;
    const engines = { broker: only(broker), brokerControl: only(brokerControl) };
    await place.platform.restart({ engines });
    const dev = await by(place, 'dev', {}, 1);
    const pid = Number(await readFile(join(servers[2]?.folder ?? '', 'nats.pid'), 'utf8'));
    process.kill(pid, 'SIGSTOP');
    try {
      const closed = closedAfter(dev, () => place.platform.client.devices.act('dev', 'suspend'));
      expect(await Promise.race([closed, delay(20_000, Infinity)])).toBeLessThan(20_000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }, 240_000);

  it('is not used with a wrong user, or by a platform with another CA', async () => {
    const place = await start(['dev']);
    const { broker } = place.engines;
    const [host = ''] = place.nats;
    const wrong = async (brokerControl: string) => {
      const error = await place.platform
        .restart({ engines: { broker, brokerControl } })
        .catch((e: unknown) => e);
      return error as { code?: string; message: string; next?: string };
    };
    const outside = await wrong(`natss://platform:${passwords.AIOT_NATS_PASSWORD}@${host}`);
    expect(outside).toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `natss://${host}: the user is not in the system account`,
    });
    expect(outside.next).toContain('nats-auth.conf');
    await place.platform.start();
    const password = await wrong(`natss://system:wrong@${host}`);
    expect(password.code).toBe('AIOT_BROKER_REFUSED');
    await place.platform.start();
    const lines: string[] = [];
    const foreign = await testPlatform({ engines: place.engines, log: (line) => lines.push(line) });
    try {
      await expect(by(place, 'dev')).rejects.toThrow(unanswered);
      await expect.poll(() => lines.join('')).toContain('Copy nats-auth.conf');
    } finally {
      await foreign.stop();
    }
  }, 240_000);
});

describeReal('nats-server', 'replicas that answer a NATS server', () =>
  describeReal('postgres', 'on PostgreSQL', () => {
    it('answer for one that was killed, and close its connections', async () => {
      const postgres = await startPostgres();
      const folder = await mkdtemp(join(tmpdir(), 'aiot-callout-'));
      const database = await postgres.database();
      endings.push(
        () => postgres.stop(),
        () => rm(folder, { recursive: true, force: true }),
      );
      const begin = async (name: string, engines: object) => {
        const options = { httpPort: 0, mqttPort: 0, secret: 'shared', engines: { database, ...engines } };
        const child = startReplica({ dataDir: join(folder, name), ...options });
        endings.push(() => child.kill('SIGKILL'));
        return { child, ...(await replicaOf(child)) };
      };
      const kill = async (child: ChildProcess) => {
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      };
      // The first start creates the CA, which the answers' keys are derived from.
      const { child: creator, token = '', ca: file } = await begin('a', {});
      await kill(creator);
      const ca = await readFile(file, 'utf8');
      const servers = await startServers(folder, join(folder, 'a', 'pki'));
      const [first, second] = [await begin('a', servers.engines), await begin('b', servers.engines)];
      const clientOf = (url: string) => {
        const client = createClient({ url, ca, token });
        endings.push(() => client.close());
        return client;
      };
      const client = clientOf(second.urls.http);
      await client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
      for (const name of ['dev', 'other', 'third'])
        await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
      const device = async (name: string) => {
        const made = await connectDevice(servers.mqtt[0] ?? '', join(folder, name), { clientId: name });
        clients.push(made);
        return made;
      };
      // Both replicas get questions; each knows the devices that were provisioned at the other.
      for (let count = 0; count < 8; count++) await (await device('third')).endAsync();
      const [dev, other] = [await device('dev'), await device('other')];
      expect(await closedAfter(dev, () => client.devices.act('dev', 'suspend'))).toBeLessThan(2000);
      await kill(first.child);
      for (let count = 0; count < 8; count++) await (await device('third')).endAsync();
      await expect(device('dev')).rejects.toThrow(refused);
      expect(await closedAfter(other, () => client.devices.act('other', 'revoke'))).toBeLessThan(2000);
      await expect(device('other')).rejects.toThrow(refused);
    }, 400_000);
  }),
);

function startReplica(options: object): ChildProcess {
  const program = join(import.meta.dirname, 'kills', 'child.mjs');
  return spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function replicaOf(
  child: ChildProcess,
): Promise<{ urls: { http: string }; ca: string; token?: string }> {
  let log = '';
  child.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`the replica ended: ${log}`)));
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => {});
  return JSON.parse(String(line));
}
