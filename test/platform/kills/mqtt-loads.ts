import { join } from 'node:path';
import mqtt, { type IClientPublishOptions, type MqttClient } from 'mqtt';
import { brokerLimits } from '../../../src/lib/platform/broker/limits.js';
import { provisionDevice } from '../../../src/lib/provision/provision.js';
import { connect, connectDevice } from '../../support/mqtt.js';
import type { Load, Operated } from './harness.js';

/** Publishes messages until the connection ends or `more` returns false. `acknowledged` is called for each acknowledged message. */
export async function publishUntilGone(
  client: MqttClient,
  signal: AbortSignal,
  next: () => {
    topic: string;
    payload: string;
    retain?: boolean;
    qos?: 1 | 2;
    properties?: IClientPublishOptions['properties'];
    acknowledged: () => void;
  },
  atOnce: number,
  more: () => boolean = () => true,
): Promise<void> {
  let gone = false;
  client.on('close', () => {
    gone = true;
  });
  client.on('error', () => {});
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
  const one = async () => {
    while (!gone && !signal.aborted && more()) {
      const { topic, payload, retain = false, qos = 1, properties, acknowledged } = next();
      const done = client
        .publishAsync(topic, payload, { qos, retain, ...(properties && { properties }) })
        .then(
          () => 'stored' as const,
          () => 'refused' as const,
        );
      if ((await Promise.race([done, closed])) === 'stored') acknowledged();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  await client.endAsync(true);
}

/** Devices that publish telemetry. Each acknowledged sample must be in the dataset exactly once. */
export function telemetryLoad(devices: number): Load {
  const told = new Map<string, Set<number>>();
  let seq = 0;
  let recording = 0;
  return {
    name: 'telemetry',
    async prepare({ client, folder }) {
      for (let i = 0; i < devices; i++) {
        const name = `kill-${i}`;
        await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
      }
    },
    async run(victim, signal) {
      recording++;
      const one = async (name: string) => {
        const device = await connectDevice(victim.mqtts, join(victim.folder, name)).catch(() => null);
        if (!device) return;
        const key = `${name}/r${recording}`;
        const stored = new Set<number>();
        told.set(key, stored);
        const mine = `r${recording}`;
        const next = () => {
          const value = seq++;
          const payload = JSON.stringify({ seq: value, t: value, rate: 10, recording: mine, x: value });
          return {
            topic: `aiot/v1/${name}/telemetry/killed`,
            payload,
            acknowledged: () => stored.add(value),
          };
        };
        await publishUntilGone(device, signal, next, 20);
      };
      await Promise.all(Array.from({ length: devices }, (_, i) => one(`kill-${i}`)));
    },
    async verify({ client }) {
      for (const [key, stored] of told) {
        if (stored.size === 0) continue;
        const [device = '', recordingName = ''] = key.split('/');
        const csv = await client.datasets.csv('killed', device, recordingName);
        const values = columnOf(csv, 'x');
        const there = new Set(values);
        const lost = [...stored].filter((value) => !there.has(value));
        if (lost.length > 0) throw new Error(`telemetry of ${key}: ${lost.length} acknowledged are gone`);
        if (there.size < values.length) throw new Error(`telemetry of ${key}: stored twice`);
      }
      told.clear();
    },
    acknowledged: () => seq,
  };
}

function columnOf(csv: string, name: string): number[] {
  const [header = '', ...rows] = csv.trimEnd().split('\n');
  const column = header.split(',').indexOf(name);
  return rows.map((row) => Number(row.split(',')[column]));
}

const operator = ({ ca, token }: Operated) => ({ ca, username: 'operator', password: token });

/** Publishes rising values as retained messages. After a start, the retained value must be the last acknowledged one, or a later one. */
export function retainedLoad(): Load {
  let sent = 0;
  let last = 0;
  return {
    name: 'retained',
    async run(victim, signal) {
      const client = await connect(victim.mqtts, operator(victim)).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = ++sent;
        return {
          topic: 'kills/retained',
          payload: String(value),
          retain: true,
          acknowledged: () => {
            last = Math.max(last, value);
          },
        };
      };
      await publishUntilGone(client, signal, next, 1);
    },
    async verify(victim) {
      if (last === 0) return;
      const client = await connect(victim.mqtts, operator(victim));
      const kept = await new Promise<number>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('retained: nothing is retained')), 20_000);
        client.on('message', (_topic, payload) => {
          clearTimeout(timer);
          resolve(Number(payload.toString()));
        });
        client.subscribe('kills/retained', { qos: 1 });
      });
      await client.endAsync(true);
      if (kept < last) throw new Error(`retained: ${last} was acknowledged, ${kept} is kept`);
    },
    acknowledged: () => last,
  };
}

