import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { runLoop } from '../../src/lib/loop/run/run.js';
import type { SampleBatch } from '../../src/lib/sensor/types.js';
import { fakeKeeper, fakeLoop, fakeOutputs, livelySamples, loaded } from '../support/loop.js';

const long = process.env.AIOT_LONG === '1';
/** Number of hours of samples at 100 Hz: a week with AIOT_LONG=1, otherwise one hour. */
const hours = long ? 7 * 24 : 1;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
/** Returns the live memory of this process in MB. */
function live(): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1e6;
}

it(`a loop uses no more memory after ${hours} h at 100 Hz than after the first tenth, despite gaps and swaps`, {
  timeout: long ? 3_600_000 : 90_000,
}, async () => {
  const part = Float64Array.from(livelySamples(1000).flat());
  const batches = hours * 360;
  const seen: number[] = [];
  const keeper = fakeKeeper(loaded(10), loaded(10));
  const [one, two] = [loaded(10), loaded(9)];
  async function* week(): AsyncGenerator<SampleBatch> {
    for (let i = 0; i < batches; i++) {
      const start = 1_700_000_000_000 + i * 10_000;
      const times = Float64Array.from({ length: 1000 }, (_, k) => start + k * 10);
      if (i % 60 === 30) keeper.model = i % 120 === 30 ? two : one;
      if (i % Math.ceil(batches / 10) === 0) seen.push(live());
      yield { values: part.slice(), times, count: 1000, lost: i % 50 === 49 ? 3 : 0 };
    }
  }
  const loop = fakeLoop(week(), keeper);
  // The usual fake outputs would store every prediction.
  const outputs = { ...fakeOutputs(), put: () => {} };
  const result = await runLoop({
    ...loop.options,
    parts: { ...loop.options.parts, outputs: async () => outputs },
    vote: 'majority:4',
    onEvent: () => {},
  });
  expect(result.samples).toBe(batches * 1000);
  expect(result.windows).toBeGreaterThan(batches * 38);
  expect(result.lost).toBe(Math.floor(batches / 50) * 3);
  // The first tenth includes every kind of event.
  const growth = seen.at(-1)! - seen[1]!;
  expect(growth).toBeLessThan(1);
});
