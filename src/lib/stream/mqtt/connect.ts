import type { IClientOptions, MqttClient } from 'mqtt';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { isUntrusted } from '../../core/http-agent.js';
import { onAbort } from '../../core/tasks.js';
import type { StreamOptions } from '../message.js';
import { defaultQueue } from '../queue.js';
import { parseStreamUrl, queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';
import { type PacketHandlers, protocolBroken, takePackets, versionRefused } from './connection.js';
import type { MqttVersion } from './packets.js';

interface BrokerOptions
  extends Pick<
    IClientOptions,
    'ca' | 'cert' | 'key' | 'username' | 'password' | 'clientId' | 'keepalive' | 'will'
  > {
  /** MQTT 3.1 (`MQIsdp`) instead of 3.1.1, as old boards speak it. */
  old?: boolean;
  /** Longest wait for the first connection, ms; default 10 000. */
  connectTimeoutMs?: number;
  signal?: AbortSignal;
}

const defaultPorts: Record<string, number> = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };

/** @throws AIOT_STREAM_URL */
export function hostAndPort({ scheme, host, endpoint }: StreamUrl): { host: string; port: number } {
  const [, name, given] = /^(\[[0-9a-f:.]+\]|[^\s:/]+)(?::(\d{1,5}))?$/i.exec(host) ?? [];
  const port = given === undefined ? (defaultPorts[scheme] ?? 1883) : Number(given);
  if (name === undefined || port < 1 || port > 65_535) {
    const message = `${endpoint}: expected HOST or HOST:PORT after ${scheme}://, with a port of 1 to 65535`;
    throw new AiotError('AIOT_STREAM_URL', message);
  }
  return { host: name.replace(/^\[(.*)\]$/, '$1'), port };
}

/** The broker's address without credentials and topic, which is what mqtt.js may see and errors may name. */
function addressOf(url: StreamUrl): string {
  const { port } = hostAndPort(url);
  return /:\d{1,5}$/.test(url.host.replace(/^\[.*\]/, '')) ? url.endpoint : `${url.endpoint}:${port}`;
}

/**
 * An MQTT 3.1.1 client that is connected. Later losses it mends by itself (and sends again what was not acknowledged);
 * only the first connection fails.
 * @throws AIOT_BROKER_UNREACHABLE (retryable), AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function connectBroker(
  url: string | StreamUrl,
  options: BrokerOptions = {},
): Promise<MqttClient> {
  const parts = typeof url === 'string' ? parseStreamUrl(url) : url;
  const { connectTimeoutMs, signal, old = false, ...given } = options;
  const version: IClientOptions = old ? { protocolVersion: 3, protocolId: 'MQIsdp' } : { protocolVersion: 4 };
  return connectWith(parts, { ...given, ...version, clean: true }, { connectTimeoutMs, signal });
}

/**
 * A client whose messages go to `handlers`: MQTT 5, or 3.1.1 where the broker does not speak 5, unless the settings say which.
 * @throws as connectBroker
 */
export async function connectStream(
  url: StreamUrl,
  options: StreamOptions,
  settings: MqttSettings,
  handlers: PacketHandlers,
): Promise<MqttClient> {
  const { ca, cert, key, username, password, connectTimeoutMs, signal } = options;
  const { clean, clientId, keepalive, path } = settings;
  const wait = { connectTimeoutMs, signal, handlers };
  const given: IClientOptions = {
    ...{ ca, cert, key, username, password, clean },
    ...(clientId === undefined ? {} : { clientId }),
    ...(keepalive === undefined ? {} : { keepalive }),
    ...(url.scheme.startsWith('ws') ? { path: path ?? '/mqtt' } : {}),
  };
  const versioned = (version: MqttVersion): IClientOptions => ({
    ...given,
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    ...(version === 5 ? { properties: propertiesOf(settings, options) } : {}),
  });
  if (settings.version !== undefined) return connectWith(url, versioned(settings.version), wait);
  try {
    return await connectWith(url, versioned(5), wait);
  } catch (error) {
    if (!refusesVersion(error)) throw error;
    return connectWith(url, versioned(4), wait);
  }
}

/** Properties of the CONNECT (MQTT 5, section 3.1.2.11). */
function propertiesOf({ clean, expiry }: MqttSettings, options: StreamOptions): IClientOptions['properties'] {
  return {
    // 3.1.1 keeps a session without an end; 0xFFFFFFFF says the same.
    ...(clean ? {} : { sessionExpiryInterval: expiry ?? 0xffff_ffff }),
    // Said even when it is the default: Mosquitto sends 20 at a time to those who say nothing.
    receiveMaximum: Math.min(65_535, options.queue ?? defaultQueue),
  };
}

/**
 * Connects, and gives the client up when the first connection fails. Handlers are attached first, if there are any.
 * @throws as connectBroker
 */
