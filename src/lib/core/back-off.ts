// Separate from the other time helpers, because the dashboard imports it, and browsers have no `node:timers`.

/** The delay after `failures` consecutive failures: `firstMs`, doubled for each additional failure, up to `mostMs`. */
export function backOffMs(failures: number, firstMs: number, mostMs = Number.POSITIVE_INFINITY): number {
  return Math.min(mostMs, firstMs * 2 ** (failures - 1));
}

/** Reduces a delay randomly by up to a quarter, so that clients that were disconnected together do not reconnect together. */
export function withJitter(ms: number): number {
  return ms * (0.75 + Math.random() / 4);
}
