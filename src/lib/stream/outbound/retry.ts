import { setTimeout as delay } from 'node:timers/promises';
import { type AiotError, hasCode } from '../../core/index.js';

/** One attempt: what it gave, or why not and how long the far side asked us to wait, ms. */
export type Attempt<T> = { value: T } | { error: AiotError; retryAfterMs?: number };

const attempts = 5;
const firstDelayMs = 200;
/** A far side that asks for more gets it from the route, which tries again for as long as it takes. */
const longestDelayMs = 60_000;

/**
 * Tries up to five times within some seconds, twice as long apart each time and a quarter of it by chance, so that those who were
 * cut off together do not come back together. What is not retryable is not tried again.
 * @throws the error of the last attempt
 */
export async function withRetries<T>(
  attempt: () => Promise<Attempt<T>>,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    const result = await attempt();
    if ('value' in result) return result.value;
    // Who is not let in is not let in a second later either.
    const hopeless = !result.error.retryable || hasCode(result.error, 'AIOT_BROKER_REFUSED');
    if (hopeless || failures >= attempts || signal?.aborted) throw result.error;
    const own = firstDelayMs * 2 ** (failures - 1) * (0.75 + Math.random() / 4);
    const wanted = Math.min(longestDelayMs, Math.max(own, result.retryAfterMs ?? 0));
    await delay(wanted, undefined, signal ? { signal } : {}).catch(() => {
      throw result.error;
    });
  }
}

/** Retry-After (RFC 9110, 10.2.3): seconds, or a date. @returns ms from now */
export function retryAfterMs(header: string | string[] | undefined, now = Date.now()): number | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
