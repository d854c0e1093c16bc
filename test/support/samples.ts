import { readFileSync } from 'node:fs';
import { parseCsv } from '../../src/lib/formats/csv/parse.js';
import type { Sensing } from '../../src/lib/loop/types.js';

/** The x, y and z values of a recording, sample by sample. */
export function recordingSamples(file: string): number[][] {
  const { data } = parseCsv(readFileSync(file), file, ['x', 'y', 'z']);
  return Array.from(data[0]!, (_, i) => data.map((column) => column[i]!));
}

/**
 * Existing samples as a finite sensor, which delivers them in batches, as fast as they are consumed, with times
 * at 100 Hz starting at `from` (ms since 1970).
 */
export function sensingOf(
  samples: readonly (readonly number[])[],
  { batch = 26, names = ['x', 'y', 'z'], from = 1_700_000_000_000 } = {},
): Sensing {
  let closed = false;
  return {
    endpoint: 'test:',
    fields: names.map((name) => ({ name, unit: 'g' })),
    rateHz: 100,
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    rates: () => ({ samples: samples.length, lost: 0, gaps: 0, rateHz: 100, jitterP99Ms: 0 }),
    async *[Symbol.asyncIterator]() {
      for (let at = 0; at < samples.length && !closed; at += batch) {
        const part = samples.slice(at, at + batch);
        yield {
          values: Float64Array.from(part.flat()),
          times: Float64Array.from(part, (_, i) => from + 10 * (at + i)),
          count: part.length,
          lost: 0,
        };
      }
    },
    async close() {
      closed = true;
    },
  };
}
