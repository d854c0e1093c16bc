import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { brokerLimits } from '../../../src/lib/platform/broker/limits.js';
import { connect } from '../../support/mqtt.js';
import type { Load, Operated } from './harness.js';
import { leave, publishUntilGone, take } from './mqtt-loads.js';

const operator = ({ ca, token }: Operated): IClientOptions => ({
  ...{ ca, username: 'operator', password: token, protocolVersion: 5, reconnectPeriod: 0 },
});

/** Opens the session of this client ID. Messages that it holds arrive immediately. */
const attach = (victim: Operated, clientId: string) =>
  mqtt.connect(victim.mqtts, {
    ...operator(victim),
    ...{ clientId, clean: false, properties: { sessionExpiryInterval: 86_400 } },
    // The client's own store throws if a QoS 2 message arrives while it is closed.
    incomingStore: new mqtt.Store({ clean: false }),
  });

const atOnce = 5;

/** The properties of the message with this number, which must be delivered with it. */
const propertiesOf = (value: number) => ({
  userProperties: { number: String(value), unit: ['g', 'mg'] },
  contentType: 'text/plain',
  correlationData: Buffer.from([value & 0xff, 0, 0xff]),
  responseTopic: `kills/answers/${value}`,
});

/** Throws if a message arrives without the properties that it was published with. */
function checkProperties(name: string, value: number, { properties: got }: IPublishPacket): void {
  const wanted = propertiesOf(value);
  const same =
    got?.contentType === wanted.contentType &&
    got.responseTopic === wanted.responseTopic &&
    got.correlationData?.equals(wanted.correlationData) &&
    JSON.stringify({ ...got.userProperties }) === JSON.stringify(wanted.userProperties);
  if (!same) throw new Error(`${name}: message ${value} lost properties: ${JSON.stringify(got)}`);
}

/** An offline MQTT 5 subscriber, which must receive every acknowledged message with its properties when it reconnects. */
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

/** Short expiry of messages, seconds; a kill and a restart take longer. */
const shortSeconds = 1;

/** Time without a message after which the rest counts as lost, ms. The machine may be busy. */
const patienceMs = 20_000;

/**
 * Publishes messages that expire soon and others that do not. No expired message may be delivered, and no other message
 * may be lost.
 */
export function expiryLoad(): Load & { expired(): number } {
  const name = 'message expiry';
  const clientId = 'keeper5-expiry';
  const topic = 'kills/expiry';
  const owed = new Set<number>();
  /** Time when each message with the short expiry was acknowledged, ms since 1970. */
  const brief = new Map<number, number>();
  let expired = 0;
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
          payload: String(value),
          acknowledged: () => {
            count++;
            if (stays) owed.add(value);
            else brief.set(value, Date.now());
          },
        };
      };
      await publishUntilGone(client, signal, next, atOnce, more);
    },
    async verify(victim) {
      const owing = owed.size;
      taken = sent;
      // The messages that are due before this client connects, no matter how long the delivery takes.
      const now = Date.now();
      const due = new Set(
        [...brief].filter(([, at]) => now - at > shortSeconds * 1000).map(([value]) => value),
      );
      brief.clear();
      const wrong: string[] = [];
      const client = attach(victim, clientId);
      let heard = now;
      client.on('message', (_topic, payload, { properties }) => {
        heard = Date.now();
        const value = Number(payload.toString());
        owed.delete(value);
        if (due.delete(value)) wrong.push(`${value} has expired`);
        const left = properties?.messageExpiryInterval;
        if (left === undefined || left > (value % 2 === 0 ? 86_400 : shortSeconds))
          wrong.push(`${value} has ${left} s left`);
      });
      while (owed.size > 0 && Date.now() - heard < patienceMs)
        await new Promise((resolve) => setTimeout(resolve, 20));
      await leave([client]);
      if (owed.size > 0) throw new Error(`${name}: ${owed.size} of ${owing} acknowledged never came`);
      if (wrong.length > 0) throw new Error(`${name}: ${wrong.slice(0, 5).join('; ')}`);
      expired += due.size;
    },
    acknowledged: () => count,
    expired: () => expired,
  };
}

/** Expiry intervals assigned to sessions in turn, s. Only the first one passes while the platform restarts. */
const sessionExpiries = [1, 600, 86_400];

/** Time within which the broker writes the end of a connection to its log, ms. */
const writtenMs = 500;

