import { aiotVersion } from '../../core/folders.js';
import type { Exposition } from '../../core/prometheus.js';
import type { Broker, Core } from './broker.js';

/** Broker metrics for $SYS and /metrics. */
export interface BrokerFigures {
  /** Number of PUBLISH packets accepted from clients, and number sent to clients. */
  received: number;
  sent: number;
  /** Payloads that do not conform to the protocol. */
  malformed: number;
  /** Connections, publishes and subscriptions that were rejected. */
  refused: number;
  /** Messages dropped because a session or socket was full. */
  dropped: number;
  clients: number;
  /** Maximum number of concurrent clients. */
  clientsMost: number;
  /**
   * Number of clients whose reading is currently slowed because they publish faster than their limit, and the total
   * duration of such pauses, ms.
   */
  throttled: number;
  throttledMs: number;
  /** Expired sessions. */
  expired: number;
  /** Connections closed by a timeout: no CONNECT, no packet within the keep-alive time, or output that the client does not read. */
  timedOut: number;
  /** Packets received. */
  packetsIn: number;
  /** Packets sent. */
  packetsOut: number;
  /** Bytes received. */
  bytesIn: number;
  /** Bytes sent. */
  bytesOut: number;
  payloadIn: number;
  payloadOut: number;
  /** Sockets that were opened, and CONNECT packets. */
  connections: number;
  connects: number;
}

/** Current contents of the broker. */
export interface BrokerDepths {
  sessions: number;
  sessionsConnected: number;
  /** Number of messages queued for sessions, and their size at the last sweep, bytes. */
  queuedMessages: number;
  queuedBytes: number;
  retainedMessages: number;
  retainedBytes: number;
  /** Number of all sessions' subscriptions, and of the shared ones among them. */
  subscriptions: number;
  sharedSubscriptions: number;
  /** Number of session log records waiting to be written to disk. */
  logBacklog: number;
}

export function createFigures(): BrokerFigures {
  return {
    ...{ received: 0, sent: 0, malformed: 0, refused: 0, dropped: 0, clients: 0, clientsMost: 0, expired: 0 },
    ...{ timedOut: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0, payloadIn: 0, payloadOut: 0 },
    ...{ connections: 0, connects: 0, throttled: 0, throttledMs: 0 },
  };
}

const everyMs = 10_000;

/** Returns the current queue depths and counts. */
export function depthsOf({ state, router, sessionLog }: Core): BrokerDepths {
  let queuedMessages = 0;
  let sessionsConnected = 0;
  for (const session of state.sessions.values()) {
    queuedMessages += session.queued;
    if (session.link) sessionsConnected++;
  }
  return {
    ...{ sessions: state.sessions.size, sessionsConnected, queuedMessages },
    ...{ queuedBytes: router.queuedBytes, retainedMessages: state.retained.count },
    ...{ retainedBytes: state.retained.bytes, subscriptions: state.subscriptions.count },
    sharedSubscriptions: state.subscriptions.sharedCount,
    logBacklog: sessionLog().backlog,
  };
}

/** Metrics under $SYS/broker, named as in Mosquitto (mosquitto(8), "Broker status"). */
function figuresOf(core: Core, uptimeMs: number): Record<string, string | number> {
  const { figures, state, connections, router } = core;
  const { clients } = figures;
  const depths = depthsOf(core);
  const stored = depths.queuedMessages;
  const disconnected = depths.sessions - depths.sessionsConnected;
  return {
    version: `aiot ${aiotVersion()}`,
    uptime: `${Math.floor(uptimeMs / 1000)} seconds`,
    'clients/connected': clients,
    'clients/active': clients,
    'clients/disconnected': disconnected,
    'clients/inactive': disconnected,
    'clients/total': state.sessions.size,
    'clients/maximum': figures.clientsMost,
    'clients/expired': figures.expired,
    'connections/socket/count': connections.size,
    'messages/received': figures.packetsIn,
    'messages/sent': figures.packetsOut,
    'messages/stored': stored + state.retained.count,
    'store/messages/count': stored + state.retained.count,
    'store/messages/bytes': router.queuedBytes + state.retained.bytes,
    'publish/messages/received': figures.received,
    'publish/messages/sent': figures.sent,
    'publish/messages/dropped': figures.dropped,
    'publish/bytes/received': figures.payloadIn,
    'publish/bytes/sent': figures.payloadOut,
    'bytes/received': figures.bytesIn,
    'bytes/sent': figures.bytesOut,
    'retained messages/count': state.retained.count,
    'subscriptions/count': depths.subscriptions,
    'shared_subscriptions/count': depths.sharedSubscriptions,
  };
}

const minutes = [1, 5, 15] as const;

