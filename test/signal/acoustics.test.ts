import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import {
  atSpeed,
  centered,
  mixedAtSnr,
  noiseKinds,
  noiseOf,
  powerOf,
  reverberated,
  shifted,
} from '../../src/lib/signal/acoustics.js';
import { createFourier } from '../../src/lib/signal/fourier.js';

const rateHz = 16_000;
const tone = (hz: number, samples: number) =>
  Float64Array.from({ length: samples }, (_, n) => Math.sin((2 * Math.PI * hz * n) / rateHz));

/** Mean power between two frequencies, over excerpts of 1024 samples. */
function bandPower(sound: Float64Array, low: number, high: number): number {
  const n = 1024;
  const fourier = createFourier(n);
  const [first, last] = [Math.ceil((low * n) / rateHz), Math.floor((high * n) / rateHz)];
  let sum = 0;
  let count = 0;
  for (let at = 0; at + n <= sound.length; at += n) {
    // The Hann window suppresses leakage from strong low frequencies.
    const piece = sound
      .slice(at, at + n)
      .map((value, i) => value * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n)));
    fourier.transform(piece);
    for (let k = first; k <= last; k++, count++) sum += fourier.re[k]! ** 2 + fourier.im[k]! ** 2;
  }
  return sum / count;
}

const decibel = (ratio: number) => 10 * Math.log10(ratio);

describe('generated noise', () => {
  it.each(noiseKinds)('%s has a mean power of 1, and the same seed gives the same samples', (kind) => {
    const noise = noiseOf(kind, 16_000, rateHz, seededRandom(3));
    expect(powerOf(noise)).toBeCloseTo(1, 10);
    expect(noiseOf(kind, 16_000, rateHz, seededRandom(3))).toEqual(noise);
    expect(noiseOf(kind, 16_000, rateHz, seededRandom(4))).not.toEqual(noise);
  });

  it.each([
    ['white', 0],
    ['pink', -3],
    ['brown', -6],
  ] as const)('%s falls by %i dB per octave', (kind, slope) => {
    const noise = noiseOf(kind, 400_000, rateHz, seededRandom(5));
    for (const hz of [250, 500, 1000]) {
      const fall = decibel(bandPower(noise, 2 * hz, 4 * hz) / bandPower(noise, hz, 2 * hz));
      expect(Math.abs(fall - slope)).toBeLessThan(0.7);
    }
  });

  it('has its hum below a kilohertz, and its murmur in the speech band', () => {
    const hum = noiseOf('hum', 160_000, rateHz, seededRandom(6));
    expect(decibel(bandPower(hum, 30, 800) / bandPower(hum, 2000, 7000))).toBeGreaterThan(15);
    const murmur = noiseOf('murmur', 160_000, rateHz, seededRandom(6));
    expect(decibel(bandPower(murmur, 200, 2200) / bandPower(murmur, 4000, 7500))).toBeGreaterThan(15);
  });
});

describe('altering a sound', () => {
  it.each([-5, 0, 12, 30])('mixes noise at %i dB', (snr) => {
    const sound = tone(440, 8000);
    const noise = noiseOf('white', 8000, rateHz, seededRandom(1));
    const mixed = mixedAtSnr(sound, noise, snr);
    const added = mixed.map((value, i) => value - sound[i]!);
    expect(decibel(powerOf(sound) / powerOf(added))).toBeCloseTo(snr, 6);
  });

  it('adds no noise to silence, and cannot amplify silent noise', () => {
    const silence = new Float64Array(100);
    expect(mixedAtSnr(silence, noiseOf('pink', 100, rateHz, seededRandom(1)), 10)).toEqual(silence);
    expect(mixedAtSnr(tone(440, 100), silence, 10)).toEqual(tone(440, 100));
  });

  it('shifts it, and fills the ends with its end values', () => {
    const sound = Float64Array.of(1, 2, 3, 4);
    expect([...shifted(sound, 1)]).toEqual([1, 1, 2, 3]);
    expect([...shifted(sound, -2)]).toEqual([3, 4, 4, 4]);
    expect([...shifted(sound, 9)]).toEqual([1, 1, 1, 1]);
    expect([...centered(sound, 2)]).toEqual([2, 3]);
    expect([...centered(sound, 7)]).toEqual([1, 1, 1, 2, 3, 4, 4]);
  });

  it.each([0.8, 1.25])(
    'plays it at %f times its speed, which changes its pitch by the same factor',
    (speed) => {
      const fast = atSpeed(tone(500, 8000), speed);
      expect(Math.abs(fast.length - 8000 / speed)).toBeLessThanOrEqual(1);
      const expected = tone(500 * speed, fast.length);
      for (let n = 200; n < fast.length - 200; n++)
        expect(Math.abs(fast[n]! - expected[n]!)).toBeLessThan(1e-3);
    },
  );

  it('reverberates with the given share of the power, and decays by 60 dB in the given time', () => {
    const click = new Float64Array(16_000);
    click[0] = 1;
    const room = { seconds: 0.5, share: 0.4 };
    const out = reverberated(click, rateHz, { ...room, random: seededRandom(2) });
    expect(out[0]).toBe(1);
    const tail = out.subarray(1);
    expect(tail.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(0.4, 1);
    const early = powerOf(tail.subarray(0, 1600));
    const late = powerOf(tail.subarray(4800, 6400));
    // 0.3 s apart: 36 dB, as 60 dB in 0.5 s.
    expect(Math.abs(decibel(early / late) - 36)).toBeLessThan(2);
    expect(powerOf(out.subarray(8000))).toBe(0);
  });
});
