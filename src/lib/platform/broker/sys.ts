import { aiotVersion } from '../../core/index.js';
import type { Core } from './core.js';
import type { BrokerDepths } from './figures.js';

const everyMs = 10_000;

/** What waits and is kept just now. */
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
    logBacklog: sessionLog().backlog,
  };
}

/** Figures below $SYS/broker, by the names that Mosquitto gives them (mosquitto(8), "Broker status"). */
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
    'subscriptions/count': state.subscriptions.count,
  };
}

const minutes = [1, 5, 15] as const;
const rates = [
  'messages/received',
  'messages/sent',
  'publish/received',
  'publish/sent',
  'bytes/received',
  'bytes/sent',
];

/** Tells the figures every ten seconds, retained; those that did not change are not told again. Returns what ends it. */
export function tellFigures(core: Core): () => void {
  const { figures, router } = core;
  const begun = core.elapsed();
  const before = new Map<string, number>();
  const averages = new Map<string, number>();
  const tell = (name: string, value: string | number) => {
    const topic = `$SYS/broker/${name}`;
    const payload = Buffer.from(String(value));
    if (core.state.retained.get(topic)?.payload.equals(payload)) return;
    router.deliver({ message: { topic, payload, qos: 0, retain: true }, number: 0, ids: null });
  };
  /** Moving averages a minute, over one, five and fifteen minutes. */
  const tellLoad = () => {
    const { packetsIn, packetsOut, received, sent, bytesIn, bytesOut } = figures;
    for (const [index, now] of [packetsIn, packetsOut, received, sent, bytesIn, bytesOut].entries()) {
      const name = rates[index]!;
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
  const tellAll = () => {
    for (const [name, value] of Object.entries(figuresOf(core, core.elapsed() - begun))) tell(name, value);
  };
  const timer = setInterval(() => {
    tellLoad();
    tellAll();
  }, everyMs);
  tellAll();
  return () => clearInterval(timer);
}
