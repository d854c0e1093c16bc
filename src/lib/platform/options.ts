import type { Clock } from '../core/index.js';
import type { BoardListener } from './broker/listeners.js';
import type { PlatformUrls } from './http/parts.js';
import type { LocalStreams } from './streams/streams.js';
import type { Sync } from './sync.js';

/** Other people's clients that work unchanged, each by a door of its own that is shut unless asked for. */
export const compatibilities = ['architects-guide'] as const;
export type Compatibility = (typeof compatibilities)[number];

export interface PlatformOptions {
  /** Folder of all that it keeps; made when missing. */
  dataDir: string;
  /** Address to bind; loopback unless told otherwise. */
  host?: string;
  /** 0 = any free one. */
  httpPort: number;
  mqttPort: number;
  /** A listener for MQTT without TLS, on loopback only. */
  plain?: { port: number };
  /** A listener for boards that know no TLS and no password; what they may is in it. */
  boards?: BoardListener;
  /** Readers in this process that are to come (name → filter): what they are to get waits for them from the start. */
  readers?: Readonly<Record<string, string>>;
  compat?: readonly Compatibility[];
  /** Issues a further operator token. */
  newToken?: boolean;
  clock?: Clock;
  /** Makes files durable; a port for tests. */
  sync?: Sync;
  /** Where its log goes; nowhere when absent. */
  log?: (line: string) => void;
}

export interface Platform {
  urls: PlatformUrls;
  /** PEM file of the CA. */
  ca: string;
  /** The operator's token; only when one was made at this start. */
  token?: string;
  /** The broker's messages, for routes in this process. */
  streams: Pick<LocalStreams, 'openSource' | 'openSink' | 'expect'>;
  /** Ends all listeners and connections, and writes what waits. */
  stop(): Promise<void>;
}
