import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { type DeviceChannel, parseTopic } from '../../device/protocol/codec.js';
import type { Delivery, Message, Source } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { Engines, IngestEngine } from '../options.js';
import type { StoreMessage } from '../traces.js';
import { soleLeader, startWorkers } from '../workers.js';
import type { BrokerFigures } from './metrics.js';
import { storeMessage } from './router.js';

/** How a platform receives its devices' messages from other servers. */
export interface IngestPlan {
  engine: IngestEngine;
  /** The external broker; null = devices connect to the embedded one. */
  broker: ExternalPlan | null;
  /** The log that all replicas read together; null = the leader reads everything. */
  shared: SharedLog | null;
}

/** How the platform uses an external broker. */
export interface ExternalPlan {
  /** The broker's MQTT address, with credentials, and without topic and settings. */
  mqtt: string;
  /** Messages that one replica, the leader, reads in the order of their arrival, through a session that outlives the replica. */
  led: { filter: string; clientId: string };
  /** A client id whose session at the broker is to be ended, because another engine used it; null = none. */
  ended: string | null;
}

interface SharedLog {
  /** Address for `openSource`, with credentials. Each message goes to one replica. */
  url: string;
  /** The message's MQTT topic; null = the message has none, and can never be stored. */
  topicOf: (message: Message) => string | null;
  /** As in `openSource`. */
  readyTimeoutMs?: number;
}

/**
 * The replicas that store a channel's messages. `any`: in any order, because each message has a number or an id of its own. Reports must be
 * processed in order, so the leader reads them. Brokers retain reports, so a new leader receives each device's last report again. `none`:
 * the messages are not stored; each replica follows the presence of devices itself.
 */
const storedBy: Record<DeviceChannel, 'any' | 'leader' | 'none'> = {
  ...{ telemetry: 'any', inference: 'any', reply: 'any', log: 'any', crash: 'any' },
  ...{ reported: 'leader', presence: 'none', desired: 'none', command: 'none', settings: 'none' },
};

/**
 * Plans the ingest for the addresses of the broker and of the log. The default suits the broker's address.
 * @param platform the platform's id, the same for all replicas
 * @returns null if devices connect to the embedded broker, and there is no log
 * @throws AIOT_USAGE if the addresses do not fit, AIOT_STREAM_URL
 */
export function planIngest({ broker, ingest }: Engines, platform: string): IngestPlan | null {
  if (broker === undefined && ingest === undefined) return null;
  const scheme = broker === undefined ? 'none' : parseStreamUrl(broker).scheme;
  const usual = scheme.startsWith('nats') ? 'jetstream' : 'mqtt';
  const kafka = ingest !== undefined && /^kafkas?:/i.test(ingest);
  if (!kafka && (broker === undefined || (ingest ?? usual) !== usual)) throw unfit(ingest ?? usual, scheme);
  const shared = kafka
    ? kafkaLog(ingest, platform)
    : usual === 'jetstream'
      ? jetstreamLog(broker as string, platform)
      : null;
  return {
    engine: kafka ? 'kafka' : usual,
    broker:
      broker === undefined ? null : externalPlan(broker, usual === 'jetstream', shared !== null, platform),
    shared,
  };
}

function externalPlan(broker: string, nats: boolean, shared: boolean, platform: string): ExternalPlan {
  const all = `aiot-platform-${platform}`;
  return {
    mqtt: nats ? mqttOf(broker) : broker.replace(/\/*(\?.*)?$/, ''),
    led: shared
      ? { filter: 'aiot/v1/+/reported', clientId: `aiot-reports-${platform}` }
      : // With `$share`, messages assigned to a process would stay in its session when the process ends.
        { filter: 'aiot/v1/#', clientId: all },
    ended: shared ? all : null,
  };
}

function unfit(ingest: string, scheme: string): AiotError {
  const expected =
    ingest === 'jetstream'
      ? '--broker nats://HOST:PORT'
      : ingest === 'mqtt'
        ? '--broker mqtt(s)://HOST:PORT'
        : 'mqtt, jetstream or kafka://HOST:PORT/TOPIC';
  const got = scheme === 'none' ? 'no --broker' : `a broker with ${scheme}:`;
  // Only an address's scheme is repeated, because the address may contain a password.
  return new AiotError('AIOT_USAGE', `--ingest ${ingest.split(':')[0]}: expected ${expected}, got ${got}`);
}

/** Settings of a Kafka address that the platform sets itself: all replicas read all partitions, in one group. */
const ownSettings = ['group', 'from', 'until', 'partition'];

/**
 * A Kafka topic that a bridge or gateways write to, read by all replicas as one consumer group. Each record's key is its
 * MQTT topic, so the messages of a device's stream are in one partition.
 * @throws AIOT_STREAM_URL
 */
function kafkaLog(url: string, platform: string): SharedLog {
  const { endpoint, path, query } = parseStreamUrl(url);
  if (path === '' || path.includes(',')) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `--ingest ${endpoint}: expected one topic, such as ${endpoint}/aiot`,
    );
  }
  const found = ownSettings.find((name) => name in query);
  if (found !== undefined) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `--ingest ${endpoint}/${path}: expected no setting "${found}", because the platform sets it`,
    );
  }
  // A broker would create a missing topic with its default number of partitions, perhaps one, which only one replica can read.
  const own = `${'create' in query ? '' : 'create=false&'}group=aiot-ingest-${platform}&from=beginning`;
  return {
    url: `${url}${url.includes('?') ? '&' : '?'}${own}`,
    // A new Kafka creates its topic of offsets for the first group, which can take longer than a connection on a busy machine.
    readyTimeoutMs: 60_000,
    topicOf: ({ key }) => (key === undefined ? null : Buffer.from(key).toString('utf8')),
  };
}

