import type { IClientOptions, MqttClient } from 'mqtt';
import * as z from 'zod';
import { AiotError, isUntrusted, systemCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { formatDuration } from '../../core/time.js';
import type { StreamOptions } from '../message.js';
import { defaultQueue } from '../queue.js';
import { parseStreamUrl, queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';
import { type PacketHandlers, protocolBroken, takePackets, versionRefused } from './connection.js';
import type { MqttVersion } from './packets.js';
import { otherServer, type Reason, reasonText } from './reasons.js';

interface BrokerOptions
  extends Pick<
    IClientOptions,
    'ca' | 'cert' | 'key' | 'username' | 'password' | 'clientId' | 'keepalive' | 'will' | 'resubscribe'
  > {
  /** Whether to use MQTT 3.1 (`MQIsdp`) instead of 3.1.1, for old boards. */
  old?: boolean;
  /** How long to wait for the first connection, ms; default 10 000. */
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

/** The broker's address without credentials and topic: the only form passed to mqtt.js and used in errors. */
function addressOf(url: StreamUrl): string {
  const { port } = hostAndPort(url);
  return /:\d{1,5}$/.test(url.host.replace(/^\[.*\]/, '')) ? url.endpoint : `${url.endpoint}:${port}`;
}

/**
 * Connects an MQTT 3.1.1 client. The client restores lost connections itself (and resends unacknowledged messages); only the first
 * connection can fail.
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
 * Connects a client whose messages go to `handlers`: MQTT 5, or 3.1.1 if the broker does not support 5, unless the settings name a
 * version. Reconnecting keeps the version.
 * @throws as connectBroker; also AIOT_BROKER_REFUSED for a version, or for settings that need MQTT 5
 */
export async function connectStream(
  url: StreamUrl,
  options: StreamOptions,
  settings: MqttSettings,
  handlers: PacketHandlers,
): Promise<MqttClient> {
  const { ca, cert, key, username, password, connectTimeoutMs, signal } = options;
  const { clean, clientId, keepalive, path } = settings;
  const given: IClientOptions = {
    ...{ ca, cert, key, username, password, clean },
    ...(clientId === undefined ? {} : { clientId }),
    ...(keepalive === undefined ? {} : { keepalive }),
    ...(url.scheme.startsWith('ws') ? { path: path ?? '/mqtt' } : {}),
  };
  const connectAs = (version: MqttVersion, advice?: string) =>
    connectWith(
      url,
      {
        ...given,
        protocolVersion: version,
        protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
        ...(version === 5 ? { properties: propertiesOf(settings, options) } : {}),
      },
      { connectTimeoutMs, signal, handlers, silentAdvice: advice },
    );
  const noticed = (client: MqttClient) => {
    const notice = sessionNotice(url, settings, client.serverProperties?.sessionExpiryInterval);
    if (notice !== undefined) options.onNotice?.(notice);
    return client;
  };
  if (settings.version !== undefined) return noticed(await connectAs(settings.version));
  try {
    return noticed(await connectAs(5, silentAdvice));
  } catch (error) {
    if (!refusesVersion(error)) throw error;
    const [needing] = mqtt5Settings(settings);
    if (needing === undefined) return connectAs(4);
    // The connection was merely closed, which may have causes other than the version.
    if (codeOf(error) === connectionClosed) throw error;
    const { endpoint } = url;
    throw new AiotError(
      'AIOT_BROKER_REFUSED',
      `${endpoint} does not support MQTT 5, which ${needing} needs`,
      {
        cause: error,
        endpoint,
        next: `Remove ${needing} from the address, or use a broker that supports MQTT 5.`,
      },
    );
  }
}

/**
 * Advice for a silent broker: a strict broker may ignore a CONNECT with an unknown protocol version instead of
 * rejecting it (MQTT 3.1.1, section 3.1.2.2).
 */
const silentAdvice =
  'The server accepted the connection but ignores MQTT 5. If it is an older broker, add ?version=3.1.1 to the address.';

/**
 * Session expiry interval of a session that never expires, like a session in MQTT 3.1.1 (MQTT 5, section 3.1.2.11.2).
 */
const noExpiry = 0xffff_ffff;

/**
 * Notice that a broker keeps a session for a shorter time than requested (MQTT 5, section 3.2.2.3.2), so that messages
 * that arrive later are lost. Undefined if the time is as requested.
 * @param granted seconds; absent = as requested
 */
function sessionNotice(
  { endpoint }: StreamUrl,
  { clean, clientId, expiry = noExpiry }: MqttSettings,
  granted: number | undefined,
): string | undefined {
  if (clean || granted === undefined || granted >= expiry) return undefined;
  const requested = expiry === noExpiry ? 'without limit' : `for ${formatDuration(expiry * 1000)}`;
  const kept =
    granted === 0
      ? `ends the session of ${clientId} with the connection`
      : `keeps the session of ${clientId} for ${formatDuration(granted * 1000)} while it is offline`;
  return `${endpoint} ${kept}, not ${requested} as requested`;
}

/** Properties of the CONNECT (MQTT 5, section 3.1.2.11). */
function propertiesOf({ clean, expiry }: MqttSettings, options: StreamOptions): IClientOptions['properties'] {
  return {
    ...(clean ? {} : { sessionExpiryInterval: expiry ?? noExpiry }),
    // The value is sent even if it is the default. Without it, Mosquitto sends only 20 messages at a time.
    receiveMaximum: Math.min(65_535, options.queue ?? defaultQueue),
  };
}

/**
 * Attaches the handlers, if any, then connects. Closes the client if the first connection fails.
 * @throws as connectBroker
 */
async function connectWith(
  url: StreamUrl,
  given: IClientOptions,
  wait: {
    connectTimeoutMs?: number | undefined;
    signal?: AbortSignal | undefined;
    handlers?: PacketHandlers;
    /** Next step if a server accepts the connection and then sends nothing. */
    silentAdvice?: string | undefined;
  },
): Promise<MqttClient> {
  const address = addressOf(url);
  const { connectTimeoutMs = 10_000, signal, handlers } = wait;
  const version = (given.protocolVersion ?? 4) as MqttVersion;
  signal?.throwIfAborted();
  const { connect, Store } = await import('mqtt');
  const client = connect(address, {
    ...given,
    username: given.username ?? url.username,
    password: given.password ?? url.password,
    rejectUnauthorized: true,
    // mqtt.js's timeout is longer than ours, because our error gives a better reason.
    connectTimeout: connectTimeoutMs + 1000,
    // Random, so that the devices of a fleet do not all reconnect at the same instant after their broker's restart.
    reconnectPeriod: 500 + Math.floor(Math.random() * 1000),
    reconnectOnConnackError: true,
    manualConnect: handlers !== undefined,
    // The cache holds a buffer for each of the 65,536 packet identifiers; filling it takes more time than it saves.
    writeCache: false,
    // `clean: false` keeps the store usable after it is closed. Otherwise, a QoS 2 message that arrives later would
    // cause an uncatchable error.
    incomingStore: new Store({ clean: false }),
  });
  let connack: Pick<Refusal, 'reasonString' | 'serverReference'> = {};
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'connack') connack = packet.properties ?? {};
  });
  // Without a listener, an error would end the process. Errors are reported elsewhere. This listener adds the broker's own reason to a
  // rejection, because mqtt.js reports only the code.
  client.on('error', (error) => {
    const { reasonString, serverReference } = connack;
    if (isRefusal(error)) Object.assign(error, { reasonString, serverReference });
  });
  const reached = handlers ? takePackets(client, version, handlers) : () => false;
  try {
    await firstConnection(client, connectTimeoutMs, signal);
  } catch (error) {
    const silent = codeOf(error) === noAnswer && reached();
    client.end(true);
    if (signal?.aborted) throw signal.reason;
    if (versionCodes.has(codeOf(error))) throw versionError(error, version, address);
    throw brokerError(error, address, silent ? wait.silentAdvice : undefined);
  }
  return client;
}

