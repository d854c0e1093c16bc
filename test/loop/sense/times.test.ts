import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import type { Incoming } from '../../../src/lib/loop/sense/types.js';
import { allOf } from './all-of.js';
import { batchAt, fakeSensing, handClock, motion } from './fake-source.js';

const start = 1_795_000_000_000;
const tone = (t: number) => Math.sin((2 * Math.PI * 3 * (t - start)) / 1000);
/** Sample times at a given rate, in batches of `size`. */
function batchesAt(
  rateHz: number,
  seconds: number,
  stamp: (t: number) => number = (t) => t,
  size = 20,
): Incoming[] {
  const count = Math.round(seconds * rateHz);
  const out: Incoming[] = [];
  for (let i = 0; i < count; i += size) {
    const times = Array.from(
      { length: Math.min(size, count - i) },
      (_, k) => start + ((i + k) * 1000) / rateHz,
    );
    const batch = batchAt(times, tone);
    batch.times = batch.times.map(stamp);
    out.push(batch);
  }
  return out;
}
const worst = (values: number[], times: number[]) =>
  Math.max(...times.map((t, i) => Math.abs(values[i * 3]! - tone(t))));

describe('sample timing', () => {
  it('resamples a true 104.3 Hz to exactly 100 Hz along the true times, keeping a constant unchanged', async () => {
    const { sensing, told } = fakeSensing({ batches: batchesAt(104.3, 60), rateHz: 104 });
    const { values, times, lost } = await allOf(sensing);
    expect(lost).toEqual([]);
    expect(times.length).toBeGreaterThan(5940);
    times.forEach((t, i) => {
      expect(t - times[0]!).toBeCloseTo(i * 10, 4);
    });
    expect(worst(values, times)).toBeLessThan(1e-4);
    expect(Math.max(...values.filter((_, i) => i % 3 === 2).map((v) => Math.abs(v - 1)))).toBeLessThan(1e-12);
    expect(sensing.rates().rateHz).toBeCloseTo(104.3, 4);
    expect(told).toEqual([['resampling', 'samples at 104.30 Hz are resampled to 100 Hz']]);
  });

  it('smooths whole-millisecond timestamps out of the rate and the signal', async () => {
    const { sensing } = fakeSensing({ batches: batchesAt(104.3, 60, Math.round), rateHz: 104 });
    const { values, times, lost } = await allOf(sensing);
    const rates = sensing.rates();
    expect(rates).toMatchObject({ lost: 0, gaps: 0 });
    expect(rates.rateHz).toBeCloseTo(104.3, 1);
    // With the raw timestamps, the error would be 0.5 ms · 2π · 3 Hz = 9e-3.
    expect(worst(values, times)).toBeLessThan(2e-3);
    expect(lost).toEqual([]);
  });

  it('measures the rate and jitter of an unsteady clock without losing samples', async () => {
    const random = seededRandom(3);
    const { sensing } = fakeSensing({ batches: batchesAt(100, 60, (t) => t + 6 * (random() - 0.5)) });
    const { times, lost } = await allOf(sensing);
    const rates = sensing.rates();
    expect(times.length).toBe(6000);
    expect(lost).toEqual([]);
    expect(rates.lost).toBe(0);
    expect(rates.rateHz).toBeCloseTo(100, 1);
    // Intervals differ by two errors of ±3 ms, so they have a triangular distribution of ±6 ms, 99 % of which is
    // within 5.4 ms.
    expect(rates.jitterP99Ms).toBeGreaterThan(4.9);
    expect(rates.jitterP99Ms).toBeLessThan(5.9);
  });

  it('passes samples at the contract’s rate through bit for bit', async () => {
    const batches = batchesAt(100.2, 5);
    const sent = batches.flatMap(({ values }) => [...values]);
    const { sensing, told } = fakeSensing({ batches });
    expect((await allOf(sensing)).values).toEqual(sent);
    expect(told).toEqual([]);
  });

  it('starts resampling when the sensor’s rate turns out to be off by more than 1 %', async () => {
    const slow = batchesAt(100, 4);
    const last = slow.at(-1)!.times.at(-1)!;
    for (let i = 1; i < 3000; i += 20) {
      slow.push(
        batchAt(
          Array.from({ length: 20 }, (_, k) => last + ((i + k) * 1000) / 98),
          tone,
        ),
      );
    }
    const { sensing, told } = fakeSensing({ batches: slow });
    const { values, times, lost } = await allOf(sensing);
    expect(lost.length).toBe(1);
    expect(told.map(([kind]) => kind)).toEqual(['resampling']);
    const from = lost[0]![0];
    const after = times.slice(from);
    expect((after.length - 1) / (after.at(-1)! - after[0]!)).toBeCloseTo(0.1, 6);
    // By then the timing model has forgotten the old rate.
    expect(worst(values.slice((from + 1000) * 3), after.slice(1000))).toBeLessThan(2e-3);
  });
});