async function connectWith(
  url: StreamUrl,
  given: IClientOptions,
  wait: {
    connectTimeoutMs?: number | undefined;
    signal?: AbortSignal | undefined;
    handlers?: PacketHandlers;
  },
): Promise<MqttClient> {
  const address = addressOf(url);
  const { connectTimeoutMs = 10_000, signal, handlers } = wait;
  signal?.throwIfAborted();
  const { connect, Store } = await import('mqtt');
  const client = connect(address, {
    ...given,
    username: given.username ?? url.username,
    password: given.password ?? url.password,
    rejectUnauthorized: true,
    connectTimeout: connectTimeoutMs,
    // Spread, so that a fleet does not come back in the same instant after its broker's restart.
    reconnectPeriod: 500 + Math.floor(Math.random() * 1000),
    reconnectOnConnackError: true,
    manualConnect: handlers !== undefined,
    // mqtt.js throws, where nobody can catch it, when a message of QoS 2 comes after its own store was closed.
    incomingStore: new Store({ clean: false }),
  });
  // An error without a listener would end the process; what it means shows in the connection's state.
  client.on('error', () => {});
  if (handlers) takePackets(client, (given.protocolVersion ?? 4) as MqttVersion, handlers);
  try {
    await firstConnection(client, connectTimeoutMs, signal);
  } catch (error) {
    client.end(true);
    throw signal?.aborted ? signal.reason : brokerError(error, address);
  }
  return client;
}

function firstConnection(client: MqttClient, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const settle = (error?: unknown) => {
      clearTimeout(timer);
      client.off('connect', onConnect).off('error', settle).off('close', onClose);
      leave();
      if (error) reject(error);
      else resolve();
    };
    const onConnect = () => settle();
    const onClose = () =>
      settle(Object.assign(new Error('the connection was closed'), { code: connectionClosed }));
    client.on('connect', onConnect).on('error', settle).on('close', onClose);
    const leave = onAbort(signal, () => settle(signal?.reason ?? new Error('aborted')));
  });
}

/** Says goodbye (so the last will is not sent), or cuts the line when the broker doesn't answer. */
export async function disconnectBroker(client: MqttClient): Promise<void> {
  const polite = client.connected ? client.endAsync(false).catch(() => {}) : Promise.resolve();
  const timer = new Promise<void>((resolve) => setTimeout(resolve, 2000).unref());
  await Promise.race([polite, timer]);
  client.end(true);
  // mqtt.js does nothing for one that is ending already: where the far side does not hang up, its socket would keep this process for ever.
  client.stream?.destroy();
}

const versions: Record<string, MqttVersion> = { '3.1': 3, '3.1.1': 4, '5': 5 };