/** The error of a CONNACK that rejects the connection. */
interface Refusal extends Error {
  /** MQTT 3.1.1 return code, or MQTT 5 reason code. */
  code: number;
  reasonString?: string | undefined;
  serverReference?: string | undefined;
}

function isRefusal(error: unknown): error is Refusal {
  return error instanceof Error && 'code' in error && typeof error.code === 'number';
}

/**
 * The error for a broker that rejects a connection attempt, such as an attempt after a lost connection; undefined for
 * other errors.
 */
export function refusalOf(error: unknown, endpoint: string): AiotError | undefined {
  return isRefusal(error) ? brokerError(error, endpoint) : undefined;
}

function reasonFrom({ code, reasonString: text, serverReference: server }: Refusal): Reason {
  return { code, ...(text === undefined ? {} : { text }), ...(server === undefined ? {} : { server }) };
}

function firstConnection(client: MqttClient, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(Object.assign(new Error(`no response within ${timeoutMs} ms`), { code: noAnswer })),
      timeoutMs,
    );
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

/** Disconnects cleanly, so that the will is not sent, or closes the socket if the broker does not respond. */
export async function disconnectBroker(client: MqttClient): Promise<void> {
  const polite = client.connected ? client.endAsync(false).catch(() => {}) : Promise.resolve();
  const timer = new Promise<void>((resolve) => setTimeout(resolve, 2000).unref());
  await Promise.race([polite, timer]);
  client.end(true);
  // mqtt.js ignores `end` for a client that is already ending. If the peer does not close the connection, the client's
  // socket would keep this process alive forever.
  client.stream?.destroy();
}