it('sensing drops no samples of a batch known to be contiguous, even if its timestamp is early', async () => {
  const random = seededRandom(5);
  for (const rateHz of [100, 104]) {
    const batches = batchesAt(rateHz, 60).map((batch) => {
      const early = 30 * random();
      return { ...batch, sure: true, times: batch.times.map((t) => t - early) };
    });
    const { sensing, told } = fakeSensing({ batches, rateHz: null });
    const { times } = await allOf(sensing);
    expect(sensing.rates()).toMatchObject({ samples: 60 * rateHz, lost: 0, gaps: 0 });
    expect(times.every((t, i) => i === 0 || t > times[i - 1]!)).toBe(true);
    expect(told.filter(([kind]) => kind !== 'resampling')).toEqual([]);
  }
});

describe('a clock change at the sender', () => {
  it.each([
    ['while its rate is being measured', 5, false],
    ['while its rate is being measured, with numbered messages', 5, true],
    ['later, with numbered messages', 3000, true],
  ])('loses one window, but does not stop the loop: %s', async (_, at, sure) => {
    // If unnumbered samples are set back in time, they cannot be distinguished from duplicates.
    const back = sure ? [-700, -60_000] : [];
    for (const jumpMs of [700, 60_000, 2 * 365 * 86_400_000, ...back]) {
      const batches = batchesAt(104, 40, undefined, 1).map((batch, i) => ({
        ...batch,
        sure,
        times: batch.times.map((t) => t + (i < at ? 0 : jumpMs)),
      }));
      const { sensing, told } = fakeSensing({ batches, rateHz: null });
      const { values, times } = await allOf(sensing);
      expect(sensing.rates()).toMatchObject({ samples: 4160, lost: 0 });
      expect(sensing.rates().rateHz).toBeCloseTo(104, 3);
      expect(times.length).toBeGreaterThan(3900);
      expect(times.length).toBeLessThan(4001);
      expect(times.every((t, i) => i === 0 || t > times[i - 1]!)).toBe(true);
      expect(values.every((value) => Math.abs(value) < 1.001)).toBe(true);
      expect(told.map(([kind]) => kind).sort()).toEqual(['jump', 'resampling']);
    }
  });
});

