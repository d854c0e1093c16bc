import { isUtf8 } from 'node:buffer';
import type { Msg, MsgHdrs } from 'nats';
import type { Header, Message } from '../message.js';

/** The fields that JetStream encodes in the reply subject of each message it delivers. */
interface DeliveryInfo {
  /** Sequence in the stream. */
  sequence: number;
  /** Number among this consumer's deliveries, from 1. */
  delivery: number;
  /** ms since 1970: when the stream stored it. */
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

/** Suffix of the name of a header whose value NATS cannot carry as text: the value is base64. */
const bytesMark = ';base64';

/** A message's headers, in order; undefined without any. Status lines are not headers. */
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
 * The inverse. NATS's header names are printable ASCII without a colon, and values are one line of UTF-8 (ADR-4). Other characters in a
 * name are percent-encoded. Other values are sent as base64 under a marked name, which `headersFrom` reverses.
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

/** Undefined if it is not one line of UTF-8 without surrounding white space, which clients trim. */
function textOf(value: string | Uint8Array): string | undefined {
  if (typeof value !== 'string' && !isUtf8(value)) return undefined;
  const text = typeof value === 'string' ? value : Buffer.from(value).toString('utf8');
  return /[\r\n]/.test(text) || text !== text.trim() ? undefined : text;
}
