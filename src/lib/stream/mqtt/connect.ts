import type { IClientOptions, MqttClient } from 'mqtt';
import { AiotError, onAbort } from '../../core/index.js';
import type { StreamOptions } from '../options.js';
import { defaultQueue } from '../queue.js';
import { parseStreamUrl, type StreamUrl } from '../url.js';
import { brokerError, connectionClosed, refusesVersion } from './errors.js';
import { type Lane, layLane } from './lane.js';
import type { MqttSettings } from './settings.js';
import type { MqttVersion } from './wire/publish.js';

export interface BrokerOptions
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
 * A client whose messages go by `lane`: MQTT 5, or 3.1.1 where the broker does not speak 5, unless the settings say which.
 * @throws as connectBroker
 */
export async function connectStream(
  url: StreamUrl,
  options: StreamOptions,
  settings: MqttSettings,
  lane: Lane,
): Promise<MqttClient> {
  const { ca, cert, key, username, password, connectTimeoutMs, signal } = options;
  const { clean, clientId, keepalive, path } = settings;
  const wait = { connectTimeoutMs, signal, lane };
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

/** Of the CONNECT (MQTT 5, section 3.1.2.11). */
function propertiesOf({ clean, expiry }: MqttSettings, options: StreamOptions): IClientOptions['properties'] {
  return {
    // 3.1.1 keeps a session without an end; 0xFFFFFFFF says the same.
    ...(clean ? {} : { sessionExpiryInterval: expiry ?? 0xffff_ffff }),
    // Said even when it is the default: Mosquitto sends 20 at a time to those who say nothing.
    receiveMaximum: Math.min(65_535, options.queue ?? defaultQueue),
  };
}

/**
 * Connects, and gives the client up when the first connection fails. Where there is a lane, it is laid first.
 * @throws as connectBroker
 */
async function connectWith(
  url: StreamUrl,
  given: IClientOptions,
  wait: { connectTimeoutMs?: number | undefined; signal?: AbortSignal | undefined; lane?: Lane },
): Promise<MqttClient> {
  const address = addressOf(url);
  const { connectTimeoutMs = 10_000, signal, lane } = wait;
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
    manualConnect: lane !== undefined,
    // mqtt.js throws, where nobody can catch it, when a message of QoS 2 comes after its own store was closed.
    incomingStore: new Store({ clean: false }),
  });
  // An error without a listener would end the process; what it means shows in the connection's state.
  client.on('error', () => {});
  if (lane) layLane(client, (given.protocolVersion ?? 4) as MqttVersion, lane);
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
