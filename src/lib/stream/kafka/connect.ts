import { isIP, connect as netConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import type { KafkaConfig, logCreator } from 'kafkajs';
import type { RequestQueue } from 'kafkajs/src/network/requestQueue/index.js';
import { untilAborted } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
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

/** Delay after the first response that Kafka is not ready, ms. It doubles up to the longest delay. */
const [firstPauseMs, longestPauseMs] = [200, 2000];

/**
 * Retries while Kafka reports a temporary state, up to `readyTimeoutMs`. The group coordinator of a new cluster is such a state: the first
 * request creates the topic of offsets, and is rejected until its partitions have leaders and are loaded.
 * @throws as kafkaError, or the reason of `signal`
 */
export async function patiently<T>(
  settings: Pick<KafkaSettings, 'readyTimeoutMs' | 'signal'>,
  endpoint: string,
  work: () => Promise<T>,
  clock: Clock = systemClock,
): Promise<T> {
  const now = () => clock.monotonic?.() ?? clock.now();
  const started = now();
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      return await work();
    } catch (error) {
      settings.signal?.throwIfAborted();
      const late = now() - started >= settings.readyTimeoutMs;
      if (late || !isRetriableAnswer(error)) throw kafkaError(error, endpoint);
    }
    await clock.sleep(pauseMs, settings.signal);
  }
}

/**
 * kafkajs with two bugs fixed. After every response, the original sets a timer with a negative delay, which makes
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