const versions: Record<string, MqttVersion | undefined> = { '3.1': 3, '3.1.1': 4, '5': 5, auto: undefined };

/** Settings after the `?` of an mqtt: URL. */
const shape = {
  qos: z
    .enum(['0', '1', '2'])
    .transform((text) => Number(text) as 0 | 1 | 2)
    .optional(),
  /** Retain flag of published messages. */
  retain: queryBoolean.optional(),
  clientId: z.string().min(1).max(65_535).optional(),
  /** `false` = the broker keeps the session and queues its messages while we are offline. */
  clean: queryBoolean.optional(),
  /** How long the broker keeps the session, seconds; MQTT 5. */
  expiry: queryCount.pipe(z.number().max(0xffff_ffff)).optional(),
  /** MQTT version. `auto`, the default, means 5, or 3.1.1 if the broker rejects 5. */
  version: z
    .enum(['3.1', '3.1.1', '5', 'auto'])
    .transform((text) => versions[text])
    .optional(),
  /** Shared subscription: each message goes to one of its members. */
  group: z.string().optional(),
  keepalive: queryCount.pipe(z.number().min(5).max(65_535)).optional(),
  /** MQTT 5: exclude messages published by this client (needed for two bridges in opposite directions). */
  noLocal: queryBoolean.optional(),
  /** MQTT 5: messages keep the retain flag set by their sender. */
  retainAsPublished: queryBoolean.optional(),
  /** MQTT 5: `false` = no retained messages on subscribing. */
  retained: queryBoolean.optional(),
  /** Path for MQTT over WebSocket; default /mqtt. */
  path: z.string().startsWith('/').optional(),
};

export interface MqttSettings extends z.output<z.ZodObject<typeof shape>> {
  qos: 0 | 1 | 2;
  /** The QoS given in the URL; undefined if there is none. */
  asked: 0 | 1 | 2 | undefined;
  clean: boolean;
}

/** The URL's settings, which override the options. @throws AIOT_STREAM_URL */
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
      `${url.endpoint}: clean=false needs a clientId, because the broker stores the session under it`,
      { next: 'Add one: ?clean=false&clientId=NAME' },
    );
  }
  const [needing] = mqtt5Settings(settings);
  if (settings.version !== undefined && settings.version < 5 && needing !== undefined) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: ${needing} needs MQTT 5, got version=${url.query.version}`,
      { next: `Remove ${needing} or version from the address.` },
    );
  }
  // The specification allows any text without these characters (MQTT 5, section 4.8.2).
  if (settings.group !== undefined && !/^[^/+#\0]+$/.test(settings.group)) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: group: expected a name without /, + or #; got "${settings.group}"`,
      { next: 'Choose another name, such as group=workers.' },
    );
  }
  return settings;
}

/** Names of the given settings that would silently have no effect in MQTT 3.1.1. */
function mqtt5Settings({ expiry, noLocal, retainAsPublished, retained }: MqttSettings): string[] {
  const given = {
    expiry: expiry !== undefined,
    noLocal: noLocal === true,
    retainAsPublished: retainAsPublished === true,
    'retained=false': retained === false,
  };
  return Object.entries(given).flatMap(([name, needs]) => (needs ? [name] : []));
}

/**
 * Codes for a refusal. MQTT 3.1.1: a CONNACK's return codes (section 3.2.2.3), and a SUBACK's 128 (3.9.3). MQTT 5:
 * reason codes (table 2-6) for client identifier, user or password, not authorized, banned, authentication method,
 * topic filter, topic name, quota.
 */
const refusedCodes = new Set<unknown>([2, 4, 5, 128, 133, 134, 135, 138, 140, 143, 144, 151]);

/** Codes from a broker that does not accept a CONNECT's protocol version. */
const versionCodes = new Set<unknown>([versionRefused, 1, 132]);

/** Reason codes from a broker that cannot parse an MQTT 5 CONNECT: malformed packet, protocol error. */
const unparsedCodes = new Set<unknown>([129, 130]);

/**
 * Endings of OpenSSL's names of TLS alerts about our certificate (RFC 8446, section 6.2), their meanings, and what the
 * user can try.
 */
