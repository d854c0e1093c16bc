import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKernelStamps } from '../../src/lib/sensor/iio/stamps.js';
import { createArrivalStamps } from '../../src/lib/sensor/stamps.js';

describe('stamps of samples that carry none', () => {
  it('follow the true rate of the chip, and are smooth where their coming is not', () => {
    const stamps = createArrivalStamps(10);
    const trueMs = 10.2;
    let [last, worst] = [0, 0];
    for (let batch = 1; batch <= 400; batch++) {
      // Up to 8 ms late, now and then.
      const times = stamps.times(undefined, 25, batch * 25 * trueMs + ((batch * 7) % 9));
      if (batch > 200) worst = Math.max(worst, Math.abs(times[0]! - last - trueMs));
      last = times.at(-1)!;
    }
    expect(stamps.periodMs).toBeCloseTo(trueMs, 1);
    expect(worst).toBeLessThan(0.2);
    expect(Math.abs(last - 400 * 25 * trueMs)).toBeLessThan(8);
  });

  it('rise, whatever the clock does', () => {
    const arrivals = fc.array(
      fc.record({ count: fc.integer({ min: 0, max: 50 }), passed: fc.integer({ min: -1e9, max: 1e9 }) }),
    );
    fc.assert(
      fc.property(arrivals, (batches) => {
        const stamps = createArrivalStamps(5);
        let [now, last] = [1e12, Number.NEGATIVE_INFINITY];
        for (const { count, passed } of batches) {
          now += passed;
          for (const time of stamps.times(undefined, count, now)) {
            expect(time).toBeGreaterThan(last);
            last = time;
          }
        }
      }),
    );
  });

  it('go on at the rate there was where the clock is set back, and leave a gap where there was one', () => {
    const stamps = createArrivalStamps(10);
    expect(stamps.times(undefined, 2, 1_000_020)).toEqual(Float64Array.of(1_000_010, 1_000_020));
    expect(stamps.times(undefined, 2, 1_000_040).at(-1)).toBeCloseTo(1_000_040, 6);
    expect(stamps.times(undefined, 2, 60).at(-1)).toBeCloseTo(1_000_060, 6);
    expect(stamps.times(undefined, 2, 80).at(-1)).toBeCloseTo(1_000_080, 6);
    expect(stamps.times(undefined, 2, 5_100)).toEqual(Float64Array.of(1_005_090, 1_005_100));
  });

  it('leave room for samples that are known to be missing', () => {
    const stamps = createArrivalStamps(10);
    stamps.times(undefined, 10, 100);
    stamps.skip(5);
    const times = stamps.times(undefined, 10, 250);
    expect([times[0], times[9]]).toEqual([expect.closeTo(160, 6), expect.closeTo(250, 6)]);
  });
});

describe('stamps of the kernel', () => {
  const ms = (...values: number[]) => BigInt64Array.from(values, (value) => BigInt(value * 1e6));

  it('are tied to the time here once, and keep their distances', () => {
    const stamps = createKernelStamps(10, false, () => 0);
    expect([...stamps.times(ms(500, 510), 2, 1_000_000)]).toEqual([999_990, 1_000_000]);
    expect([...stamps.times(ms(521, 531), 2, 1_000_900)]).toEqual([1_000_011, 1_000_021]);
    expect(stamps.periodMs).toBeCloseTo(10, 9);
  });

  it('go on as if nothing had been where the clock behind them is set', () => {
    let steady = 0;
    const stamps = createKernelStamps(10, true, () => steady);
    stamps.times(ms(500, 510), 2, 1_000_000);
    steady = 20;
    expect([...stamps.times(ms(520, 3_600_530), 2, 1_000_020)]).toEqual([1_000_010, 1_000_020]);
    steady = 40;
    expect([...stamps.times(ms(540, 550), 2, 1_000_040)]).toEqual([
      expect.closeTo(1_000_030, 3),
      expect.closeTo(1_000_040, 3),
    ]);
  });

  it('show a true gap where no clock was set', () => {
    let steady = 0;
    const stamps = createKernelStamps(10, true, () => steady);
    stamps.times(ms(500, 510), 2, 1_000_000);
    steady = 5_000;
    expect([...stamps.times(ms(5_510), 1, 1_005_000)]).toEqual([1_005_000]);
  });
});
