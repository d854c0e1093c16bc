import { isIP, connect as netConnect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';
import type { KafkaConfig, logCreator } from 'kafkajs';
import type { RequestQueue } from 'kafkajs/src/network/requestQueue/index.js';
import { untilAborted } from '../../core/tasks.js';
import type { KafkaCluster } from './cluster.js';
import { isRetriableAnswer, kafkaError } from './errors.js';
import type { KafkaSettings } from './settings.js';
import { codecOf } from './wire/codecs.js';

/** A silent logger. kafkajs logs each failed attempt with a stack; we report the cause as an error or as the connection's state. */
const silent = { namespace: () => silent, info() {}, error() {}, warn() {}, debug() {}, setLogLevel() {} };

/**
 * kafkajs's retries cover only short events, such as a leader election. Our own code retries after longer events, and
 * can be aborted.
 */
const retry = { retries: 4, initialRetryTime: 100, maxRetryTime: 400, factor: 0.2, multiplier: 2 };

/** kafkajs's configuration for a cluster, including the password and keys. */
export function kafkaConfig(settings: KafkaSettings): KafkaConfig {
  const { username, password = '', sasl = 'plain' } = settings;
  return {
    brokers: settings.brokers,
    clientId: settings.clientId,
    connectionTimeout: settings.connectTimeoutMs,
    authenticationTimeout: settings.connectTimeoutMs,
    requestTimeout: 30_000,
    retry,
    ...(settings.tls ? { ssl: { ca: settings.ca, cert: settings.cert, key: settings.key } } : {}),
    ...(username === undefined
      ? {}
      : { sasl: { mechanism: sasl, username, password } as KafkaConfig['sasl'] }),
    socketFactory: ({ host, port, ssl, onConnect }) => {
      const socket = ssl
        ? tlsConnect({ host, port, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect)
        : netConnect({ host, port }, onConnect);
      return socket.setKeepAlive(true, 30_000).setNoDelay(true);
    },
  };
}

/** kafkajs's public client for groups and administration, with all codecs and without logging. */
export async function kafkaClient(settings: KafkaSettings) {
  const { Kafka, CompressionCodecs, CompressionTypes } = await importKafka();
  for (const name of ['snappy', 'lz4', 'zstd'] as const) {
    const type = { snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }[
      name
    ];
    (CompressionCodecs as Record<number, unknown>)[type] = () => ({
      compress: async ({ buffer }: { buffer: Buffer }) => (await codecOf(name)).compress(buffer),
      decompress: async (buffer: Buffer) => (await codecOf(name)).decompress(buffer),
    });
  }
  return new Kafka({ ...kafkaConfig(settings), logCreator: (() => () => {}) as unknown as logCreator });
}

/**
 * Connects to a cluster.
 * @throws AIOT_BROKER_UNREACHABLE (retryable), AIOT_BROKER_REFUSED
 */
export async function connectCluster(
  settings: KafkaSettings,
  endpoint: string,
  options: { create: boolean },
): Promise<KafkaCluster> {
  settings.signal?.throwIfAborted();
  await importKafka();
  const { default: Cluster } = await import('kafkajs/src/cluster/index.js');
  const { socketFactory, ...config } = kafkaConfig(settings);
  const cluster = new Cluster({
    ...config,
    socketFactory,
    logger: silent,
    metadataMaxAge: 60_000,
    reauthenticationThreshold: 10_000,
    allowAutoTopicCreation: options.create,
    isolationLevel: 1,
    maxInFlightRequests: null,
  });
  try {
    await untilAborted(cluster.connect(), settings.signal);
  } catch (error) {
    void cluster.disconnect().catch(() => {});
    throw settings.signal?.aborted ? settings.signal.reason : kafkaError(error, endpoint);
  }
  return cluster;
}

/**
 * Retries while Kafka reports a temporary state (a coordinator that is loading, a leader election), up to the timeout of the first
 * connection. @throws as kafkaError
 */
export async function patiently<T>(
  settings: KafkaSettings,
  endpoint: string,
  work: () => Promise<T>,
): Promise<T> {
  for (const started = performance.now(); ; await delay(200)) {
    try {
      return await work();
    } catch (error) {
      settings.signal?.throwIfAborted();
      const soon = isRetriableAnswer(error) && performance.now() - started < settings.connectTimeoutMs;
      if (!soon) throw kafkaError(error, endpoint);
    }
  }
}

/**
 * A kafkajs with two faults fixed. After every response, the original sets a timer with a negative delay, which makes
 * Node 24 print a warning (kafkajs issue 1751). It also measures the age of requests with the time of day.
 */
async function importKafka() {
  const kafka = (await import('kafkajs')).default;
  const { prototype } = (await import('kafkajs/src/network/requestQueue/index.js')).default;
  if (!mended.has(prototype)) {
    const schedule = prototype.scheduleCheckPendingRequests;
    prototype.scheduleCheckPendingRequests = function () {
      if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
    };
    prototype.scheduleRequestTimeoutCheck = checkTimeouts;
    mended.add(prototype);
  }
  return kafka;
}

const mended = new WeakSet<object>();

/**
 * Like kafkajs's own function, but with a monotonic clock. If the time of day is set back, the original waits until the
 * clock has caught up.
 */
function checkTimeouts(this: RequestQueue): void {
  if (!this.enforceRequestTimeout) return;
  this.destroy();
  const seen = new WeakMap<object, number>();
  const look = () => {
    const now = performance.now();
    for (const request of this.inflight.values()) {
      const since = seen.get(request) ?? now;
      seen.set(request, since);
      if (now - since > request.requestTimeout) request.timeoutRequest();
    }
    if (!this.isConnected()) this.destroy();
  };
  this.requestTimeoutIntervalId = setInterval(look, Math.min(this.requestTimeout, 100));
}
