import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Sync } from '../../core/append-log.js';
import type { TraceContext } from '../../core/trace.js';
import type { DeviceSecrets, Failures } from '../access/secrets.js';
import type { Tokens } from '../access/tokens.js';
import type { Sessions } from '../access/users.js';
import type { Devices } from '../devices/devices.js';
import type { Denial } from '../events/audit.js';
import type { NoteCommit } from '../metrics.js';
import { createLocalStreams, type LocalStreams, type Offered } from '../streams.js';
import type { MessageTraces, StoreMessage } from '../traces.js';
import type { Finding } from '../verify/damage.js';
import type { Ledger } from '../verify/ledger.js';
import { Authorizer } from './authorizer.js';
import type { Connection } from './connection.js';
import type { ExternalParts } from './external.js';
import {
  type BoardDoor,
  type Identity,
  identify,
  mayPublish,
  peerOf,
  type UserIdentity,
} from './identity.js';
import { Admission, type BrokerLimits, brokerLimits, PublishRates, visitorOf } from './limits.js';
import { type BrokerDepths, type BrokerFigures, depthsOf, tellFigures } from './metrics.js';
import { whenCaughtUp } from './outlet.js';
import { Retained } from './retained.js';
import { Router, send, storeMessage } from './router.js';
import { type BrokerCounts, SessionLog } from './session-log.js';
import { BrokerState, type Will } from './sessions.js';
import { type Tail, tailIn } from './tail.js';
import { Subscriptions } from './topics.js';
import { endSession, endWill, settleAll, sweepWills } from './wills.js';
import { type BrokerMessage, type ConnectPacket, reasonCode } from './wire.js';

/** Opens the broker in this process, or connects to the external one. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL */
export async function openBroker(
  external: Pick<ExternalParts, 'plan' | 'leader' | 'cutOff' | 'controlUrls' | 'callout'> | null,
  parts: BrokerParts,
): Promise<Broker> {
  if (external === null) return startBroker(parts);
  const { startExternalBroker } = await import('./external.js');
  return startExternalBroker({ ...parts, ...external });
}

interface BrokerParts {
  devices: Devices;
  tokens: Tokens;
  secrets?: DeviceSecrets;
  /** Limits clients that present wrong credentials too often; HTTP uses the same limits. */
  failures?: Failures;
  /** Closes connections when the token that opened them is revoked. */
  sessions: Sessions;
  /** Stores a message; the publisher gets its PUBACK when this resolves. */
  ingest: StoreMessage;
  /** Traces of messages; absent = none are recorded. */
  traces?: MessageTraces | undefined;
  log: Logger;
  /** Folder of the session log; created if missing. */
  folder: string;
  sync?: Sync | undefined;
  onCommit?: NoteCommit | undefined;
  /** The session log's record in the state database. */
  ledger?: Ledger<BrokerCounts> | undefined;
  /** Receives damage found in the session log. */
  damage?: (findings: readonly Finding[]) => Promise<void>;
  /** Receives rejected connections, publishes and subscriptions. */
  denied?: (denial: Denial) => void;
  /** ms since 1970 */
  now: () => number;
  limits?: Partial<BrokerLimits>;
  /** True while the broker admits no clients: they are rejected with "server unavailable". */
  unavailable?: () => boolean;
}

/** A socket's origin, for listeners whose sockets do not provide it. */
interface Arrival {
  /** For WebSocket connections: the underlying socket, which has the certificate. */
  below?: Duplex;
  address?: string;
  /** Called once the client is identified. */
  known?: () => void;
}

