import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { featureSetOf } from '../../src/lib/signal/feature-sets.js';
import { createFourier } from '../../src/lib/signal/fourier.js';
import { createLowpass } from '../../src/lib/signal/lowpass.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import { root } from '../support/cli.js';

function golden<T>(name: string): T {
  return JSON.parse(readFileSync(join(root, 'test', 'golden', name), 'utf8')) as T;
}

describe('the signal chain, compared with SciPy', () => {
  const { input, cases } = golden<{
    input: number[];
    cases: { cornerHz: number; rateHz: number; output: number[] }[];
  }>('butterworth.json');

  it.each(cases)(
    'matches butter(4, $cornerHz, fs=$rateHz) started in its steady state',
    ({ cornerHz, rateHz, output }) => {
      const filter = createLowpass(cornerHz, rateHz);
      input.forEach((x, i) => {
        expect(Math.abs(filter.step(x) - output[i]!)).toBeLessThan(1e-10);
      });
    },
  );

  const features = golden<{ window: number[][]; motion: number[]; spectral: number[] }>('features.json');

  it.each(['motion', 'spectral'] as const)('computes the same %s features', (name) => {
    const spec: SignalSpec = {
      fields: ['x', 'y', 'z'],
      rateHz: 50,
      lowpassHz: null,
      resampleHz: 50,
      windowSamples: 250,
      strideSamples: 125,
      features: name,
    };
    const set = featureSetOf(spec);
    const out = new Float64Array(set.names.length);
    set.compute(
      [0, 1, 2].map((axis) => Float64Array.from(features.window, (row) => row[axis]!)),
      out,
    );
    expect(out.length).toBe(features[name].length);
    features[name].forEach((expected, i) => {
      expect(Math.abs(out[i]! - expected), set.names[i]).toBeLessThan(1e-9 * Math.max(1, Math.abs(expected)));
    });
  });
});

describe('the Fourier transform', () => {
  it.each([1, 2, 3, 5, 8, 12, 167, 250, 400, 501])('matches the defining sum for %i samples', (n) => {
    const x = Float64Array.from({ length: n }, (_, i) => Math.sin(i * i) + i / n);
    const fourier = createFourier(n);
    fourier.transform(x);
    for (let k = 0; k < n; k++) {
      let re = 0;
      let im = 0;
      for (let t = 0; t < n; t++) {
        const angle = (-2 * Math.PI * ((k * t) % n)) / n;
        re += x[t]! * Math.cos(angle);
        im += x[t]! * Math.sin(angle);
      }
      expect(Math.hypot(fourier.re[k]! - re, fourier.im[k]! - im)).toBeLessThan(1e-9);
    }
  });

  it.each([1, 2, 3, 10, 30, 167, 500, 501])(
    'produces the same result for two signals of %i samples at once as for each separately',
    (n) => {
      const a = Float64Array.from({ length: n }, (_, i) => Math.sin(i * i));
      const b = Float64Array.from({ length: n }, (_, i) => Math.cos(3 * i) + i / n);
      const fourier = createFourier(n);
      const bins = Math.floor(n / 2) + 1;
      const parts = [new Float64Array(2 * bins), new Float64Array(2 * bins)];
      fourier.transformPair(a, b, parts[0]!, parts[1]!);
      [a, b].forEach((signal, s) => {
        fourier.transform(signal);
        for (let k = 0; k < bins; k++) {
          expect(Math.abs(parts[s]![k]! - fourier.re[k]!)).toBeLessThan(1e-9);
          expect(Math.abs(parts[s]![bins + k]! - fourier.im[k]!)).toBeLessThan(1e-9);
        }
      });
    },
  );
});
