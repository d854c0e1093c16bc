import { describe, expect, it } from 'vitest';
import { sendOn, untilDone } from '../../src/lib/platform/events/outbox.js';
import { Lifecycle, PartTable } from '../../src/lib/platform/lifecycle.js';

/** A log of pages, and a cursor in it. */
function logOf(pages: readonly number[][], from: number | null = null) {
  const saved: number[] = [];
  return {
    saved,
    cursor: { read: async () => from, save: async (position: number) => void saved.push(position) },
    async *source(after: number | null) {
      for (const page of pages) yield page.filter((id) => id > (after ?? 0));
    },
  };
}

describe('a relayed log', () => {
  const signal = new AbortController().signal;

  it('starts after its cursor, keeps the order, and saves its position', async () => {
    const { saved, ...log } = logOf([[1, 2, 3], [4]], 2);
    const sent: number[] = [];
    await sendOn(
      {
        ...log,
        saveEveryMs: 60_000,
        async deliver(page, arrived) {
          sent.push(...page);
          for (const id of page) arrived(id);
          return true;
        },
      },
      signal,
    );
    expect([sent, saved]).toEqual([[3, 4], [4]]);
  });

  it('does not advance its cursor past an abandoned or failed message', async () => {
    for (const refuse of [() => false, () => Promise.reject(new Error('away'))]) {
      const { saved, ...log } = logOf([[1, 2, 3]]);
      const done = sendOn(
        {
          ...log,
          saveEveryMs: 60_000,
          async deliver([first = 0], arrived) {
            arrived(first);
            return refuse();
          },
        },
        signal,
      );
      await done.catch((error: Error) => expect(error.message).toBe('away'));
      expect(saved).toEqual([1]);
    }
  });
});

describe('a task retried until it succeeds', () => {
  it('runs again after each failure, and restarts its backoff on request', async () => {
    const failures: unknown[] = [];
    let runs = 0;
    const task = async () => {
      if (++runs < 4) throw new Error(`${runs}`);
    };
    const pauses = { firstPauseMs: 1, longestPauseMs: 60_000 };
    await untilDone(task, new AbortController().signal, pauses, (error) => failures.push(error) > 0);
    expect([runs, failures.length]).toEqual([4, 3]);
  });

  it('ends on abort, even during a pause, and reports no failure after it', async () => {
    const ending = new AbortController();
    const failures: unknown[] = [];
    const pauses = { firstPauseMs: 3_600_000, longestPauseMs: 3_600_000 };
    const task = () => Promise.reject(new Error('away'));
    await untilDone(task, ending.signal, pauses, (error) => {
      failures.push(error);
      setImmediate(() => ending.abort());
      return false;
    });
    await untilDone(task, ending.signal, pauses, (error) => failures.push(error) > 0);
    expect(failures).toHaveLength(1);
  });
});

it('parts start in order, each with access to earlier ones, and end in reverse, even if a later one fails to start', async () => {
  const said: string[] = [];
  const end = (name: string) => void said.push(`-${name}`);
  const table = new PartTable<{ base: number }>()
    .part('one', ({ base }) => `+${base}`, end)
    .part('two', async ({ one, base }) => `${one}+${base}`, end);
  const whole = new Lifecycle();
  const parts = await table.start({ base: 1 }, whole);
  expect(parts).toEqual({ one: '+1', two: '+1+1' });
  await whole.end();
  expect(said).toEqual(['-+1+1', '-+1']);

  const half = new Lifecycle();
  const failing = table.part('three', ({ two }) => Promise.reject(new Error(two)), end);
  await expect(failing.start({ base: 2 }, half)).rejects.toThrow('+2+2');
  await half.end();
  expect(said.slice(2)).toEqual(['-+2+2', '-+2']);
});
