import type { Clock } from '../../../core/index.js';
import { onAbort } from '../../../core/index.js';

/** A clock that moves only when everybody who looks at it sleeps: hours pass in seconds, in the same order as in real time. */
export function createVirtualClock(startMs = 0): Clock {
  let now = startMs;
  let order = 0;
  const sleepers: { at: number; order: number; wake: () => void }[] = [];
  let ticking = false;

  /** Wakes the earliest, after all that is going on in this turn of the event loop has gone to sleep again. */
  const tick = () => {
    ticking = false;
    let first = 0;
    for (let i = 1; i < sleepers.length; i++) {
      const [a, b] = [sleepers[i]!, sleepers[first]!];
      if (a.at < b.at || (a.at === b.at && a.order < b.order)) first = i;
    }
    const [sleeper] = sleepers.splice(first, 1);
    if (!sleeper) return;
    now = Math.max(now, sleeper.at);
    sleeper.wake();
    schedule();
  };
  const schedule = () => {
    if (ticking || sleepers.length === 0) return;
    ticking = true;
    setImmediate(tick);
  };

  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const stop = () => {
          sleepers.splice(sleepers.indexOf(sleeper), 1);
          reject(signal?.reason);
        };
        const sleeper = {
          at: now + Math.max(0, ms),
          order: order++,
          wake: () => {
            leave();
            resolve();
          },
        };
        const leave = onAbort(signal, stop);
        sleepers.push(sleeper);
        schedule();
      }),
  };
}

/** The same clock, `speed` times as fast from now on. */
export function createScaledClock(clock: Clock, speed: number): Clock {
  const start = clock.now();
  return {
    now: () => start + (clock.now() - start) * speed,
    monotonic: () => (clock.monotonic?.() ?? clock.now()) * speed,
    sleep: (ms, signal) => clock.sleep(ms / speed, signal),
  };
}