/** Counters by the names under which their rates are published. */
const countersOf = (figures: BrokerFigures): [string, number][] => [
  ['messages/received', figures.packetsIn],
  ['messages/sent', figures.packetsOut],
  ['publish/received', figures.received],
  ['publish/sent', figures.sent],
  ['publish/dropped', figures.dropped],
  ['bytes/received', figures.bytesIn],
  ['bytes/sent', figures.bytesOut],
  ['sockets', figures.connections],
  ['connections', figures.connects],
];

/**
 * Publishes the metrics every ten seconds, retained; unchanged ones are not published again. Returns a function that
 * stops publishing.
 */
export function tellFigures(core: Core): () => void {
  const { figures, router } = core;
  const begun = core.elapsed();
  const before = new Map<string, number>();
  const averages = new Map<string, number>();
  const tell = (name: string, value: string | number) => {
    const topic = `$SYS/broker/${name}`;
    const payload = Buffer.from(String(value));
    if (core.state.retained.get(topic)?.payload.equals(payload)) return;
    router.deliver({
      message: { topic, payload, qos: 0, retain: true },
      number: 0,
      origin: null,
      plans: null,
      matched: false,
    });
  };
  /** Moving averages per minute, over one, five and fifteen minutes. */
  const tellLoad = () => {
    for (const [name, now] of countersOf(figures)) {
      const perMinute = ((now - (before.get(name) ?? 0)) * 60_000) / everyMs;
      before.set(name, now);
      for (const span of minutes) {
        const topic = `load/${name}/${span}min`;
        const share = Math.exp(-everyMs / (span * 60_000));
        const average = (averages.get(topic) ?? 0) * share + perMinute * (1 - share);
        averages.set(topic, average);
        tell(topic, average.toFixed(2));
      }
    }
  };
  let heapMost = 0;
  const tellHeap = () => {
    const { heapUsed, external } = process.memoryUsage();
    heapMost = Math.max(heapMost, heapUsed + external);
    tell('heap/current', heapUsed + external);
    tell('heap/maximum', heapMost);
  };
  const tellAll = () => {
    tellLoad();
    tellHeap();
    for (const [name, value] of Object.entries(figuresOf(core, core.elapsed() - begun))) tell(name, value);
  };
  const timer = setInterval(tellAll, everyMs);
  tellAll();
  return () => clearInterval(timer);
}

/** Writes the broker's part of /metrics, with queue depths only if the broker is in this process. */
export function tellBroker(out: Exposition, { figures, depths }: Pick<Broker, 'figures' | 'depths'>): void {
  out.gauge('aiot_mqtt_clients', 'Open MQTT connections.', figures.clients);
  out.counter('aiot_mqtt_connections_total', 'Accepted connections.', figures.connections);
  out.counter('aiot_mqtt_received_total', 'Messages received and accepted.', figures.received);
  out.counter('aiot_mqtt_sent_total', 'Messages sent.', figures.sent);
  out.counter('aiot_mqtt_received_bytes_total', 'Bytes received.', figures.bytesIn);
  out.counter('aiot_mqtt_sent_bytes_total', 'Bytes sent.', figures.bytesOut);
  out.counter('aiot_mqtt_dropped_total', 'Messages dropped because a queue was full.', figures.dropped);
  out.counter('aiot_mqtt_malformed_total', 'Messages that could not be read.', figures.malformed);
  out.counter('aiot_mqtt_refused_total', 'Connections and topics rejected.', figures.refused);
  out.counter('aiot_mqtt_timed_out_total', 'Connections closed after a timeout.', figures.timedOut);
  out.gauge(
    'aiot_mqtt_throttled_clients',
    'Clients from which nothing is read at present, because they publish faster than their limit.',
    figures.throttled,
  );
  out.counter(
    'aiot_mqtt_throttled_seconds_total',
    'Total time for which nothing was read from clients that publish faster than their limit.',
    figures.throttledMs / 1000,
  );
  out.counter('aiot_mqtt_sessions_expired_total', 'Sessions that expired.', figures.expired);
  const held = depths();
  if (!held) return;
  out.family('gauge', 'aiot_mqtt_sessions', 'Sessions, by whether a client is connected.', [
    [{ connected: 'true' }, held.sessionsConnected],
    [{ connected: 'false' }, held.sessions - held.sessionsConnected],
  ]);
  out.gauge('aiot_mqtt_subscriptions', 'Subscriptions of all sessions.', held.subscriptions);
  out.gauge('aiot_mqtt_queued_messages', 'Messages queued for sessions.', held.queuedMessages);
  out.gauge(
    'aiot_mqtt_queued_bytes',
    'Bytes of the messages queued for sessions, as of the last sweep.',
    held.queuedBytes,
  );
  out.gauge('aiot_mqtt_retained_messages', 'Retained messages.', held.retainedMessages);
  out.gauge('aiot_mqtt_retained_bytes', 'Bytes of retained messages.', held.retainedBytes);
}