describe('gap handling', () => {
  const without = (batches: Incoming[], from: number, to: number) => {
    const kept = batches.flatMap(({ times }) => [...times]).filter((_, i) => i < from || i >= to);
    return Array.from({ length: Math.ceil(kept.length / 20) }, (_, i) =>
      batchAt(kept.slice(i * 20, i * 20 + 20), tone),
    );
  };

  it('interpolates one or two missing samples linearly, and counts them', async () => {
    const { sensing, told } = fakeSensing({ batches: without(batchesAt(100, 10), 507, 509) });
    const { values, times, lost } = await allOf(sensing);
    expect(times.length).toBe(1000);
    expect(lost).toEqual([]);
    expect(sensing.rates()).toMatchObject({ samples: 998, lost: 2, gaps: 1 });
    times.forEach((t, i) => {
      expect(t).toBeCloseTo(start + i * 10, 6);
    });
    expect(worst(values, times)).toBeLessThan(0.06);
    expect(told).toEqual([]);
  });

  it('splits the samples at a longer gap, reports it, and counts the missing ones', async () => {
    const { sensing, told } = fakeSensing({ batches: without(batchesAt(100, 10), 507, 510) });
    const { times, lost } = await allOf(sensing);
    expect(times.length).toBe(997);
    expect(lost).toEqual([[507, 3]]);
    expect(sensing.rates()).toMatchObject({ samples: 997, lost: 3, gaps: 1 });
    expect(told).toEqual([['gap', '3 samples missing: the window starts again']]);
  });

  it('splits the samples at every gap with ?bridge=0, and at none up to ?bridge=N', async () => {
    const at = async (query: string) =>
      (await allOf(fakeSensing({ batches: without(batchesAt(100, 10), 507, 508), query }).sensing)).lost;
    expect(await at('?bridge=0')).toEqual([[507, 1]]);
    const long = fakeSensing({ batches: without(batchesAt(100, 10), 507, 512), query: '?bridge=5' });
    expect(await allOf(long.sensing)).toMatchObject({ lost: [] });
    expect(long.sensing.rates().lost).toBe(5);
  });

  it('restarts resampling after a gap, without data from before it', async () => {
    const batches = without(batchesAt(208, 10), 1000, 1100).map((batch) => {
      // The signal is different after the gap.
      batch.times.forEach((t, i) => {
        if (t > start + 5000) batch.values[i * 3] = 100;
      });
      return batch;
    });
    const { values, lost } = await allOf(fakeSensing({ batches, rateHz: 208 }).sensing);
    expect(lost).toMatchObject([[expect.any(Number), 100]]);
    const [[from]] = lost as [[number, number]];
    expect(values.slice(0, from * 3).filter((_, i) => i % 3 === 0 && values[i]! > 2)).toEqual([]);
    expect(Math.min(...values.slice(from * 3).filter((_, i) => i % 3 === 0))).toBeCloseTo(100, 9);
  });

  it('trusts the sensor’s own count of lost samples', async () => {
    const batches = batchesAt(100, 2);
    batches[5]!.lost = 7;
    const later = batches
      .slice(5)
      .map((batch) => ({ ...batch, times: batch.times.map((t) => t + 70), sure: true }));
    const { sensing } = fakeSensing({ batches: [...batches.slice(0, 5), ...later] });
    expect((await allOf(sensing)).lost).toEqual([[100, 7]]);
    expect(sensing.rates()).toMatchObject({ samples: 200, lost: 7, gaps: 1 });
  });

  it('drops late and duplicate samples', async () => {
    const batches = batchesAt(100, 4, undefined, 10);
    batches.splice(12, 0, batches[11]!);
    const { sensing, told } = fakeSensing({ batches });
    const { times, lost } = await allOf(sensing);
    expect(lost).toEqual([]);
    expect(times.length).toBe(400);
    expect(told[0]).toEqual(['skipped', 'samples that arrive late or twice are dropped, 1 so far']);
  });

  it('recognizes a new rate instead of reporting endless gaps', async () => {
    const batches = batchesAt(100, 5);
    const last = batches.at(-1)!.times.at(-1)!;
    for (let i = 1; i < 600; i += 20) {
      batches.push(
        batchAt(
          Array.from({ length: 20 }, (_, k) => last + (i + k) * 100),
          tone,
        ),
      );
    }
    const { sensing, told } = fakeSensing({ batches, rateHz: null });
    const { lost } = await allOf(sensing);
    expect(lost.length).toBeLessThan(20);
    expect(sensing.rates().lost).toBeLessThan(200);
    expect(told.at(-1)).toEqual(['resampling', expect.stringMatching(/are resampled to 100 Hz$/)]);
  });
});

