import { describe, expect, it } from 'vitest';
import { createKernelStamper } from '../../../src/lib/sensor/iio/buffered.js';
import { testClock } from '../i2c/support.js';

const ns = (...ms: number[]) => BigInt64Array.from(ms, (value) => BigInt(value * 1e6));
const start = Date.UTC(2026, 0, 1);

function stamper(settable: boolean) {
  const clock = testClock(start);
  const stamps = createKernelStamper(10, settable, clock);
  return {
    clock,
    place: (full: boolean, ...ms: number[]) => {
      const now = clock.monotonic();
      const { times, ...rest } = stamps.place(ns(...ms), ms.length, [now, now], full);
      return { times: [...times].map((time) => Math.round(time - start)), ...rest };
    },
  };
}

describe('kernel timestamps', () => {
  it('are mapped to local time once, and keep their spacing', () => {
    const { clock, place } = stamper(false);
    clock.pass(20);
    expect(place(false, 500, 510)).toEqual({ times: [10, 20], lost: 0, stepMs: 0 });
    clock.pass(30);
    expect(place(false, 521, 531).times).toEqual([31, 41]);
  });

  it('follow the local clock when it is set ahead, as after a network time sync', () => {
    const { clock, place } = stamper(false);
    place(false, 500, 510);
    clock.pass(20);
    clock.set(3_600_000);
    expect(place(false, 520, 530)).toEqual({ times: [3_600_010, 3_600_020], lost: 0, stepMs: 3_600_000 });
  });

  it('keep increasing when the local clock is set back', () => {
    const { clock, place } = stamper(false);
    place(false, 500, 510);
    clock.pass(20);
    clock.set(-3_600_000);
    expect(place(false, 520, 530).times).toEqual([10, 20]);
  });

  it('continue unchanged when their own clock is set', () => {
    const { clock, place } = stamper(true);
    place(false, 500, 510);
    clock.pass(20);
    expect(place(false, 520, 3_600_530).times).toEqual([10, 20]);
    clock.pass(20);
    expect(place(false, 540, 550).times).toEqual([30, 40]);
  });

  it('show a true gap if no clock was set, and the losses if the buffer overran', () => {
    const { clock, place } = stamper(true);
    place(false, 500, 510);
    clock.pass(5_000);
    expect(place(true, 5_510)).toEqual({ times: [5_000], lost: 499, stepMs: 0 });
  });
});
