import type { Msg } from 'nats';
import type { Message } from '../message.js';
import { headersFrom } from './headers.js';

/** What JetStream writes into the reply subject of each message that it delivers. */
export interface DeliveryInfo {
  /** In the stream. */
  sequence: number;
  /** Of this consumer's deliveries, from 1. */
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
