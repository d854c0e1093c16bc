import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { onAbort } from '../../core/tasks.js';
import { decodeMessage, isProtocolTopic, parseTopic } from '../../device/protocol/codec.js';
import { presenceSchema } from '../../device/protocol/messages.js';
import type { Delivery, Source } from '../../stream/message.js';
import { openSink, openSource } from '../../stream/open.js';
import { shownUrl } from '../../stream/url.js';
import type { Devices } from '../devices/devices.js';
import { untilDone } from '../events/outbox.js';
import type { LocalStreams } from '../streams.js';
import type { StoreMessage } from '../traces.js';
import { type Leader, startWorkers } from '../workers.js';
import { Authorizer, type AuthorizerParts } from './authorizer.js';
import type { Broker } from './broker.js';
import { type BrokerControl, endsUsers, isNats, openControl } from './control.js';
import type { ExternalPlan } from './ingest-engines.js';
import { brokerLimits } from './limits.js';
import { createFigures } from './metrics.js';
import type { CalloutKeys } from './nats-config.js';
import { storeMessage } from './router.js';
import { tailOf } from './tail.js';

export interface ExternalParts extends Omit<AuthorizerParts, 'broker'> {
  /** The broker's MQTT address, and the messages that the leader reads there. */
  plan: ExternalPlan;
  /** Decides which process uses the session of `plan.led`, which all processes share. */
  leader: Leader;
  devices: Devices;
  /** Keys for the authorization requests of NATS servers. */
  callout: CalloutKeys;
  /** ms since 1970 */
  now: () => number;
  /**
   * Updates the broker's revocation list; called when a device may no longer connect, or no longer with its current
   * credentials.
   */
  cutOff: () => void;
  /**
   * Addresses of the broker's HTTP API, which closes connections; see `controlTargets`. Absent = the broker itself must close
   * connections.
   */
  controlUrls: string | undefined;
  ingest: StoreMessage;
  log: Logger;
}

/** Delay before storing a message is retried, ms. */
const againMs = 1000;

/** How long a start waits for the session, ms. If another process leads, that process uses the session. */
const patienceMs = 2000;

/** How long a broker may take to send the retained presence of all devices, ms. */
const retainedMs = 10_000;

const presence = 'aiot/v1/+/presence';
/** Pauses before the subscription to the devices' presence is repeated. */
const followPauses = { firstPauseMs: 250, longestPauseMs: 30_000 };

/**
 * Connects the platform as a client to an external broker, which devices connect to. That broker manages its own
 * sessions, retained messages, credentials and ACL. The platform acknowledges each message once the message is stored.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function startExternalBroker(parts: ExternalParts): Promise<Broker> {
  const { plan, leader, devices, log } = parts;
  const { mqtt: base, led, ended } = plan;
  const figures = createFigures();
  const session = { clientId: led.clientId, clean: false, overflow: 'wait' as const };
  const opened = new Set<Source>();
  const { control, authorizer } = await openAccess(parts, figures);
  let end: () => Promise<void> = async () => {};
  const following = new AbortController();
  /** Writes to the database that have not ended. */
  const saving = new Set<Promise<void>>();
  const saved = (write: Promise<void>, failure: string) => {
    const ended = write
      .catch((err: unknown) => log.error({ err }, failure))
      .finally(() => saving.delete(ended));
    saving.add(ended);
  };
  const close = async () => {
    following.abort();
    await end();
    await Promise.allSettled([...opened].map((source) => source.close()));
    await Promise.all(saving);
  };
  try {
    const online = new Set<string>();
    // Every replica sees the presence of all devices. The one that stores the messages records it.
    devices.leaveRecording();
    const away = new Set<string>();
    /** Adds a connection to `away` while the connection is down. */
    const watched = (what: string) => ({
      onState: (state: 'connected' | 'disconnected') => {
        if (state === 'connected') away.delete(what);
        else away.add(what);
      },
    });
    const openPresence = async () => {
      const source = await openSource(`${base}/${presence}`, { overflow: 'wait', ...watched('presence') });
      opened.add(source);
      return source;
    };
    let followed: Source | null = await openPresence();
    const sink = await openSink(base, watched('sending'));
    const store = async ({ message, ack }: Delivery, signal: AbortSignal) => {
      const { topic } = message;
      figures.received++;
      // This subscription also receives the platform's own messages.
      if (isProtocolTopic(topic)) {
        while (!signal.aborted) {
          const payload = Buffer.from(message.payload);
          const headers = message.headers ?? [];
          const stored = await storeMessage({ ...parts, figures }, 'broker', topic, payload, headers).then(
            () => true,
            () => false,
          );
          if (stored) return ack();
          await delay(againMs, undefined, { signal }).catch(() => {});
        }
        return;
      }
      ack();
    };
    const note = ({ message, ack }: Delivery) => {
      const device = parseTopic(message.topic)?.device;
      if (device !== undefined && devices.find(device)) {
        const is = saysOnline(message.topic, message.payload);
        if (is !== online.has(device)) {
          if (is) online.add(device);
          else online.delete(device);
          const told = is ? devices.connected(device) : devices.disconnected(device);
          saved(told, 'could not save presence');
        }
      }
      ack();
      figures.clients = online.size;
    };
    const follow = async () => {
      const source = followed ?? (await openPresence());
      followed = null;
      if (following.signal.aborted) return source.close();
      away.delete('presence');
      try {
        await each(source, note);
      } finally {
        opened.delete(source);
      }
    };
    // The source ends if the broker rejects the subscription after a reconnect, for example because it is overloaded.
    untilDone(follow, following.signal, followPauses, (err) => {
      const isFirst = !away.has('presence');
      away.add('presence');
      if (isFirst) log.error({ err }, 'could not follow the presence of devices; trying again');
      return isFirst;
    }).catch(() => {});
    await new Promise<void>((begun) => {
      const run = async (signal: AbortSignal) => {
        if (ended !== null) await endSession(base, ended);
        const messages = await openSource(`${base}/${led.filter}`, { ...session, ...watched('messages') });
        onAbort(signal, () => void messages.close());
        const settled = delay(retainedMs, undefined, { signal, ref: false }).catch(() => {});
        saved(devices.takeRecording(settled), 'could not save which devices are connected');
        begun();
        try {
          await each(messages, (delivery) => void store(delivery, signal));
        } finally {
          devices.leaveRecording();
          away.delete('messages');
          await messages.close();
        }
        if (!signal.aborted) throw new Error('the broker closed the session');
      };
      end = startWorkers([{ name: 'broker', run }, ...(control?.workers ?? [])], leader, log, 'broker');
      setTimeout(begun, patienceMs).unref();
    });
    const streams = remoteStreams(base, opened);
    log.info({ broker: shownUrl(base) }, 'devices connect to an external broker');
    return {
      enter(socket) {
        socket.destroy();
        return false;
      },
      handle: (socket) => socket.destroy(),
      async publish({ topic, payload, retain = false, qos = 1 }) {
        await sink.write([{ topic, payload, retain, qos }]);
        figures.sent++;
      },
      ...{ streams, tail: tailOf(streams, (source) => opened.delete(source)), figures, limits: brokerLimits },
      external: base,
      depths: () => null,
      hears: () => true,
      trouble: () =>
        away.size > 0
          ? `${shownUrl(base)} is unreachable: ${[...away].join(', ')}`
          : (control?.trouble() ?? null),
      disconnect(device) {
        parts.cutOff();
        if (control) control.cutOff(device, () => devices.mayConnect(device));
        else
          log.warn({ device }, 'the external broker must disconnect the device and reload pki/devices.crl');
      },
      disconnectWho: () => {},
      watchUsers: () => null,
      authorizer,
      endConnections: async () => {},
      async close() {
        await close();
        await sink.close();
        await control?.close();
      },
    };
  } catch (error) {
    await close();
    await control?.close();
    throw error;
  }
}

