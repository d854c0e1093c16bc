import type { Clock } from '../../../src/lib/core/time.js';
import type { SampleBatch } from '../../../src/lib/sensor/types.js';
import { parseSensorUrl } from '../../../src/lib/sensor/url.js';

/** A clock that advances only during sleeps. The wall clock can be set; the monotonic time cannot. */
export interface TestClock extends Clock {
  monotonic(): number;
  /** Moves the wall clock forward or back. */
  set(byMs: number): void;
  /** Advances the time outside a sleep, as for a suspended process. */
  pass(ms: number): void;
}

export function testClock(startMs = Date.UTC(2026, 0, 1)): TestClock {
  let steadyMs = 5000;
  let offsetMs = startMs - steadyMs;
  return {
    now: () => steadyMs + offsetMs,
    monotonic: () => steadyMs,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      steadyMs += ms;
    },
    set(byMs) {
      offsetMs += byMs;
    },
    pass(ms) {
      steadyMs += ms;
    },
  };
}

export const url = (text: string) => parseSensorUrl(text);

/** Returns the first batches of a source, until they contain the given number of samples. */
export async function take(source: AsyncIterable<SampleBatch>, samples: number): Promise<SampleBatch[]> {
  const batches: SampleBatch[] = [];
  let count = 0;
  for await (const batch of source) {
    batches.push(batch);
    count += batch.count;
    if (count >= samples) break;
  }
  return batches;
}

export const timesOf = (batches: readonly SampleBatch[]) => batches.flatMap(({ times }) => [...times]);
export const lostOf = (batches: readonly SampleBatch[]) => batches.reduce((sum, { lost }) => sum + lost, 0);
export const countOf = (batches: readonly SampleBatch[]) =>
  batches.reduce((sum, { count }) => sum + count, 0);