/** The broker for MQTT 5, 3.1.1 and 3.1. Its listeners are separate and pass their sockets to `enter` and `handle`. */
export interface Broker {
  /**
   * Counts a socket on arrival, before TLS, so that a stalled handshake counts too. Returns false after closing a
   * socket whose address has too many connections.
   */
  enter(socket: Socket): boolean;
  /** @param door permissions of boards; set only by the board listener, which admits every client */
  handle: (socket: Duplex, door?: BoardDoor, arrival?: Arrival) => void;
  publish(packet: Partial<BrokerMessage> & { topic: string; payload: Buffer }): Promise<void>;
  /** For routes in this process. */
  streams: LocalStreams;
  /** MQTT address of an external broker, with credentials; null = the broker is in this process. */
  external: string | null;
  /**
   * Calls the listener with each message that a user may publish, until the returned function is called. Null: an external broker does not
   * identify publishers.
   */
  watchUsers(listener: UserListener): (() => void) | null;
  /** Passes messages from clients and from the platform to users who watch a topic. */
  tail: Tail;
  /** Whether a device is subscribed to its topic now, so that it receives messages; always true with an external broker. */
  hears(device: string, topic: string): boolean;
  /** Ends all connections of a device; if it is no longer allowed to connect, its queued messages are discarded too. */
  disconnect(device: string): void;
  /** Closes the connections whose identity matches. */
  disconnectWho(is: (identity: Identity) => boolean): void;
  /** Answers the authorization requests of an external broker. There is only one, because it knows which users it has admitted. */
  authorizer: Pick<Authorizer, 'connect' | 'acl'>;
  /** Ends all connections because the platform is stopping; MQTT 5 clients are sent the reason. */
  endConnections(): Promise<void>;
  figures: BrokerFigures;
  /** Current queue depths; null with an external broker. */
  depths(): BrokerDepths | null;
  /** Reason why the broker cannot accept messages now; null = it can. Listeners report their own state separately. */
  trouble(): string | null;
  limits: BrokerLimits;
  close(): Promise<void>;
}

/** Receives a message before its publisher gets the PUBACK. */
export type UserListener = (
  user: UserIdentity,
  message: Pick<Offered, 'topic' | 'payload' | 'retain'>,
) => void;

/** Idle time before TCP keep-alive probes a connection, ms. */
const tcpKeepAliveMs = 60_000;

