import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../../src/lib/core/numbers.js';
import type { LayerConfig } from '../../../src/lib/core/project-schema.js';
import type { Graph } from '../../../src/lib/formats/tflite/graph.js';
import {
  layersOf,
  type NetworkKind,
  type NetworkOutput,
  type NetworkSpec,
} from '../../../src/lib/model/network/layers.js';
import { augmenter } from '../../../src/lib/model/train/fit/augment.js';
import type { Checkpoint } from '../../../src/lib/model/train/fit/checkpoint.js';
import { cosineShare, type FitOptions, fitNetwork } from '../../../src/lib/model/train/fit/fit-network.js';
import type { Part } from '../../../src/lib/model/train/fit/part.js';

/** Classes at the corners of a cube, the last of which is rare, or values that are a sum of the inputs. */
function blobs(size: number, count: number, seed: number): Part {
  const random = seededRandom(seed);
  const classes = Int32Array.from({ length: count }, (_, i) => (i % 10 === 9 ? 2 : i % 2));
  const inputs = Float32Array.from({ length: count * size }, (_, i) => {
    const c = classes[Math.floor(i / size)]!;
    return ((i % size) % 3 === c ? 2 : 0) + gaussian(random) * 0.5;
  });
  const values = Float32Array.from(classes, (_, row) => (inputs[row * size]! - inputs[row * size + 1]!) / 2);
  return { inputs, inputSize: size, classes, values };
}

function specOf(
  kind: NetworkKind,
  inputShape: number[],
  layers: number[],
  output: NetworkOutput,
): NetworkSpec {
  return { kind, inputShape, layers: layersOf(kind, layers, inputShape), output };
}
const three: NetworkOutput = { kind: 'classes', count: 3 };
const mlp = specOf('mlp', [6], [8], three);
const cnn = specOf('cnn1d', [12, 2], [4, 6], three);
const dropout: LayerConfig = { type: 'dropout', rate: 0.2 };
const withDropout: NetworkSpec = { ...mlp, layers: [...mlp.layers, dropout] };

function options(spec: NetworkSpec, changes: Partial<FitOptions> = {}): FitOptions {
  const size = spec.inputShape.reduce((a, b) => a * b, 1);
  const only = (part: Part) => {
    if (spec.output.kind !== 'probability') return part;
    return { ...part, classes: part.classes.map((c) => Math.min(c, 1)) };
  };
  const standardization = { mean: new Array(size).fill(0), deviation: new Array(size).fill(1) };
  return {
    spec,
    train: only(blobs(size, 200, 1)),
    validation: only(blobs(size, 60, 2)),
    epochs: 15,
    batch: 16,
    learningRate: 0.01,
    seed: 5,
    classWeights: 'balanced',
    augment: augmenter({ rotation: 0, timeWarp: 0, noise: 0.1, gain: 0 }, size, standardization, null),
    backend: 'auto',
    ...changes,
  };
}

const constants = ({ tensors }: Graph) => tensors.flatMap(({ data }) => (data ? [data] : []));

