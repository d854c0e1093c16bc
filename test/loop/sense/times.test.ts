import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import type { Incoming } from '../../../src/lib/loop/sense/types.js';
import { allOf } from './all-of.js';
import { batchAt, fakeSensing, handClock, motion } from './fake-source.js';

const start = 1_795_000_000_000;
const tone = (t: number) => Math.sin((2 * Math.PI * 3 * (t - start)) / 1000);
/** Times of samples at a rate, in batches of `size`. */
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

describe('the times of samples', () => {
  it('brings a real 104.3 Hz to exactly 100, along the true times, a constant untouched', async () => {
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

  it('looks through stamps of whole milliseconds: neither the rate nor the signal has their steps', async () => {
    const { sensing } = fakeSensing({ batches: batchesAt(104.3, 60, Math.round), rateHz: 104 });
    const { values, times, lost } = await allOf(sensing);
    const rates = sensing.rates();
    expect(rates).toMatchObject({ lost: 0, gaps: 0 });
    expect(rates.rateHz).toBeCloseTo(104.3, 1);
    // By stamps as they are it would be 0.5 ms · 2π · 3 Hz = 9e-3.
    expect(worst(values, times)).toBeLessThan(2e-3);
    expect(lost).toEqual([]);
  });

  it('measures rate and jitter of an unsteady clock, and loses nothing by it', async () => {
    const random = seededRandom(3);
    const { sensing } = fakeSensing({ batches: batchesAt(100, 60, (t) => t + 6 * (random() - 0.5)) });
    const { times, lost } = await allOf(sensing);
    const rates = sensing.rates();
    expect(times.length).toBe(6000);
    expect(lost).toEqual([]);
    expect(rates.lost).toBe(0);
    expect(rates.rateHz).toBeCloseTo(100, 1);
    // Distances are the difference of two of ±3 ms: a triangle of ±6, 99 % of it within 5.4.
    expect(rates.jitterP99Ms).toBeGreaterThan(4.9);
    expect(rates.jitterP99Ms).toBeLessThan(5.9);
  });

  it('lets samples of the contract’s rate pass bit for bit', async () => {
    const batches = batchesAt(100.2, 5);
    const sent = batches.flatMap(({ values }) => [...values]);
    const { sensing, told } = fakeSensing({ batches });
    expect((await allOf(sensing)).values).toEqual(sent);
    expect(told).toEqual([]);
  });

  it('resamples after all where a sensor turns out to be off by more than a hundredth', async () => {
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
    // The line that follows the times has forgotten the old rate by then.
    expect(worst(values.slice((from + 1000) * 3), after.slice(1000))).toBeLessThan(2e-3);
  });
});

it('drops no batch’s samples that are known to follow, though its stamp is early', async () => {
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

describe('a sender whose clock is set', () => {
  it.each([
    ['while its rate is still looked for', 5, false],
    ['while its rate is still looked for, its messages numbered', 5, true],
    ['later, its messages numbered', 3000, true],
  ])('costs a window and not the loop: %s', async (_, at, sure) => {
    // Set back without numbers, samples cannot be told from those that come twice.
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

describe('samples that are missing', () => {
  const without = (batches: Incoming[], from: number, to: number) => {
    const kept = batches.flatMap(({ times }) => [...times]).filter((_, i) => i < from || i >= to);
    return Array.from({ length: Math.ceil(kept.length / 20) }, (_, i) =>
      batchAt(kept.slice(i * 20, i * 20 + 20), tone),
    );
  };

  it('bridges one or two by a straight line, and counts them', async () => {
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

  it('breaks the samples apart at a longer gap, says so, and counts them', async () => {
    const { sensing, told } = fakeSensing({ batches: without(batchesAt(100, 10), 507, 510) });
    const { times, lost } = await allOf(sensing);
    expect(times.length).toBe(997);
    expect(lost).toEqual([[507, 3]]);
    expect(sensing.rates()).toMatchObject({ samples: 997, lost: 3, gaps: 1 });
    expect(told).toEqual([['gap', '3 samples missing: the window begins anew']]);
  });

  it('breaks at every gap with ?bridge=0, and at none up to ?bridge=N', async () => {
    const at = async (query: string) =>
      (await allOf(fakeSensing({ batches: without(batchesAt(100, 10), 507, 508), query }).sensing)).lost;
    expect(await at('?bridge=0')).toEqual([[507, 1]]);
    const long = fakeSensing({ batches: without(batchesAt(100, 10), 507, 512), query: '?bridge=5' });
    expect(await allOf(long.sensing)).toMatchObject({ lost: [] });
    expect(long.sensing.rates().lost).toBe(5);
  });

  it('begins resampling anew behind a gap: nothing of before is in what comes after', async () => {
    const batches = without(batchesAt(208, 10), 1000, 1100).map((batch) => {
      // Another signal behind the gap.
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

  it('believes the sensor’s own count of what it lost', async () => {
    const batches = batchesAt(100, 2);
    batches[5]!.lost = 7;
    const later = batches
      .slice(5)
      .map((batch) => ({ ...batch, times: batch.times.map((t) => t + 70), sure: true }));
    const { sensing } = fakeSensing({ batches: [...batches.slice(0, 5), ...later] });
    expect((await allOf(sensing)).lost).toEqual([[100, 7]]);
    expect(sensing.rates()).toMatchObject({ samples: 200, lost: 7, gaps: 1 });
  });

  it('leaves out what comes late or twice', async () => {
    const batches = batchesAt(100, 4, undefined, 10);
    batches.splice(12, 0, batches[11]!);
    const { sensing, told } = fakeSensing({ batches });
    const { times, lost } = await allOf(sensing);
    expect(lost).toEqual([]);
    expect(times.length).toBe(400);
    expect(told[0]).toEqual(['skipped', 'samples that came late or twice are left out, 1 so far']);
  });

  it('takes another rate for one, not for gaps without an end', async () => {
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

describe('clocks that are set', () => {
  it.each([
    ['ahead by three hours', 3 * 3_600_000],
    ['back by three hours', -3 * 3_600_000],
    ['back by a second', -1000],
    ['ahead by a year', 365 * 86_400_000],
  ])('goes on when the sender’s clock is set %s: nothing counts as lost, times rise', async (_, by) => {
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
  });

  it('counts a gap that was one here too', async () => {
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
    'moves labels with this machine’s clock and nothing else, by what the driver says (%s)',
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

  it('follows a clock that drifts, and says nothing of it', async () => {
    const { clock, state } = handClock();
    function* batches() {
      for (let i = 0; i < 400; i++) {
        state.steady += 100_000;
        // 50 millionths: 2 s in eleven hours.
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

  it('labels arrivals by a clock that was set meanwhile, rising all the while', async () => {
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
      'the clock of this machine moved by 3600.0 s',
      'the clock of this machine moved by -3600.0 s',
    ]);
    expect(sensing.rates()).toMatchObject({ lost: 0, gaps: 0, samples: 200 });
  });
});

describe('what the samples are like', () => {
  it('tells that half the rows repeat the one before', async () => {
    const polled = batchesAt(97, 30).map((batch) => {
      batch.times.forEach((t, i) => {
        // The chip has something new 52 times a second.
        const fresh = start + (Math.floor(((t - start) * 52) / 1000) * 1000) / 52;
        batch.values.set([tone(fresh), -tone(fresh), 1], i * 3);
      });
      return batch;
    });
    const { sensing, told } = fakeSensing({ batches: polled, rateHz: null });
    await allOf(sensing);
    expect(told.filter(([kind]) => kind === 'repeats')).toEqual([
      ['repeats', expect.stringMatching(/^46\.\d % of the samples repeat the one before/)],
    ]);
  });

  it('warns of a rate that is not the contract’s where nothing tells when samples were taken', async () => {
    const batches = batchesAt(90, 10);
    const { sensing, told } = fakeSensing({ batches, timing: 'arrival', rateHz: null });
    const { times } = await allOf(sensing);
    expect(times.length).toBe(900);
    expect(told).toEqual([['rate', 'the sensor gives 90.00 samples a second, the model takes 100']]);
  });
});
