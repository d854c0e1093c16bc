import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { NoteCommit } from '../figures/disk.js';
import type { Devices } from '../services/devices.js';
import type { Failures } from '../services/failures.js';
import type { DeviceSecrets } from '../services/secrets.js';
import type { Sessions } from '../services/sessions.js';
import type { Tokens } from '../services/tokens.js';
import type { Offered } from '../streams/held.js';
import { createLocalStreams, type LocalStreams } from '../streams/streams.js';
import type { Sync } from '../sync.js';
import type { Finding } from '../verify/finding.js';
import type { Ledger } from '../verify/ledger.js';
import { Admission, visitorOf } from './admission.js';
import { Connection } from './connection.js';
import type { Core } from './core.js';
import type { BrokerDepths, BrokerFigures } from './figures.js';
import { identify } from './identify.js';
import { type BoardDoor, type Identity, peerOf } from './identity.js';
import { type BrokerLimits, brokerLimits } from './limits.js';
import { whenCaughtUp } from './pace.js';
import { Retained } from './retained.js';
import { Router } from './router.js';
import { SessionLog } from './sessions/log.js';
import { BrokerState } from './sessions/state.js';
import { storeMessage } from './store-message.js';
import { Subscriptions } from './subscriptions.js';
import { startSweeps } from './sweep.js';
import { depthsOf, tellFigures } from './sys.js';
import type { BrokerCounts } from './verify.js';
import { send, settleAll } from './wills.js';

export interface BrokerParts {
  devices: Devices;
  tokens: Tokens;
  secrets?: DeviceSecrets;
  /** Who shows wrong credentials too often, over HTTP too. */
  failures?: Failures;
  /** Ends what is open with a token when that is revoked. */
  sessions: Sessions;
  /** Stores a message; the publisher gets its PUBACK when this resolves. */
  ingest: (topic: string, payload: Buffer) => Promise<void>;
  log: Logger;
  /** Folder of its sessions; made when missing. */
  folder: string;
  sync?: Sync | undefined;
  onCommit?: NoteCommit | undefined;
  /** What the state database knows of the log of sessions. */
  ledger?: Ledger<BrokerCounts> | undefined;
  /** Is told of damage to it. */
  damage?: (findings: readonly Finding[]) => Promise<void>;
  /** ms since 1970 */
  now: () => number;
  limits?: Partial<BrokerLimits>;
  /** True while nobody is let in: clients are refused as by a server that is not available. */
  unavailable?: () => boolean;
}

export type { BrokerFigures };

/** Where a socket came in, when the listener knows more than the socket tells. */
export interface Arrival {
  /** The socket below, that has the certificate, for what comes by WebSocket. */
  below?: Duplex;
  address?: string;
  /** Called when it is known who it is. */
  known?: () => void;
}

/** The broker of MQTT 3.1.1 and 3.1, without its listeners: `enter` and `handle` take their sockets. */
export interface Broker {
  /**
   * Counts a socket as it comes, before any TLS: a handshake that does not go on is somebody's too. False: its address has too
   * many, and it was closed.
   */
  enter(socket: Socket): boolean;
  /** @param door what boards may, for a socket of the listener for boards: whoever comes by it is let in */
  handle: (socket: Duplex, door?: BoardDoor, arrival?: Arrival) => void;
  publish(packet: { topic: string; payload: Buffer; retain?: boolean; qos?: 0 | 1 | 2 }): Promise<void>;
  /** For routes in this process. */
  streams: LocalStreams;
  /** Ends all connections of a device; when it may not connect any more, what waits for it is forgotten too. */
  disconnect(device: string): void;
  /** Ends the connections of whoever this is true of. */
  disconnectWho(is: (identity: Identity) => boolean): void;
  figures: BrokerFigures;
  /** What it holds just now; null where the broker is somebody else's. */
  depths(): BrokerDepths | null;
  /** Why messages cannot be taken just now; null = they can. Whether it is listened to is the doors' to say. */
  trouble(): string | null;
  limits: BrokerLimits;
  close(): Promise<void>;
}

/** Of a connection that nothing is heard of, before it is asked whether it is there, ms. */
const tcpKeepAliveMs = 60_000;

