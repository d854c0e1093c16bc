import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';

/** How old a signed request may be: what is recorded by somebody cannot be sent again later. ms (Standard Webhooks: 5 minutes). */
const toleranceMs = 5 * 60_000;

export type Verdict = { ok: true } | { ok: false; why: string };

/**
 * Headers that sign a body as Standard Webhooks 1.0 says: `webhook-id`, `webhook-timestamp` (seconds), and `webhook-signature` =
 * `v1,` + base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. A secret `whsec_…` is base64; any other is taken as its UTF-8 bytes.
 * @param id the same for each attempt to send one message, so that a receiver can tell them
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
 * Whether one of the signatures is of somebody who has the secret: Standard Webhooks, or GitHub's `X-Hub-Signature-256`
 * (`sha256=` + hex over the body alone).
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
    return equal(hub, wanted) ? { ok: true } : { ok: false, why: 'the signature is not of this body' };
  }
  const id = header('webhook-id');
  const timestamp = header('webhook-timestamp');
  const signatures = header('webhook-signature');
  if (id === undefined || timestamp === undefined || signatures === undefined) {
    return { ok: false, why: 'expected webhook-id, webhook-timestamp and webhook-signature' };
  }
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Number(timestamp) * 1000 - now) > toleranceMs) {
    return { ok: false, why: 'it was signed more than five minutes ago, or the clocks differ' };
  }
  const wanted = `v1,${signed(secret, id, timestamp, body)}`;
  // Several are given while a secret is changed for another.
  const found = signatures.split(' ').some((signature) => equal(signature, wanted));
  return found ? { ok: true } : { ok: false, why: 'the signature is not of this body' };
}

function signed(secret: string, id: string, timestamp: string, body: Uint8Array): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : secret;
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
}

/** In a time that does not tell how much of it was right. */
export function equal(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
