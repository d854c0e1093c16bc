import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { runLoop } from '../../src/lib/loop/run/run.js';
import type { LoadedModel } from '../../src/lib/loop/types.js';
import type { Prediction } from '../../src/lib/model/bundle/predictor.js';
import { createPipeline } from '../../src/lib/signal/pipeline.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import { batchesOf, fakeKeeper, fakeLoop, loaded } from '../support/loop.js';

const signal: SignalSpec = {
  ...{ fields: ['sound'], rateHz: 16_000, lowpassHz: null, resampleHz: 16_000 },
  ...{ windowSamples: 800, strideSamples: 480, features: 'microfrontend' },
  mel: {
    ...{ frameSamples: 480, hopSamples: 160, fftSamples: 512, bands: 40 },
    ...{ lowHz: 125, highHz: 7500, state: 'stream' },
  },
};

/** Steady noise, as of a fan. */
const random = seededRandom(4);
const samples = Array.from({ length: 6 * 16_000 }, () => [0.05 * (random() - 0.5)]);

/** A model whose outputs are the features of its windows. `heard` counts the samples of each of its predictors. */
function listener(version: number, heard: number[] = []): LoadedModel {
  const model = loaded(version);
  const createPredictor = () => {
    const pipeline = createPipeline(signal);
    const place = heard.push(0) - 1;
    let window = 0;
    const push = (sample: ArrayLike<number>): Prediction | null => {
      heard[place]!++;
      const features = pipeline.push(sample);
      if (!features) return null;
      const label = 'resting';
      const scores = Array.from(features);
      return { window: window++, index: 0, label, voted: label, scores, value: null, latencyMs: 0 };
    };
    return { push, answer: () => push([0])!, reset: () => pipeline.reset() };
  };
  return { ...model, info: { ...model.info, signal }, createPredictor };
}

describe('a new model with a noise estimate that continues', () => {
  it('hears the last three seconds first, so that it hears steady noise as its predecessor did', async () => {
    const heard: number[] = [];
    const keeper = fakeKeeper(listener(1));
    async function* swapping() {
      for (const [i, batch] of batchesOf(samples, 1600).entries()) {
        if (i === 45) keeper.model = listener(2, heard);
        yield batch;
      }
    }
    const { options, outputs, sensing } = fakeLoop(swapping(), keeper);
    Object.assign(sensing, { fields: [{ name: 'sound', unit: 'FS' }], rateHz: 16_000 });
    await runLoop({ ...options, vote: 'none' });
    const versions = outputs.answers.map(({ model }) => model.version);
    const swap = versions.indexOf(2);
    expect(versions).toHaveLength(1 + Math.floor((samples.length - 800) / 480));
    // 4.5 s, and the rest of the window that ends after them.
    expect(swap).toBe(150);

    const continuous = createPipeline(signal);
    const expected = samples.flatMap((sample) => {
      const features = continuous.push(sample);
      return features ? [Array.from(features)] : [];
    });
    const difference = (a: readonly number[], b: readonly number[]) =>
      a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
    const differences = outputs.answers.map(({ scores }, w) => difference(scores, expected[w]!));
    expect(Math.max(...differences.slice(0, swap))).toBe(0);
    // A few values are one step of the smallest logarithms apart.
    expect(Math.max(...differences.slice(swap))).toBeLessThan(2);
    expect(differences.slice(swap).filter((mean) => mean === 0).length).toBeGreaterThan(40);

    // The last window alone would sound louder.
    const alone = createPipeline(signal);
    const end = 800 + swap * 480;
    const fresh = samples.slice(end - 800, end).flatMap((sample) => {
      const features = alone.push(sample);
      return features ? [Array.from(features)] : [];
    });
    expect(difference(fresh[0]!, expected[swap]!)).toBeGreaterThan(20);
    // Until the window in which it takes over ends, and then to the end.
    const before = heard[0]! - (samples.length - (800 + (swap - 1) * 480));
    expect(before).toBeGreaterThanOrEqual(3 * 16_000);
    expect(before).toBeLessThan(3.2 * 16_000);
  });
});
