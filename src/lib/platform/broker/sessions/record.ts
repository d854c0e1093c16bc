import { crc32 } from 'node:zlib';
import { z } from 'zod';
import type { BrokerMessage, Qos } from '../wire/packets.js';

const qos = z.union([z.literal(0), z.literal(1), z.literal(2)]);
/** Topic, payload in base64, QoS, retained. */
const message = z.tuple([z.string(), z.base64(), qos, z.boolean()]);

/** A line of the log of sessions. What each does to them is in state.ts. */
export const recordSchema = z.discriminatedUnion('k', [
  /** A session is there; `off`: since when nobody is connected. */
  z.object({ k: z.literal('session'), s: z.string(), off: z.number().nullable() }),
  z.object({ k: z.literal('end'), s: z.string() }),
  z.object({ k: z.literal('sub'), s: z.string(), f: z.array(z.tuple([z.string(), qos])) }),
  z.object({ k: z.literal('unsub'), s: z.string(), f: z.array(z.string()) }),
  /**
   * Message `n` for sessions (key, QoS, packet id), kept as the topic's retained one when `r`, and come
   * with QoS 2 under a packet id of the session `from`.
   */
  z.object({
    k: z.literal('message'),
    n: z.number(),
    m: message,
    to: z.array(z.tuple([z.string(), z.union([z.literal(1), z.literal(2)]), z.number()])),
    r: z.boolean().optional(),
    from: z.tuple([z.string(), z.number()]).optional(),
    /** The client has it, and is to release its id. */
    state: z.literal('released').optional(),
  }),
  /** The session is done with message `n`. */
  z.object({ k: z.literal('done'), s: z.string(), n: z.number() }),
  /** The client of the session has message `n` of QoS 2, and is to release it. */
  z.object({ k: z.literal('received'), s: z.string(), n: z.number() }),
  /** Packet ids of QoS 2 that the session has seen, and one that was released. */
  z.object({ k: z.literal('seen'), s: z.string(), id: z.array(z.number()) }),
  z.object({ k: z.literal('release'), s: z.string(), id: z.number() }),
  /** The will of a client that is connected; null = it will not be needed. */
  z.object({ k: z.literal('will'), s: z.string(), who: z.string().optional(), m: message.nullable() }),
]);
export type LogRecord = z.infer<typeof recordSchema>;
export type LoggedMessage = z.infer<typeof message>;

export function logged({ topic, payload, qos, retain }: BrokerMessage): LoggedMessage {
  return [topic, payload.toString('base64'), qos, retain];
}

export function unlogged([topic, payload, qos, retain]: LoggedMessage): BrokerMessage {
  return { topic, payload: Buffer.from(payload, 'base64'), qos: qos as Qos, retain };
}

/** A record as a line without its newline: JSON, whose last member is the CRC-32 of what it is without it. */
export function lineOf(record: LogRecord): string {
  const json = JSON.stringify(record);
  return `${json.slice(0, -1)},"c":"${sumOf(json)}"}`;
}

/** The record of a line; null when it is damaged. Lines of earlier versions have no checksum. */
export function recordOf(line: string): LogRecord | null {
  const [end = '', sum] = /,"c":"([0-9a-f]{8})"\}$/.exec(line) ?? [];
  const json = sum === undefined ? line : `${line.slice(0, -end.length)}}`;
  if (sum !== undefined && sumOf(json) !== sum) return null;
  try {
    return recordSchema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

function sumOf(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}
