import { describe, expect, it } from 'vitest';
import { openI2c } from '../../../src/lib/sensor/i2c/open.js';
import { simulatedBus } from '../../../src/lib/sensor/i2c/simulated-bus.js';
import type { Signal } from '../../../src/lib/sensor/i2c/simulated-chip.js';
import type { SampleBatch } from '../../../src/lib/sensor/types.js';
import { fc, runs } from '../../support/property.js';
import { countOf, lostOf, testClock, timesOf, url } from './support.js';

/** Every value encodes its sample number and its axis. */
const marked: Signal = (seconds, world) => {
  const tick = Math.round(seconds * 104);
  const low = (tick % 1000) * 0.488e-3;
  world.ax = low;
  world.ay = low + 1000 * 0.488e-3;
  world.az = low + 2000 * 0.488e-3;
  world.gx = (tick % 1000) * 0.07;
  world.gy = world.gx + 70;
  world.gz = world.gx + 140;
};

/** The number of a sample, modulo 1000, if all six values belong to the same sample; otherwise NaN. */
function numberOf(values: Float64Array, at: number): number {
  const units = [0.488e-3, 0.488e-3, 0.488e-3, 0.07, 0.07, 0.07];
  const numbers = units.map((unit, i) => Math.round(values[at + i]! / unit) - 1000 * (i % 3));
  return new Set(numbers).size === 1 ? numbers[0]! : Number.NaN;
}

const fault = fc.oneof(
  fc.record({ kind: fc.constant('late' as const), ms: fc.integer({ min: 1, max: 9000 }) }),
  fc.record({ kind: fc.constant('nack' as const), times: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant('short' as const), after: fc.integer({ min: 0, max: 14 }) }),
  fc.record({ kind: fc.constant('stuck' as const), after: fc.integer({ min: 0, max: 14 }) }),
  fc.record({ kind: fc.constant('clock' as const), ms: fc.integer({ min: -100_000, max: 100_000 }) }),
  fc.record({ kind: fc.constant('word' as const), words: fc.integer({ min: 1, max: 5 }) }),
);

describe('the FIFO under random faults', () => {
  it('delivers only whole samples, in order and with increasing times, and counts the rest as lost', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fault, { minLength: 1, maxLength: 12 }),
        fc.double({ min: 0.97, max: 1.03, noNaN: true }),
        async (events, odrError) => {
          const clock = testClock();
          const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock, signal: marked, noise: false, odrError });
          const place = url('i2c://sim/lsm6ds3tr-c?range=16&selftest=off');
          const source = await openI2c(place, { clock, bus });
          const chip = bus.chip('lsm6ds3tr-c');
          const batches: SampleBatch[] = [];
          let began = 0;
          for await (const batch of source) {
            if (batches.length === 0) began = clock.monotonic();
            batches.push(batch);
            // No event occurs before the rate has been measured.
            const event =
              batches.length < 16 || batches.length % 4 > 0 ? undefined : events[batches.length / 4 - 4];
            if (event?.kind === 'late') clock.pass(event.ms);
            if (event?.kind === 'nack') chip.nackNext(event.times);
            if (event?.kind === 'short') chip.shortNext(1, event.after);
            if (event?.kind === 'stuck') bus.stickNext(1, event.after);
            if (event?.kind === 'clock') clock.set(event.ms);
            // Another program reads words from the FIFO.
            if (event?.kind === 'word') {
              clock.pass(60);
              await bus.read(0x6a, 0x3e, 2 * event.words).catch(() => {});
            }
            if (batches.length === 4 * events.length + 24) break;
          }
          const numbers = batches.flatMap(({ values, count }) =>
            Array.from({ length: count }, (_, i) => numberOf(values, 6 * i)),
          );
          expect(numbers.every((number) => Number.isInteger(number))).toBe(true);
          const times = timesOf(batches);
          expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
          const due = ((clock.monotonic() - began) / 1000) * 104 * odrError + batches[0]!.count;
          // After each event, losses are calculated from the clock, which can be off by one.
          expect(Math.abs(countOf(batches) + lostOf(batches) - due)).toBeLessThan(3 + 1.5 * events.length);
        },
      ),
      { numRuns: runs(2000, 60) },
    );
  });
});

describe('the FIFO in long runs', () => {
  it('loses no samples in ten minutes at 1.6 kHz', { timeout: 60_000 }, async () => {
    const clock = testClock();
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock, odrError: 0.985 });
    const source = await openI2c(url('i2c://sim/lsm6ds3tr-c?rate=1666'), { clock, bus });
    const began = clock.monotonic();
    let samples = 0;
    let lost = 0;
    let last = 0;
    for await (const batch of source) {
      samples += batch.count;
      lost += batch.lost;
      if (batch.times[0]! <= last) throw new Error('times do not rise');
      last = batch.times[batch.count - 1]!;
      if (clock.monotonic() - began >= 600_000) break;
    }
    expect({ lost, faults: source.faults }).toEqual({
      lost: 0,
      faults: { overruns: 0, retries: 0, reconnects: 0 },
    });
    // All samples except those at the start, while the gyroscope's filter settles.
    expect(samples / (600 * 1666 * 0.985)).toBeCloseTo(1, 3);
    expect(Math.abs(last - clock.now())).toBeLessThan(5);
  });

  it.runIf(process.env.AIOT_LONG)(
    'reads a week at 104 Hz in about a minute',
    { timeout: 600_000 },
    async () => {
      const clock = testClock();
      const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock, odrError: 1.013 });
      const source = await openI2c(url('i2c://sim/lsm6ds3tr-c'), { clock, bus });
      const began = clock.monotonic();
      const cpu = process.cpuUsage();
      let [samples, lost, heap] = [0, 0, 0];
      let batches = 0;
      for await (const { count, lost: missing } of source) {
        samples += count;
        lost += missing;
        if (++batches === 1000) heap = process.memoryUsage().heapUsed;
        // Simulated time never yields to the event loop, but the test runner occasionally needs it.
        if (batches % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (clock.monotonic() - began >= 7 * 86_400_000) break;
      }
      expect(lost).toBe(0);
      expect(samples / (7 * 86_400 * 104 * 1.013)).toBeCloseTo(1, 5);
      expect(process.memoryUsage().heapUsed - heap).toBeLessThan(100e6);
      const { user } = process.cpuUsage(cpu);
      expect(user / 1e6).toBeLessThan(180);
      // This is printed because the processor time of a long run is its main result.
      process.stderr.write(
        `A week at 104 Hz: ${samples} samples in ${(user / 1e6).toFixed(0)} s of processor time\n`,
      );
    },
  );
});