/** Parts of a NATS address as written, so that escapes in credentials stay as they are. */
const natsAddress = /^(natss?):\/\/(?:([^/?]*)@)?([^/?]*)[^?]*(?:\?(.*))?$/i;

/**
 * The address of a NATS server's MQTT listener: on the first host, at the usual port, unless the setting `mqtt` names
 * a port or an address.
 * @throws AIOT_STREAM_URL
 */
function mqttOf(broker: string): string {
  const [, scheme = '', credentials, hosts = ''] = natsAddress.exec(broker) ?? [];
  const { endpoint, query } = parseStreamUrl(broker);
  const secure = scheme.toLowerCase() === 'natss';
  const { mqtt = secure ? '8883' : '1883' } = query;
  if (/^(mqtts?|wss?):\/\/[^/?]+$/.test(mqtt)) return mqtt;
  if (!/^\d{1,5}$/.test(mqtt) || Number(mqtt) < 1 || Number(mqtt) > 65_535) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${endpoint}: mqtt: expected a port such as 1883 or an address such as mqtts://HOST:8883`,
    );
  }
  const host = (hosts.split(',')[0] ?? '').replace(/:\d+$/, '');
  return `${secure ? 'mqtts' : 'mqtt'}://${credentials === undefined ? '' : `${credentials}@`}${host}:${mqtt}`;
}

/** The stream in which a NATS server stores MQTT messages of QoS 1 and 2 before it acknowledges them, and the prefix of its subjects. */
const [natsStream, natsPrefix] = ['$MQTT_msgs', '$MQTT.msgs.'];

/**
 * After this time without a sign of life, a replica's messages go to the others. Messages that a running replica
 * holds for longer are not delivered again, because the replica reports progress.
 */
const ackWait = '10s';

function jetstreamLog(broker: string, platform: string): SharedLog {
  const [, scheme = '', credentials, hosts = '', settings = ''] = natsAddress.exec(broker) ?? [];
  const kept = settings.split('&').filter((setting) => setting !== '' && !setting.startsWith('mqtt='));
  const own = [`stream=${natsStream}`, `durable=aiot-ingest-${platform}`, `ackWait=${ackWait}`];
  const at = `${scheme}://${credentials === undefined ? '' : `${credentials}@`}${hosts}`;
  return {
    url: `${at}/${natsPrefix}aiot.v1.>?${[...kept, ...own].join('&')}`,
    topicOf: ({ topic }) => topicOfSubject(topic),
  };
}

/**
 * The MQTT topic of a subject in NATS's stream of MQTT messages. NATS replaces `/` by `.`, `.` by `//`, and marks empty
 * levels with a `/` (NATS docs, MQTT, "MQTT Topics and NATS Subjects").
 */
export function topicOfSubject(subject: string): string {
  const own = subject.startsWith(natsPrefix) ? subject.slice(natsPrefix.length) : subject;
  return own.replace(/\/\/|\/\.|\.|\/$/g, (found) => (found === '//' ? '.' : found === '/' ? '' : '/'));
}

/** A replica's share of the devices' messages. */
export interface SharedIngest {
  /** Reason why messages do not arrive now; null = they arrive. */
  trouble(): string | null;
  /** Number of messages that no replica has stored yet; null = unknown, because the log does not answer. */
  backlog(): Promise<number | null>;
  /** Stops reading. Messages that are not stored by then go to the other replicas. */
  close(): Promise<void>;
}

interface SharingParts {
  /** As in `storeMessage`. */
  ingest: StoreMessage;
  figures: BrokerFigures;
  log: Logger;
}

