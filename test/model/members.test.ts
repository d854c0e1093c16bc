import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { layersOf, type NetworkSpec } from '../../src/lib/model/network/layers.js';
import { type FitOptions, fitNetwork } from '../../src/lib/model/train/fit/fit-network.js';
import { finishGraph } from '../../src/lib/model/train/learn.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';

const spec: NetworkSpec = {
  kind: 'mlp',
  inputShape: [2],
  layers: layersOf('mlp', [6, 4], [2]),
  output: { kind: 'classes', count: 2 },
};

/** Points inside and outside a circle. */
function circle(count: number) {
  const random = seededRandom(3);
  const inputs = Float32Array.from({ length: 2 * count }, () => 4 * random() - 2);
  const classes = Int32Array.from({ length: count }, (_, i) =>
    Math.hypot(inputs[2 * i]!, inputs[2 * i + 1]!) < 1.3 ? 1 : 0,
  );
  return { inputs, inputSize: 2, classes, values: null };
}

const options = (more: Partial<FitOptions>): FitOptions => ({
  spec,
  train: circle(200),
  validation: circle(200),
  epochs: 6,
  batch: 20,
  learningRate: 0.01,
  seed: 5,
  classWeights: 'none',
  augment: null,
  backend: 'auto',
  ...more,
});

describe('ensemble members', () => {
  it('merge into one model with the same outputs', async () => {
    const fitted = await fitNetwork(options({ members: 3 }));
    const row = Float32Array.from([0.4, -1.1]);
    const interpreter = createInterpreter(fitted.trained);
    const [a, b] = interpreter.invoke(row) as Float32Array;
    const [c, d] = fitted.forward(row, 1);
    expect(a).toBeCloseTo(c!, 4);
    expect(b).toBeCloseTo(d!, 4);
    fitted.dispose();
  });

  it('equal the plain model if there is one member, and a larger model if there are several', async () => {
    const bytes = async (members?: number) => {
      const fitted = await fitNetwork(options({ members, epochs: 1 }));
      fitted.dispose();
      return writeTflite(finishGraph(fitted.trained, { ending: 'SOFTMAX' }));
    };
    const alone = await bytes();
    expect(await bytes(1)).toEqual(alone);
    expect((await bytes(4)).length).toBeGreaterThan(alone.length);
  });

  it('resume from a checkpoint to the same result', async () => {
    const whole = await fitNetwork(options({ members: 2 }));
    let kept: Parameters<NonNullable<FitOptions['onCheckpoint']>>[0] | undefined;
    const half = await fitNetwork(
      options({
        members: 2,
        epochs: 3,
        onCheckpoint: async (checkpoint) => {
          kept = checkpoint;
        },
      }),
    );
    const rest = await fitNetwork(options({ members: 2, from: kept }));
    expect(rest.history.map(({ loss }) => loss)).toEqual(whole.history.map(({ loss }) => loss));
    expect(writeTflite(rest.trained)).toEqual(writeTflite(whole.trained));
    for (const fitted of [whole, half, rest]) fitted.dispose();
  });

  it('are rejected before training if layers cannot be joined', async () => {
    let epochs = 0;
    const windows: NetworkSpec = {
      kind: 'cnn1d',
      inputShape: [8, 1],
      layers: layersOf('cnn1d', [4], [8, 1]),
      output: { kind: 'classes', count: 2 },
    };
    const train = { inputs: new Float32Array(16), inputSize: 8, classes: Int32Array.of(0, 1), values: null };
    const asked = options({
      spec: windows,
      train,
      validation: train,
      members: 2,
      onEpoch: () => {
        epochs++;
      },
    });
    await expect(fitNetwork(asked)).rejects.toMatchObject({ code: 'AIOT_MODEL_UNFIT' });
    expect(epochs).toBe(0);
  });
});
