import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { createFourier } from '../../src/lib/signal/fourier.js';
import { windowFeatures } from '../../src/lib/signal/pipeline.js';
import {
  featureNames,
  inputShape,
  quantizeInput,
  type SignalSpec,
  signalSpecOf,
  standardize,
} from '../../src/lib/signal/spec.js';

const spec: SignalSpec = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  lowpassHz: 12,
  resampleHz: 50,
  windowSamples: 500,
  strideSamples: 250,
  features: 'motion',
};
const flat = (value: number) => new Float64Array(1100).fill(value);

it.each([2.5, 0, -4, Number.NaN, Number.POSITIVE_INFINITY])(
  'a Fourier transform rejects a length of %d instead of searching for its factors',
  (n) => {
    expect(() => createFourier(n)).toThrow(RangeError);
  },
);

describe('feature sets', () => {
  it('have one unique name per feature', () => {
    for (const [features, count] of [
      ['motion', 36],
      ['spectral', 30],
      ['har', 115],
      ['raw', 1500],
    ] as const) {
      const names = featureNames({ ...spec, features });
      expect(names.length).toBe(count);
      expect(new Set(names).size).toBe(count);
    }
    expect(inputShape(spec)).toEqual([36]);
    expect(inputShape({ ...spec, features: 'raw' })).toEqual([500, 3]);
  });

  it.each([
    ['all zeros', [flat(0), flat(0), flat(0)]],
    ['a constant', [flat(0.1), flat(-0.3), flat(9.81)]],
    ['huge values', [flat(1e12), flat(-1e12), flat(1)]],
  ])('are finite for %s', (_, columns) => {
    for (const features of ['motion', 'spectral', 'har'] as const) {
      const [window] = windowFeatures({ ...spec, features }, columns);
      window!.forEach((value, i) => {
        expect(Number.isFinite(value), featureNames({ ...spec, features })[i]).toBe(true);
      });
    }
  });

  it('keep the motion features unchanged when the sensor is rotated', () => {
    const [x, y, z] = [1, 2, 3].map((k) =>
      Float64Array.from({ length: 1100 }, (_, i) => Math.sin(i / (5 + k)) / k + (k === 3 ? 1 : 0)),
    ) as [Float64Array, Float64Array, Float64Array];
    const turned = [y.map((v) => -v), z, x.map((v) => -v)];
    const [a] = windowFeatures(spec, [x, y, z]);
    const [b] = windowFeatures(spec, turned);
    a!.forEach((value, i) => {
      expect(b![i]).toBeCloseTo(value, 4);
    });
  });

  it('select features by name from several sets, in the requested order', () => {
    const columns = [1, 2, 3].map((k) => Float64Array.from({ length: 1100 }, (_, i) => Math.sin(i / k) + k));
    const features = ['z_rms', 'along_peak_hz', 'acc_x_mean', 'y[3]', 'across_kurtosis'];
    const [picked] = windowFeatures({ ...spec, features }, columns);
    const all = (['spectral', 'motion', 'har', 'raw'] as const).flatMap((set) => {
      const names = featureNames({ ...spec, features: set });
      const [values] = windowFeatures({ ...spec, features: set }, columns);
      return names.map((name, i) => [name, values![i]!] as const);
    });
    expect([...picked!]).toEqual(features.map((name) => new Map(all).get(name)));
  });
});

const project = (features: string, fields = 'x: { unit: g }, y: { unit: g }, z: { unit: g }') =>
  parseProject(
    `name: p
stream: { topic: t, fields: { ${fields} } }
signal: { rate: 100, window: 250, stride: 125, features: ${features} }
model: { kind: mlp, labels: { a: [a], b: [b] } }`,
    'aiot.yaml',
  );

describe('the signal section of a project', () => {
  it('gets default values for omitted settings', () => {
    expect(signalSpecOf(project('motion'))).toEqual({
      ...spec,
      lowpassHz: null,
      resampleHz: 100,
      windowSamples: 250,
      strideSamples: 125,
    });
  });

  it.each([
    ['[along_step, magnitude_speed]', undefined, 'AIOT_FEATURE_UNKNOWN', 'got "magnitude_speed"'],
    ['motion', 'current: { unit: A }', 'AIOT_FEATURE_UNFIT', 'got 1 field: current'],
    ['har', undefined, 'AIOT_FEATURE_UNFIT', 'window of 448 to 895 samples'],
  ])('is rejected with features %s and fields %s', (features, fields, code, message) => {
    expect(() => signalSpecOf(project(features, fields))).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });
});

describe('standardization', () => {
  const standardization = { mean: [1, 10], deviation: [2, 5] };

  it('subtracts the mean and divides by the standard deviation', () => {
    expect([...standardize([3, 0], standardization, new Float64Array(2))]).toEqual([1, -2]);
  });

  it.each([
    [0.5, 1],
    [-0.5, -1],
    [1.5, 2],
    [2.5, 3],
    [-2.5, -3],
    [0.49999999999999994, 0],
    [126.4, 126],
    [1e9, 127],
    [-1e9, -128],
  ])('rounds %d steps to %i: half away from zero, clamped', (steps, expected) => {
    const unit = { mean: [0], deviation: [1] };
    expect([...quantizeInput([steps], unit, { scale: 1, zeroPoint: 0 })]).toEqual([expected]);
  });

  it('adds the zero point before it clamps', () => {
    const out = new Int8Array(2);
    expect(quantizeInput([3, 0], standardization, { scale: 0.5, zeroPoint: -126 }, out)).toBe(out);
    expect([...out]).toEqual([-124, -128]);
  });
});
