import type { IClientOptions, MqttClient } from 'mqtt';
import { AiotError } from '../../core/index.js';
import { parseStreamUrl, type StreamUrl } from '../url.js';
import { brokerError } from './errors.js';

export interface BrokerOptions
  extends Pick<IClientOptions, 'ca' | 'cert' | 'key' | 'username' | 'password' | 'clientId' | 'will'> {
  /** Longest wait for the first connection, ms; default 10 000. */
  connectTimeoutMs?: number;
  signal?: AbortSignal;
}

/** The broker's address without credentials and topic, which is what mqtt.js may see and errors may name. */
function addressOf(url: StreamUrl): string {
  const wanted = url.scheme === 'mqtts' ? 8883 : 1883;
  const [, , port] = /^(\[[0-9a-f:.]+\]|[^\s:/]+)(?::(\d{1,5}))?$/i.exec(url.host) ?? [url.host, '', '0'];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected HOST or HOST:PORT after ${url.scheme}://, with a port of 1 to 65535`,
    );
  }
  return port === undefined ? `${url.endpoint}:${wanted}` : url.endpoint;
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
  const address = addressOf(parts);
  const { connectTimeoutMs = 10_000, signal, ...given } = options;
  signal?.throwIfAborted();
  const { connect } = await import('mqtt');
  const client = connect(address, {
    ...given,
    username: given.username ?? parts.username,
    password: given.password ?? parts.password,
    protocolVersion: 4,
    clean: true,
    rejectUnauthorized: true,
    connectTimeout: connectTimeoutMs,
    // Spread, so that a fleet does not come back in the same instant after its broker's restart.
    reconnectPeriod: 500 + Math.floor(Math.random() * 1000),
    reconnectOnConnackError: true,
  });
  // An error without a listener would end the process; what it means shows in the connection's state.
  client.on('error', () => {});
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
      signal?.removeEventListener('abort', onAbort);
      if (error) reject(error);
      else resolve();
    };
    const onConnect = () => settle();
    const onClose = () => settle(new Error('the connection was closed'));
    const onAbort = () => settle(signal?.reason ?? new Error('aborted'));
    client.on('connect', onConnect).on('error', settle).on('close', onClose);
    signal?.addEventListener('abort', onAbort);
  });
}

/** Says goodbye (so the last will is not sent), or cuts the line when the broker doesn't answer. */
export async function disconnectBroker(client: MqttClient): Promise<void> {
  const polite = client.connected ? client.endAsync(false).catch(() => {}) : Promise.resolve();
  const timer = new Promise<void>((resolve) => setTimeout(resolve, 2000).unref());
  await Promise.race([polite, timer]);
  client.end(true);
}
