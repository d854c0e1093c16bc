import { setTimeout as delay } from 'node:timers/promises';
import { AiotError } from '../../core/index.js';

const firstDelayMs = 100;
const longestDelayMs = 15_000;

/**
 * Waits before the next attempt, twice as long each time, up to 15 s, with a quarter of chance so that those who were cut off together do not
 * come back together. Rejects when the signal is aborted.
 */
export async function backOff(failures: number, signal: AbortSignal): Promise<void> {
  const whole = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(failures, 20));
  await delay(whole * (0.75 + Math.random() / 4), undefined, { signal, ref: true });
}

/** Whether opening may succeed later: a far side that is not there yet, and not a wrong address or password. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof AiotError)) return true;
  return error.retryable || (error.family === 'outside' && error.exit !== 5);
}

/** Failures of a far side that are not a message's own, even where nothing says that they pass. */
const elsewhere = new Set(['AIOT_BROKER_UNREACHABLE', 'AIOT_TIMEOUT', 'AIOT_FILE_NOT_WRITABLE', 'AIOT_BUG']);

/** Whether it is the message that a sink does not take, and will not take later. */
export function isMessagesOwn(error: unknown): boolean {
  return error instanceof AiotError && !error.retryable && !elsewhere.has(error.code);
}

/** One line for states and logs. */
export function reasonOf(error: unknown): string {
  if (error instanceof AiotError) return `${error.code}: ${error.message}`.replaceAll('\n', ' ');
  return error instanceof Error ? error.message : String(error);
}