describe('training', () => {
  it.each([
    ['mlp', mlp, 0.95],
    ['cnn1d', cnn, 0.95],
    ['ds-cnn', specOf('ds-cnn', [12, 2], [4, 6], three), 0.85],
    ['layers with dropout', withDropout, 0.95],
    ['probability', { ...mlp, output: { kind: 'probability' } }, 0.85],
  ] as [string, NetworkSpec, number][])(
    '%s learns, keeps its best epoch, and reports each one',
    async (_name, spec, least) => {
      const told: number[] = [];
      const { history, bestEpoch } = await fitNetwork(
        options(spec, { onEpoch: ({ epoch }) => told.push(epoch) }),
      );
      expect(told).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
      const best = history[bestEpoch - 1]!;
      expect(best.valAccuracy).toBeGreaterThan(least);
      expect(best.valLoss).toBe(Math.min(...history.map(({ valLoss }) => valLoss)));
    },
  );

  it.each([
    ['a value', { ...mlp, output: { kind: 'value', count: 1 } }, 0.1],
    ['a reconstruction', specOf('autoencoder', [6], [8, 4], { kind: 'reconstruction' }), 0.4],
  ] as [string, NetworkSpec, number][])(
    '%s is learned by squared error, and no accuracy is reported',
    async (_name, spec, most) => {
      const { history, bestEpoch } = await fitNetwork(options(spec, { epochs: 30 }));
      expect(history[0]!.valLoss).toBeGreaterThan(most * 2);
      expect(history[bestEpoch - 1]).toMatchObject({ accuracy: null, valAccuracy: null });
      expect(history[bestEpoch - 1]!.valLoss).toBeLessThan(most);
    },
  );

  it.each(['auto', 'cpu'] as const)(
    'with a cosine schedule begins at the full learning rate and hardly changes at the end (%s)',
    async (backend) => {
      expect([1, 5, 9, 16].map((epoch) => cosineShare(epoch, 16).toFixed(3))).toEqual([
        ...['1.000', '0.854', '0.500', '0.010'],
      ]);
      const run = async (schedule?: 'constant' | 'cosine') =>
        (await fitNetwork(options(mlp, { epochs: 12, backend, ...(schedule && { schedule }) }))).history;
      const [constant, cosine] = [await run(), await run('cosine')];
      expect(await run('constant')).toEqual(constant);
      expect(cosine[0]).toEqual(constant[0]);
      const lastChange = (history: typeof constant) =>
        Math.abs(history.at(-1)!.valLoss - history.at(-2)!.valLoss);
      expect(lastChange(cosine)).toBeLessThan(lastChange(constant) / 2);
    },
  );

  it.each([
    ['mlp', mlp],
    ['cnn1d', cnn],
    ['dropout', withDropout],
  ])(
    '%s: the same seed gives the same weights, and different seeds give different weights',
    async (_name, spec) => {
      const run = async (seed: number) =>
        constants((await fitNetwork(options(spec, { epochs: 3, seed }))).trained);
      const [a, b, other] = [await run(5), await run(5), await run(6)];
      expect(a).toEqual(b);
      expect(other).not.toEqual(a);
    },
  );

  it.each([
    ['mlp', mlp],
    ['dropout and batch norm', { ...withDropout, layers: [mlp.layers[0]!, { type: 'batch-norm' }, dropout] }],
  ] as [string, NetworkSpec][])(
    '%s: resumes where it stopped, with the same weights and metrics',
    async (_name, spec) => {
      const whole = await fitNetwork(options(spec, { epochs: 8 }));
      const kept: Checkpoint[] = [];
      const stop = new AbortController();
      const stopped = await fitNetwork(
        options(spec, {
          epochs: 8,
          signal: stop.signal,
          onEpoch: ({ epoch }) => epoch === 3 && stop.abort(new Error('enough')),
          onCheckpoint: async (checkpoint) => void kept.push(structuredClone(checkpoint)),
        }),
      );
      expect(stopped).toMatchObject({ interrupted: true, history: whole.history.slice(0, 3) });
      const gone = await fitNetwork(options(spec, { epochs: 8, from: kept.at(-1) }));
      expect(gone.history).toEqual(whole.history);
      expect(constants(gone.trained)).toEqual(constants(whole.trained));
    },
  );

  it('stops early if the validation loss stops improving', async () => {
    const { history, bestEpoch } = await fitNetwork(
      options(mlp, { epochs: 400, patience: 3, learningRate: 0.05 }),
    );
    expect(history.length).toBeLessThan(400);
    expect(history.length - bestEpoch).toBe(3);
  });

  it('gives rare classes as much weight as frequent ones, unless disabled', async () => {
    const random = seededRandom(4);
    // One row in ten belongs to the second class, which is one deviation away from the first.
    const classes = Int32Array.from({ length: 500 }, (_, i) => (i % 10 === 0 ? 1 : 0));
    const part: Part = {
      inputs: Float32Array.from(classes, (c) => c + gaussian(random)),
      inputSize: 1,
      classes,
      values: null,
    };
    const spec = specOf('mlp', [1], [4], { kind: 'probability' });
    const recall = async (classWeights: 'balanced' | 'none') => {
      const given = options(spec, { classWeights, train: part, validation: part, augment: null });
      const { forward } = await fitNetwork(given);
      const outputs = forward(part.inputs, 500);
      return outputs.filter((z, row) => classes[row] === 1 && z > 0).length / 50;
    };
    expect(await recall('balanced')).toBeGreaterThan(0.5);
    expect(await recall('none')).toBeLessThan(0.1);
  });

  it('fails with the reason if stopped before its first epoch', async () => {
    const run = fitNetwork(options(mlp, { signal: AbortSignal.abort(new Error('enough')) }));
    await expect(run).rejects.toThrow('enough');
  });

  it('fails if weights are no longer finite', async () => {
    const run = fitNetwork(options(mlp, { learningRate: 1e30 }));
    await expect(run).rejects.toMatchObject({ code: 'AIOT_TRAINING_DIVERGED' });
  });
});
