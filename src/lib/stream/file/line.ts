import { isUtf8 } from 'node:buffer';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import type { Header, Message } from '../message.js';

const textEncoding = z.enum(['utf8', 'base64']);

/** A message as one line of JSON, as printed by `stream tail --json` and stored in NDJSON files. */
export const messageLineSchema = z.object({
  topic: z.string(),
  /** Time of the message, ms since 1970. */
  time: z.number(),
  /** The value if the payload is JSON; its text if it is UTF-8; otherwise its bytes (see `encoding`). */
  payload: z.unknown(),
  encoding: z.enum(['json', 'utf8', 'base64']),
  /** Key of a Kafka record: text, unless `keyEncoding` is given. */
  key: z.string().optional(),
  keyEncoding: textEncoding.optional(),
  /** [name, value], or [name, value, "base64"]; names may repeat. */
  headers: z
    .array(z.union([z.tuple([z.string(), z.string()]), z.tuple([z.string(), z.string(), textEncoding])]))
    .optional(),
  /** A Kafka record without a value, which deletes its key. */
  tombstone: z.literal(true).optional(),
  qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).optional(),
  retain: z.boolean().optional(),
});

type MessageLine = z.output<typeof messageLineSchema>;

/** @param exact whether the payload must be restorable byte for byte, so that JSON that we would format differently stays text */
export function toLine(message: Message, { exact = false } = {}): MessageLine {
  const { topic, time, key, headers, tombstone, qos, retain } = message;
  return {
    topic,
    time,
    ...decoded(message.payload, exact),
    ...(key === undefined ? {} : keyOf(key)),
    ...(headers === undefined || headers.length === 0 ? {} : { headers: headers.map(headerOf) }),
    ...(tombstone ? { tombstone } : {}),
    ...(qos === undefined ? {} : { qos }),
    ...(retain ? { retain } : {}),
  };
}

function decoded(payload: Uint8Array, exact: boolean): Pick<MessageLine, 'payload' | 'encoding'> {
  const { text, encoding } = textOf(payload);
  if (encoding === 'base64') return { payload: text, encoding };
  try {
    const value: unknown = JSON.parse(text);
    if (!exact || JSON.stringify(value) === text) return { payload: value, encoding: 'json' };
  } catch {
    // Not JSON: the payload is stored as text.
  }
  return { payload: text, encoding: 'utf8' };
}

function textOf(data: Uint8Array): { text: string; encoding: 'utf8' | 'base64' } {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  return isUtf8(bytes)
    ? { text: bytes.toString('utf8'), encoding: 'utf8' }
    : { text: bytes.toString('base64'), encoding: 'base64' };
}

function keyOf(key: Uint8Array): Pick<MessageLine, 'key' | 'keyEncoding'> {
  const { text, encoding } = textOf(key);
  return { key: text, ...(encoding === 'base64' ? { keyEncoding: encoding } : {}) };
}

function headerOf([name, value]: Header): NonNullable<MessageLine['headers']>[number] {
  if (typeof value === 'string') return [name, value];
  const { text, encoding } = textOf(value);
  return encoding === 'utf8' ? [name, text] : [name, text, encoding];
}

/**
 * Schema for reading a line. Unlike in `messageLineSchema`, `time` and `encoding` are optional; without `encoding`, a
 * string is text.
 */
const inputSchema = messageLineSchema
  .extend({ time: z.number(), encoding: messageLineSchema.shape.encoding })
  .partial({ time: true, encoding: true });

/** @param next replaces the error's usual next step @throws AIOT_FILE_MALFORMED naming the line and the expected content */
export function fromLine(line: string, where: string, number: number, next?: string): Message {
  const refuse = (reason: string, cause?: unknown) =>
    new AiotError('AIOT_FILE_MALFORMED', `${where.replace(/:$/, '')}:${number}: ${reason}`, {
      cause,
      ...(next === undefined ? {} : { next }),
    });
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw refuse('expected one JSON object per line', error);
  }
  const parsed = inputSchema.safeParse(value);
  if (!parsed.success) throw refuse(issueText(parsed.error, 'line', value));
  const { topic, time, payload, encoding, key, keyEncoding = 'utf8', headers, ...rest } = parsed.data;
  const text = typeof payload === 'string' && encoding !== 'json' ? payload : JSON.stringify(payload ?? null);
  return {
    topic,
    time: time ?? Date.now(),
    payload: Buffer.from(text, encoding === 'base64' ? 'base64' : 'utf8'),
    source: where,
    ...(key === undefined ? {} : { key: Buffer.from(key, keyEncoding) }),
    ...(headers === undefined ? {} : { headers: headers.map(headerFrom) }),
    ...(rest.tombstone === undefined ? {} : { tombstone: rest.tombstone }),
    ...(rest.qos === undefined ? {} : { qos: rest.qos }),
    ...(rest.retain === undefined ? {} : { retain: rest.retain }),
  };
}

function headerFrom([name, value, encoding]: NonNullable<MessageLine['headers']>[number]): Header {
  return [name, encoding === 'base64' ? Buffer.from(value, 'base64') : value];
}
