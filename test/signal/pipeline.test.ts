import { describe, expect, it } from 'vitest';
import { createPipeline, windowCount, windowFeatures } from '../../src/lib/signal/pipeline.js';
import { featureNames, inputShape, type SignalSpec } from '../../src/lib/signal/spec.js';
import { fc, runs } from '../support/property.js';

const base: SignalSpec = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  lowpassHz: 12,
  resampleHz: 50,
  windowSamples: 20,
  strideSamples: 10,
  features: 'motion',
};

function streamed(spec: SignalSpec, columns: Float64Array[]): Float32Array[] {
  const pipeline = createPipeline(spec);
  const windows: Float32Array[] = [];
  for (let i = 0; i < columns[0]!.length; i++) {
    const features = pipeline.push(columns.map((column) => column[i]!));
    if (features) windows.push(features.slice());
  }
  return windows;
}

const specs = fc.record({
  rateHz: fc.constantFrom(100, 52, 200, 33.3),
  resampleShare: fc.constantFrom(1, 0.5, 0.37, 0.9, 1 / 3),
  lowpassShare: fc.constantFrom(null, 0.05, 0.24, 0.49),
  windowSamples: fc.integer({ min: 1, max: 40 }),
  strideSamples: fc.integer({ min: 1, max: 60 }),
  features: fc.constantFrom<SignalSpec['features']>('raw', 'motion', 'spectral', [
    'x_rms',
    'along_step',
    'y[0]',
  ]),
});

describe('the signal pipeline', () => {
  it('computes the same features for a whole recording as sample by sample', () => {
    fc.assert(
      fc.property(
        specs,
        fc.array(fc.tuple(...[0, 1, 2].map(() => fc.double({ min: -16, max: 16, noNaN: true }))), {
          maxLength: 200,
        }),
        ({ rateHz, resampleShare, lowpassShare, ...rest }, samples) => {
          const spec: SignalSpec = {
            ...base,
            ...rest,
            rateHz,
            resampleHz: rateHz * resampleShare,
            lowpassHz: lowpassShare === null ? null : rateHz * lowpassShare,
          };
          const columns = [0, 1, 2].map((f) => Float64Array.from(samples, (sample) => sample[f]!));
          const whole = windowFeatures(spec, columns);
          expect(whole).toEqual(streamed(spec, columns));
          expect(whole.length).toBe(windowCount(spec, samples.length));
          for (const features of whole) expect(features.every(Number.isFinite)).toBe(true);
        },
      ),
      { numRuns: runs(300) },
    );
  });

  it('starts over after a reset', () => {
    const pipeline = createPipeline(base);
    const columns = [1, 2, 3].map((k) => Float64Array.from({ length: 130 }, (_, i) => Math.sin(i * k)));
    for (let i = 0; i < 57; i++) pipeline.push([9, i, -i]);
    pipeline.reset();
    const first: Float32Array[] = [];
    for (let i = 0; i < 130; i++) {
      const features = pipeline.push(columns.map((column) => column[i]!));
      if (features) first.push(features.slice());
    }
    expect(first).toEqual(windowFeatures(base, columns));
  });

  it('leaves samples unchanged without a low-pass filter and with equal rates', () => {
    const spec: SignalSpec = {
      ...base,
      fields: ['a', 'b'],
      lowpassHz: null,
      resampleHz: 100,
      features: 'raw',
    };
    const small = { ...spec, windowSamples: 3, strideSamples: 2 };
    const columns = [Float64Array.of(1, 2, 3, 4, 5), Float64Array.of(10, 20, 30, 40, 50)];
    expect(windowFeatures(small, columns).map((w) => [...w])).toEqual([
      [1, 10, 2, 20, 3, 30],
      [3, 30, 4, 40, 5, 50],
    ]);
    expect(inputShape(small)).toEqual([3, 2]);
    expect(featureNames(small)).toEqual(['a[0]', 'b[0]', 'a[1]', 'b[1]', 'a[2]', 'b[2]']);
  });

  it('interpolates linearly at k/resample seconds', () => {
    const spec = {
      ...base,
      fields: ['a'],
      lowpassHz: null,
      rateHz: 10,
      resampleHz: 4,
      features: 'raw' as const,
    };
    const column = Float64Array.from({ length: 11 }, (_, i) => i * i);
    const [window] = windowFeatures({ ...spec, windowSamples: 5, strideSamples: 5 }, [column]);
    expect([...window!]).toEqual([0, 6.5, 25, 56.5, 100]);
  });

  it('produces no ramp at the start of a constant signal', () => {
    const spec = { ...base, fields: ['a'], features: 'raw' as const };
    const [window] = windowFeatures(spec, [new Float64Array(60).fill(9.81)]);
    for (const value of window!) expect(value).toBeCloseTo(9.81, 6);
  });
});
