import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/index.js';
import { writeTflite } from '../../src/lib/formats/index.js';
import { lowerNetwork } from '../../src/lib/model/lower/lower.js';
import type { Part } from '../../src/lib/model/train/batch.js';
import { type FitOptions, fitNetwork } from '../../src/lib/model/train/fit.js';
import { buildNetwork, copyWeights } from '../../src/lib/model/train/network.js';
import { loadTensorFlow } from '../../src/lib/model/train/tensorflow.js';
import type { LayerNetwork } from '../../src/lib/model/train/types.js';
import { createInterpreter, openLiteRt } from '../../src/lib/runtime/index.js';

/** Classes lie around corners of a cube; the last class is rare. */
function blobs(size: number, count: number, seed: number): Part {
  const random = seededRandom(seed);
  const classes = Int32Array.from({ length: count }, (_, i) => (i % 10 === 9 ? 2 : i % 2));
  const inputs = Float32Array.from({ length: count * size }, (_, i) => {
    const c = classes[Math.floor(i / size)]!;
    return ((i % size) % 3 === c ? 2 : 0) + gaussian(random) * 0.5;
  });
  return { inputs, classes };
}

const mlp: LayerNetwork = { kind: 'mlp', inputShape: [6], layers: [8], classes: 3 };
const cnn: LayerNetwork = { kind: 'cnn1d', inputShape: [12, 2], layers: [4, 6], classes: 3 };

function options(spec: LayerNetwork, changes: Partial<FitOptions> = {}): FitOptions {
  const size = spec.inputShape.reduce((a, b) => a * b, 1);
  return {
    spec,
    train: blobs(size, 200, 1),
    validation: blobs(size, 60, 2),
    epochs: 15,
    batch: 16,
    learningRate: 0.01,
    noise: 0.1,
    seed: 5,
    ...changes,
  };
}

describe('training', () => {
  it.each([
    ['mlp', mlp],
    ['cnn1d', cnn],
  ])('%s learns, keeps its best epoch and tells each one', async (_name, spec) => {
    const told: number[] = [];
    const { history, bestEpoch } = await fitNetwork(
      options(spec, { onEpoch: ({ epoch }) => told.push(epoch) }),
    );
    expect(told).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    const best = history[bestEpoch - 1]!;
    expect(best.valAccuracy).toBeGreaterThan(0.95);
    expect(best.valLoss).toBe(Math.min(...history.map(({ valLoss }) => valLoss)));
  });

  it.each([
    ['mlp', mlp],
    ['cnn1d', cnn],
  ])('%s: equal seed gives equal weights, another seed others', async (_name, spec) => {
    const run = async (seed: number) => (await fitNetwork(options(spec, { epochs: 3, seed }))).network.layers;
    const [a, b, other] = [await run(5), await run(5), await run(6)];
    expect(a).toEqual(b);
    expect(other).not.toEqual(a);
  });

  it('leaves no tensor behind', async () => {
    const { tf } = await loadTensorFlow();
    await fitNetwork(options(cnn, { epochs: 1 }));
    const before = tf.memory().numTensors;
    await fitNetwork(options(cnn, { epochs: 2 }));
    expect(tf.memory().numTensors).toBe(before);
  });

  it('stops at the signal with its reason', async () => {
    const stop = new AbortController();
    const run = fitNetwork(
      options(mlp, { signal: stop.signal, onEpoch: () => stop.abort(new Error('enough')) }),
    );
    await expect(run).rejects.toThrow('enough');
  });

  it('refuses weights that are no numbers any more', async () => {
    const run = fitNetwork(options(mlp, { learningRate: 1e30 }));
    await expect(run).rejects.toMatchObject({ code: 'AIOT_TRAINING_DIVERGED' });
  });

  it('refuses a convolution over features', async () => {
    const run = fitNetwork(options({ ...mlp, kind: 'cnn1d' }));
    await expect(run).rejects.toMatchObject({ code: 'AIOT_MODEL_UNFIT' });
  });
});

describe('lowering', () => {
  it.each([
    ['a dense network', mlp],
    ['a convolutional network', cnn],
    ['a convolution over an odd number of samples', { ...cnn, inputShape: [7, 3], layers: [4, 5, 3] }],
  ] as [string, LayerNetwork][])(
    '%s computes in both runtimes what TensorFlow computes',
    async (_name, spec) => {
      const tensorflow = await loadTensorFlow();
      const { tf } = tensorflow;
      const model = buildNetwork(tensorflow, spec, 11);
      const graph = lowerNetwork({ spec, layers: copyWeights(model) }, 'test');
      const interpreter = createInterpreter(graph);
      const litert = await openLiteRt(writeTflite(graph));
      const size = spec.inputShape.reduce((a, b) => a * b, 1);
      const random = seededRandom(4);
      for (let n = 0; n < 20; n++) {
        const input = Float32Array.from({ length: size }, () => gaussian(random));
        const expected = tf.tidy(() => {
          const logits = model.predict(
            tf.tensor(input, [1, ...spec.inputShape]),
          ) as import('@tensorflow/tfjs-core').Tensor;
          return tf.softmax(logits).dataSync();
        });
        for (const got of [interpreter.invoke(input), litert.predict(input)]) {
          expected.forEach((value, i) => {
            expect(got[i]).toBeCloseTo(value, 5);
          });
        }
      }
      litert.close();
      model.dispose();
    },
  );
});

describe('loading TensorFlow', () => {
  it('adds no process-wide handler of errors', async () => {
    await loadTensorFlow();
    const own = process.rawListeners('uncaughtException').filter((f) => String(f).includes('ExitStatus'));
    expect(own).toEqual([]);
  });
});
