import { expect, it } from 'vitest';
import type { Clock } from '../../src/lib/core/time.js';
import { cronTrigger, driftTrigger, everyTrigger, rowsTrigger } from '../../src/lib/pipeline/watch/timers.js';
import {
  type Outcome,
  type Trigger,
  type WatchEvent,
  watchTriggers,
} from '../../src/lib/pipeline/watch/watch.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** A clock whose time advances when nothing else is left to do. */
function virtualClock(start = Date.UTC(2026, 10, 20)): Clock & { runTo(end: number): Promise<void> } {
  let now = start;
  let sleepers: { at: number; wake: () => void }[] = [];
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((wake, fail) => {
        if (signal?.aborted) return fail(signal.reason);
        const ended = () => {
          sleepers = sleepers.filter((each) => each !== sleeper);
          fail(signal?.reason);
        };
        const sleeper = {
          at: now + ms,
          wake: () => {
            signal?.removeEventListener('abort', ended);
            wake();
          },
        };
        sleepers.push(sleeper);
        signal?.addEventListener('abort', ended);
      }),
    async runTo(end) {
      for (;;) {
        // Lets everything that was woken continue to its next sleep.
        for (let i = 0; i < 20; i++) await Promise.resolve();
        await new Promise((resolve) => setImmediate(resolve));
        const next = sleepers.sort((a, b) => a.at - b.at)[0];
        if (!next || next.at > end) break;
        sleepers.shift();
        now = Math.max(now, next.at);
        next.wake();
      }
      now = end;
    },
  };
}

const done: Outcome = { run: 'run_1', state: 'done', reason: null, model: null };

/**
 * Watches until `end` in virtual time. @param run a function that returns the duration and the outcome of
 * each run
 */
async function watched(
  end: number,
  clock: ReturnType<typeof virtualClock>,
  triggers: Trigger[],
  run: (n: number) => { ms: number; outcome?: Outcome },
): Promise<WatchEvent[]> {
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  let runs = 0;
  let most = 0;
  let now = 0;
  const watching = watchTriggers({
    triggers,
    clock,
    signal: stop.signal,
    onEvent: (event) => void events.push(event),
    run: async (_cause, signal) => {
      const { ms, outcome = done } = run(runs++);
      most = Math.max(most, ++now);
      await clock.sleep(ms, signal).catch(() => {});
      now--;
      return outcome;
    },
  });
  await clock.runTo(end);
  stop.abort();
  await watching;
  expect(most).toBe(1);
  return events;
}

const starts = (events: WatchEvent[]) => events.filter(({ event }) => event === 'started');

it('pipeline watch runs once for each interval, for days', async () => {
  const clock = virtualClock();
  const from = clock.now();
  const events = await watched(from + 7 * dayMs, clock, [everyTrigger(hourMs, 'every 1h', clock)], () => ({
    ms: 60_000,
  }));
  expect(starts(events)).toHaveLength(7 * 24);
  expect(starts(events)[0]).toMatchObject({ at: from + hourMs, cause: { kind: 'every', text: 'every 1h' } });
});

it('pipeline watch runs exactly once more for all triggers during a run', async () => {
  const clock = virtualClock();
  const from = clock.now();
  // A run takes ten hours, and is requested every hour.
  const events = await watched(from + 25 * hourMs, clock, [everyTrigger(hourMs, 'every 1h', clock)], () => ({
    ms: 10 * hourMs,
  }));
  expect(starts(events).map(({ at }) => (at - from) / hourMs)).toEqual([1, 11, 21]);
  expect(events.filter((each) => each.event === 'triggered' && !each.coalesced)).toHaveLength(4);
});

it('pipeline watch waits longer after each failure until a run succeeds', async () => {
  const clock = virtualClock();
  const from = clock.now();
  const failed: Outcome = { ...done, state: 'failed', reason: 'no' };
  const asked: Trigger = {
    kind: 'webhook',
    watch: (given, signal) => {
      given('once');
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
    },
  };
  const events = await watched(from + dayMs, clock, [asked], (n) => ({
    ms: 1000,
    outcome: n < 3 ? failed : done,
  }));
  const waits = events.flatMap((each) => (each.event === 'waits' ? [(each.untilAt - each.at) / 1000] : []));
  expect(waits).toEqual([30, 60, 120]);
  // A single request is retried until a run succeeds, and not after that.
  expect(starts(events)).toHaveLength(4);
});

it('pipeline watch waits for the next trigger after a failed gate', async () => {
  const clock = virtualClock();
  const stopped: Outcome = { ...done, state: 'stopped', reason: 'macro-F1' };
  const events = await watched(
    clock.now() + 5 * hourMs,
    clock,
    [everyTrigger(2 * hourMs, 'every 2h', clock)],
    () => ({
      ms: 1000,
      outcome: stopped,
    }),
  );
  expect(starts(events)).toHaveLength(2);
  expect(events.some(({ event }) => event === 'waits')).toBe(false);
});

it('pipeline watch runs at the times of a cron pattern', async () => {
  const clock = virtualClock();
  const from = clock.now();
  // Equivalent to 3 o'clock every day.
  const next = (after: number) => Math.floor((after - 3 * hourMs) / dayMs + 1) * dayMs + 3 * hourMs;
  const events = await watched(from + 3 * dayMs, clock, [cronTrigger('cron 0 3 * * *', next, clock)], () => ({
    ms: 1000,
  }));
  expect(starts(events).map(({ at }) => new Date(at).toISOString())).toEqual([
    '2026-11-20T03:00:00.000Z',
    '2026-11-21T03:00:00.000Z',
    '2026-11-22T03:00:00.000Z',
  ]);
});

it('pipeline watch runs after a number of new rows, counted from the start of the last run', async () => {
  const clock = virtualClock();
  const from = clock.now();
  let kept = 0;
  const rows = {
    // There are ten new rows per minute.
    count: async () => Math.floor((clock.now() - from) / 6000),
    done: async () => kept,
    setDone: async (count: number) => {
      kept = count;
    },
  };
  const trigger = rowsTrigger(600, rows, clock, () => {});
  const events = await watched(from + 5 * hourMs + 60_000, clock, [trigger], () => ({ ms: 60_000 }));
  expect(starts(events)).toHaveLength(5);
  expect(starts(events)[0]).toMatchObject({ cause: { kind: 'rows', text: '600 new rows' } });
});

it('pipeline watch runs when the data has drifted, and reports a failing probe', async () => {
  const clock = virtualClock();
  const told: string[] = [];
  const psi = [0.1, null, 0.4];
  const probe = async () => {
    if (psi.length === 0) throw new Error('no data');
    return psi.shift()!;
  };
  const trigger = driftTrigger(
    { above: 0.25, everyMs: hourMs },
    probe,
    clock,
    (text) => void told.push(text),
  );
  const events = await watched(clock.now() + 4.5 * hourMs, clock, [trigger], () => ({ ms: 1000 }));
  expect(starts(events)).toMatchObject([
    { cause: { kind: 'drift', text: 'drift: a PSI of 0.400, above 0.25' } },
  ]);
  expect(told).toEqual(['no data']);
});
