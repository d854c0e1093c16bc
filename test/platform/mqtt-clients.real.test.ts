import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect } from '../support/mqtt.js';
import { type ClientMessage, type ClientTask, mqttClients } from '../support/mqtt-clients.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

let own: TestPlatform;
let count = 0;
beforeAll(async () => {
  own = await testPlatform({ wsPort: 0 });
}, 30_000);
afterAll(() => own?.stop());

const user = [
  ['unit', 'g'],
  ['site', '7'],
  ['unit', 'mg'],
] as const;

/** Sorts by name, because a library may store properties by name. */
const inOrder = (pairs: readonly (readonly [string, string])[]) =>
  pairs.map(([name, value]) => `${name}=${value}`).sort();

/** Messages in readable form. */
const noted = (messages: readonly ClientMessage[]) =>
  messages.map(({ topic, payload, qos, retain, user: pairs }) =>
    [topic, payload, `QoS ${qos}`, ...(retain ? ['retained'] : []), ...inOrder(pairs)].join(' '),
  );

const commonTask = (
  version: 4 | 5,
  url: string,
): Omit<ClientTask, 'before' | 'filter' | 'live' | 'expect'> => {
  const { hostname, port } = new URL(url);
  return {
    ...{
      version,
      host: hostname,
      port: Number(port),
      webSocket: url.startsWith('wss:'),
      ca: own.platform.ca,
    },
    ...{ clientId: `client-${++count}`, user, qos: 2 },
  };
};

/**
 * Runs a task with everything that an operator may use: retained messages, live ones, and the will of a second client.
 */
async function asOperator(name: keyof typeof mqttClients, version: 4 | 5, webSocket: boolean): Promise<void> {
  const run = mqttClients[name];
  const url = webSocket ? (own.platform.urls.wss ?? '') : own.platform.urls.mqtts;
  const base = `clients/${++count}`;
  const task: ClientTask = {
    ...commonTask(version, url),
    ...{ username: 'operator', password: own.token },
    before: [{ topic: `${base}/kept`, payload: 'kept', qos: 1, retain: true }],
    filter: `${base}/#`,
    live: ([0, 1, 2] as const).map((qos) => ({
      topic: `${base}/${qos}`,
      payload: 'live',
      qos,
      retain: false,
    })),
    expect: 5,
  };
  const will = { topic: `${base}/will`, payload: 'gone', qos: 1 as const, retain: false };
  const mortal = { ...task, clientId: `client-${++count}`, before: [], live: [], expect: 0, will };
  const vanish = async () => {
    await run(mortal, own.folder, async () => {});
  };
  const heard = await run(task, own.folder, vanish);
  const pairs = version === 5 ? [...user].map((pair): [string, string] => [...pair]) : [];
  const expected = [{ ...task.before[0]! }, ...task.live, will].map((each) => ({ ...each, user: pairs }));
  // Libraries deliver a QoS 2 message once its exchange is complete, which may be after a later message.
  expect(noted(heard).sort()).toEqual(noted(expected).sort());
}

/** Runs a task as a device with its certificate, with commands to it, its telemetry, and its will. */
async function asDevice(name: keyof typeof mqttClients, version: 4 | 5): Promise<void> {
  const run = mqttClients[name];
  const device = `client-device-${++count}`;
  const identity = join(own.folder, device);
  await provisionDevice({ client: own.client, name: device, type: 'virtual', out: identity });
  const topic = `aiot/v1/${device}`;
  const properties = { userProperties: { unit: ['g', 'mg'], site: '7' } };
  const watcher: MqttClient = await connect(own.platform.urls.mqtts, {
    ...{ ca: own.ca, username: 'operator', password: own.token, protocolVersion: version },
  });
  const watched: string[] = [];
  watcher.on('message', (at, payload, packet) => {
    const pairs = Object.entries(packet.properties?.userProperties ?? {}).flatMap(([key, values]) =>
      [values].flat().map((value): [string, string] => [key, value]),
    );
    watched.push(
      ...noted([
        { topic: at, payload: payload.toString(), qos: packet.qos, retain: packet.retain, user: pairs },
      ]),
    );
  });
  const sent = version === 5 ? { properties } : {};
  await watcher.publishAsync(`${topic}/command`, '{"do":1}', { qos: 1, retain: true, ...sent });
  await watcher.subscribeAsync([`${topic}/telemetry/#`, `${topic}/inference`], { qos: 2 });
  const live = ([0, 1, 2] as const).map((qos) => ({
    ...{ topic: `${topic}/telemetry/s`, qos, retain: false },
    payload: JSON.stringify({ seq: qos, t: qos, rate: 10, recording: 'r', x: qos }),
  }));
  const inference = { t: 1, seq: 1, model: 'm', version: 1, class: 'a', scores: { a: 1 } };
  const will = {
    topic: `${topic}/inference`,
    payload: JSON.stringify(inference),
    qos: 1 as const,
    retain: false,
  };
  const task: ClientTask = {
    ...commonTask(version, own.platform.urls.mqtts),
    ...{ cert: join(identity, 'device.crt'), key: join(identity, 'device.key') },
    ...{ before: [], filter: `${topic}/command`, live, expect: 2 },
  };
  const heard = await run(task, own.folder, async () => {
    const clientId = `client-${++count}`;
    await run({ ...task, clientId, live: [], expect: 0, will }, own.folder, async () => {});
    await expect.poll(() => watched.length, { timeout: 10_000 }).toBe(4);
    await watcher.publishAsync(`${topic}/command`, '{"do":2}', { qos: 2, ...sent });
  });
  const pairs = version === 5 ? [...user].map((pair): [string, string] => [...pair]) : [];
  expect(noted(heard)).toEqual(
    noted([
      { topic: `${topic}/command`, payload: '{"do":1}', qos: 1, retain: true, user: pairs },
      { topic: `${topic}/command`, payload: '{"do":2}', qos: 2, retain: false, user: pairs },
    ]),
  );
  expect(watched.sort()).toEqual(noted([...live, will].map((each) => ({ ...each, user: pairs }))).sort());
  expect((await own.client.datasets.get('s')).recordings).toContainEqual(
    expect.objectContaining({ device, samples: 3 }),
  );
  await watcher.endAsync(true);
}

/** The tests of a library that supports these protocol versions and transports. */
function suite(name: keyof typeof mqttClients, { webSocket }: { webSocket: boolean }): void {
  const versions = [
    ['3.1.1', 4],
    ['5', 5],
  ] as const;
  describe.each(versions)(`${name} with MQTT %s`, (_, version) => {
    it(
      'exchanges messages of all kinds as an operator over TLS',
      () => asOperator(name, version, false),
      60_000,
    );

    it('exchanges messages as a device with a client certificate', () => asDevice(name, version), 60_000);

    // Mosquitto’s tools do not support WebSocket.
    if (webSocket) it('exchanges messages over WebSocket', () => asOperator(name, version, true), 60_000);
  });
}

describeReal('mqtt-python', 'mqtt.js, paho-mqtt and aiomqtt', () => {
  for (const name of ['mqtt.js', 'paho-mqtt', 'aiomqtt'] as const) suite(name, { webSocket: true });
});

describeReal('mosquitto', 'mosquitto_pub and mosquitto_sub', () => {
  suite('mosquitto_pub and mosquitto_sub', { webSocket: false });
});

describeReal('mqtt-go', 'paho.mqtt.golang and paho.golang', () => {
  suite('paho.mqtt.golang and paho.golang', { webSocket: true });
});

describeReal('mqtt-rust', 'rumqttc', () => {
  suite('rumqttc', { webSocket: true });
});
