import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { exponential, naturalLog } from '../../src/lib/signal/logarithm.js';
import type { MelSpec } from '../../src/lib/signal/mel.js';
import { createPipeline, windowCount, windowFeatures } from '../../src/lib/signal/pipeline.js';
import { featureNames, inputShape, type SignalSpec, signalSpecOf } from '../../src/lib/signal/spec.js';
import { root } from '../support/cli.js';
import { fc, runs } from '../support/property.js';

const mel: MelSpec = {
  frameSamples: 480,
  hopSamples: 320,
  fftSamples: 512,
  bands: 40,
  lowHz: 20,
  highHz: 8000,
  coefficients: null,
};
const spec: SignalSpec = {
  fields: ['sound'],
  rateHz: 16_000,
  lowpassHz: null,
  resampleHz: 16_000,
  windowSamples: 3200,
  strideSamples: 1600,
  features: 'logmel',
  mel,
};
const mfcc = (coefficients: number): SignalSpec => ({
  ...spec,
  features: 'mfcc',
  mel: { ...mel, coefficients },
});
const tone = (hz: number, length = 3200) =>
  Float64Array.from({ length }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / 16_000));

describe('mel features, compared with librosa', () => {
  const { cases } = JSON.parse(readFileSync(join(root, 'test', 'golden', 'mel.json'), 'utf8')) as {
    cases: { name: string; rate: number; mel: MelSpec; samples: number[]; values: number[][] }[];
  };

  it.each(cases)('are the same: $name', ({ rate, mel: settings, samples, values }) => {
    const own: SignalSpec = {
      ...spec,
      rateHz: rate,
      resampleHz: rate,
      windowSamples: samples.length,
      strideSamples: samples.length,
      features: settings.coefficients === null ? 'logmel' : 'mfcc',
      mel: settings,
    };
    const [window] = windowFeatures(own, [Float64Array.from(samples)]);
    expect(inputShape(own)).toEqual([values.length, values[0]!.length]);
    values.flat().forEach((expected, i) => {
      expect(Math.abs(window![i]! - expected), featureNames(own)[i]).toBeLessThan(
        1e-6 * Math.max(1, Math.abs(expected)),
      );
    });
  });
});

describe('mel features', () => {
  it('have a name for each band of each frame, and a matching shape', () => {
    expect(inputShape(spec)).toEqual([9, 40]);
    const names = featureNames(spec);
    expect([names.length, new Set(names).size]).toEqual([360, 360]);
    expect([names[0], names[41], names[359]]).toEqual(['sound_mel0[0]', 'sound_mel1[1]', 'sound_mel39[8]']);
    expect(inputShape(mfcc(13))).toEqual([9, 13]);
    expect(featureNames(mfcc(13))[14]).toBe('sound_mfcc1[1]');
  });

  it('peak in a tone’s band, at its level', () => {
    const [window] = windowFeatures(spec, [tone(1000)]);
    const [half] = windowFeatures(spec, [tone(1000).map((value) => value / 2)]);
    const frame = window!.subarray(160, 200);
    const loudest = frame.indexOf(Math.max(...frame));
    // 1000 Hz is 15 mel; the top of band b is at 0.3 + 1.096 · (b + 1) mel.
    expect([12, 13]).toContain(loudest);
    expect(frame[loudest]! - half![160 + loudest]!).toBeCloseTo(20 * Math.log10(2), 5);
  });

  it('are finite for silence and for extreme samples', () => {
    for (const value of [0, 5e-324, 1e80, -1e80]) {
      for (const own of [spec, mfcc(20)]) {
        const [window] = windowFeatures(own, [new Float64Array(3200).fill(value)]);
        expect(window!.every(Number.isFinite)).toBe(true);
      }
    }
    const [silence] = windowFeatures(spec, [new Float64Array(3200)]);
    expect(new Set(silence)).toEqual(new Set([-100]));
  });

  it('are the same sample by sample as for a whole recording', () => {
    fc.assert(
      fc.property(
        fc.record({
          window: fc.integer({ min: 40, max: 120 }),
          frame: fc.integer({ min: 2, max: 40 }),
          hop: fc.integer({ min: 1, max: 50 }),
          hops: fc.integer({ min: 1, max: 4 }),
          coefficients: fc.constantFrom(null, 1, 3),
          resample: fc.constantFrom(16_000, 11_025),
        }),
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { maxLength: 400 }),
        ({ window, frame, hop, hops, coefficients, resample }, samples) => {
          const own: SignalSpec = {
            ...spec,
            features: coefficients === null ? 'logmel' : 'mfcc',
            resampleHz: resample,
            windowSamples: window,
            strideSamples: hops * hop,
            mel: {
              ...mel,
              frameSamples: frame,
              hopSamples: hop,
              fftSamples: 64,
              bands: 3,
              lowHz: 0,
              highHz: 5000,
              coefficients,
            },
          };
          const column = Float64Array.from(samples);
          const pipeline = createPipeline(own);
          const streamed: Float32Array[] = [];
          for (const sample of column) {
            const features = pipeline.push([sample]);
            if (features) streamed.push(features.slice());
          }
          expect(windowFeatures(own, [column])).toEqual(streamed);
          expect(streamed.length).toBe(windowCount(own, samples.length));
        },
      ),
      { numRuns: runs(100) },
    );
  });
});

