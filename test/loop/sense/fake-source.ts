import type { Clock } from '../../../src/lib/core/time.js';
import { parseAddress } from '../../../src/lib/loop/sense/address.js';
import { type SensingPorts, sensingOf } from '../../../src/lib/loop/sense/sensing.js';
import type {
  Incoming,
  RawSource,
  SensingContract,
  SensingEvent,
  Timing,
} from '../../../src/lib/loop/sense/types.js';

export const motion: SensingContract = {
  fields: ['x', 'y', 'z'].map((name) => ({ name, unit: 'g' })),
  rateHz: 100,
};

/** A clock that only the test advances, with the monotonic time and the wall-clock time, which can be set. */
export function handClock(start = 1_795_000_000_000) {
  const state = { steady: 0, set: start };
  const clock: Clock = {
    now: () => state.set + state.steady,
    monotonic: () => state.steady,
    sleep: async (ms) => {
      state.steady += ms;
    },
  };
  return { clock, state };
}

export interface FakeOptions {
  batches: Iterable<Incoming>;
  timing?: Timing;
  rateHz?: number | null;
  query?: string;
  contract?: SensingContract;
  clock?: Clock;
}

/** A sensing that delivers the batches of a test, and the events that it reported. */
export function fakeSensing(options: FakeOptions) {
  const { batches, timing = 'own', rateHz = 100, query = '', contract = motion } = options;
  const { clock } = options.clock ? { clock: options.clock } : handClock();
  const told: [SensingEvent['kind'], string][] = [];
  const source: RawSource = {
    endpoint: 'fake:',
    fields: contract.fields,
    rateHz,
    timing,
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    async *[Symbol.asyncIterator]() {
      yield* batches;
    },
    async close() {},
  };
  const ports: SensingPorts = {
    clock,
    monotonicMs: () => clock.monotonic!(),
    tell: (kind, text) => told.push([kind, text]),
  };
  return { sensing: sensingOf(source, parseAddress(`i2c:${query}`), contract, ports), told };
}

/** A batch of samples at the given times. Each value is calculated from its time. */
export function batchAt(
  times: readonly number[],
  value: (t: number) => number,
  more: Partial<Incoming> = {},
): Incoming {
  const values = Float64Array.from(times.flatMap((t) => [value(t), -value(t), 1]));
  return { values, times: Float64Array.from(times), count: times.length, lost: 0, ...more };
}