async function startBroker(parts: BrokerParts): Promise<Broker> {
  const connections = await import('./connection.js');
  const { devices, log, folder, sync, now, onCommit } = parts;
  const limits = { ...brokerLimits, ...parts.limits };
  const retained = new Retained({ messages: limits.retainedMessages, bytes: limits.retainedBytes }, now);
  const state = new BrokerState(new Subscriptions(), retained, limits.sessionExpiryMs);
  const router: Router = new Router({ state, sessionLog: () => sessions.log, limits, log });
  const snapshot = function* () {
    yield* state.snapshot();
    for (const record of router.undelivered.values()) yield () => record;
  };
  const { ledger, damage } = parts;
  const counts = () => state.counts();
  const sessions = await SessionLog.open(
    { folder, sync, snapshot, onCommit, counts, ledger, damage },
    (record) => state.apply(record),
  );
  if (sessions.damaged > 0)
    log.error({ lines: sessions.damaged }, 'skipped damaged lines in the session log');
  for (const session of state.sessions.values()) {
    if (session.offlineSince !== null) continue;
    // No client is connected at startup. The new record also lists the messages that may have been sent before the
    // restart.
    session.offlineSince = now();
    sessions.log.append(session.record());
  }
  retained.sweep();

  /** Set during shutdown, when all connections close without a change of device status. */
  let closing = false;
  const track = (event: 'connected' | 'disconnected', { identity }: Connection) => {
    figures.clients += event === 'connected' ? 1 : -1;
    figures.clientsMost = Math.max(figures.clientsMost, figures.clients);
    if (identity?.kind !== 'device' || closing) return;
    devices[event](identity.name).catch((err: unknown) => log.error({ err }, 'could not save presence'));
  };
  const withToken = new WeakMap<Connection, () => void>();
  const { figures } = router;
  const elapsed = () => performance.now();
  const userListeners = new Set<UserListener>();
  const core: Core = {
    ...{ state, router, figures, limits, log, now, sessionLog: () => sessions.log },
    ...{ connections: new Set(), byKey: new Map(), turns: new Map() },
    ...{ elapsed, rates: new PublishRates(limits, elapsed) },
    unavailable: parts.unavailable ?? (() => false),
    denied: ({ identity, entrance }, what, reason) =>
      parts.denied?.({
        ...{ who: whoOf(identity), what: `mqtt ${what}`, reason },
        address: entrance.address,
      }),
    identify: ({ entrance }, connect) => identify({ ...parts, figures }, entrance, connect),
    store: (who, topic, payload, trace) => storeMessage({ ...parts, figures }, who, topic, payload, trace),
    traces: parts.traces,
    async mayStillPublish({ device, token }, topic) {
      if (device !== null) return devices.mayConnect(device);
      if (token === null) return true;
      const author = await parts.tokens.identityOf(token);
      return author !== null && mayPublish(author, topic);
    },
    isOnline: (device) => !closing && devices.isHere(device),
    offer(message, done, identity) {
      if (identity?.kind === 'user') for (const told of userListeners) told(identity, message as Offered);
      streams.offer(message as Offered, done);
    },
    connected(connection) {
      track('connected', connection);
      // The device may have been revoked while it was connecting, when `disconnect` could not see this connection yet.
      const { identity } = connection;
      if (identity?.kind === 'device' && !devices.mayConnect(identity.name)) connection.cutOff();
      // The connection ends with its token, and when the role changes, because `identity` keeps the role.
      if (identity?.kind === 'user')
        withToken.set(
          connection,
          parts.sessions.begin(identity, () => connection.cutOff()),
        );
    },
    disconnected(connection) {
      withToken.get(connection)?.();
      track('disconnected', connection);
    },
  };

  const publish: Broker['publish'] = async ({ topic, payload, retain = false, qos = 1, ...more }) => {
    const { properties, expiresAt } = more;
    const behind = await send(core, { topic, payload, retain, qos, properties, expiresAt });
    if (behind) await new Promise<void>((resolve) => whenCaughtUp(behind, resolve));
  };
  const streams = createLocalStreams({
    endpoint: 'aiot://stream',
    publish,
    retained: async (filter) => [...retained.matching(filter)],
  });
  const admission = new Admission(limits, core.elapsed);
  const endings = [startSweeps(core, admission), tellFigures(core)];
  await settleAll(core);
  const endConnections = async () => {
    closing = true;
    await Promise.all(
      [...core.connections].map((connection) => connection.leaveFor(reasonCode.serverShuttingDown)),
    );
  };
  const disconnectWho: Broker['disconnectWho'] = (is) => {
    for (const connection of [...core.connections]) {
      if (connection.identity && is(connection.identity)) connection.fail(null);
    }
  };
  return {
    enter(socket) {
      const visitor = visitorOf(addressOf(socket));
      figures.connections++;
      if (!admission.enter(visitor)) {
        figures.refused++;
        socket.on('error', () => {}).destroy();
        return false;
      }
      socket.on('close', () => admission.leave(visitor));
      // Detects clients without MQTT keep-alive that vanish without a DISCONNECT.
      socket.setKeepAlive(true, tcpKeepAliveMs);
      return true;
    },
    handle(socket, door, { below = socket, address = addressOf(below), known } = {}) {
      if (socket.destroyed) return;
      const secure = 'encrypted' in below && below.encrypted === true;
      new connections.Connection(core, socket, { door, secure, peer: peerOf(below), address, known });
    },
    ...{ figures, limits, publish, streams, external: null, disconnectWho, endConnections },
    authorizer: new Authorizer({ ...parts, broker: { figures, disconnectUser: () => {}, endsUsers: false } }),
    watchUsers(listener) {
      userListeners.add(listener);
      return () => void userListeners.delete(listener);
    },
    tail: tailIn(core),
    depths: () => depthsOf(core),
    hears: (device, topic) =>
      [...core.connections].some(
        ({ identity, session }) =>
          identity?.kind === 'device' && identity.name === device && session?.subscriptions.has(topic),
      ),
    trouble: () => (sessions.log.failing ? 'its log of sessions cannot be written' : null),
    disconnect(device) {
      const isIt = (identity: Identity) => identity.kind === 'device' && identity.name === device;
      if (devices.mayConnect(device)) return disconnectWho(isIt);
      for (const connection of [...core.connections]) {
        if (connection.identity && isIt(connection.identity)) connection.cutOff();
      }
      for (const session of [...state.sessions.values()]) {
        if (!session.key.startsWith(`device:${device}:`)) continue;
        // The session's will is dropped, as are the wills of the device's connections.
        void endWill(core, session.key, 'dropped');
        router.end(session);
      }
    },
    async close() {
      streams.close();
      for (const end of endings) end();
      await endConnections();
      await sessions.log.close();
    },
  };
}