describe('clock changes', () => {
  it.each([
    ['ahead by three hours', 3 * 3_600_000],
    ['back by three hours', -3 * 3_600_000],
    ['back by a second', -1000],
    ['ahead by a year', 365 * 86_400_000],
  ])(
    'cause no lost samples and no decreasing timestamps when the sender’s clock is set %s',
    async (_, by) => {
      const { clock, state } = handClock();
      const all = batchesAt(100, 20);
      function* batches() {
        for (const [i, batch] of all.entries()) {
          state.steady += 200;
          if (i >= 50) batch.times = batch.times.map((t) => t + by);
          yield batch;
        }
      }
      const { sensing, told } = fakeSensing({ batches: batches(), clock });
      const { times, lost } = await allOf(sensing);
      expect(sensing.rates().lost).toBe(0);
      expect(lost.length).toBe(1);
      expect(times.length).toBeGreaterThan(1880);
      for (let i = 1; i < times.length; i++) expect(times[i]!).toBeGreaterThan(times[i - 1]!);
      expect(told.map(([kind]) => kind).filter((kind) => kind !== 'skipped')).toEqual(['jump']);
      expect(sensing.rates().rateHz).toBeCloseTo(100, 3);
    },
  );

  it('count as a gap if as much time passed on this machine', async () => {
    const { clock, state } = handClock();
    const all = batchesAt(100, 20);
    function* batches() {
      for (const [i, batch] of all.entries()) {
        state.steady += i === 50 ? 60_200 : 200;
        if (i >= 50) batch.times = batch.times.map((t) => t + 60_000);
        yield batch;
      }
    }
    const { sensing, told } = fakeSensing({ batches: batches(), clock });
    expect((await allOf(sensing)).lost).toEqual([[1000, 6000]]);
    expect(sensing.rates()).toMatchObject({ lost: 6000, gaps: 1 });
    expect(told.map(([kind]) => kind)).toEqual(['gap']);
  });

  it.each(['pass', 'resample'])(
    'on this machine that the driver reports shift only the timestamps (%s)',
    async (mode) => {
      const rate = mode === 'pass' ? 100 : 104;
      const all = batchesAt(rate, 20);
      const batches = all.map((batch, i) => ({
        ...batch,
        sure: true,
        times: i >= 50 ? batch.times.map((t) => t + 7_200_000) : batch.times,
        ...(i === 50 ? { clockStepMs: 7_200_000 } : {}),
      }));
      const { sensing, told } = fakeSensing({ batches, rateHz: rate });
      const { times, values, lost } = await allOf(sensing);
      expect(lost).toEqual([]);
      expect(sensing.rates()).toMatchObject({ lost: 0, gaps: 0 });
      expect(told.map(([kind]) => kind)).toEqual(mode === 'pass' ? [] : ['resampling']);
      const steps = times.slice(1).map((t, i) => t - times[i]!);
      expect(steps.filter((step) => step > 11).length).toBe(1);
      const unmoved = times.map((t) => (t > start + 3_600_000 ? t - 7_200_000 : t));
      expect(worst(values, unmoved)).toBeLessThan(mode === 'pass' ? 1e-9 : 1e-4);
    },
  );

  it('are not reported for a drifting clock, which is followed', async () => {
    const { clock, state } = handClock();
    function* batches() {
      for (let i = 0; i < 400; i++) {
        state.steady += 100_000;
        // 50 parts per million, or 2 s in eleven hours.
        state.set += 5;
        yield batchAt([start + state.steady], tone);
      }
    }
    const contract = { ...motion, rateHz: 0.01 };
    const { sensing, told } = fakeSensing({
      batches: batches(),
      clock,
      timing: 'arrival',
      rateHz: null,
      contract,
    });
    const { times } = await allOf(sensing);
    expect(told).toEqual([]);
    expect(Math.abs(times.at(-1)! - clock.now())).toBeLessThan(1);
  });

  it('on this machine are reported and applied to arrival times, which keep increasing', async () => {
    const { clock, state } = handClock();
    function* batches() {
      for (let i = 0; i < 200; i++) {
        state.steady += 100;
        if (i === 100) state.set += 3_600_000;
        if (i === 150) state.set -= 3_600_000;
        yield batchAt([start + state.steady], tone);
      }
    }
    const contract = { ...motion, rateHz: 10 };
    const { sensing, told } = fakeSensing({
      batches: batches(),
      clock,
      timing: 'arrival',
      rateHz: null,
      contract,
    });
    const { times, lost } = await allOf(sensing);
    expect(lost).toEqual([]);
    expect(times[120]! - times[90]!).toBeCloseTo(3_603_000, 0);
    for (let i = 1; i < times.length; i++) expect(times[i]!).toBeGreaterThan(times[i - 1]!);
    expect(told.map(([, text]) => text)).toEqual([
      "this machine's clock changed by 3600.0 s",
      "this machine's clock changed by -3600.0 s",
    ]);
    expect(sensing.rates()).toMatchObject({ lost: 0, gaps: 0, samples: 200 });
  });
});

describe('sample diagnostics', () => {
  it('report that half of the rows repeat the previous one', async () => {
    const polled = batchesAt(97, 30).map((batch) => {
      batch.times.forEach((t, i) => {
        // The chip has a new sample 52 times per second.
        const fresh = start + (Math.floor(((t - start) * 52) / 1000) * 1000) / 52;
        batch.values.set([tone(fresh), -tone(fresh), 1], i * 3);
      });
      return batch;
    });
    const { sensing, told } = fakeSensing({ batches: polled, rateHz: null });
    await allOf(sensing);
    expect(told.filter(([kind]) => kind === 'repeats')).toEqual([
      ['repeats', expect.stringMatching(/^46\.\d % of the samples repeat the previous one/)],
    ]);
  });

  it('warn about a rate other than the contract’s if samples have no timestamps', async () => {
    const batches = batchesAt(90, 10);
    const { sensing, told } = fakeSensing({ batches, timing: 'arrival', rateHz: null });
    const { times } = await allOf(sensing);
    expect(times.length).toBe(900);
    expect(told).toEqual([
      ['rate', 'the sensor delivers 90.00 samples per second, the model expects 100 Hz'],
    ]);
  });
});
