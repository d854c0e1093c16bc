import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import tls from 'node:tls';
import mqtt, { type IClientOptions } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { systemClock } from '../../src/lib/core/time.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let later = 0;
const clock = { ...systemClock, now: () => Date.now() + later };
const identity = (name: string) => join(own.folder, name);
const url = () => own.platform.urls.mqtts;
const operator = (more: IClientOptions = {}) =>
  connect(url(), { ca: own.ca, username: 'anybody', password: own.token, ...more });

beforeAll(async () => {
  own = await testPlatform({ clock, plain: { port: 0 } });
  for (const name of ['dev-a', 'dev-b', 'gone']) {
    await provisionDevice({ client: own.client, name, type: 'virtual', out: identity(name) });
  }
});
afterAll(() => own.stop());

/** The outcome of a QoS 1 publish: it is acknowledged, or the connection is closed. */
async function outcome(topic: string): Promise<'acknowledged' | 'closed'> {
  const device = await connectDevice(url(), identity('dev-a'));
  try {
    return await Promise.race([
      device.publishAsync(topic, '{"seq":1,"x":1}', { qos: 1 }).then(() => 'acknowledged' as const),
      new Promise<'closed'>((resolve) => device.once('close', () => resolve('closed'))),
    ]);
  } finally {
    await device.endAsync(true);
  }
}