/** Opens the broker's API, if there is one, and answers requests. A NATS server asks about its clients through the connection to its API. */
async function openAccess(
  parts: ExternalParts,
  figures: Broker['figures'],
): Promise<{ control: BrokerControl | undefined; authorizer: Authorizer }> {
  const { controlUrls: urls, log, devices, tokens, now, callout: keys } = parts;
  let control: BrokerControl | undefined;
  const authorizer = new Authorizer({
    ...parts,
    rights: urls !== undefined && isNats(urls) ? 'fixed' : 'asked',
    broker: {
      figures,
      disconnectUser: (user) => control?.cutOff(user, () => false),
      endsUsers: urls !== undefined && endsUsers(urls),
    },
  });
  if (urls !== undefined)
    control = await openControl(urls, {
      ...{ log, devices },
      users: { tokens, authorizer },
      nats: { keys, authorizer, devices, tokens, now },
    });
  return { control, authorizer };
}

/** Ends a session by opening a clean one with the same client id (MQTT 3.1.1, section 3.1.2.4). Its queued messages are discarded. */
async function endSession(base: string, clientId: string): Promise<void> {
  const source = await openSource(`${base}/${presence}`, { clientId, clean: true });
  await source.close();
}

async function each(source: Source, take: (delivery: Delivery) => void): Promise<void> {
  for await (const batch of source) for (const delivery of batch) take(delivery);
}

function saysOnline(topic: string, payload: Uint8Array): boolean {
  if (payload.length === 0) return false;
  try {
    return decodeMessage(presenceSchema, topic, payload).online;
  } catch {
    // The message is malformed, and its sender would send it unchanged again.
    return false;
  }
}

/**
 * Routes of a platform with an external broker: each source and sink is a client of that broker. The sources in
 * `opened` are closed with the broker.
 */
function remoteStreams(base: string, opened: Set<Source>): LocalStreams {
  return {
    async openSource(filter, { queue, overflow } = {}) {
      const options = {
        ...(queue === undefined ? {} : { queue }),
        ...(overflow === undefined ? {} : { overflow }),
      };
      const source = await openSource(`${base}/${filter}`, options);
      opened.add(source);
      return source;
    },
    openSink: (topic, { qos, retain } = {}) => {
      const query = retain === undefined ? '' : `?retain=${retain}`;
      return openSink(`${base}/${topic}${query}`, qos === undefined ? {} : { qos });
    },
    // Messages published elsewhere are not offered here: sources receive them from the broker.
    offer: (_message, done) => done(),
    expect: () => {},
    close: () => {},
  };
}