/** What may stand after the `?` of an mqtt: URL. */
const shape = {
  qos: z
    .enum(['0', '1', '2'])
    .transform((text) => Number(text) as 0 | 1 | 2)
    .optional(),
  /** Of what is published. */
  retain: queryBoolean.optional(),
  clientId: z.string().min(1).max(65_535).optional(),
  /** `false` = the broker keeps the session, and what comes for it, while we are away. */
  clean: queryBoolean.optional(),
  /** How long it keeps it, seconds; MQTT 5. */
  expiry: queryCount.pipe(z.number().max(0xffff_ffff)).optional(),
  version: z
    .enum(['3.1', '3.1.1', '5'])
    .transform((text) => versions[text]!)
    .optional(),
  /** Shared subscription: each message goes to one of its members. */
  group: z
    .string()
    .regex(/^[^/+#]+$/, 'expected a name without /, + and #')
    .optional(),
  keepalive: queryCount.pipe(z.number().min(5).max(65_535)).optional(),
  /** MQTT 5: nothing that this very client published (for two bridges in opposite directions). */
  noLocal: queryBoolean.optional(),
  /** MQTT 5: messages keep their retain flag, as their sender set it. */
  retainAsPublished: queryBoolean.optional(),
  /** MQTT 5: `false` = no retained messages at the beginning. */
  retained: queryBoolean.optional(),
  /** Path of a websocket; default /mqtt. */
  path: z.string().startsWith('/').optional(),
};

export interface MqttSettings extends z.output<z.ZodObject<typeof shape>> {
  qos: 0 | 1 | 2;
  /** The QoS in the URL itself. */
  asked: 0 | 1 | 2 | undefined;
  clean: boolean;
}

/** The URL's settings, over those of the options. @throws AIOT_STREAM_URL */
export function mqttSettings(url: StreamUrl, options: StreamOptions): MqttSettings {
  const query = readQuery(url, shape);
  const settings = {
    ...query,
    qos: query.qos ?? options.qos ?? 1,
    asked: query.qos,
    clientId: query.clientId ?? options.clientId,
    clean: query.clean ?? options.clean ?? true,
    group: query.group ?? options.group,
  };
  if (!settings.clean && settings.clientId === undefined) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected a clientId with clean=false, under which the broker keeps the session, got none`,
      { next: 'Add one: ?clean=false&clientId=NAME' },
    );
  }
  return settings;
}

/**
 * What says no: of MQTT 3.1.1 return codes of a CONNACK (section 3.2.2.3) and 128 of a SUBACK (3.9.3); of MQTT 5 reason codes (table
 * 2-6): client identifier, user or password, not authorized, banned, authentication method, topic filter, topic name, quota.
 */
const refusedCodes = new Set<unknown>([2, 4, 5, 128, 133, 134, 135, 138, 140, 143, 144, 151]);

/** Reason codes with which a broker refuses an MQTT 5 CONNECT for its version, or does not understand it. */
const versionCodes = new Set<unknown>([versionRefused, 1, 129, 130, 132]);

/** How OpenSSL's names of TLS alerts about our certificate end (RFC 8446, section 6.2), what they mean, and what to try. */
const alerts: [alert: string, why: string, next: string][] = [
  ['_CERTIFICATE_REQUIRED', 'it asks for a client certificate', 'Give yours: --cert FILE --key FILE'],
  // What TLS 1.2 has in its place, among other uses.
  [
    '_HANDSHAKE_FAILURE',
    'the TLS handshake failed, as it does where a client certificate is asked for',
    'Give yours: --cert FILE --key FILE',
  ],
  [
    '_UNKNOWN_CA',
    'it does not know the CA of our client certificate (unknown CA)',
    'Give one that was signed by a CA the broker trusts: --cert FILE --key FILE',
  ],
  [
    '_CERTIFICATE_EXPIRED',
    'our client certificate is over (certificate expired)',
    'Have it renewed, and look at the clocks of both sides.',
  ],
  ['_CERTIFICATE_REVOKED', 'our client certificate was revoked', 'Have a new one made.'],
];

/** The code of a connection that was closed before it was one. */
const connectionClosed = 'MQTT_CLOSED';

/** Whether the far side may be one that does not speak MQTT 5: it said so, or hung up on our CONNECT. */
function refusesVersion(error: unknown): boolean {
  const cause = error instanceof AiotError ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return code === connectionClosed || versionCodes.has(code);
}

/** Makes a coded error of what mqtt.js gives. `endpoint` without credentials. */
export function brokerError(error: unknown, endpoint: string): AiotError {
  if (error instanceof AiotError) return error;
  const code = subscriptionRefused(error) ? 128 : error instanceof Error && 'code' in error && error.code;
  const name = systemCode(error);
  const message = error instanceof Error ? error.message : String(error);
  // A TLS alert is the far side's word: our certificate is missing, unknown, or was revoked.
  if (refusedCodes.has(code) || (name?.startsWith('ERR_SSL_') && name.includes('ALERT'))) {
    const [why, next] = alerts.find(([alert]) => name?.endsWith(alert))?.slice(1) ?? [message];
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in: ${why}`, {
      cause: error,
      endpoint,
      ...(next === undefined ? {} : { next }),
    });
  }
  const untrusted = name !== undefined && isUntrusted(name);
  const next = untrusted
    ? 'Name the CA that signed its certificate: --ca FILE'
    : schemeAdvice(name, endpoint);
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${message || name || 'no answer'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(next === undefined ? {} : { next }),
  });
}

/** What to try when somebody answers, but not as a broker does behind this scheme. */
function schemeAdvice(code: string | undefined, endpoint: string): string | undefined {
  const tls = /^(mqtts|wss):/.test(endpoint);
  if (code === protocolBroken)
    return 'If it is a websocket there, write ws://; if not, is this the port of the broker?';
  if (tls && (code === 'ECONNRESET' || code?.startsWith('ERR_SSL_')))
    return 'If the port is a plain one, write mqtt:// instead of mqtts://.';
  if (!tls && code === connectionClosed) return 'If the port wants TLS, write mqtts:// instead of mqtt://.';
  return undefined;
}

/** Whether a SUBACK said no. mqtt.js gives an error of it with the packet, and its code in nothing but that. */
export function subscriptionRefused(error: unknown): boolean {
  const packet = error instanceof Error && 'packet' in error ? error.packet : undefined;
  const granted = (packet as { granted?: unknown } | undefined)?.granted;
  return Array.isArray(granted) && granted.some((code) => code >= 128);
}

/** Reason codes of a PUBACK or PUBREC that say no (MQTT 5, table 3-4). */
const publishReasons: Record<number, string> = {
  128: 'unspecified error',
  131: 'implementation specific error',
  135: 'not authorized',
  144: 'topic name invalid',
  145: 'packet identifier in use',
  151: 'quota exceeded',
  153: 'payload format invalid',
};

/** A message that the broker did not take, by the reason code of its acknowledgement. */
export function publishRefused(reason: number, topic: string, endpoint: string): AiotError {
  const why = publishReasons[reason] ?? `reason ${reason}`;
  const message = `${endpoint} does not take what we publish to ${topic}: ${why}`;
  return new AiotError('AIOT_BROKER_REFUSED', message, {
    endpoint,
    retryable: reason === 151 || reason === 145,
  });
}
