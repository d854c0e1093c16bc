import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import type { IClientOptions } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform({ plain: { port: 0 }, wsPort: 0 });
  for (const name of ['dev', 'other']) {
    await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  }
});
afterAll(() => own.stop());

const plainPort = () => Number(new URL(own.platform.urls.mqtt ?? '').port);
const as = (username: string, password: string, more: IClientOptions = {}) =>
  connect(own.platform.urls.mqtts, { ca: own.ca, username, password, ...more });

describe('a device secret', () => {
  it('authenticates over TLS, limited to the device’s own topics, until it is replaced', async () => {
    const { secret } = await own.client.secrets.make('dev');
    const device = await as('dev', secret ?? '');
    await device.publishAsync('aiot/v1/dev/telemetry/s', '{"x":1}', { qos: 1 });
    expect((await own.client.devices.get('dev')).online).toBe(true);
    const closed = new Promise((resolve) => device.once('close', () => resolve(true)));
    device.publish('aiot/v1/other/telemetry/s', '{"x":1}', { qos: 1 });
    await closed;
    const again = await as('dev', secret ?? '');
    const ended = new Promise((resolve) => again.once('close', () => resolve(true)));
    const { secret: next } = await own.client.secrets.make('dev');
    await ended;
    await expect(as('dev', secret ?? '')).rejects.toThrow(/Bad username/);
    await (await as('dev', next ?? '')).endAsync(true);
    expect(await own.client.secrets.remove('dev')).toEqual({ device: 'dev', secret: null, removed: true });
    await expect(as('dev', next ?? '')).rejects.toThrow(/Bad username/);
    for (const each of [device, again]) each.end(true);
  });

  it('is rejected on a plain listener, and for another device', async () => {
    const { secret } = await own.client.secrets.make('dev');
    const plain = connect(own.platform.urls.mqtt ?? '', { username: 'dev', password: secret ?? '' });
    await expect(plain).rejects.toThrow(/Bad username/);
    await expect(as('other', secret ?? '')).rejects.toThrow(/Bad username/);
  });

  it('is still accepted after repeated wrong guesses', async () => {
    const { secret } = await own.client.secrets.make('other');
    await (await as('other', secret ?? '')).endAsync(true);
    const begun = performance.now();
    for (let guess = 0; guess < 12; guess++)
      await expect(as('other', `${guess}`)).rejects.toThrow(/Bad username/);
    await (await as('other', secret ?? '')).endAsync(true);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});

describe('MQTT over WebSocket', () => {
  it('accepts tokens and certificates like the TLS listener', async () => {
    const url = own.platform.urls.wss ?? '';
    const reader = await connect(url, { ca: own.ca, username: 'u', password: own.token });
    const heard: string[] = [];
    reader.on('message', (topic) => heard.push(topic));
    await reader.subscribeAsync('aiot/v1/dev/telemetry/+', { qos: 1 });
    const device = await connectDevice(url, join(own.folder, 'dev'));
    await device.publishAsync('aiot/v1/dev/telemetry/ws', '{"x":1}', { qos: 1 });
    await expect.poll(() => heard).toEqual(['aiot/v1/dev/telemetry/ws']);
    await expect(connect(url, { ca: own.ca })).rejects.toThrow(/Bad username/);
    for (const each of [reader, device]) await each.endAsync(true);
  });

  it('rejects clients that do not offer the subprotocol, and text frames', async () => {
    const { WebSocket } = await import('ws');
    const ca = readFileSync(own.platform.ca);
    const strange = new WebSocket(own.platform.urls.wss ?? '', ['chat'], { ca });
    await expect(once(strange, 'open')).rejects.toThrow(/subprotocol/);
    const talker = new WebSocket(own.platform.urls.wss ?? '', ['mqtt'], { ca });
    talker.on('error', () => {});
    await once(talker, 'open');
    talker.send('hello');
    await once(talker, 'close');
  });
});

describe('MQTT 3.1', () => {
  it('is supported, as is MQTT 5, and clients of both versions exchange messages on the same topics', async () => {
    const old = await connect(own.platform.urls.mqtt ?? '', {
      ...{ protocolId: 'MQIsdp', protocolVersion: 3, clientId: 'old', username: 'u', password: own.token },
    });
    const five = await connect(own.platform.urls.mqtt ?? '', {
      ...{ protocolVersion: 5, clientId: 'five', username: 'u', password: own.token },
    });
    const heard = new Promise<string>((resolve) =>
      five.once('message', (topic, payload) => resolve(`${topic} ${payload}`)),
    );
    await five.subscribeAsync('sensors/+', { qos: 1 });
    await old.publishAsync('sensors/1', 'x', { qos: 1 });
    expect(await heard).toBe('sensors/1 x');
    for (const each of [old, five]) await each.endAsync(true);
  });
});

/** The topics that Mosquitto 2.0.11 lists in mosquitto(8), "Broker status", without its log and its own bridges. */
const mosquittoTopics = [
  ...['received', 'sent'].map((name) => `bytes/${name}`),
  ...['active', 'connected', 'disconnected', 'expired', 'inactive', 'maximum', 'total'].map(
    (name) => `clients/${name}`,
  ),
  ...['heap/current', 'heap/maximum'],
  ...[
    ...['bytes/received', 'bytes/sent', 'connections', 'messages/received', 'messages/sent'],
    ...['publish/dropped', 'publish/received', 'publish/sent', 'sockets'],
  ].flatMap((name) => [1, 5, 15].map((minutes) => `load/${name}/${minutes}min`)),
  ...['received', 'sent', 'stored'].map((name) => `messages/${name}`),
  ...['bytes/received', 'bytes/sent', 'messages/dropped', 'messages/received', 'messages/sent'].map(
    (name) => `publish/${name}`,
  ),
  ...['retained messages/count', 'shared_subscriptions/count', 'subscriptions/count'],
  ...['store/messages/bytes', 'store/messages/count', 'uptime', 'version'],
];

describe('$SYS', () => {
  it('publishes metrics under Mosquitto’s names to viewers', async () => {
    const { token = '' } = (await own.client.tokens.create({ name: 'wall', role: 'viewer' })) as {
      token?: string;
    };
    const viewer = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: token });
    const heard = new Map<string, string>();
    viewer.on('message', (topic, payload) => heard.set(topic, String(payload)));
    await viewer.subscribeAsync('$SYS/broker/#');
    await expect.poll(() => heard.get('$SYS/broker/version')).toMatch(/^aiot /);
    await expect
      .poll(() => mosquittoTopics.filter((topic) => !heard.has(`$SYS/broker/${topic}`)), { timeout: 20_000 })
      .toEqual([]);
    for (const topic of mosquittoTopics) {
      if (topic === 'version' || topic === 'uptime') continue;
      expect(heard.get(`$SYS/broker/${topic}`), topic).toMatch(/^\d+(\.\d\d)?$/);
    }
    await viewer.endAsync(true);
  });
});

describe('random bytes', () => {
  it('close only their own connection', async () => {
    const witness = await connect(own.platform.urls.mqtt ?? '', { username: 'u', password: own.token });
    let seed = 1;
    const next = () => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
      return seed >> 8;
    };
    const connects = [Buffer.from([0x10, 12, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0, 0, 0]), Buffer.alloc(0)];
    const sockets = Array.from({ length: 200 }, (_, index) => {
      const socket = connectTcp(plainPort(), '127.0.0.1');
      socket.on('error', () => {});
      const noise = Buffer.from(Array.from({ length: 1 + (next() % 200) }, () => next() & 0xff));
      socket.write(Buffer.concat([connects[index % 2]!, noise]));
      setTimeout(() => socket.destroy(), 300);
      return once(socket, 'close');
    });
    await Promise.all(sockets);
    await witness.publishAsync('still/here', 'x', { qos: 1 });
    await witness.endAsync(true);
  });
});
