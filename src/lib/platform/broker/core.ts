import type { Logger } from 'pino';
import type { Offered } from '../streams/held.js';
import type { Connection } from './connection.js';
import type { BrokerFigures } from './figures.js';
import type { Identity } from './identity.js';
import type { BrokerLimits } from './limits.js';
import type { Router } from './router.js';
import type { SessionLog } from './sessions/log.js';
import type { BrokerState } from './sessions/state.js';
import type { ConnectPacket } from './wire/packets.js';

/** What all connections of a broker share. */
export interface Core {
  state: BrokerState;
  sessionLog: () => SessionLog;
  router: Router;
  figures: BrokerFigures;
  limits: BrokerLimits;
  log: Logger;
  /** Those that are open, with or without an identity. */
  connections: Set<Connection>;
  /** By the key of their session. */
  byKey: Map<string, Connection>;
  /** CONNECTs of one key wait for each other. */
  turns: Map<string, Promise<unknown>>;
  /** ms since 1970, and ms that only rise. */
  now: () => number;
  elapsed: () => number;
  identify(
    connection: Connection,
    connect: ConnectPacket,
  ): Promise<Identity | 'credentials' | 'notAuthorized'>;
  /** Nobody is let in just now. */
  unavailable(): boolean;
  /** Stores what is protocol v1's; rejects when it could not. */
  store(who: string, topic: string, payload: Buffer): Promise<void>;
  /** Whether a device has a connection. */
  isOnline(device: string): boolean;
  /** To readers in this process. */
  offer(message: Offered, done: (error?: Error | null) => void): void;
  connected(connection: Connection): void;
  disconnected(connection: Connection): void;
}