export async function startBroker(parts: BrokerParts): Promise<Broker> {
  const { devices, log, folder, sync, now, onCommit } = parts;
  const limits = { ...brokerLimits, ...parts.limits };
  const retained = new Retained({ messages: limits.retainedMessages, bytes: limits.retainedBytes });
  const state = new BrokerState(new Subscriptions(), retained);
  const router: Router = new Router({ state, sessionLog: () => sessions.log, limits, log });
  const snapshot = function* () {
    yield* state.snapshot();
    yield* router.undelivered.values();
  };
  const { ledger, damage } = parts;
  const counts = () => state.counts();
  const sessions = await SessionLog.open(
    { folder, sync, snapshot, onCommit, counts, ledger, damage },
    (record) => state.apply(record),
  );
  if (sessions.damaged > 0)
    log.error({ lines: sessions.damaged }, 'damaged lines in the log of sessions passed over');
  for (const session of state.sessions.values()) session.offlineSince ??= now();

  /** At the end all connections go; that is no news about the devices. */
  let closing = false;
  const track = (event: 'connected' | 'disconnected', { identity }: Connection) => {
    figures.clients += event === 'connected' ? 1 : -1;
    figures.clientsMost = Math.max(figures.clientsMost, figures.clients);
    if (identity?.kind !== 'device' || closing) return;
    devices[event](identity.name).catch((err: unknown) => log.error({ err }, 'presence not saved'));
  };
  const withToken = new WeakMap<Connection, () => void>();
  const { figures } = router;
  const core: Core = {
    ...{ state, router, figures, limits, log, now, sessionLog: () => sessions.log },
    ...{ connections: new Set(), byKey: new Map(), turns: new Map() },
    elapsed: () => performance.now(),
    unavailable: parts.unavailable ?? (() => false),
    identify: ({ entrance }, connect) => identify({ ...parts, figures }, entrance, connect),
    store: (who, topic, payload) => storeMessage({ ...parts, figures }, who, topic, payload),
    isOnline: (device) => !closing && devices.online(device),
    offer: (message, done) => streams.offer(message as Offered, done),
    connected(connection) {
      track('connected', connection);
      // Revoked while it was connecting: `disconnect` did not see it yet.
      const { identity } = connection;
      if (identity?.kind === 'device' && !devices.mayConnect(identity.name)) connection.cutOff();
      // It ends with its token.
      if (identity?.kind === 'user')
        withToken.set(
          connection,
          parts.sessions.begin(identity.token, () => connection.cutOff()),
        );
    },
    disconnected(connection) {
      withToken.get(connection)?.();
      track('disconnected', connection);
    },
  };

  const publish: Broker['publish'] = async ({ topic, payload, retain = false, qos = 1 }) => {
    const behind = await send(core, { topic, payload, retain, qos });
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
      // Who has no keep-alive and is gone without a word is noticed all the same.
      socket.setKeepAlive(true, tcpKeepAliveMs);
      return true;
    },
    handle(socket, door, { below = socket, address = addressOf(below), known } = {}) {
      if (socket.destroyed) return;
      const secure = 'encrypted' in below && below.encrypted === true;
      new Connection(core, socket, { door, secure, peer: peerOf(below), address, known });
    },
    ...{ figures, limits, publish, streams, disconnectWho },
    depths: () => depthsOf(core),
    trouble: () => (sessions.log.failing ? 'its log of sessions cannot be written' : null),
    disconnect(device) {
      const isIt = (identity: Identity) => identity.kind === 'device' && identity.name === device;
      if (devices.mayConnect(device)) return disconnectWho(isIt);
      for (const connection of [...core.connections]) {
        if (connection.identity && isIt(connection.identity)) connection.cutOff();
      }
      for (const session of [...state.sessions.values()]) {
        if (!session.key.startsWith(`device:${device}:`)) continue;
        state.end(session);
        if (session.persistent) sessions.log.append({ k: 'end', s: session.key });
      }
    },
    async close() {
      closing = true;
      streams.close();
      for (const end of endings) end();
      await Promise.all([...core.connections].map((connection) => connection.takenOver()));
      await sessions.log.close();
    },
  };
}

function addressOf(socket: Duplex): string {
  return ('remoteAddress' in socket && String(socket.remoteAddress)) || 'unknown';
}
