import type { Msg, MsgHdrs } from 'nats';
import { headerValue, marked, markedName, unmarked } from '../headers.js';
import type { Header, Message } from '../message.js';

/** The fields that JetStream encodes in the reply subject of each message it delivers. */
interface DeliveryInfo {
  /** Sequence number in the stream. */
  sequence: number;
  /** Number of the delivery to this consumer, starting at 1. */
  delivery: number;
  /** Time at which the stream stored the message, ms since 1970. */
  time: number;
}

/**
 * Parses a reply subject: `$JS.ACK.STREAM.CONSUMER.TRIES.SEQUENCE.DELIVERY.NANOSECONDS.PENDING`, or with DOMAIN.ACCOUNT after ACK and a
 * random part at the end (ADR-15 of NATS).
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

/** A message's headers, in order; undefined if there are none. Status lines are not headers. */
export function headersFrom(found: MsgHdrs | undefined): Header[] | undefined {
  if (!found) return undefined;
  const headers: Header[] = [];
  for (const [wireName, texts] of found) {
    const [name, values] = unmarked([decodedName(wireName), texts], isOneLine);
    for (const value of values) headers.push([name, value]);
  }
  return headers.length > 0 ? headers : undefined;
}

/**
 * The inverse of `headersFrom`. NATS header names are printable ASCII without a colon, and values are one line of UTF-8 (ADR-4). Other
 * characters in a name are percent-encoded, and other values are sent as base64 under a marked name.
 */
export function headersTo(given: readonly Header[], make: () => MsgHdrs): MsgHdrs {
  const groups = new Map<string, Header[1][]>();
  for (const [name, value] of given) {
    const group = groups.get(name);
    if (group) group.push(value);
    else groups.set(name, [value]);
  }
  const headers = make();
  for (const group of groups) {
    // A name that already ends with the mark could be confused with the marked form of the name without it, so it is marked too.
    const [own] = group;
    const original = markedName(own);
    const [name, texts] = marked(group, isOneLine, original !== own && groups.has(original));
    for (const text of texts) headers.append(encodedName(name), text);
  }
  return headers;
}

/**
 * Encodes a header name. `%` is encoded only where it would otherwise be decoded, so that names from other clients stay
 * unchanged.
 */
function encodedName(name: string): string {
  if (name === '') return '%';
  const encoded = percentEncoded(name);
  return decodedName(encoded) === name ? encoded : percentEncoded(name, /[^!-$&-9;-~]/gu);
}

/** The inverse of `encodedName`. A name that was not encoded is returned unchanged. */
function decodedName(name: string): string {
  if (name === '%') return '';
  if (!name.includes('%')) return name;
  const decoded = percentDecoded(name);
  if (decoded === name) return name;
  const ambiguous = decoded === '%' || percentDecoded(decoded) !== decoded;
  const encoded = ambiguous ? percentEncoded(decoded, /[^!-$&-9;-~]/gu) : percentEncoded(decoded);
  return encoded === name ? decoded : name;
}

function percentEncoded(name: string, characters = /[^!-9;-~]/gu): string {
  return name.replace(characters, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

function percentDecoded(name: string): string {
  return name.replace(/(?:%[0-9A-F]{2})+/g, (run) => {
    const value = headerValue(Buffer.from(run.replaceAll('%', ''), 'hex'));
    return typeof value === 'string' ? value : run;
  });
}

/** Whether NATS carries the text: one line without surrounding white space, which clients trim. */
function isOneLine(text: string): boolean {
  return !/[\r\n]/.test(text) && text === text.trim();
}
