import type { Clock } from '../../core/index.js';
import type { SerialLine } from '../port/types.js';
import { type Verdict, watchHealth } from './health.js';

export interface WatchOptions {
  /** How long at most. */
  timeoutMs: number;
  /** What a healthy start says; null = any start without a fault. */
  pattern: RegExp | null;
  clock: Clock;
  signal?: AbortSignal | undefined;
  /** Begins once somebody listens: the reset whose boot text is judged. */
  restart?: () => Promise<unknown>;
}

/** Listens to a board until it shows whether it is well, at most `timeoutMs`. @throws the signal's reason, AIOT_SERIAL_LOST */
export async function watchLine(line: SerialLine, options: WatchOptions): Promise<Verdict> {
  const { timeoutMs, pattern, clock, signal, restart } = options;
  const watch = watchHealth(pattern);
  const decoder = new TextDecoder();
  const over = new AbortController();
  let leave = () => {};
  try {
    const told = new Promise<Verdict>((resolve, reject) => {
      leave = line.listen({
        data: (bytes) => {
          try {
            const verdict = watch.feed(decoder.decode(bytes, { stream: true }));
            if (verdict) resolve(verdict);
          } catch (error) {
            reject(error);
          }
        },
        closed: (error) => {
          if (error) reject(error);
        },
      });
    });
    const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
    const timed = clock.sleep(timeoutMs, stop).then(
      () => watch.end(timeoutMs),
      (reason: unknown) => {
        signal?.throwIfAborted();
        throw reason;
      },
    );
    // Nobody waits for the one that comes second.
    told.catch(() => {});
    timed.catch(() => {});
    await restart?.();
    return await Promise.race([told, timed]);
  } finally {
    over.abort();
    leave();
  }
}
