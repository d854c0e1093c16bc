import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Delivery, Source } from '../../src/lib/stream/message.js';
import { mergeByTime } from '../../src/lib/stream/tail/merge.js';

/** Delivers batches of messages with these times, each after a pause. */
function source(name: string, batches: { after: number; times: number[] }[], end = true): Source {
  let closed = () => {};
  const close = new Promise<void>((resolve) => {
    closed = resolve;
  });
  return {
    endpoint: name,
    dropped: 1,
    async *[Symbol.asyncIterator]() {
      for (const { after, times } of batches) {
        await sleep(after);
        yield times.map((time): Delivery => {
          const message = { topic: name, time, payload: new Uint8Array(), source: name };
          return { message, ack: () => {}, nack: () => {} };
        });
      }
      if (!end) await close;
    },
    close: async () => closed(),
  };
}

async function times(merged: Source, count = Number.POSITIVE_INFINITY): Promise<number[]> {
  const found: number[] = [];
  for await (const batch of merged) {
    for (const { message } of batch) found.push(message.time);
    if (found.length >= count) await merged.close();
  }
  return found;
}

describe('several sources merged by time', () => {
  it('are ordered by time, even if one is late', async () => {
    const merged = mergeByTime([
      source('a', [
        { after: 0, times: [1, 4, 5] },
        { after: 0, times: [9] },
      ]),
      source('b', [
        { after: 80, times: [2, 3] },
        { after: 10, times: [6, 8] },
      ]),
      source('c', [{ after: 20, times: [7] }]),
    ]);
    expect(await times(merged)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(merged.dropped).toBe(3);
    expect(merged.endpoint).toBe('a, b, c');
  });

  it('do not wait for an idle source', async () => {
    const started = performance.now();
    const merged = mergeByTime([
      source(
        'busy',
        [1, 2, 3].map((time) => ({ after: 20, times: [time] })),
      ),
      source('quiet', [], false),
    ]);
    expect(await times(merged, 3)).toEqual([1, 2, 3]);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('fail with the error of any source', async () => {
    const broken: Source = {
      ...source('broken', []),
      // biome-ignore lint/correctness/useYield: it fails before it has anything to yield
      async *[Symbol.asyncIterator]() {
        await sleep(300);
        throw new Error('torn');
      },
    };
    await expect(
      times(mergeByTime([source('a', [{ after: 0, times: [1] }], false), broken])),
    ).rejects.toThrow('torn');
  });
});
