import { type Clock, plural } from '../../core/index.js';
import { messageOf, type Trigger } from './watch.js';

/** How often rows are counted, ms. */
const countEveryMs = 10_000;

/** Fires each time that so much time has gone by. */
export function everyTrigger(everyMs: number, text: string, clock: Clock): Trigger {
  return {
    kind: 'every',
    async watch(fire, signal) {
      while (await slept(clock, everyMs, signal)) fire(text);
    },
  };
}

/** Fires at the times of a cron pattern. @param next the time after this one, ms since 1970; null = never again */
export function cronTrigger(text: string, next: (after: number) => number | null, clock: Clock): Trigger {
  return {
    kind: 'cron',
    async watch(fire, signal) {
      for (let at = next(clock.now()); at !== null; at = next(Math.max(at, clock.now()))) {
        // In pieces: a clock that is set, or a machine that slept, moves the time it is due.
        while (clock.now() < at) {
          if (!(await slept(clock, Math.min(60_000, at - clock.now()), signal))) return;
        }
        fire(text);
      }
    },
  };
}

/** Where it is kept up to which count of rows all is done, and how many there are. */
export interface RowCount {
  count(): Promise<number>;
  done(): Promise<number>;
  setDone(rows: number): Promise<void>;
}

/** Fires when there are so many more rows than when the last run that ended well began. */
export function rowsTrigger(
  most: number,
  rows: RowCount,
  clock: Clock,
  trouble: (text: string) => void,
): Trigger {
  /** How many there were when it fired last: a run is asked for once for each. */
  let fired = 0;
  return {
    kind: 'rows',
    async watch(fire, signal) {
      do {
        try {
          const seen = await rows.count();
          const done = await rows.done();
          const fresh = seen - Math.max(done, fired);
          // Rows that were taken away begin the count anew.
          if (fresh < 0) {
            fired = seen;
            if (seen < done) await rows.setDone(seen);
          } else if (fresh >= most) {
            fired = seen;
            fire(`${plural(fresh, 'new row')}`);
          }
        } catch (error) {
          trouble(messageOf(error));
        }
      } while (await slept(clock, countEveryMs, signal));
    },
    async succeeded() {
      if (fired > 0) await rows.setDone(fired);
    },
  };
}

/** Fires when the data has drifted by more than a limit. @param probe the largest PSI of a feature; null = nothing to compare with */
export function driftTrigger(
  { above, everyMs }: { above: number; everyMs: number },
  probe: (signal: AbortSignal) => Promise<number | null>,
  clock: Clock,
  trouble: (text: string) => void,
): Trigger {
  return {
    kind: 'drift',
    async watch(fire, signal) {
      while (await slept(clock, everyMs, signal)) {
        try {
          const psi = await probe(signal);
          if (psi !== null && psi > above) fire(`drift: a PSI of ${psi.toFixed(3)}, above ${above}`);
        } catch (error) {
          if (!signal.aborted) trouble(messageOf(error));
        }
      }
    },
  };
}

/** False when the signal ended it. */
async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false;
  await clock.sleep(ms, signal).catch(() => {});
  return !signal.aborted;
}