const alerts: [alert: string, why: string, next: string][] = [
  [
    '_CERTIFICATE_REQUIRED',
    'the broker requires a client certificate',
    'Provide yours: --cert FILE --key FILE',
  ],
  // TLS 1.2's equivalent, which has other causes too.
  [
    '_HANDSHAKE_FAILURE',
    'the TLS handshake failed, possibly because the broker requires a client certificate',
    'Provide yours: --cert FILE --key FILE',
  ],
  [
    '_UNKNOWN_CA',
    'the broker does not know the CA of our client certificate (unknown CA)',
    'Use a certificate signed by a CA that the broker trusts: --cert FILE --key FILE',
  ],
  [
    '_CERTIFICATE_EXPIRED',
    'our client certificate has expired (certificate expired)',
    'Renew the certificate, and check the clocks on both sides.',
  ],
  ['_CERTIFICATE_REVOKED', 'our client certificate was revoked', 'Obtain a new certificate.'],
];

/** The error's code if the connection was closed before it was established. */
const connectionClosed = 'MQTT_CLOSED';

/** The error's code if nothing arrived in time. */
const noAnswer = 'MQTT_SILENT';

/** The code of an mqtt.js error, even after `connectWith` has converted it. */
function codeOf(error: unknown): unknown {
  const cause = error instanceof AiotError ? error.cause : error;
  return cause instanceof Error && 'code' in cause ? cause.code : undefined;
}

/** Whether the peer may not support MQTT 5, because it reported this or closed the connection after our CONNECT. */
function refusesVersion(error: unknown): boolean {
  const code = codeOf(error);
  return code === connectionClosed || versionCodes.has(code) || unparsedCodes.has(code);
}

const versionNames: Record<MqttVersion, string> = { 3: '3.1', 4: '3.1.1', 5: '5' };

function versionError(cause: unknown, version: MqttVersion, endpoint: string): AiotError {
  return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} does not support MQTT ${versionNames[version]}`, {
    cause,
    endpoint,
    next:
      version === 5
        ? 'Remove version=5 from the address, to use the version that the broker supports.'
        : 'Select another version: ?version=5, ?version=3.1.1 or ?version=3.1',
  });
}

/**
 * Converts an error of mqtt.js to a coded one. `endpoint` must not contain credentials. @param advice suggested next step that replaces
 * the default one
 */
export function brokerError(error: unknown, endpoint: string, advice?: string): AiotError {
  if (error instanceof AiotError) return error;
  const code = subscriptionRefused(error) ? 128 : codeOf(error);
  const name = systemCode(error);
  const reason = isRefusal(error) ? reasonFrom(error) : undefined;
  const message = reason ? reasonText(reason) : error instanceof Error ? error.message : String(error);
  // A TLS alert is sent by the peer when our certificate is missing, unknown, or revoked.
  if (refusedCodes.has(code) || (name?.startsWith('ERR_SSL_') && name.includes('ALERT'))) {
    const [why, next] = alerts.find(([alert]) => name?.endsWith(alert))?.slice(1) ?? [message];
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} rejected the connection: ${why}`, {
      cause: error,
      endpoint,
      ...(next === undefined ? {} : { next }),
    });
  }
  const untrusted = name !== undefined && isUntrusted(name);
  const next = untrusted
    ? 'Specify the CA that signed its certificate: --ca FILE'
    : (advice ?? (reason?.server ? otherServer(reason.server) : schemeAdvice(name, endpoint)));
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${message || name || 'no response'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(next === undefined ? {} : { next }),
  });
}

/** A suggestion if the server's response does not fit the URL's scheme. */
function schemeAdvice(code: string | undefined, endpoint: string): string | undefined {
  const tls = /^(mqtts|wss):/.test(endpoint);
  if (code === protocolBroken)
    return "If the server is a WebSocket, use ws://. If not, check that the port is the broker's.";
  if (tls && (code === 'ECONNRESET' || code?.startsWith('ERR_SSL_')))
    return 'If the port does not use TLS, use mqtt:// instead of mqtts://.';
  if (!tls && code === connectionClosed) return 'If the port requires TLS, use mqtts:// instead of mqtt://.';
  return undefined;
}

/** Whether a SUBACK rejected the subscription. mqtt.js attaches the packet to its error, and only the packet contains the code. */
export function subscriptionRefused(error: unknown): boolean {
  const packet = error instanceof Error && 'packet' in error ? error.packet : undefined;
  const granted = (packet as { granted?: unknown } | undefined)?.granted;
  return Array.isArray(granted) && granted.some((code) => code >= 128);
}
