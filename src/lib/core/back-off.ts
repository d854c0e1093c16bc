// Separate from the other time helpers, because the dashboard imports it, and browsers have no `node:timers`.

/** The delay after `failures` consecutive failures: `firstMs`, doubled for each additional failure, up to `mostMs`. */
export function backOffMs(failures: number, firstMs: number, mostMs = Number.POSITIVE_INFINITY): number {
  return Math.min(mostMs, firstMs * 2 ** (failures - 1));
}

/** Reduces a delay randomly by up to a quarter, so that clients that were disconnected together do not reconnect together. */
export function withJitter(ms: number): number {
  return ms * (0.75 + Math.random() / 4);
}

/** Parses Retry-After (RFC 9110, 10.2.3), a number of seconds or a date. @returns the delay from now, ms */
export function retryAfterMs(header: string | string[] | undefined, now = Date.now()): number | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
