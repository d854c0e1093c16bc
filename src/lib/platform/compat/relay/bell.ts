import { setTimeout as delay } from 'node:timers/promises';

/** Wakes who waits for work; rung while nobody waits, it is heard by the next. */
export function createBell() {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring(): void {
      rung = true;
      wake?.();
    },
    /** Resolves when it was rung, after `mostMs`, or when the signal ends. */
    async wait(signal: AbortSignal, mostMs = 5000): Promise<void> {
      if (!rung && !signal.aborted) {
        const over = new AbortController();
        const timer = delay(mostMs, undefined, { signal: AbortSignal.any([signal, over.signal]) }).catch(
          () => {},
        );
        await Promise.race([timer, new Promise<void>((resolve) => (wake = resolve))]);
        over.abort();
        wake = undefined;
      }
      rung = false;
    },
  };
}
export type Bell = ReturnType<typeof createBell>;
