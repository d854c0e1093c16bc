import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { createPipeline, windowCount, windowFeatures } from '../../src/lib/signal/pipeline.js';
import { featureNames, inputShape, type SignalSpec, signalSpecOf } from '../../src/lib/signal/spec.js';
import { root } from '../support/cli.js';
import { fc, runs } from '../support/property.js';

const project = (more = '', signal = 'rate: 16000, window: 16000, stride: 8000') =>
  parseProject(
    `name: p
stream: { topic: t, fields: { sound: { unit: FS } } }
signal: { ${signal}, features: microfrontend${more} }
model: { kind: ds-cnn, labels: { a: [a], b: [b] } }`,
    'aiot.yaml',
  );

const spec = signalSpecOf(project(', mel: { hop: 160 }'));

/** Windows of this many frames, with a noise estimate that continues. */
function streamed(frames: number, hops: number): SignalSpec {
  const windowSamples = 480 + 160 * (frames - 1);
  return { ...spec, windowSamples, strideSamples: 160 * hops, mel: { ...spec.mel!, state: 'stream' } };
}

describe('the micro front end', () => {
  const { cases } = JSON.parse(readFileSync(join(root, 'test', 'golden', 'microfrontend.json'), 'utf8')) as {
    cases: { name: string; samples: number[]; values: number[][] }[];
  };

  it.each(cases)('computes the integers of TensorFlow Lite Micro: $name', ({ samples, values }) => {
    const own = { ...spec, windowSamples: samples.length, strideSamples: samples.length };
    const [window] = windowFeatures(own, [Float64Array.from(samples, (value) => value / 32_768)]);
    expect(Array.from(window!)).toEqual(values.flat());
  });

  it.each(cases)('computes them in a stream, too, from window to window: $name', ({ samples, values }) => {
    for (const [frames, hops] of [
      [3, 3],
      [1, 1],
      [5, 2],
    ] as const) {
      const pipeline = createPipeline(streamed(frames, hops));
      const rows = samples.flatMap((sample) => {
        const window = pipeline.push([sample / 32_768]);
        return window ? [Array.from(window)] : [];
      });
      const all = rows.flatMap((row, i) => (i === 0 ? row : row.slice((frames - hops) * 40)));
      expect(all).toEqual(values.flat().slice(0, all.length));
      expect(values.length * 40 - all.length).toBeLessThan(hops * 40);
      // A window that shares frames with the previous one has the same values for them.
      for (let i = 1; i < rows.length; i++)
        expect(rows[i]!.slice(0, (frames - hops) * 40)).toEqual(rows[i - 1]!.slice(hops * 40));
      pipeline.reset();
      const again = samples.flatMap((sample) => pipeline.push([sample / 32_768])?.slice() ?? []);
      expect(again.map((row) => Array.from(row))).toEqual(rows);
    }
  });

  it('has the settings of wake-word models by default, with a hop of 20 ms', () => {
    expect(signalSpecOf(project()).mel).toEqual({
      ...{ frameSamples: 480, hopSamples: 320, fftSamples: 512, bands: 40 },
      ...{ lowHz: 125, highHz: 7500, coefficients: null },
    });
    const slow = signalSpecOf(project('', 'rate: 8000, window: 8000, stride: 8000'));
    expect(slow.mel).toMatchObject({ frameSamples: 240, fftSamples: 256, highHz: 4000 });
  });

  it('has a name for each band of each frame, and a matching shape', () => {
    expect(inputShape(spec)).toEqual([98, 40]);
    const names = featureNames(spec);
    expect([names.length, new Set(names).size, names[41]]).toEqual([3920, 3920, 'sound_micro1[1]']);
  });

  it('yields integers for any samples, and 0 for silence', () => {
    const of = (make: (i: number) => number) =>
      windowFeatures(spec, [Float64Array.from({ length: 16_000 }, (_, i) => make(i))])[0]!;
    expect(new Set(of(() => 0))).toEqual(new Set([0]));
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1e300, 5e-324, 2]) {
      const values = of((i) => (i % 7 < 3 ? value : -value));
      expect(values.every((each) => Number.isInteger(each) && each >= 0 && each <= 0xffff)).toBe(true);
    }
  });

  it('reduces steady noise, but not a sound that starts in it', () => {
    const noise = (i: number) => (((i * 7919) % 1009) / 1009 - 0.5) / 10;
    const tone = (i: number) => (i < 8000 ? 0 : 0.1 * Math.sin((2 * Math.PI * 1000 * i) / 16_000));
    const [values] = windowFeatures(spec, [
      Float64Array.from({ length: 16_000 }, (_, i) => noise(i) + tone(i)),
    ]);
    const mean = (frame: number) =>
      values!.subarray(40 * frame, 40 * frame + 40).reduce((a, b) => a + b) / 40;
    expect(mean(45)).toBeLessThan(mean(0) / 1.2);
    expect(Math.max(...values!.subarray(40 * 52, 40 * 53))).toBeGreaterThan(
      Math.max(...values!.subarray(40 * 45, 40 * 46)),
    );
  });

  it('is the same sample by sample as for a whole recording', () => {
    fc.assert(
      fc.property(
        fc.record({
          window: fc.integer({ min: 64, max: 160 }),
          frame: fc.integer({ min: 32, max: 64 }),
          hop: fc.integer({ min: 1, max: 80 }),
          hops: fc.integer({ min: 1, max: 4 }),
          streams: fc.boolean(),
        }),
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { maxLength: 500 }),
        ({ window, frame, hop, hops, streams }, samples) => {
          const state = streams && hops <= 1 + Math.floor((window - frame) / hop) ? 'stream' : undefined;
          const own: SignalSpec = {
            ...spec,
            windowSamples: window,
            strideSamples: hops * hop,
            mel: { ...spec.mel!, frameSamples: frame, hopSamples: hop, fftSamples: 64, bands: 6, state },
          };
          const column = Float64Array.from(samples);
          const pipeline = createPipeline(own);
          const streamed = samples.flatMap((sample) => pipeline.push([sample])?.slice() ?? []);
          expect(windowFeatures(own, [column])).toEqual(streamed);
          expect(streamed.length).toBe(windowCount(own, samples.length));
        },
      ),
      { numRuns: runs(50) },
    );
  });

  it.each([
    [', mel: { fft: 500 }', 'expects an FFT of 64, 128, 256, 512 or 1024 samples, got 500'],
    [', mel: { fft: 2048 }', 'expects an FFT of 64, 128, 256, 512 or 1024 samples, got 2048'],
    [', mel: { bands: 256 }', 'use fewer bands, or an FFT of more than 512 samples'],
    [', mel: { low: 1000, high: 1000.001 }', 'has no FFT bin in band 1 of 40'],
    [', mel: { high: 9000 }', 'expects bands up to at most half the rate, 8000 Hz, got 9000'],
  ])('is rejected with%s', (more, message) => {
    expect(() => signalSpecOf(project(more))).toThrow(
      expect.objectContaining({ code: 'AIOT_FEATURE_UNFIT', message: expect.stringContaining(message) }),
    );
  });

  it('is rejected in a stream if windows leave out a frame, and other sets have no state', () => {
    const of = (stride: number, more: string) => () =>
      signalSpecOf(project(more, `rate: 16000, window: 1000, stride: ${stride}`));
    const mel = ', mel: { frame: 400, hop: 500, state: stream }';
    expect(of(1000, mel)().mel).toMatchObject({ state: 'stream' });
    const problem = 'expects a stride of whole hops of 500 samples, at most 1000, got';
    for (const stride of [1200, 1500])
      expect(of(stride, mel)).toThrow(
        expect.objectContaining({
          code: 'AIOT_FEATURE_UNFIT',
          message: expect.stringContaining(`${problem} ${stride}`),
        }),
      );
    expect(of(1500, mel.replace('stream', 'window'))().mel).not.toHaveProperty('state');
    expect(() =>
      parseProject(
        `name: p
stream: { topic: t, fields: { sound: { unit: FS } } }
signal: { rate: 16000, window: 16000, stride: 8000, features: logmel, mel: { state: stream } }
model: { kind: ds-cnn, labels: { a: [a], b: [b] } }`,
        'aiot.yaml',
      ),
    ).toThrow(/only signal.features: microfrontend has a state/);
  });
});
