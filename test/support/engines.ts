import { expect } from 'vitest';
import { gaussian, type Random, seededRandom } from '../../src/lib/core/numbers.js';
import type { LayerConfig } from '../../src/lib/core/project-schema.js';
import { elementCount } from '../../src/lib/formats/tflite/graph.js';
import { openEngine } from '../../src/lib/model/engine/open-engine.js';
import type {
  Backend,
  EngineOptions,
  EngineState,
  Loss,
  Trainable,
} from '../../src/lib/model/engine/types.js';
import { layersOf, type NetworkSpec } from '../../src/lib/model/network/layers.js';

export const losses: Loss[] = ['classes', 'probability', 'value'];

interface Batch {
  inputs: Float32Array;
  targets: Float32Array;
  weights: Float32Array;
  rows: number;
}

function batchFor({ graph }: Trainable, loss: Loss, rows: number, random: Random): Batch {
  const count = (index: number) => elementCount(graph.tensors[index]!.shape);
  const [size, outputs] = [count(graph.inputs[0]!), count(graph.outputs[0]!)];
  const targets = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    if (loss === 'classes') targets[row * outputs + Math.floor(random() * outputs)] = 1;
    else
      for (let i = 0; i < outputs; i++)
        targets[row * outputs + i] = loss === 'value' ? gaussian(random) : Math.round(random());
  }
  return {
    inputs: Float32Array.from({ length: rows * size }, () => gaussian(random)),
    targets,
    weights: Float32Array.from({ length: rows }, () => 0.5 + random()),
    rows,
  };
}

/**
 * Returns the losses of several steps, the gradients of the first step (Adam's first moment is a tenth of them),
 * and the final weights.
 */
async function trained(
  trainable: Trainable,
  backend: Backend,
  batches: Batch[],
  options: Partial<EngineOptions> & { loss: Loss },
): Promise<{ losses: number[]; first: EngineState; end: EngineState; outputs: Float32Array }> {
  const engine = await openEngine(trainable, { backend, learningRate: 0.01, seed: 3, ...options });
  let first: EngineState | undefined;
  const told = batches.map(({ inputs, targets, weights, rows }) => {
    const { loss } = engine.step(inputs, targets, weights, rows);
    first ??= engine.save();
    return loss;
  });
  const outputs = engine.forward(batches[0]!.inputs, batches[0]!.rows);
  const end = engine.save();
  engine.dispose();
  return { losses: told, first: first!, end, outputs };
}

/** Returns the greatest difference, relative to the greatest value. */
function apart(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [worst, largest] = [0, 1e-3];
  for (let i = 0; i < a.length; i++) {
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return a.length === b.length ? worst / largest : Number.POSITIVE_INFINITY;
}

/** Trains the same model on both backends; gradients, moments and losses must agree. */
export async function compareEngines(
  trainable: Trainable,
  loss: Loss,
  seed: number,
  backend: Backend = 'cpu',
  options: Partial<EngineOptions> = {},
  sizes = [5, 5, 3],
) {
  const random = seededRandom(seed);
  const batches = sizes.map((rows) => batchFor(trainable, loss, rows, random));
  const [ours, theirs] = [
    await trained(trainable, 'auto', batches, { loss, ...options }),
    await trained(trainable, backend, batches, { loss, ...options }),
  ];
  expect(apart(ours.losses, theirs.losses)).toBeLessThan(1e-5);
  expect(apart(ours.first.first, theirs.first.first)).toBeLessThan(1e-5);
  expect(apart(ours.end.first, theirs.end.first)).toBeLessThan(1e-4);
  expect(apart(ours.first.statistics, theirs.first.statistics)).toBeLessThan(1e-5);
  return { ours, theirs };
}

/** Models that together contain every kind of layer. */
export const shapes: Record<string, [NetworkSpec['inputShape'], LayerConfig[]]> = {
  mlp: [[7], layersOf('mlp', [9, 5], [7])],
  cnn1d: [[19, 3], layersOf('cnn1d', [4, 6], [19, 3])],
  'ds-cnn over time': [[20, 3], layersOf('ds-cnn', [6, 5, 7], [20, 3])],
  'ds-cnn over an image': [[9, 7, 2], layersOf('ds-cnn', [5, 6], [9, 7, 2])],
  'inverted residuals': [[9, 10, 3], layersOf('mobilenet', [5, 5, 6, 6, 8], [9, 10, 3], 'v2')],
  mobilenet: [[9, 10, 3], layersOf('mobilenet', [5, 6, 8], [9, 10, 3])],
  autoencoder: [[8], layersOf('autoencoder', [6, 3], [8])],
  'layers of every type': [
    [10, 9, 2],
    [
      { type: 'batch-norm' },
      {
        type: 'conv',
        filters: 5,
        kernel: [3, 2],
        stride: [2, 1],
        padding: 'valid',
        activation: 'leaky-relu',
      },
      { type: 'batch-norm' },
      { type: 'dropout', rate: 0.3 },
      { type: 'separable', filters: 6, kernel: 3, stride: 1, padding: 'same', activation: 'relu6' },
      { type: 'max-pool', size: [2, 2] },
      { type: 'depthwise', kernel: 2, stride: 1, padding: 'same', activation: 'tanh' },
      { type: 'average-pool', size: 2, stride: 1 },
      { type: 'flatten' },
      { type: 'dropout', rate: 0.5 },
      { type: 'dense', units: 6, activation: 'sigmoid' },
      { type: 'batch-norm' },
      { type: 'dense', units: 5, activation: 'relu6' },
    ],
  ],
};
