import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { dictionary } from '../../core/names.js';
import { type Header, mqttHeaders, type OutgoingMessage } from '../message.js';

/**
 * Headers that are not part of a message, because they belong to a connection (RFC 9110, 7.6.1), are set by aiot itself, or identify a
 * client.
 */
const notCarried =
  /^(connection|content-length|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|authorization|cookie|set-cookie|user-agent|accept|accept-.*|sec-.*|webhook-(id|timestamp|signature)|x-hub-signature(-256)?|aiot-(topic|time|key))$/i;

const token = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;

/** A message's headers that HTTP can carry. */
export function outgoingHeaders(headers: readonly Header[] = []): Record<string, string> {
  const out = dictionary<string>();
  for (const [name, value] of headers) {
    const text = typeof value === 'string' ? value : Buffer.from(value).toString('latin1');
    if (!token.test(name) || notCarried.test(name) || name.toLowerCase() === mqttHeaders.contentType)
      continue;
    if (!/^[\x20-\x7e]*$/.test(text)) continue;
    const key = name.toLowerCase();
    out[key] = out[key] === undefined ? text : `${out[key]}, ${text}`;
  }
  return out;
}

/** A message's metadata as headers. Text that HTTP cannot carry is percent-encoded. */
export function ownHeaders({ topic, time, key }: OutgoingMessage): Record<string, string> {
  return {
    ...(topic === '' ? {} : { 'aiot-topic': encodeURI(topic) }),
    ...(time === undefined ? {} : { 'aiot-time': new Date(time).toISOString() }),
    ...(key === undefined ? {} : { 'aiot-key': encodeURIComponent(Buffer.from(key).toString('utf8')) }),
  };
}

/** The headers of a request that are copied to the message. */
export function incomingHeaders({ rawHeaders }: IncomingMessage): Header[] {
  const headers: Header[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase();
    if (!notCarried.test(name)) headers.push([name, rawHeaders[i + 1]!]);
  }
  return headers;
}

/**
 * Maximum age of a signed request, ms, so that a recorded request cannot be replayed later (Standard Webhooks: 5
 * minutes).
 */
const toleranceMs = 5 * 60_000;

type Verdict = { ok: true } | { ok: false; why: string };

/**
 * Headers that sign a body according to Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` (seconds), and
 * `webhook-signature` = `v1,` + base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. A secret `whsec_…` is base64; any other
 * is used as UTF-8 bytes.
 * @param id the same for each attempt to send one message, so that a receiver recognizes the message
 */
export function signatureHeaders(
  secret: string,
  body: Uint8Array,
  id: string = newWebhookId(),
  now = Date.now(),
): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000));
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signed(secret, id, timestamp, body)}`,
  };
}

export function newWebhookId(): string {
  return `msg_${randomUUID().replaceAll('-', '')}`;
}

/**
 * Checks whether one of the signatures was made with the secret: Standard Webhooks, or GitHub's `X-Hub-Signature-256` (`sha256=` + hex
 * over the body alone).
 */
export function checkSignature(
  secret: string,
  header: (name: string) => string | undefined,
  body: Uint8Array,
  now = Date.now(),
): Verdict {
  const hub = header('x-hub-signature-256');
  if (hub !== undefined) {
    const wanted = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
    return equal(hub, wanted) ? { ok: true } : { ok: false, why: 'the signature does not match the body' };
  }
  const id = header('webhook-id');
  const timestamp = header('webhook-timestamp');
  const signatures = header('webhook-signature');
  if (id === undefined || timestamp === undefined || signatures === undefined) {
    return { ok: false, why: 'expected webhook-id, webhook-timestamp and webhook-signature' };
  }
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Number(timestamp) * 1000 - now) > toleranceMs) {
    return { ok: false, why: 'the signature is more than five minutes old, or the clocks differ' };
  }
  const wanted = `v1,${signed(secret, id, timestamp, body)}`;
  // Senders include several signatures while their secret is being replaced.
  const found = signatures.split(' ').some((signature) => equal(signature, wanted));
  return found ? { ok: true } : { ok: false, why: 'the signature does not match the body' };
}

function signed(secret: string, id: string, timestamp: string, body: Uint8Array): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : secret;
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
}

/** Compares two texts in constant time, so that the duration does not reveal how many characters match. */
export function equal(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