function addressOf(socket: Duplex): string {
  return ('remoteAddress' in socket && String(socket.remoteAddress)) || 'unknown';
}

/** State shared by all connections of a broker. */
export interface Core {
  state: BrokerState;
  sessionLog: () => SessionLog;
  router: Router;
  figures: BrokerFigures;
  limits: BrokerLimits;
  log: Logger;
  /** Open connections, identified or not. */
  connections: Set<Connection>;
  /** Publish rates of clients that have a limit. */
  rates: PublishRates;
  /** The connection of each session, by session key. */
  byKey: Map<string, Connection>;
  /** The last CONNECT in progress, by session key. CONNECTs for the same key are processed one at a time. */
  turns: Map<string, Promise<unknown>>;
  /** Wall clock in ms since 1970, and a monotonic clock in ms. */
  now: () => number;
  elapsed: () => number;
  identify(
    connection: Connection,
    connect: ConnectPacket,
  ): Promise<Identity | 'credentials' | 'notAuthorized'>;
  /** True while the broker admits no clients. */
  unavailable(): boolean;
  /** Reports that a client has no right to something. @param what `publish` or `subscribe` */
  denied(client: Pick<Connection, 'identity' | 'entrance'>, what: string, reason: string): void;
  /** Stores protocol v1 messages; rejects if a message cannot be stored. */
  store(who: string, topic: string, payload: Buffer, trace?: TraceContext): Promise<void>;
  traces: MessageTraces | undefined;
  /** Whether a will's author still has the rights that the author's connection had. */
  mayStillPublish(will: Will, topic: string): Promise<boolean>;
  /** Whether a device has a connection. */
  isOnline(device: string): boolean;
  /** Offers a message to readers in this process. @param identity the publisher, if it is a client */
  offer(message: Offered, done: (error?: Error | null) => void, identity?: Identity | null): void;
  connected(connection: Connection): void;
  disconnected(connection: Connection): void;
}

/** Name of a client, as in events. */
function whoOf(identity: Identity | null): string {
  if (identity === null || identity.kind === 'board') return 'nobody';
  return identity.kind === 'device' ? `device ${identity.name}` : identity.name;
}

const everyMs = 500;
const minuteMs = 60_000;

/** Sweeps connections and sessions: silent clients, stalled readers, expired sessions. Returns a function that stops the sweeps. */
function startSweeps(core: Core, admission: Admission): () => void {
  const { state, connections, router, rates } = core;
  const sweep = setInterval(() => {
    const elapsed = core.elapsed();
    for (const connection of connections) connection.sweep(elapsed);
    let bytes = 0;
    for (const session of state.sessions.values()) bytes += session.bytes;
    router.queuedBytes = bytes;
    sweepSessions(core);
    sweepWills(core);
  }, everyMs);
  const minute = setInterval(() => {
    admission.sweep();
    rates.sweep();
    state.retained.sweep();
  }, minuteMs);
  return () => {
    clearInterval(sweep);
    clearInterval(minute);
  };
}

/** Ends sessions that have been offline for longer than their expiry interval. */
function sweepSessions(core: Core): void {
  const { state, figures, log } = core;
  const now = core.now();
  for (const session of state.sessions.values()) {
    const { offlineSince } = session;
    if (offlineSince === null) continue;
    // If the clock was set back, the offline period restarts now.
    if (offlineSince > now) session.offlineSince = now;
    if (!session.hasEnded(now)) continue;
    figures.expired++;
    log.info({ session: session.key }, 'deleted an expired session');
    endSession(core, session).catch((err: unknown) => log.error({ err }, 'could not check a will'));
  }
}
