import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { pictureAugmenter } from '../../../src/lib/model/train/fit/augment-pictures.js';

const layout = { width: 12, height: 8, channels: 2 };
const size = 12 * 8 * 2;
const standardization = {
  mean: Array.from({ length: size }, (_, i) => [100, 90][i % 2]!),
  deviation: Array.from({ length: size }, (_, i) => [50, 40][i % 2]!),
};
const off = { rotation: 0, timeWarp: 0, noise: 0, gain: 0, flip: 'none', crop: 0, brightness: 0 } as const;
type Settings = Parameters<typeof pictureAugmenter>[0];

/** Pixels: a slope from left to right in the first channel, and from top to bottom in the second. */
const pixel = (i: number) => [40 + 10 * (Math.floor(i / 2) % 12), 60 + 12 * Math.floor(i / 24)][i % 2]!;

/** One changed picture in 0…255, [channel][row][column]. */
function changed(settings: Partial<Settings>, seed = 1): number[][][] {
  const augment = pictureAugmenter({ ...off, ...settings }, layout, standardization)!;
  const { mean, deviation } = standardization;
  const own = Float32Array.from({ length: size }, (_, i) => (pixel(i) - mean[i]!) / deviation[i]!);
  augment(own, 1, seededRandom(seed));
  return [0, 1].map((c) =>
    Array.from({ length: 8 }, (_, y) =>
      Array.from({ length: 12 }, (_, x) => {
        const i = (y * 12 + x) * 2 + c;
        return own[i]! * deviation[i]! + mean[i]!;
      }),
    ),
  );
}

const seeds = Array.from({ length: 40 }, (_, i) => i);

describe('picture augmentation', () => {
  it('is off by default', () => {
    expect(pictureAugmenter(off, layout, standardization)).toBeNull();
  });

  it('mirrors half of the pictures', () => {
    const mirrored = seeds.map((seed) => changed({ flip: 'horizontal' }, seed));
    const count = mirrored.filter(([slope]) => slope![0]![0]! > slope![0]![11]!).length;
    expect(count).toBeGreaterThan(10);
    expect(count).toBeLessThan(30);
    const [first] = mirrored.filter(([slope]) => slope![0]![0]! > slope![0]![11]!);
    expect(first![0]![3]![2]).toBeCloseTo(pixel(2 * (3 * 12 + 9)), 3);
    // The other direction is unchanged.
    expect(first![1]![7]![0]).toBeCloseTo(pixel(2 * 7 * 12 + 1), 3);
  });

  it('crops a part and scales it up, within the picture', () => {
    for (const seed of seeds) {
      const [slope] = changed({ crop: 0.5 }, seed);
      const step = slope![4]![6]! - slope![4]![5]!;
      expect(step).toBeGreaterThanOrEqual(5 - 1e-3);
      expect(step).toBeLessThanOrEqual(10 + 1e-3);
    }
  });

  it('rotates about the center by at most the given angle', () => {
    let largest = 0;
    for (const seed of seeds) {
      const [slope] = changed({ rotation: 30 }, seed);
      // Rotating a slope keeps the mean at the center, and the new direction of the slope shows the angle.
      const center = (slope![3]![5]! + slope![3]![6]! + slope![4]![5]! + slope![4]![6]!) / 4;
      expect(center).toBeCloseTo(95, 3);
      const across = slope![3]![6]! - slope![3]![5]!;
      const down = slope![4]![5]! - slope![3]![5]!;
      largest = Math.max(largest, (Math.abs(Math.atan2(down, across)) * 180) / Math.PI);
    }
    expect(largest).toBeLessThanOrEqual(30.01);
    expect(largest).toBeGreaterThan(15);
  });

  it('changes brightness and contrast, and stays within 0…255', () => {
    const bright = seeds.map(
      (seed) => changed({ brightness: 0.1 }, seed)[0]![2]![3]! - pixel(2 * (2 * 12 + 3)),
    );
    expect(Math.max(...bright.map(Math.abs))).toBeLessThanOrEqual(25.6);
    expect(Math.max(...bright)).toBeGreaterThan(10);
    expect(Math.min(...bright)).toBeLessThan(-10);
    const factors = seeds.map((seed) => changed({ gain: 0.3 }, seed)[0]![0]![0]! / 40);
    expect(Math.max(...factors)).toBeLessThanOrEqual(1.301);
    expect(Math.max(...factors)).toBeGreaterThan(1.1);
    for (const seed of seeds) {
      const all = changed({ brightness: 1, gain: 0.9 }, seed).flat(2);
      expect(Math.min(...all)).toBeGreaterThan(-1e-3);
      expect(Math.max(...all)).toBeLessThan(255.001);
    }
  });

  it('adds noise in standard deviations, reproducibly with the same seed', () => {
    const noisy = changed({ noise: 0.5 });
    const errors = noisy[0]!.flat().map((value, i) => (value - pixel(2 * i)) / 50);
    const deviation = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length);
    expect(deviation).toBeGreaterThan(0.35);
    expect(deviation).toBeLessThan(0.65);
    const settings = { flip: 'both', rotation: 20, crop: 0.2, noise: 0.1 } as const;
    expect(changed(settings, 9)).toEqual(changed(settings, 9));
    expect(changed(settings, 9)).not.toEqual(changed(settings, 10));
  });
});
