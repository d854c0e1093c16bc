import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { Clock } from '../../core/time.js';
import type { LoopResult } from './result.js';

/** Maximum wait for a sensor that does not close at the end, ms. */
const lettingGoMs = 2000;

/**
 * Waits for the end of the samples, the time limit, or the stop signal. The time limit and the signal close the sensor; samples that it had
 * already returned are still processed.
 * @param limitMs ms; null = none
 * @throws the errors of `engine` before it was stopped
 */
export async function untilEnd(
  engine: Promise<void>,
  close: () => Promise<void>,
  { limitMs, clock, signal }: { limitMs: number | null; clock: Clock; signal: AbortSignal | undefined },
): Promise<LoopResult['ended']> {
  const over = new AbortController();
  const ways: Promise<LoopResult['ended']>[] = [engine.then(() => 'sensor')];
  if (limitMs !== null) ways.push(sleepLong(clock, limitMs, over.signal).then(() => 'time'));
  let leave = () => {};
  ways.push(
    new Promise((resolve) => {
      leave = onAbort(signal, () => resolve('stopped'));
    }),
  );
  try {
    const ended = await Promise.race(ways);
    if (ended !== 'sensor')
      await within(
        lettingGoMs,
        close().then(() => engine),
      );
    return ended;
  } finally {
    leave();
    over.abort();
  }
}

/** Waits for `work` for at most `ms`; ignores its result and its error. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), enough]).finally(() => clearTimeout(timer));
}

const dayMs = 86_400_000;

/**
 * Parses `--until`: a time of day (`17:30`, `17:30:10`, on this machine; its next occurrence), or an ISO 8601 date with a time.
 * @returns ms since 1970
 * @throws AIOT_USAGE
 */
export function untilTime(text: string, now: number): number {
  const [matched, hours, minutes, seconds = '0'] =
    /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(text.trim()) ?? [];
  if (matched) {
    const day = new Date(now);
    day.setHours(Number(hours), Number(minutes), Number(seconds), 0);
    if (day.getTime() <= now) day.setTime(day.getTime() + dayMs);
    return day.getTime();
  }
  const at = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw new AiotError(
      'AIOT_USAGE',
      `--until: expected a time such as 17:30 or 2026-01-31T17:30, got "${text}"`,
    );
  }
  if (at <= now) throw new AiotError('AIOT_USAGE', `--until: ${text} is in the past`);
  return at;
}

/** Maximum duration of a timer, ms. A longer one would fire at once. */
const longestMs = 2 ** 31 - 1;

/** Resolves after `ms`, even if that exceeds the limit of timers. Also resolves when aborted; never rejects. */
export async function sleepLong(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  for (let left = ms; left > 0 && !signal.aborted; left -= longestMs) {
    await clock.sleep(Math.min(left, longestMs), signal).catch(() => undefined);
  }
}

/** Time until the loop ends, ms from now; null = without a limit. @throws AIOT_USAGE */
export function limitOf(
  options: { forMs?: number | undefined; until?: string | undefined },
  now: number,
): number | null {
  const { forMs, until } = options;
  if (forMs !== undefined && until !== undefined)
    throw new AiotError('AIOT_USAGE', '--for and --until cannot be combined');
  if (until !== undefined) return untilTime(until, now) - now;
  if (forMs === undefined) return null;
  if (forMs <= 0) throw new AiotError('AIOT_USAGE', '--for: expected more than 0');
  return forMs;
}
