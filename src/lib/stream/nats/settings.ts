import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { positionFrom, type StreamOptions } from '../message.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';

/** What the query of a `nats:` URL may say; `stream` and `jetstream` are one setting, by NATS's name and by its flag's. */
const settings = {
  stream: z.string().min(1).optional(),
  /** A stream's name, or `true` and `false`: whether what is written has to be kept by one, whichever. */
  jetstream: z.string().min(1).optional(),
  durable: z.string().min(1).optional(),
  group: z.string().min(1).optional(),
  /** `beginning`, `latest`, a sequence or a time. */
  from: z.string().optional(),
  /** Ends at what is the stream's end now. */
  until: z.literal('end').optional(),
  /** Name in the server's certificate, where it is not the host's. */
  servername: z.string().min(1).optional(),
  /** Most messages that are out to us without an acknowledgement. */
  window: queryCount.optional(),
  /** TLS before the server says hello (`handshake_first`). */
  tlsFirst: queryBoolean.optional(),
};

export interface NatsSettings {
  subject: string;
  stream: string | undefined;
  durable: string | undefined;
  group: string | undefined;
  from: StreamOptions['from'];
  untilEnd: boolean;
  servername: string | undefined;
  window: number | undefined;
  tlsFirst: boolean;
  /** Sink: true = refuse what no stream keeps; false = never ask for an acknowledgement; absent = as the server's streams are. */
  kept: boolean | undefined;
}

/** Names of streams and consumers: no dots, wildcards, white space or slashes (ADR-6 of NATS). */
const namePattern = /^[^\s.*>/\\]{1,255}$/;

/** URL and options as one; the URL wins. @throws AIOT_STREAM_URL */
export function natsSettings(url: StreamUrl, options: StreamOptions): NatsSettings {
  const query = readQuery(url, settings);
  const flag = query.jetstream;
  const kept = flag === 'true' ? true : flag === 'false' ? false : undefined;
  const named = kept === undefined ? flag : undefined;
  const found: NatsSettings = {
    subject: url.path,
    stream: query.stream ?? named ?? (kept === false ? undefined : options.stream),
    durable: query.durable ?? options.durable,
    group: query.group ?? options.group,
    from:
      query.from === undefined
        ? (options.from ?? (query.until ? 'beginning' : undefined))
        : positionFrom(query.from),
    untilEnd: query.until === 'end',
    servername: query.servername,
    window: query.window,
    tlsFirst: query.tlsFirst ?? false,
    kept,
  };
  for (const what of ['stream', 'durable'] as const) {
    const name = found[what];
    if (name === undefined || namePattern.test(name)) continue;
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected a ${what}'s name without dots, wildcards, slashes and spaces, got "${name}"`,
    );
  }
  return found;
}

/**
 * A subject is tokens between dots; `*` stands for one, and `>`, at the end, for one or more (NATS docs, Subject-Based Messaging).
 * @returns it, or `>` for an empty one @throws AIOT_STREAM_URL
 */
export function checkFilter(subject: string, endpoint: string): string {
  if (subject === '') return '>';
  const tokens = subject.split('.');
  const last = tokens.length - 1;
  const good = tokens.every(
    (token, index) => token !== '' && !/\s/.test(token) && (token !== '>' || index === last),
  );
  // NATS would take MQTT's wildcards for letters, and nothing would ever come.
  const foreign = /(^|\/)[#+](\/|$)/.test(subject);
  if (good && !foreign) return subject;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a subject such as sensors.*.temperature or sensors.>, got "${subject}"`,
    foreign ? { next: 'NATS writes a.*.c and a.> where MQTT has a/+/c and a/#.' } : {},
  );
}

/** A subject to publish to: the same without wildcards. @throws AIOT_STREAM_URL */
export function checkSubject(subject: string, endpoint: string): string {
  if (/^[^\s.]+(\.[^\s.]+)*$/.test(subject) && !/(^|\.)[*>](\.|$)/.test(subject)) return subject;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a subject without wildcards, spaces and empty parts, got "${subject}"`,
  );
}

/** Whether a subject is one of those that a filter stands for. */
export function matches(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (tokens[index] === undefined || (token !== '*' && token !== tokens[index])) return false;
  }
  return tokens.length === wanted.length;
}
