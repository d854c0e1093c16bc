import type { PlatformUrls } from '../api/api.js';
import type { ApplyAlarmTargets, ProjectAlarmsApplied } from '../api/contract/alarm-targets.js';
import type { ApplyAlarms } from '../api/contract/alarms.js';
import type { ApplyCommands, CommandsApplied } from '../api/contract/commands.js';
import type { ApplySettings, IntegrationApplied, SettingsApplied } from '../api/contract/settings.js';
import type { Sync } from '../core/append-log.js';
import type { OtlpOptions } from '../core/otlp-options.js';
import type { Clock } from '../core/time.js';
import type { Tracer } from '../core/trace.js';
import type { HomeAssistant } from '../fleet/home-assistant.js';
import type { Sparkplug } from '../fleet/sparkplug.js';
import type { ProviderOptions } from './access/provider.js';
import type { BrokerLimits } from './broker/limits.js';
import type { BoardListener } from './broker/listeners.js';
import type { ConnectionLimits } from './connections.js';
import type { Rates } from './http/auth.js';
import type { Restart } from './running.js';
import type { LocalStreams } from './streams.js';

/** Third-party clients that work unchanged, each through its own listener, which is off by default. */
export const compatibilities = ['architects-guide'] as const;
export type Compatibility = (typeof compatibilities)[number];

/** Default polling interval of Direct Device Integration API clients, ms. */
export const usualDdiPollMs = 300_000;

/** Ways in which replicas receive devices' messages. `mqtt`: one session at an external broker, which the leader reads. */
export type IngestEngine = 'mqtt' | 'jetstream' | 'kafka';

/** URLs of external engines. An engine without a URL is embedded in this process. */
export interface Engines {
  /** postgres://…: state and telemetry. */
  database?: string | undefined;
  /** s3://BUCKET[/PREFIX]?endpoint=…&region=… */
  blobs?: string | undefined;
  /** kafka://… or nats://…: destination for telemetry and state events. */
  events?: string | undefined;
  /** mqtt(s)://… or nats(s)://…: the broker that devices connect to. */
  broker?: string | undefined;
  /** emqx+https://…, rmqtt+https://…, mosquitto+mqtts://… or nats(s)://…: that broker's API, which closes connections of clients that may no longer connect. */
  brokerControl?: string | undefined;
  /** How the replicas receive devices' messages: `mqtt`, `jetstream`, or kafka://HOST:PORT/TOPIC. The default suits the broker's address. */
  ingest?: string | undefined;
}

