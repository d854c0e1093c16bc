import type { Clock } from '../../core/index.js';
import { onAbort } from '../../core/index.js';
import { sleepLong } from './limit.js';
import type { LoopResult } from './result.js';

/** Longest wait at the end for a sensor that does not let go, ms. */
const lettingGoMs = 2000;

/**
 * Waits for the end of the samples, the end of the time, or the word to stop. The latter two close the sensor, and what it had given
 * is answered still.
 * @param limitMs null = none
 * @throws what `engine` throws while nobody has stopped it
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

/** Waits for it, but no longer; how it ended is nobody's business any more. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), enough]).finally(() => clearTimeout(timer));
}
