import { isUtf8 } from 'node:buffer';
import type { Msg, MsgHdrs } from 'nats';
import type { Header, Message } from '../message.js';

/** What JetStream writes into the reply subject of each message that it delivers. */
interface DeliveryInfo {
  /** In the stream. */
  sequence: number;
  /** Number among this consumer's deliveries, from 1. */
  delivery: number;
  /** ms since 1970: when the stream took it. */
  time: number;
}

/**
 * `$JS.ACK.STREAM.CONSUMER.TRIES.SEQUENCE.DELIVERY.NANOSECONDS.PENDING`, or with DOMAIN.ACCOUNT after ACK and a random part at
 * the end (ADR-15 of NATS).
 */
export function deliveryInfo(reply: string): DeliveryInfo {
  const tokens = reply.split('.');
  const at = tokens.length > 9 ? 7 : 5;
  return {
    sequence: Number(tokens[at]),
    delivery: Number(tokens[at + 1]),
    time: Math.floor(Number(tokens[at + 2]) / 1e6),
  };
}

export function messageOf({ subject, data, headers }: Msg, info: DeliveryInfo, source: string): Message {
  const found = headersFrom(headers);
  const message: Message = {
    topic: subject,
    payload: data,
    time: info.time,
    position: String(info.sequence),
    source,
  };
  if (found) message.headers = found;
  return message;
}

/** Ends the name of a header whose value is not text as NATS can carry it: it stands there in base64. */
const bytesMark = ';base64';

/** A message's headers, in their order; undefined where there are none. Status lines are no headers. */
export function headersFrom(found: MsgHdrs | undefined): Header[] | undefined {
  if (!found) return undefined;
  const headers: Header[] = [];
  for (const [name, values] of found) {
    const bytes = name.endsWith(bytesMark);
    for (const value of values) {
      headers.push(bytes ? [name.slice(0, -bytesMark.length), Buffer.from(value, 'base64')] : [name, value]);
    }
  }
  return headers.length > 0 ? headers : undefined;
}

/**
 * The inverse. NATS's names are printable ASCII without a colon, and its values one line of UTF-8 (ADR-4): other characters in a
 * name are percent-encoded, other values go as base64 under a marked name, which `headersFrom` undoes.
 */
export function headersTo(given: readonly Header[], make: () => MsgHdrs): MsgHdrs {
  const headers = make();
  for (const [name, value] of given) {
    const key = nameOf(name);
    const text = textOf(value);
    if (text === undefined) headers.append(`${key}${bytesMark}`, Buffer.from(value).toString('base64'));
    else headers.append(key, text);
  }
  return headers;
}

function nameOf(name: string): string {
  if (name === '') return '%';
  return name.replace(/[^!-9;-~]/gu, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

/** Undefined where it is not one line of UTF-8 that keeps its ends: clients trim what is around a value. */
function textOf(value: string | Uint8Array): string | undefined {
  if (typeof value !== 'string' && !isUtf8(value)) return undefined;
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('utf8');
  return /[\r\n]/.test(text) || text !== text.trim() ? undefined : text;
}
