import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { AiotError, issueText } from '../../core/index.js';
import type { Message } from '../message.js';

/** A message as one line of JSON: what `stream tail --json` prints and what NDJSON files hold. */
export const messageLineSchema = z.object({
  topic: z.string(),
  /** ms since 1970 */
  time: z.number(),
  /** The value, when the payload is JSON; its text, when it is UTF-8; otherwise its bytes, see `encoding`. */
  payload: z.unknown(),
  encoding: z.enum(['json', 'utf8', 'base64']),
  qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).optional(),
  retain: z.boolean().optional(),
});
export type MessageLine = z.output<typeof messageLineSchema>;

export function toLine(message: Message): MessageLine {
  const { topic, time, qos, retain } = message;
  return {
    topic,
    time,
    ...decoded(message.payload),
    ...(qos === undefined ? {} : { qos }),
    ...(retain ? { retain } : {}),
  };
}

function decoded(payload: Uint8Array): Pick<MessageLine, 'payload' | 'encoding'> {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (!isUtf8(bytes)) return { payload: bytes.toString('base64'), encoding: 'base64' };
  const text = bytes.toString('utf8');
  try {
    return { payload: JSON.parse(text), encoding: 'json' };
  } catch {
    return { payload: text, encoding: 'utf8' };
  }
}

/** The inverse. `encoding` may be left out: a string is then text. */
const inputSchema = messageLineSchema
  .extend({ time: z.number(), encoding: messageLineSchema.shape.encoding })
  .partial({ time: true, encoding: true });

/** @throws AIOT_FILE_MALFORMED naming the line and what was expected */
export function fromLine(line: string, where: string, number: number): Message {
  const refuse = (reason: string, cause?: unknown) =>
    new AiotError('AIOT_FILE_MALFORMED', `${where}:${number}: ${reason}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw refuse('expected one JSON object a line', error);
  }
  const parsed = inputSchema.safeParse(value);
  if (!parsed.success) throw refuse(issueText(parsed.error, 'line'));
  const { topic, time, payload, encoding, qos, retain } = parsed.data;
  const text = typeof payload === 'string' && encoding !== 'json' ? payload : JSON.stringify(payload ?? null);
  return {
    topic,
    time: time ?? Date.now(),
    payload: Buffer.from(text, encoding === 'base64' ? 'base64' : 'utf8'),
    source: where,
    ...(qos === undefined ? {} : { qos }),
    ...(retain === undefined ? {} : { retain }),
  };
}