describe('the logarithm and the exponential function', () => {
  it('are within a rounding error or two of the true values', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-300, max: 1e300, noNaN: true }),
        fc.double({ min: 0, max: 20, noNaN: true }),
        (x, y) => {
          expect(Math.abs(naturalLog(x) - Math.log(x))).toBeLessThan(
            4e-16 * Math.max(1, Math.abs(Math.log(x))),
          );
          expect(Math.abs(exponential(y) / Math.exp(y) - 1)).toBeLessThan(4e-15);
        },
      ),
      { numRuns: runs(500) },
    );
    expect([naturalLog(1), exponential(0)]).toEqual([0, 1]);
  });
});

const project = (
  features: string,
  more = '',
  fields = 'sound: { unit: FS }',
  signal = 'window: 16000, stride: 8000',
) =>
  parseProject(
    `name: p
stream: { topic: t, fields: { ${fields} } }
signal: { rate: 16000, ${signal}, features: ${features}${more} }
model: { kind: ds-cnn, labels: { a: [a], b: [b] } }`,
    'aiot.yaml',
  );

describe('signal.mel of a project', () => {
  it('gets default values for omitted settings', () => {
    expect(signalSpecOf(project('logmel')).mel).toEqual(mel);
    expect(signalSpecOf(project('mfcc')).mel).toEqual({ ...mel, coefficients: 13 });
    expect(signalSpecOf(project('spectral')).mel).toBeUndefined();
    expect(
      signalSpecOf(project('mfcc', ', resample: 8000, mel: { coefficients: 10, low: 50, fft: 400 }')).mel,
    ).toEqual({
      ...mel,
      frameSamples: 240,
      hopSamples: 160,
      fftSamples: 400,
      lowHz: 50,
      highHz: 4000,
      coefficients: 10,
    });
  });

  it.each([
    [
      'logmel',
      '',
      'x: { unit: g }, y: { unit: g }',
      undefined,
      'expects one field, the samples of a microphone, got 2: x, y',
    ],
    [
      'logmel',
      '',
      undefined,
      'window: 400, stride: 400',
      'expects a frame of at most the window, 400 samples, got 480',
    ],
    [
      'mfcc',
      ', mel: { fft: 256 }',
      undefined,
      undefined,
      'expects an FFT of at least the frame, 480 samples, got 256',
    ],
    [
      'logmel',
      '',
      undefined,
      'window: 16000, stride: 1000',
      'expects a stride of whole hops of 320 samples, got 1000',
    ],
    [
      'logmel',
      ', mel: { high: 9000 }',
      undefined,
      undefined,
      'expects bands up to at most half the rate, 8000 Hz, got 9000',
    ],
    [
      'logmel',
      ', mel: { low: 900, high: 900 }',
      undefined,
      undefined,
      'expects its lowest frequency below the highest, 900 Hz, got 900',
    ],
    [
      'mfcc',
      ', mel: { coefficients: 41 }',
      undefined,
      undefined,
      'expects at most as many coefficients as bands, 40, got 41',
    ],
    [
      'logmel',
      ', mel: { bands: 256 }',
      undefined,
      undefined,
      'use fewer bands, or an FFT of more than 512 samples',
    ],
  ])('is rejected with %s%s', (features, more, fields, signal, message) => {
    expect(() => signalSpecOf(project(features, more, fields, signal))).toThrow(
      expect.objectContaining({ code: 'AIOT_FEATURE_UNFIT', message: expect.stringContaining(message) }),
    );
  });

  it('is rejected unless a mel feature set is selected', () => {
    expect(() => project('spectral', ', mel: { bands: 20 }')).toThrow(
      expect.objectContaining({
        code: 'AIOT_PROJECT_INVALID',
        message: expect.stringContaining(
          'these settings need signal.features: logmel, mfcc or microfrontend; got',
        ),
      }),
    );
  });
});
