import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { WallTime } from '../../../src/lib/sensor/host-clock.js';
import { Timeline } from '../../../src/lib/sensor/timeline.js';
import { testClock } from '../i2c/support.js';

/** A sensor with a rate error, read by a process at irregular times. */
function run(seconds: number, odrError: number, jitterMs: number, driftPerSecond = 0) {
  const clock = testClock();
  const timeline = new Timeline(104, clock);
  const random = seededRandom(5);
  const began = clock.monotonic();
  const beganWall = clock.now();
  let phase = 0;
  let atMs = 0;
  let read = 0;
  const times: number[] = [];
  const truth: number[] = [];
  let taken: number[] = [];
  while (clock.monotonic() - began < seconds * 1000) {
    clock.pass(250 + jitterMs * random());
    const passed = clock.monotonic() - began;
    while (atMs <= passed) {
      taken.push(atMs);
      phase = 1000 / (104 * (odrError + (driftPerSecond * atMs) / 1000));
      atMs += phase;
    }
    const before = clock.monotonic();
    clock.pass(0.2 + jitterMs * 0.1 * random());
    const placed = timeline.place({
      count: taken.length,
      left: 0,
      askedMs: [before, clock.monotonic()],
      broken: false,
    });
    read += taken.length;
    times.push(...placed.times);
    truth.push(...taken.map((each) => beganWall + each));
    taken = [];
  }
  return { timeline, times, truth, read };
}

const rising = (times: readonly number[]) => times.every((time, i) => i === 0 || time > times[i - 1]!);

describe('sample times of a free-running sensor', () => {
  it.each([0.95, 0.98, 1, 1.02, 1.05])(
    'follow a rate %f times the nominal rate, however late it is read',
    (odrError) => {
      const { timeline, times, truth } = run(60, odrError, 80);
      expect(timeline.rateHz / (104 * odrError)).toBeCloseTo(1, 3);
      expect(rising(times)).toBe(true);
      const errors = times.map((time, i) => Math.abs(time - truth[i]!));
      // The error is within two periods from the start, and within half a period once the rate is known.
      expect(Math.max(...errors)).toBeLessThan(20);
      expect(Math.max(...errors.slice(2000))).toBeLessThan(6);
    },
  );

  it('stay evenly spaced even if the reads are not', () => {
    const { times } = run(120, 1.013, 150);
    const distances = times
      .slice(1)
      .map((time, i) => time - times[i]!)
      .slice(3000);
    const periodMs = 1000 / (104 * 1.013);
    expect(Math.max(...distances.map((each) => Math.abs(each / periodMs - 1)))).toBeLessThan(0.01);
  });

  it('follow a rate that drifts with temperature', () => {
    const { timeline, times, truth } = run(600, 1, 20, 5e-6);
    expect(timeline.rateHz / (104 * 1.003)).toBeCloseTo(1, 3);
    expect(Math.abs(times.at(-1)! - truth.at(-1)!)).toBeLessThan(6);
  });

  it('reveal how many samples are missing if the sensor cannot report it', () => {
    const clock = testClock();
    const timeline = new Timeline(100, clock);
    const place = (count: number, broken: boolean) => {
      const now = clock.monotonic();
      return timeline.place({ count, left: 0, askedMs: [now, now], broken });
    };
    for (let i = 0; i < 40; i++) {
      clock.pass(250);
      expect(place(25, false).lost).toBe(0);
    }
    clock.pass(5000);
    const { lost, times } = place(341, true);
    expect(lost).toBe(500 - 341);
    expect(times.at(-1)! - times[0]!).toBeCloseTo(3400, 0);
  });

  it('account for samples that are left for a later read', () => {
    const clock = testClock();
    const timeline = new Timeline(100, clock);
    const all: number[] = [];
    for (let i = 0; i < 40; i++) {
      clock.pass(250);
      const now = clock.monotonic();
      // Every second read leaves 5 of its 25 samples to the next read.
      const left = i % 2 === 0 ? 5 : 0;
      const count = i % 2 === 0 ? 20 : 30;
      all.push(...timeline.place({ count, left, askedMs: [now, now], broken: false }).times);
    }
    const distances = all.slice(1).map((time, i) => time - all[i]!);
    expect(Math.min(...distances)).toBeGreaterThan(9.5);
    expect(Math.max(...distances)).toBeLessThan(10.5);
  });
});

describe('the machine’s clock', () => {
  it('is followed immediately when it is set ahead, and the step is reported', () => {
    const clock = testClock();
    const wall = new WallTime(clock);
    const before = wall.follow().offsetMs;
    clock.pass(1000);
    clock.set(3 * 86_400_000);
    expect(wall.follow()).toEqual({ offsetMs: before + 3 * 86_400_000, stepMs: 3 * 86_400_000 });
  });

  it('is followed slowly when it is set back, by 5 ms per second', () => {
    const clock = testClock();
    const wall = new WallTime(clock);
    const before = wall.follow().offsetMs;
    clock.set(-20);
    for (let i = 0; i < 2; i++) {
      clock.pass(1000);
      expect(wall.follow().offsetMs).toBeCloseTo(before - 5 * (i + 1), 6);
    }
    clock.pass(10_000);
    expect(wall.follow()).toEqual({ offsetMs: before - 20, stepMs: 0 });
  });

  it('leaves sample times increasing and evenly spaced when it is set back by an hour', () => {
    const clock = testClock();
    const timeline = new Timeline(100, clock);
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      if (i === 50) clock.set(-3_600_000);
      clock.pass(250);
      const now = clock.monotonic();
      times.push(...timeline.place({ count: 25, left: 0, askedMs: [now, now], broken: false }).times);
    }
    const distances = times.slice(1).map((time, i) => time - times[i]!);
    expect(Math.min(...distances.slice(500))).toBeGreaterThan(9.8);
    expect(Math.max(...distances.slice(500))).toBeLessThan(10.2);
  });

  it('can be the only clock: its jumps lose no samples, and times keep increasing', () => {
    const clock = testClock();
    const { monotonic: _, ...only } = clock;
    for (const jumpMs of [40_000, -40_000]) {
      const timeline = new Timeline(100, only);
      const times: number[] = [];
      let lost = 0;
      for (let i = 0; i < 100; i++) {
        if (i === 50) clock.set(jumpMs);
        clock.pass(250);
        const now = only.now();
        const placed = timeline.place({ count: 25, left: 0, askedMs: [now, now], broken: false });
        times.push(...placed.times);
        lost += placed.lost;
      }
      expect(lost).toBe(0);
      expect(rising(times)).toBe(true);
      if (jumpMs > 0) expect(times.at(-1)!).toBeGreaterThan(clock.now() - 50);
    }
  });
});
