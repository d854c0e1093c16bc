import type { Clock } from '../core/time.js';
import type { PlatformUrls } from '../registry/api.js';
import type { BrokerLimits } from './broker/limits.js';
import type { BoardListener } from './broker/listeners.js';
import type { ConnectionLimits } from './connections.js';
import type { Rates } from './http/auth.js';
import type { LocalStreams } from './streams.js';
import type { Sync } from './sync.js';

/** Other people's clients that work unchanged, each by a door of its own that is shut unless asked for. */
export const compatibilities = ['architects-guide'] as const;
export type Compatibility = (typeof compatibilities)[number];

/** How often clients of the Direct Device Integration API are to ask unless told otherwise, ms. */
export const usualDdiPollMs = 300_000;

/** Each by a URL; what is absent is embedded in this process. */
export interface Engines {
  /** postgres://…: state and telemetry. */
  database?: string | undefined;
  /** s3://BUCKET[/PREFIX]?endpoint=…&region=… */
  blobs?: string | undefined;
  /** kafka://… or nats://…: telemetry and state events go there too. */
  events?: string | undefined;
  /** mqtt://… or mqtts://…: the broker that devices connect to. */
  broker?: string | undefined;
}

export interface PlatformOptions {
  /** Folder of all that it keeps; made when missing. */
  dataDir: string;
  /** Address to bind; loopback unless told otherwise. */
  host?: string;
  /** Names and addresses that it is reached by from outside, where others stand between: the first is in its URLs, all in its certificate. */
  names?: readonly string[] | undefined;
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
  /** Engines to use instead of the embedded ones. */
  engines?: Engines;
  /** Seals the CA's key in a database that several processes share; one that it makes itself when absent. */
  secret?: string | undefined;
  /** Other ports of `--compat architects-guide`: MQTT, device registry, model registry, training datastore. 0 = any free one. */
  compatPorts?: readonly [number, number, number, number];
  /** Rows of telemetry in one file of the guide's ingest; 0 = there is another ingest than the platform's. */
  compatMaxRows?: number;
  /** Bytes that the guide's clients, whom nobody knows, may store in all. */
  compatQuota?: number | undefined;
  /** Whether its unauthenticated /deleteAllData works. */
  compatDeleteAll?: boolean;
  /** The Direct Device Integration API without TLS, 0 = any free port; none when absent. */
  ddiPort?: number | undefined;
  /** How often clients of the Direct Device Integration API are to ask, ms; five minutes when absent. */
  ddiPollMs?: number | undefined;
  /** MQTT over WebSocket (wss), 0 = any free port; none when absent. */
  wsPort?: number;
  /** PEM files of the server's certificate and key, when it is not to be of the platform's own CA. */
  serverCertificate?: { cert: string; key: string };
  /** Encrypts the CA's key where it lies (AIOT_CA_PASSPHRASE). */
  caPassphrase?: string | undefined;
  /** Issues a further operator token. */
  newToken?: boolean;
  /** Issues none, not even at the first start: where what is printed is kept in a log. */
  noToken?: boolean | undefined;
  /** Requests a minute that one token or address may send, other than usual. */
  rates?: Partial<Rates>;
  /** What the broker bounds, other than usual. */
  brokerLimits?: Partial<BrokerLimits>;
  /** What all listeners bound together, other than usual. */
  connectionLimits?: Partial<ConnectionLimits>;
  /** How long requests that are on their way may take to end when it stops, ms. */
  drainMs?: number;
  clock?: Clock;
  /** A database above this size is checked in the background, bytes; 1 GiB when absent. */
  checkAtOnce?: number | undefined;
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
  /** A link that logs one browser into the dashboard with what this token may; null for one that is not good. */
  loginLink(token: string): Promise<string | null>;
  /** Ends all listeners and connections, and writes what waits. */
  stop(): Promise<void>;
}
