import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { inParallel } from '../../src/lib/core/tasks.js';

describe('parallel work', () => {
  it.each([1, 2, 5, 9])(
    'returns results in the order of the items, with at most %i at a time',
    async (jobs) => {
      let now = 0;
      let most = 0;
      const done = await inParallel([5, 1, 4, 2, 3], jobs, async (turns, index) => {
        most = Math.max(most, ++now);
        for (let i = 0; i < turns; i++) await setImmediate();
        now--;
        return `${index}:${turns}`;
      });
      expect(done).toEqual(['0:5', '1:1', '2:4', '3:2', '4:3']);
      expect(most).toBe(Math.min(jobs, 5));
    },
  );

  it('does nothing for an empty list', async () => {
    expect(await inParallel([], 4, async () => 1)).toEqual([]);
  });

  it('starts no more tasks after a failure, and waits for running ones', async () => {
    const told: string[] = [];
    const failed = inParallel([1, 2, 3, 4], 2, async (item) => {
      told.push(`begin ${item}`);
      if (item === 1) throw new Error('one');
      for (let i = 0; i < 5; i++) await setImmediate();
      told.push(`end ${item}`);
    });
    await expect(failed).rejects.toThrow('one');
    expect(told).toEqual(['begin 1', 'begin 2', 'end 2']);
  });

  it('starts no more tasks after an abort', async () => {
    const stop = new AbortController();
    const work = async (item: number) => {
      if (item === 2) stop.abort();
      return item;
    };
    expect(await inParallel([1, 2, 3, 4], 1, work, stop.signal)).toEqual([1, 2]);
  });
});
