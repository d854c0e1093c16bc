import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { type Augmentation, augmenter, rotationMatrix } from '../../../src/lib/model/train/fit/augment.js';

const off: Augmentation = { rotation: 0, timeWarp: 0, noise: 0, gain: 0 };
const samples = 64;
/** Three axes and a temperature, standardized as in training. */
const standardization = {
  mean: Array.from({ length: samples * 4 }, (_, i) => [0.1, -0.2, 0.9, 25][i % 4]!),
  deviation: Array.from({ length: samples * 4 }, (_, i) => [0.5, 0.4, 0.6, 3][i % 4]!),
};
const raw = Float64Array.from({ length: samples * 4 }, (_, i) => {
  const t = Math.floor(i / 4) / samples;
  return [Math.sin(9 * t), Math.cos(7 * t), 1 + 0.2 * Math.sin(20 * t), 24 + t][i % 4]!;
});
const standardized = () =>
  Float32Array.from(raw, (value, i) => (value - standardization.mean[i]!) / standardization.deviation[i]!);

/** Returns one augmented window in its original units. */
function changed(augmentation: Partial<Augmentation>, seed = 1): Float64Array {
  const augment = augmenter({ ...off, ...augmentation }, samples * 4, standardization, {
    samples,
    fields: 4,
  });
  const inputs = standardized();
  augment?.(inputs, 1, seededRandom(seed));
  return Float64Array.from(
    inputs,
    (value, i) => value * standardization.deviation[i]! + standardization.mean[i]!,
  );
}

const field = (window: Float64Array, f: number) =>
  Array.from({ length: samples }, (_, t) => window[t * 4 + f]!);
const length = (window: Float64Array, t: number) =>
  Math.hypot(window[t * 4]!, window[t * 4 + 1]!, window[t * 4 + 2]!);

describe('augmentation', () => {
  it('is disabled if nothing is requested', () => {
    expect(augmenter(off, 4, standardization, { samples: 1, fields: 4 })).toBeNull();
    expect(augmenter({ ...off, rotation: 30 }, 4, standardization, null)).toBeNull();
  });

  it('rotates three axes together in their own units, and leaves a fourth field alone', () => {
    const turned = changed({ rotation: 90 });
    for (let t = 0; t < samples; t++) expect(length(turned, t)).toBeCloseTo(length(raw, t), 4);
    field(turned, 3).forEach((value, t) => {
      expect(value).toBeCloseTo(field(raw, 3)[t]!, 3);
    });
    expect(Math.abs(turned[0]! - raw[0]!)).toBeGreaterThan(0.01);
    // The angle between two samples is preserved, so one rotation applies to the whole window.
    const dot = (window: Float64Array) => [0, 1, 2].reduce((sum, f) => sum + window[f]! * window[80 + f]!, 0);
    expect(dot(turned)).toBeCloseTo(dot(raw), 4);
  });

  it('rotates by at most the requested angle', () => {
    const random = seededRandom(2);
    for (let n = 0; n < 200; n++) {
      const m = rotationMatrix(25, random);
      const angle = (Math.acos(Math.min(1, (m[0]! + m[4]! + m[8]! - 1) / 2)) * 180) / Math.PI;
      expect(angle).toBeLessThanOrEqual(25.001);
    }
  });

  it('scales the whole window by one factor', () => {
    const grown = changed({ gain: 0.3 });
    const factor = grown[3]! / raw[3]!;
    expect(Math.abs(factor - 1)).toBeGreaterThan(0.01);
    expect(Math.abs(factor - 1)).toBeLessThanOrEqual(0.3);
    for (let i = 0; i < grown.length; i++) expect(grown[i]).toBeCloseTo(raw[i]! * factor, 3);
  });

  it('stretches and squeezes time, keeping both ends and the value range', () => {
    const warped = changed({ timeWarp: 0.4 }, 3);
    for (let f = 0; f < 4; f++) {
      const [before, after] = [field(raw, f), field(warped, f)];
      expect(after[0]).toBeCloseTo(before[0]!, 4);
      expect(after.at(-1)).toBeCloseTo(before.at(-1)!, 4);
      expect(Math.max(...after)).toBeLessThanOrEqual(Math.max(...before) + 1e-4);
    }
    // The last field rises steadily, so it shows the original time of each sample, which must never go
    // backward.
    const moments = field(warped, 3);
    expect(moments.every((moment, t) => t === 0 || moment >= moments[t - 1]! - 1e-5)).toBe(true);
    expect(Math.max(...moments.map((moment, t) => Math.abs(moment - field(raw, 3)[t]!)))).toBeGreaterThan(
      0.01,
    );
  });

  it('adds noise with the requested standard deviation, different in each row', () => {
    const augment = augmenter({ ...off, noise: 0.5 }, 1000, { mean: [], deviation: [] }, null)!;
    const inputs = new Float32Array(20_000);
    augment(inputs, 20, seededRandom(6));
    const mean = inputs.reduce((sum, value) => sum + value, 0) / inputs.length;
    const deviation = Math.sqrt(inputs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inputs.length);
    expect(mean).toBeCloseTo(0, 1);
    expect(deviation).toBeCloseTo(0.5, 1);
    expect(inputs.subarray(0, 1000)).not.toEqual(inputs.subarray(1000, 2000));
  });

  it('is reproducible with the same seed', () => {
    const all = { rotation: 40, timeWarp: 0.2, noise: 0.1, gain: 0.1 };
    expect(changed(all, 8)).toEqual(changed(all, 8));
    expect(changed(all, 8)).not.toEqual(changed(all, 9));
  });
});