/** Delay before storing a message is retried, ms, and the number of attempts before the message goes to another replica. */
const [againMs, mostAttempts] = [1000, 5];

/** Maximum number of messages that one replica stores at a time. */
const mostInFlight = 8192;

/** Maximum number of messages that all replicas of a new consumer store at a time. */
const mostTogether = 20_000;

/** How long the log may take to report its backlog, ms. Less than the interval of any scraper. */
const backlogMs = 2000;

/** How long storing may take when the replica stops, ms. */
const drainMs = 5000;

/**
 * Reads a log together with the other replicas, and acknowledges each message once it is stored. A replica that is
 * killed in between causes a redelivery, which the telemetry recognizes by the message's number.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_TOPIC_NOT_FOUND
 */
export async function startSharedIngest(
  { url, topicOf, readyTimeoutMs }: SharedLog,
  parts: SharingParts,
): Promise<SharedIngest> {
  const { endpoint } = parseStreamUrl(url);
  let connected = true;
  const open = async () => {
    const source = await openSource(url, {
      ...{
        overflow: 'wait',
        queue: mostTogether,
        ...(readyTimeoutMs === undefined ? {} : { readyTimeoutMs }),
      },
      onState: (state) => {
        connected = state === 'connected';
      },
    });
    connected = true;
    return source;
  };
  // The consumer exists before the platform is ready, so that the broker retains all messages sent from then on.
  let first: Source | undefined = await open();
  let current: Source | undefined = first;
  const run = async (signal: AbortSignal) => {
    const source = first ?? (await open());
    first = undefined;
    current = source;
    try {
      await readShared(source, { ...parts, topicOf, signal });
      if (!signal.aborted) throw new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint} ended the delivery`);
    } finally {
      connected = false;
      current = undefined;
      await source.close();
    }
  };
  const backlog = async () => {
    const asked = current?.backlog?.().catch(() => null) ?? null;
    return Promise.race([asked, delay(backlogMs, null, { ref: false })]);
  };
  const end = startWorkers([{ name: 'ingest', run }], soleLeader(), parts.log, 'ingest');
  return { trouble: () => (connected ? null : `${endpoint} is unreachable: messages`), backlog, close: end };
}

async function readShared(
  source: Source,
  parts: SharingParts & Pick<SharedLog, 'topicOf'> & { signal: AbortSignal },
): Promise<void> {
  const { figures, topicOf, signal, log } = parts;
  const failed = oncePerOutage(log);
  const foreign = (topic: string | null) => {
    figures.malformed++;
    if (figures.malformed === 1 || figures.malformed % 10_000 === 0)
      log.warn({ topic, count: figures.malformed }, 'skipped a message without a topic of protocol v1');
  };
  let inFlight = 0;
  const waiting = new Set<() => void>();
  const untilBelow = (limit: number) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (inFlight >= limit) return;
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  const store = async (topic: string, { message, ack, nack }: Delivery) => {
    const { buffer, byteOffset, length } = message.payload;
    for (let attempt = 1; attempt <= mostAttempts && !signal.aborted; attempt++) {
      const stored = await storeMessage(
        { ...parts, failed },
        'broker',
        topic,
        Buffer.from(buffer, byteOffset, length),
        message.headers ?? [],
      ).then(
        () => true,
        () => false,
      );
      if (stored) return ack();
      await delay(againMs, undefined, { signal }).catch(() => {});
    }
    nack();
  };
  const leave = onAbort(signal, () => {
    void Promise.race([untilBelow(1), delay(drainMs, undefined, { ref: false })]).then(() => source.close());
  });
  try {
    for await (const batch of source) {
      for (const delivery of batch) {
        const topic = topicOf(delivery.message);
        const channel = topic === null ? undefined : parseTopic(topic)?.channel;
        if (topic === null || channel === undefined || storedBy[channel] !== 'any') {
          if (channel === undefined) foreign(topic);
          delivery.ack();
          continue;
        }
        figures.received++;
        inFlight++;
        void store(topic, delivery).finally(() => {
          inFlight--;
          for (const look of waiting) look();
        });
        if (inFlight >= mostInFlight) await untilBelow(mostInFlight);
      }
    }
  } finally {
    leave();
  }
}

/** Minimum interval between log lines about messages that could not be stored, ms. An outage affects thousands of messages. */
const quietMs = 10_000;

function oncePerOutage(log: Logger): (error: unknown, topic: string) => void {
  let last = -quietMs;
  return (err, topic) => {
    const now = performance.now();
    if (now - last > quietMs) log.error({ err, topic }, 'could not store messages; retrying');
    last = now;
  };
}
