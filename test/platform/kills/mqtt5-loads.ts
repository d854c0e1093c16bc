import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { brokerLimits } from '../../../src/lib/platform/broker/limits.js';
import { connect } from '../../support/mqtt.js';
import type { Load, Operated } from './harness.js';
import { publishUntilGone, take } from './mqtt-loads.js';

const operator = ({ ca, token }: Operated): IClientOptions => ({
  ...{ ca, username: 'operator', password: token, protocolVersion: 5, reconnectPeriod: 0 },
});

/** Opens the session of this client ID; messages that it holds arrive at once. */
const attach = (victim: Operated, clientId: string) =>
  mqtt.connect(victim.mqtts, {
    ...operator(victim),
    ...{ clientId, clean: false, properties: { sessionExpiryInterval: 86_400 } },
    // The client's own store throws if a QoS 2 message arrives while it is closed.
    incomingStore: new mqtt.Store({ clean: false }),
  });

const atOnce = 5;

/** The properties of each message, by its number, which must be delivered with it. */
const propertiesOf = (value: number) => ({
  userProperties: { number: String(value), unit: ['g', 'mg'] },
  contentType: 'text/plain',
  correlationData: Buffer.from([value & 0xff, 0, 0xff]),
  responseTopic: `kills/answers/${value}`,
});

/** Throws if a message arrives without the properties with which it was published. */
function checkProperties(name: string, value: number, { properties: got }: IPublishPacket): void {
  const wanted = propertiesOf(value);
  const same =
    got?.contentType === wanted.contentType &&
    got.responseTopic === wanted.responseTopic &&
    got.correlationData?.equals(wanted.correlationData) &&
    JSON.stringify({ ...got.userProperties }) === JSON.stringify(wanted.userProperties);
  if (!same) throw new Error(`${name}: message ${value} lost properties: ${JSON.stringify(got)}`);
}

/** An offline MQTT 5 subscriber, which must get every acknowledged message with its properties when it reconnects. */
export function session5Load(qos: 1 | 2): Load {
  const name = `session of MQTT 5, QoS ${qos}`;
  const clientId = `keeper5-${qos}`;
  const topic = `kills/session5/${qos}`;
  const owed = new Set<number>();
  let sent = 0;
  let taken = 0;
  let count = 0;
  const more = () => sent - taken < brokerLimits.queueMessages - atOnce;
  return {
    name,
    async prepare(victim) {
      const client = attach(victim, clientId);
      await client.subscribeAsync(topic, { qos });
      await client.endAsync();
    },
    async run(victim, signal) {
      const client = await connect(victim.mqtts, operator(victim)).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = sent++;
        return {
          ...{ topic, qos, payload: String(value), properties: propertiesOf(value) },
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
      let fault: unknown;
      const client = attach(victim, clientId);
      client.on('message', (_topic, payload, packet) => {
        try {
          checkProperties(name, Number(payload.toString()), packet);
        } catch (error) {
          fault ??= error;
        }
      });
      await take(client, owed);
      if (fault) throw fault;
      if (owed.size > 0) throw new Error(`${name}: ${owed.size} of ${owing} acknowledged never came`);
    },
    acknowledged: () => count,
  };
}

/** The short expiry interval, in seconds; some rounds of kill and restart take longer. */
const shortSeconds = 2;

/** Messages that expire soon and others that do not: no expired message is delivered, and no other message is lost. */
export function expiryLoad(): Load {
  const name = 'message expiry';
  const clientId = 'keeper5-expiry';
  const topic = 'kills/expiry';
  const owed = new Set<number>();
  let sent = 0;
  let taken = 0;
  let count = 0;
  const more = () => sent - taken < brokerLimits.queueMessages - atOnce;
  return {
    name,
    async prepare(victim) {
      const client = attach(victim, clientId);
      await client.subscribeAsync(topic, { qos: 1 });
      await client.endAsync();
    },
    async run(victim, signal) {
      const client = await connect(victim.mqtts, operator(victim)).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = sent++;
        const stays = value % 2 === 0;
        const messageExpiryInterval = stays ? 86_400 : shortSeconds;
        return {
          ...{ topic, qos: 1 as const, properties: { messageExpiryInterval } },
          payload: JSON.stringify({ value, at: Date.now(), stays }),
          acknowledged: () => {
            count++;
            if (stays) owed.add(value);
          },
        };
      };
      await publishUntilGone(client, signal, next, atOnce, more);
    },
    async verify(victim) {
      const owing = owed.size;
      taken = sent;
      const late: string[] = [];
      const client = attach(victim, clientId);
      let heard = Date.now();
      client.on('message', (_topic, payload, packet) => {
        heard = Date.now();
        const { value, at, stays } = JSON.parse(payload.toString()) as {
          value: number;
          at: number;
          stays: boolean;
        };
        owed.delete(value);
        const left = packet.properties?.messageExpiryInterval;
        const age = (heard - at) / 1000;
        // The broker counts in whole seconds, and delivery takes a moment.
        if (!stays && age > shortSeconds + 3) late.push(`${value}, ${age} s old`);
        if (left === undefined || left > (stays ? 86_400 : shortSeconds))
          late.push(`${value} with ${left} s left`);
      });
      while (owed.size > 0 && Date.now() - heard < 2000)
        await new Promise((resolve) => setTimeout(resolve, 20));
      await new Promise((resolve) => setTimeout(resolve, 50));
      await client.endAsync();
      if (owed.size > 0) throw new Error(`${name}: ${owed.size} of ${owing} acknowledged never came`);
      if (late.length > 0) throw new Error(`${name}: wrong expiry: ${late.slice(0, 5).join('; ')}`);
    },
    acknowledged: () => count,
  };
}

/** Offline members of a shared subscription: together they get every acknowledged message, and no two get the same one. */
export function sharedLoad(qos: 1 | 2): Load {
  const name = `shared subscription, QoS ${qos}`;
  const members = [`member-${qos}-a`, `member-${qos}-b`, `member-${qos}-c`];
  const topic = `kills/shared/${qos}`;
  const filter = `$share/kills/${topic}`;
  const owed = new Set<number>();
  const owner = new Map<number, string>();
  let sent = 0;
  let taken = 0;
  let count = 0;
  const more = () => sent - taken < brokerLimits.queueMessages - atOnce;
  return {
    name,
    async prepare(victim) {
      for (const clientId of members) {
        const client = attach(victim, clientId);
        await client.subscribeAsync(filter, { qos });
        await client.endAsync();
      }
    },
    async run(victim, signal) {
      const client = await connect(victim.mqtts, operator(victim)).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = sent++;
        return {
          ...{ topic, qos, payload: String(value) },
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
      const twice: number[] = [];
      const clients = members.map((clientId): MqttClient => {
        const client = attach(victim, clientId);
        client.on('message', (_topic, payload) => {
          const value = Number(payload.toString());
          const before = owner.get(value);
          if (before !== undefined && before !== clientId) twice.push(value);
          owner.set(value, clientId);
        });
        return client;
      });
      await Promise.all(clients.map((client) => take(client, owed)));
      owner.clear();
      if (owed.size > 0) throw new Error(`${name}: ${owed.size} of ${owing} acknowledged never came`);
      if (twice.length > 0) throw new Error(`${name}: ${twice.length} messages went to two members`);
    },
    acknowledged: () => count,
  };
}