interface ExpiringSession {
  clientId: string;
  expiryMs: number;
  /** A time at which its client was still connected, ms since 1970. */
  since: number;
  /**
   * Latest time when the expiry interval may have started for the broker; null until the next start if the kill may have
   * come first.
   */
  from: number | null;
}

/**
 * Clients that open a session, subscribe, and leave or are connected when the platform is killed. After the restart,
 * expired sessions must be gone, even if they expired while the platform was down, and all other sessions must still
 * exist.
 */
export function sessionExpiryLoad(): Load & { ended(): number } {
  const name = 'session expiry';
  let sessions: ExpiringSession[] = [];
  let number = 0;
  let count = 0;
  let ended = 0;
  const open = (victim: Operated, clientId: string, sessionExpiryInterval: number) =>
    connectForPresence(victim, clientId, { sessionExpiryInterval });
  return {
    name,
    async run(victim, signal) {
      const left: ExpiringSession[] = [];
      for (let own = 0; own < 12 && !signal.aborted; own++) {
        const expiry = sessionExpiries[own % sessionExpiries.length]!;
        const clientId = `expiring-${number++}`;
        const { client } = (await open(victim, clientId, expiry).catch(() => null)) ?? {};
        if (!client) break;
        const gone = new Promise<false>((resolve) => client.once('close', () => resolve(false)));
        const subscribed = client.subscribeAsync('kills/expiring', { qos: 1 }).then(
          () => true,
          () => false,
        );
        if (!(await Promise.race([subscribed, gone]))) {
          client.end(true);
          break;
        }
        count++;
        const session: ExpiringSession = { clientId, expiryMs: expiry * 1000, since: Date.now(), from: null };
        left.push(session);
        // Three of twelve are connected when the platform is killed.
        if (own % 4 === 3) {
          void gone.then(() => client.end(true));
          continue;
        }
        await client.endAsync();
        session.from = Date.now();
      }
      await aborted(signal);
      const killed = Date.now();
      for (const session of left)
        if (session.from !== null && killed - session.from < writtenMs) session.from = null;
      sessions.push(...left);
    },
    async verify(victim) {
      const started = Date.now();
      const later: ExpiringSession[] = [];
      for (const session of sessions) {
        const { clientId, expiryMs, since } = session;
        session.from ??= started;
        const isOver = Date.now() - session.from > expiryMs;
        // Whether the session has expired can be determined only after the next kill.
        if (!isOver && Date.now() - since > expiryMs - 200) {
          later.push(session);
          continue;
        }
        const { client, present } = await open(victim, clientId, 0);
        const isCertain = isOver || Date.now() - since < expiryMs;
        await client.endAsync();
        if (isCertain && present === isOver)
          throw new Error(
            `${name}: ${clientId} of ${expiryMs / 1000} s ${present ? 'is still there' : 'is gone'}, left ${Date.now() - since} ms ago`,
          );
        if (isOver) ended++;
      }
      sessions = later;
    },
    acknowledged: () => count,
    ended: () => ended,
  };
}

/** Connects, and returns whether the broker had a session of this client. */
async function connectForPresence(
  victim: Operated,
  clientId: string,
  properties: { sessionExpiryInterval: number },
) {
  const client = mqtt.connect(victim.mqtts, { ...operator(victim), clientId, clean: false, properties });
  const present = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
    client.once('error', reject);
    client.once('close', () => reject(new Error('closed')));
  });
  client.on('error', () => {});
  return { client, present };
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/**
 * Offline members of a shared subscription. Together, they must receive every acknowledged message, and no two may receive
 * the same one.
 */
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
      let heard = Date.now();
      const clients = members.map((clientId): MqttClient => {
        const client = attach(victim, clientId);
        client.on('message', (_topic, payload) => {
          heard = Date.now();
          const value = Number(payload.toString());
          owed.delete(value);
          const before = owner.get(value);
          if (before !== undefined && before !== clientId) twice.push(value);
          owner.set(value, clientId);
        });
        return client;
      });
      while (owed.size > 0 && Date.now() - heard < patienceMs)
        await new Promise((resolve) => setTimeout(resolve, 20));
      // Messages that a member has not acknowledged when it leaves are passed to the others, although they may have
      // reached it.
      const told = [...twice];
      await leave(clients);
      owner.clear();
      if (owed.size > 0) throw new Error(`${name}: ${owed.size} of ${owing} acknowledged never came`);
      if (told.length > 0) throw new Error(`${name}: ${told.length} messages went to two members`);
    },
    acknowledged: () => count,
  };
}