describe('a device', () => {
  it.each([
    ['telemetry', 'aiot/v1/dev-a/telemetry/imu', 'acknowledged'],
    ['inference', 'aiot/v1/dev-a/inference', 'acknowledged'],
    ['reported', 'aiot/v1/dev-a/reported', 'acknowledged'],
    ['presence', 'aiot/v1/dev-a/presence', 'acknowledged'],
    ['its log', 'aiot/v1/dev-a/log', 'acknowledged'],
    ['its reply', 'aiot/v1/dev-a/reply', 'acknowledged'],
    ['its own desired', 'aiot/v1/dev-a/desired', 'closed'],
    ['its own command', 'aiot/v1/dev-a/command', 'closed'],
    ["another's telemetry", 'aiot/v1/dev-b/telemetry/imu', 'closed'],
    ['an arbitrary topic', 'sensors/1', 'closed'],
    ['a deeper topic', 'aiot/v1/dev-a/telemetry/imu/x', 'closed'],
    ['a topic with an empty last level', 'aiot/v1/dev-a/reported/', 'closed'],
    ['a $SYS topic, which is dropped', '$SYS/x', 'acknowledged'],
  ])(
    'is acknowledged or cut off, depending on its permissions, when publishing %s',
    async (_, topic, expected) => {
      expect(await outcome(topic)).toBe(expected);
    },
  );

  it.each([
    ['aiot/v1/dev-a/desired', true],
    ['aiot/v1/dev-a/command', true],
    ['aiot/v1/dev-b/desired', false],
    ['aiot/v1/+/desired', false],
    ['aiot/v1/dev-a/#', false],
    ['aiot/v1/dev-a/telemetry/imu', false],
    ['#', false],
    ['$SYS/#', false],
  ])('may subscribe to %s: %s', async (filter, allowed) => {
    const device = await connectDevice(url(), identity('dev-a'));
    const granted = await device.subscribeAsync(filter).then(
      (grants) => grants.every(({ qos }) => qos < 128),
      () => false,
    );
    await device.endAsync(true);
    expect(granted).toBe(allowed);
  });

  it('cannot take over another device’s session by using its client id', async () => {
    const first = await connectDevice(url(), identity('dev-a'), { clientId: 'same' });
    const second = await connectDevice(url(), identity('dev-b'), { clientId: 'same' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([first.connected, second.connected]).toEqual([true, true]);
    await Promise.all([first.endAsync(true), second.endAsync(true)]);
  });

  it('gets its acknowledgment, and so do others, when it sends deeply nested JSON', async () => {
    const [a, b] = await Promise.all(['dev-a', 'dev-b'].map((name) => connectDevice(url(), identity(name))));
    const nested = `{"seq":1,"recording":"deep","x":1,"y":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    await Promise.all([
      a?.publishAsync('aiot/v1/dev-a/telemetry/deep', nested, { qos: 1 }),
      b?.publishAsync('aiot/v1/dev-b/telemetry/deep', '{"seq":1,"recording":"deep","x":1}', { qos: 1 }),
    ]);
    const { recordings } = await own.client.datasets.get('deep');
    expect(recordings.map(({ device }) => device)).toEqual(['dev-b']);
    await Promise.all([a?.endAsync(true), b?.endAsync(true)]);
  });

  it('is cut off if a packet announces too great a length, before its bytes arrive', async () => {
    const device = await connectDevice(url(), identity('dev-a'));
    const closed = new Promise<void>((resolve) => device.once('close', () => resolve()));
    // PUBLISH at QoS 1 with a remaining length of 256 MiB (MQTT 3.1.1, 2.2.3).
    device.stream.write(Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1]));
    await closed;
    device.end(true);
  });

  it('is online while it is connected', async () => {
    const device = await connectDevice(url(), identity('dev-b'));
    await expect.poll(() => own.client.devices.get('dev-b')).toMatchObject({ online: true, state: 'active' });
    await device.endAsync();
    await expect.poll(async () => (await own.client.devices.get('dev-b')).online).toBe(false);
  });

  it('publishes its will when its connection is lost', async () => {
    const watcher = await operator();
    const heard = new Promise<string>((resolve) =>
      watcher.on('message', (_, payload) => resolve(String(payload))),
    );
    await watcher.subscribeAsync('aiot/v1/dev-a/presence', { qos: 1 });
    const will = {
      topic: 'aiot/v1/dev-a/presence',
      payload: Buffer.from('{"online":false,"t":1}'),
      qos: 1 as const,
    };
    const device = await connectDevice(url(), identity('dev-a'), { will: { ...will, retain: false } });
    device.stream.destroy();
    expect(JSON.parse(await heard)).toEqual({ online: false, t: 1 });
    await Promise.all([watcher.endAsync(true), device.endAsync(true)]);
  });

  it('is cut off when it is revoked, and rejected from then on', async () => {
    const device = await connectDevice(url(), identity('gone'));
    const closed = new Promise<void>((resolve) => device.once('close', () => resolve()));
    await own.client.devices.act('gone', 'revoke');
    await closed;
    await expect(connectDevice(url(), identity('gone'))).rejects.toThrow(/Not authorized/);
  });
});

describe('a connection is rejected', () => {
  const refusal = async (options: IClientOptions) => connect(url(), { ca: own.ca, ...options });

  it('without a certificate or a token', async () => {
    await expect(refusal({})).rejects.toThrow(/Bad username or password/);
  });

  it('if its CONNECT is oversized', async () => {
    const { port } = new URL(url());
    const socket = tls.connect({ port: Number(port), host: '127.0.0.1', ca: own.ca });
    await once(socket, 'secureConnect');
    socket.write(Buffer.from([0x10, 0xff, 0xff, 0x03, 0]));
    await once(socket, 'close');
  });

  it('with a wrong token', async () => {
    await expect(refusal({ username: 'u', password: `${own.token}x` })).rejects.toThrow(/Bad username/);
  });

  it('with a certificate from another CA for the same name', async () => {
    const foreign = await openAuthority(await mkdtemp(join(own.folder, 'foreign-')), Date.now);
    const key = generateKeyPair().privatePem;
    const csr = await certificateRequest(key, 'dev-a');
    const { certificate } = await foreign.device({ csr, name: 'dev-a', id: 'dev_1' });
    await expect(refusal({ cert: certificate, key })).rejects.toThrow(/Not authorized/);
  });

  it('with a foreign certificate, even together with a valid token', async () => {
    const foreign = await openAuthority(await mkdtemp(join(own.folder, 'foreign-')), Date.now);
    const key = generateKeyPair().privatePem;
    const csr = await certificateRequest(key, 'x');
    const { certificate } = await foreign.device({ csr, name: 'x', id: 'dev_1' });
    await expect(refusal({ cert: certificate, key, username: 'u', password: own.token })).rejects.toThrow(
      /Not authorized/,
    );
  });

  it('with a certificate from the platform’s CA that belongs to no registered device', async () => {
    const authority = await openAuthority(join(own.folder, 'data', 'pki'), Date.now);
    const key = generateKeyPair().privatePem;
    const csr = await certificateRequest(key, 'dev-a');
    const { certificate } = await authority.device({ csr, name: 'dev-a', id: 'dev_1' });
    await expect(refusal({ cert: certificate, key })).rejects.toThrow(/Not authorized/);
  });

  it('with an expired token', async () => {
    later = 366 * 86_400_000;
    try {
      await expect(refusal({ username: 'u', password: own.token })).rejects.toThrow(/Bad username/);
      await expect(own.client.status()).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID', exit: 5 });
    } finally {
      later = 0;
    }
  });

  it('by the client if the server certificate is from another CA', async () => {
    const foreign = await openAuthority(await mkdtemp(join(own.folder, 'foreign-')), Date.now);
    await expect(connect(url(), { ca: foreign.certificate })).rejects.toThrow(/certificate/);
  });
});

describe('an operator', () => {
  it('can subscribe and publish to any topic', async () => {
    const client = await operator();
    const heard: string[] = [];
    client.on('message', (topic) => heard.push(topic));
    await client.subscribeAsync('#', { qos: 1 });
    await client.publishAsync('sensors/1', 'x', { qos: 1 });
    await client.publishAsync('aiot/v1/dev-a/command', '{}', { qos: 1 });
    await expect
      .poll(() => heard.filter((topic) => !topic.endsWith('presence')))
      .toEqual(expect.arrayContaining(['sensors/1', 'aiot/v1/dev-a/command']));
    await client.endAsync(true);
  });

  it('needs the token on the plain listener too', async () => {
    const plain = own.platform.urls.mqtt ?? '';
    expect(plain).toMatch(/^mqtt:\/\/127\.0\.0\.1:\d+$/);
    await expect(connect(plain, {})).rejects.toThrow(/Bad username/);
    const client = await connect(plain, { username: 'u', password: own.token });
    await client.endAsync(true);
  });
});

it('devices’ retained messages survive a restart', async () => {
  const device = await connectDevice(url(), identity('dev-a'));
  const report = {
    ...{ t: 1, type: 'virtual', state: 'IDLE', rollout: null, model: null, floor: 0 },
    ...{ download: null, golden: null, error: null },
  };
  await device.publishAsync('aiot/v1/dev-a/reported', JSON.stringify(report), { qos: 1, retain: true });
  await device.endAsync(true);
  await own.restart();
  const watcher = mqtt.connect(url(), {
    ca: readFileSync(own.platform.ca),
    username: 'u',
    password: own.token,
  });
  const heard = new Promise<string>((resolve) =>
    watcher.on('message', (_, payload) => resolve(String(payload))),
  );
  await watcher.subscribeAsync('aiot/v1/dev-a/reported', { qos: 1 });
  expect(JSON.parse(await heard)).toEqual(report);
  await watcher.endAsync(true);
});
