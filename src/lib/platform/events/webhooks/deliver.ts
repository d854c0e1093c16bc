import { isIP } from 'node:net';
import type { Agent } from 'undici';
import { AiotError, httpAgent, systemCode, timeLimit } from '../../../core/index.js';
import { retryAfterMs, signatureHeaders } from '../../../stream/index.js';
import { checkTarget, lookupFor, type Resolve } from './target.js';

export interface Delivery {
  url: string;
  /** One, or two while a secret is changed: each signs. */
  secrets: readonly string[];
  allowPrivate: boolean;
  /** The same for each attempt. */
  id: string;
  body: string;
  /** ms since 1970 */
  now: number;
  signal: AbortSignal;
  resolve?: Resolve;
}

export interface Outcome {
  delivered: boolean;
  status: number | null;
  ms: number;
  error: string | null;
  /** What the target asked for, ms. */
  waitMs?: number | undefined;
  /** It says that it will never be there again (410). */
  gone?: boolean;
}

const connectMs = 5000;
/** For the whole of it, ms. */
const totalMs = 20_000;
/** Of an answer nothing is needed but its status; more than that is not taken, bytes. */
const mostAnswer = 64 * 1024;

/** One POST, signed. Redirects are not followed, and no proxy is asked. Never throws. */
export async function deliver(delivery: Delivery): Promise<Outcome> {
  const { url, allowPrivate, body, signal, resolve } = delivery;
  const started = performance.now();
  const outcome = (status: number | null, error: string | null): Outcome => ({
    ...{ status, error, delivered: error === null },
    ms: Math.round(performance.now() - started),
  });
  const { request } = await import('undici');
  let agent: Agent | undefined;
  try {
    const target = checkTarget(url, allowPrivate);
    const lookup =
      isIP(target.hostname.replace(/^\[|\]$/g, '')) === 0 ? { lookup: lookupFor(allowPrivate, resolve) } : {};
    agent = await httpAgent({
      connect: { timeout: connectMs, ...lookup },
      pipelining: 0,
      maxHeaderSize: 16 * 1024,
    });
    const answer = await request(target, {
      ...{ method: 'POST', body, dispatcher: agent },
      headers: headersOf(delivery),
      signal: timeLimit(totalMs, signal),
      ...{ headersTimeout: totalMs, bodyTimeout: totalMs },
    });
    let bytes = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > mostAnswer) break;
    }
    const { statusCode } = answer;
    if (statusCode >= 200 && statusCode < 300) return outcome(statusCode, null);
    const told = { ...outcome(statusCode, `it answered ${statusCode}`), gone: statusCode === 410 };
    return { ...told, waitMs: retryAfterMs(answer.headers['retry-after'], delivery.now) };
  } catch (error) {
    return outcome(null, reasonOf(error));
  } finally {
    await agent?.destroy().catch(() => {});
  }
}

/** Both secrets sign, one signature each, separated by a space (Standard Webhooks, "Signature scheme"). */
function headersOf({ secrets, body, id, now }: Delivery): Record<string, string> {
  const signed = secrets.map((secret) => signatureHeaders(secret, Buffer.from(body), id, now));
  const signatures = signed.map((headers) => headers['webhook-signature']).join(' ');
  return {
    ...signed[0],
    'webhook-signature': signatures,
    'content-type': 'application/json',
    'user-agent': 'aiot-webhooks',
  };
}

function reasonOf(error: unknown): string {
  if (error instanceof AiotError) return error.message;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof AiotError) return cause.message;
  if (error instanceof Error && error.name === 'TimeoutError') return 'it took too long';
  return `no answer (${systemCode(cause) ?? systemCode(error) ?? 'unknown error'})`;
}
