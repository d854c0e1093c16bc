import { describe, expect, it } from 'vitest';
import { newAlarmSchema } from '../../src/lib/api/contract/alarms.js';
import { type AlarmWindow, looksBack, withinWindow } from '../../src/lib/fleet/alarm-window.js';

const warming = { rate: 'x', withinMs: 60_000 };
const shaking = { class: 'shaking', withinMs: 60_000 };

/** Feeds samples, [seconds, value], and returns the window and the values of the last one. */
function feed(definition: typeof warming | typeof shaking, samples: readonly [number, unknown][]) {
  let window: AlarmWindow = [];
  let values: Record<string, number> | null = null;
  for (const [second, value] of samples) {
    const sample = { t: second * 1000, values: { x: value, class: value } };
    ({ window, values } = withinWindow(definition, window, sample));
  }
  return { window, values };
}

const ramp = (seconds: number, perSecond: number, stepS = 1) =>
  Array.from({ length: Math.floor(seconds / stepS) + 1 }, (_, i): [number, number] => [
    i * stepS,
    20 + i * stepS * perSecond,
  ]);

describe('a rate of change', () => {
  it('is the difference from the oldest value in the window, and that difference per second', () => {
    const { values } = feed(warming, ramp(300, 0.1));
    expect(values?.change).toBeCloseTo(6, 6);
    expect(values?.rate).toBeCloseTo(0.1, 6);
    expect(feed(warming, ramp(300, -0.1)).values?.change).toBeCloseTo(-6, 6);
    expect(feed(warming, ramp(300, 0)).values).toEqual({ change: 0, rate: 0 });
  });

  it('is unknown until the window is half full, and again after a pause', () => {
    expect(feed(warming, ramp(29, 1)).values).toBeNull();
    expect(feed(warming, ramp(30, 1)).values).toEqual({ change: 30, rate: 1 });
    expect(feed(warming, [...ramp(60, 1), [200, 500]]).values).toBeNull();
  });

  it('needs little memory at a high rate, and finds the same change', () => {
    const { window, values } = feed(warming, ramp(90, 0.1, 0.01));
    expect(window.length).toBeLessThanOrEqual(61);
    expect(values?.rate).toBeCloseTo(0.1, 6);
    expect(values?.change).toBeGreaterThan(5.8);
  });

  it('ignores samples without a number in the field', () => {
    expect(feed(warming, [...ramp(60, 1), [61, null]]).values).toBeNull();
    expect(feed(warming, [...ramp(60, 1), [61, 'hot'], [62, 82]]).values?.rate).toBeCloseTo(1, 6);
  });
});

describe('the share of a class', () => {
  const predictions = (count: number, isShaking: (i: number) => boolean, stepS = 1) =>
    Array.from({ length: count }, (_, i): [number, string] => [
      i * stepS,
      isShaking(i) ? 'shaking' : 'resting',
    ]);

  it('counts the predictions within the window', () => {
    expect(
      feed(
        shaking,
        predictions(60, (i) => i % 4 === 0),
      ).values,
    ).toEqual({
      share: 0.25,
      count: 15,
      total: 60,
    });
    expect(
      feed(
        shaking,
        predictions(30, () => true),
      ).values,
    ).toBeNull();
    expect(
      feed(
        shaking,
        predictions(300, (i) => i < 200),
      ).values?.count,
    ).toBe(0);
  });

  it('needs little memory if predictions are frequent', () => {
    const { window, values } = feed(
      shaking,
      predictions(6000, (i) => i % 2 === 0, 0.02),
    );
    expect(window.length).toBeLessThanOrEqual(61);
    expect(values?.share).toBeCloseTo(0.5, 2);
    expect(values?.total).toBeGreaterThan(2900);
  });
});

describe('the definition of an alarm', () => {
  const of = (alarm: object) => newAlarmSchema.safeParse({ name: 'a', ...alarm }).success;
  it('has one subject, and a window only if it looks back', () => {
    expect(of({ rate: 'x', where: 'change > 5', withinMs: 60_000 })).toBe(true);
    expect(of({ class: 'shaking', where: 'share > 0.2', withinMs: 60_000 })).toBe(true);
    expect(of({ offline: true, where: 'share > 0.05', forMs: 60_000 })).toBe(true);
    expect(of({ rate: 'x', withinMs: 60_000 })).toBe(false);
    expect(of({ rate: 'x', where: 'change > 5' })).toBe(false);
    expect(of({ rate: 'x', class: 'shaking', where: 'change > 5', withinMs: 60_000 })).toBe(false);
    expect(of({ where: 'x > 5', withinMs: 60_000 })).toBe(false);
    expect(of({ class: 'shaking', stream: 's', where: 'share > 0', withinMs: 60_000 })).toBe(false);
    expect(of({ offline: true, stream: 's', where: 'share > 0' })).toBe(false);
    expect(of({ rate: 'x', absentMs: 60_000, withinMs: 60_000 })).toBe(false);
    expect([{ rate: 'x' }, { class: 'c' }, {}].map(looksBack)).toEqual([true, true, false]);
  });
});
