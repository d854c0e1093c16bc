import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { parseDuration } from '../../core/time.js';
import type { StreamOptions } from '../message.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';
import { compressions } from './wire/codecs.js';

const sasl = z.enum(['plain', 'scram-sha-256', 'scram-sha-512']);

/** Settings after the `?` of a Kafka URL; see docs/reference/stream-addresses.md. */
const shape = {
  acks: z
    .enum(['all', '1', '0'])
    .transform((text) => (text === 'all' ? -1 : (Number(text) as 0 | 1)))
    .optional(),
  clientId: z.string().min(1).optional(),
  compression: z.enum(compressions).optional(),
  create: queryBoolean.optional(),
  from: z.string().optional(),
  group: z.string().min(1).optional(),
  idempotent: queryBoolean.optional(),
  partition: queryCount.optional(),
  sasl: sasl.optional(),
  session: z.string().optional(),
  timeout: z.string().optional(),
  until: z.enum(['end']).optional(),
};

export interface KafkaSettings extends Omit<StreamOptions, 'from'> {
  /** Addresses of brokers, each `HOST:PORT`. */
  brokers: string[];
  tls: boolean;
  clientId: string;
  connectTimeoutMs: number;
  readyTimeoutMs: number;
  from: NonNullable<StreamOptions['from']> | undefined;
  acks: -1 | 0 | 1;
  compression: (typeof compressions)[number];
  idempotent: boolean;
  /** Whether a request for a missing topic may create it, if the broker creates topics automatically. */
  create: boolean | undefined;
  /** The only partition to read or write; absent = all. */
  partition: number | undefined;
  /** How long to retry a write, ms. */
  timeoutMs: number;
  /** Silence after which the broker considers a group member dead, ms. */
  sessionMs: number;
}

/** @throws AIOT_STREAM_URL, AIOT_USAGE for invalid values */
export function kafkaSettings(url: StreamUrl, options: StreamOptions): KafkaSettings {
  const { timeout, session, from, ...query } = readQuery(url, shape);
  return {
    ...options,
    username: url.username ?? options.username,
    password: url.password ?? options.password,
    brokers: brokersOf(url),
    tls: url.scheme === 'kafkas',
    clientId: query.clientId ?? options.clientId ?? 'aiot',
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    readyTimeoutMs: options.readyTimeoutMs ?? options.connectTimeoutMs ?? 10_000,
    group: query.group ?? options.group,
    from: from === undefined ? options.from : startFrom(from, url.endpoint),
    sasl: query.sasl ?? options.sasl,
    acks: query.acks ?? -1,
    compression: query.compression ?? 'none',
    idempotent: (query.idempotent ?? true) && (query.acks ?? -1) === -1,
    create: query.create,
    partition: query.partition,
    until: query.until ?? options.until,
    timeoutMs: timeout === undefined ? 30_000 : parseDuration(timeout),
    sessionMs: session === undefined ? 10_000 : parseDuration(session),
  };
}

function brokersOf(url: StreamUrl): string[] {
  const hosts = url.host === '' ? [] : url.host.split(',');
  return (hosts.length > 0 ? hosts : ['']).map((host) => {
    const [, name, port = '9092'] = /^([^\s:/[\]]+)(?::(\d{1,5}))?$/.exec(host) ?? [];
    if (name === undefined || Number(port) < 1 || Number(port) > 65_535) {
      throw new AiotError(
        'AIOT_STREAM_URL',
        `${url.endpoint}: expected HOST or HOST:PORT (separate several with commas) after ${url.scheme}://, with a port of 1 to 65535`,
      );
    }
    return `${name}:${port}`;
  });
}

/** Start position of a reader: `beginning`, `latest`, an offset, or an age. */
function startFrom(text: string, endpoint: string): NonNullable<StreamOptions['from']> {
  if (text === 'beginning' || text === 'latest') return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return { time: Date.now() - parseDuration(text) };
  const time = Date.parse(text);
  if (!Number.isNaN(time)) return { time };
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: from: expected beginning, latest, an offset, a duration such as 10m or a time, got ${text}`,
  );
}

/** The topics named in a URL, separated by commas. @throws AIOT_STREAM_URL */
export function topicsOf(url: StreamUrl): string[] {
  const topics = url.path.split(',').filter((topic) => topic !== '');
  if (topics.length === 0) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected a topic, such as ${url.endpoint}/readings`,
    );
  }
  for (const topic of topics) checkTopic(topic, url.endpoint);
  return topics;
}

/** Kafka's rule for names (Topic.validate): 1 to 249 of these characters, and neither `.` nor `..`. @throws AIOT_STREAM_URL */
export function checkTopic(topic: string, endpoint: string): void {
  if (/^[a-zA-Z0-9._-]{1,249}$/.test(topic) && topic !== '.' && topic !== '..') return;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a topic of letters, digits, ".", "_" and "-" (at most 249), got "${topic.slice(0, 260)}"`,
  );
}