export interface PlatformOptions {
  /** Folder of all the platform's data; created if missing. */
  dataDir: string;
  /** Address to bind; loopback by default. */
  host?: string;
  /**
   * Names and addresses that clients use to reach the platform, for example through a proxy. The first is used in URLs;
   * the certificate covers all of them.
   */
  names?: readonly string[] | undefined;
  /** 0 = any free port. */
  httpPort: number;
  mqttPort: number;
  /** A listener for MQTT without TLS, on loopback only. */
  plain?: { port: number };
  /** A listener for boards that support neither TLS nor passwords, and the permissions of those boards. */
  boards?: BoardListener;
  /** Readers in this process that open later (name → filter). Their messages are queued from the start. */
  readers?: Readonly<Record<string, string>>;
  compat?: readonly Compatibility[];
  /** Engines to use instead of the embedded ones. */
  engines?: Engines;
  /** Seals the CA's key in a database shared by several processes; generated if absent. */
  secret?: string | undefined;
  /**
   * Ports for `--compat architects-guide` instead of the guide's own: MQTT, device registry, model registry, training datastore. 0 = any
   * free port.
   */
  compatPorts?: readonly [number, number, number, number];
  /** Number of telemetry rows in one file of the guide's ingest; 0 = another program does the ingest. */
  compatMaxRows?: number;
  /** Total bytes that the guide's unauthenticated clients may store. */
  compatQuota?: number | undefined;
  /** Address at which other replicas reach this one; default: this machine's first address and the HTTPS port. */
  replicaUrl?: string | undefined;
  /** Whether remote shells are recorded. */
  recordShells?: boolean | undefined;
  /** Whether to enable the guide's /deleteAllData endpoint, which needs no authentication. */
  compatDeleteAll?: boolean;
  /** Port of the Direct Device Integration API without TLS; 0 = any free port, absent = none. */
  ddiPort?: number | undefined;
  /** Polling interval of Direct Device Integration API clients, ms; five minutes when absent. */
  ddiPollMs?: number | undefined;
  /** Port of MQTT over WebSocket (wss); 0 = any free port, absent = none. */
  wsPort?: number;
  /** PEM files: a server certificate from another CA, and the certificate's key. */
  serverCertificate?: { cert: string; key: string };
  /** Encrypts the CA's stored key (AIOT_CA_PASSPHRASE). */
  caPassphrase?: string | undefined;
  /** The login provider; absent = users have tokens only. */
  provider?: ProviderOptions | undefined;
  /** Whether to issue an additional operator token. */
  newToken?: boolean;
  /** Whether to issue no token, not even at the first start, because the output is written to a log. */
  noToken?: boolean | undefined;
  /** Overrides the requests per minute allowed for one token or address. */
  rates?: Partial<Rates>;
  /** Overrides the broker's limits. */
  brokerLimits?: Partial<BrokerLimits>;
  /** Overrides the limits for all listeners together. */
  connectionLimits?: Partial<ConnectionLimits>;
  /** How long requests in progress may take to end at shutdown, ms. */
  drainMs?: number;
  /** How often live connections of dashboards are checked, ms. */
  liveBeatMs?: number;
  clock?: Clock;
  /** Size above which the database is checked in the background instead of at startup, bytes; 1 GiB when absent. */
  checkAtOnce?: number | undefined;
  /** How users can start this platform again; recorded in its folder. */
  restart?: Restart | undefined;
  /** Makes files durable; replaceable in tests. */
  sync?: Sync;
  /** Where the platform sends its own traces, metrics and logs; absent = nowhere. */
  otlp?: OtlpOptions | undefined;
  /** Receives log lines; no log when absent. */
  log?: (line: string) => void;
}

export interface Platform {
  urls: PlatformUrls;
  /** PEM file of the CA. */
  ca: string;
  /** The operator's token; present only if one was issued at this start. */
  token?: string;
  /** Work so far: the number of messages received, and the requests answered, each of which counts as several messages. */
  load: () => number;
  /** Access to the broker's messages, for routes in this process. */
  streams: Pick<LocalStreams, 'openSource' | 'openSink' | 'expect'>;
  /**
   * Replaces a project's alarms and notification targets with lists. Null: the database is still being checked (the alarms follow once the
   * database is known to be sound), or is damaged.
   */
  applyAlarms(
    request: Pick<ApplyAlarms, 'project' | 'alarms'> & Pick<ApplyAlarmTargets, 'targets'>,
  ): Promise<ProjectAlarmsApplied | null>;
  /** Replaces a project's commands with a list; null in the same cases as for alarms. */
  applyCommands(request: ApplyCommands): Promise<CommandsApplied | null>;
  /** Replaces a project's settings with a list; null in the same cases as for alarms. */
  applySettings(request: ApplySettings): Promise<SettingsApplied | null>;
  /** Replaces what a project publishes for Home Assistant (null = nothing); null in the same cases as for alarms. */
  applyHomeAssistant(request: {
    project: string;
    definition: HomeAssistant | null;
  }): Promise<IntegrationApplied | null>;
  /** Replaces the Sparkplug edge node of a project (null = none); null in the same cases as for alarms. */
  applySparkplug(request: {
    project: string;
    definition: Sparkplug | null;
  }): Promise<IntegrationApplied | null>;
  /** Creates a link that logs one browser into the dashboard with this token's rights; null for an invalid token. */
  loginLink(token: string): Promise<string | null>;
  /** Records the steps of messages in this process; absent = no traces are recorded. */
  tracer?: Tracer | undefined;
  /** Closes all listeners and connections, and writes pending data. */
  stop(): Promise<void>;
}
