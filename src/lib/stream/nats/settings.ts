import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { queryDuration } from '../file/settings.js';
import { positionFrom, type StreamOptions } from '../message.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';

/** Settings in the query of a `nats:` URL; `stream` (NATS's name) and `jetstream` (the flag's name) are the same setting. */
const settings = {
  stream: z.string().min(1).optional(),
  /**
   * Name of the stream that must store published messages; `true` = any stream must store them, `false` = no stream has
   * to store them.
   */
  jetstream: z.string().min(1).optional(),
  durable: z.string().min(1).optional(),
  group: z.string().min(1).optional(),
  /** Start position: `beginning`, `latest`, a sequence number or a time. */
  from: z.string().optional(),
  /** `end`: reading ends at the stream's current end. */
  until: z.literal('end').optional(),
  /** Name in the server's certificate, if it differs from the host name. */
  servername: z.string().min(1).optional(),
  /** Maximum number of unacknowledged messages. */
  window: queryCount.optional(),
  /** Time after which a new consumer redelivers an unacknowledged message. */
  ackWait: queryDuration.optional(),
  /** TLS before the server's greeting (`handshake_first`). */
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
  /** ms */
  ackWait: number | undefined;
  tlsFirst: boolean;
  /**
   * For a sink. True: reject messages that no stream stores. False: never request an acknowledgment. Undefined: request
   * an acknowledgment if a stream stores the subject.
   */
  kept: boolean | undefined;
}

/** Names of streams and consumers: no dots, wildcards, white space or slashes (ADR-6 of NATS). */
const namePattern = /^[^\s.*>/\\]{1,255}$/;

/** URL and options combined; the URL takes precedence. @throws AIOT_STREAM_URL */
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
    ackWait: query.ackWait,
    tlsFirst: query.tlsFirst ?? false,
    kept,
  };
  for (const what of ['stream', 'durable'] as const) {
    const name = found[what];
    if (name === undefined || namePattern.test(name)) continue;
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected a ${what} name without dots, wildcards, slashes or spaces, got "${name}"`,
    );
  }
  return found;
}

/**
 * A subject consists of tokens between dots; `*` matches one token, and `>`, at the end, matches one or more (NATS
 * docs, Subject-Based Messaging).
 * @returns the subject, or `>` for an empty one
 * @throws AIOT_STREAM_URL
 */
export function checkFilter(subject: string, endpoint: string): string {
  if (subject === '') return '>';
  const tokens = subject.split('.');
  const last = tokens.length - 1;
  const good = tokens.every(
    (token, index) => token !== '' && !/\s/.test(token) && (token !== '>' || index === last),
  );
  // NATS would treat MQTT's wildcards as ordinary characters, and nothing would ever match.
  const foreign = /(^|\/)[#+](\/|$)/.test(subject);
  if (good && !foreign) return subject;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a subject such as sensors.*.temperature or sensors.>, got "${subject}"`,
    foreign ? { next: 'NATS uses a.*.c and a.> where MQTT uses a/+/c and a/#.' } : {},
  );
}

/** Checks a subject for publishing, which has no wildcards. @throws AIOT_STREAM_URL */
export function checkSubject(subject: string, endpoint: string): string {
  if (/^[^\s.]+(\.[^\s.]+)*$/.test(subject) && !/(^|\.)[*>](\.|$)/.test(subject)) return subject;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${endpoint}: expected a subject without wildcards, spaces or empty parts, got "${subject}"`,
  );
}

/** Whether a filter matches a subject. */
export function matches(filter: string, subject: string): boolean {
  const wanted = filter.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return tokens.length > index;
    if (tokens[index] === undefined || (token !== '*' && token !== tokens[index])) return false;
  }
  return tokens.length === wanted.length;
}