/**
 * An offline subscriber with a persistent session. It must receive every acknowledged message when it reconnects. With MQTT 5, messages
 * have a user property that is compared.
 * @param form `shared` = a member of a shared subscription
 */
export function sessionLoad(qos: 1 | 2, form: '3.1.1' | '5' | 'shared' = '3.1.1'): Load {
  const clientId = `keeper-${form}-${qos}`;
  const topic = `kills/session/${form}/${qos}`;
  const isFive = form !== '3.1.1';
  const filter = form === 'shared' ? `$share/keepers/${topic}` : topic;
  const five = { protocolVersion: 5, properties: { sessionExpiryInterval: 3600 } } as const;
  const atOnce = 5;
  const owed = new Set<number>();
  let sent = 0;
  let taken = 0;
  let count = 0;
  // The session of an offline client keeps this many messages and then drops the oldest, which is not a loss.
  const more = () => sent - taken < brokerLimits.queueMessages - atOnce;
  // Returns before the client is connected, so that a listener can be added in time, because queued messages arrive immediately.
  const attach = (victim: Operated) =>
    mqtt.connect(victim.mqtts, {
      ...operator(victim),
      ...{ clientId, clean: false, reconnectPeriod: 0, ...(isFive ? five : {}) },
      // The client's own store throws if a QoS 2 message arrives while it is closed.
      incomingStore: new mqtt.Store({ clean: false }),
    });
  return {
    name: `session of ${form}, QoS ${qos}`,
    async prepare(victim) {
      const client = attach(victim);
      await client.subscribeAsync(filter, { qos });
      await client.endAsync();
    },
    async run(victim, signal) {
      const version = isFive ? { protocolVersion: 5 as const } : {};
      const client = await connect(victim.mqtts, { ...operator(victim), ...version }).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = sent++;
        return {
          ...{ topic, qos, payload: String(value) },
          ...(isFive ? { properties: { userProperties: { value: String(value) } } } : {}),
          acknowledged: () => {
            owed.add(value);
            count++;
          },
        };
      };
      await publishUntilGone(client, signal, next, atOnce, more);
    },
    async verify(victim) {
      const owing = owed.size;
      taken = sent;
      await take(attach(victim), owed, isFive);
      if (owed.size > 0)
        throw new Error(`session of ${form} at QoS ${qos}: ${owed.size} of ${owing} acknowledged never came`);
    },
    acknowledged: () => count,
  };
}

/** Receives the messages of a session until nothing is owed, or nothing has arrived for 20 seconds, because the machine may be busy. */
export async function take(client: MqttClient, owed: Set<number>, isFive = false): Promise<void> {
  let heard = Date.now();
  client.on('message', (_topic, payload, { properties }) => {
    heard = Date.now();
    const value = payload.toString();
    if (!isFive || properties?.userProperties?.value === value) owed.delete(Number(value));
  });
  while (owed.size > 0 && Date.now() - heard < 20_000)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await leave([client]);
}

/** Ends connections of sessions. A client that is ended while it is connecting would stay connected. */
export async function leave(clients: readonly MqttClient[]): Promise<void> {
  for (const client of clients) {
    if (client.connected) continue;
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('close', () => reject(new Error('a session could not connect')));
    });
  }
  // Messages in flight are acknowledged too, so that they are not resent.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await Promise.all(clients.map((client) => client.endAsync()));
}
