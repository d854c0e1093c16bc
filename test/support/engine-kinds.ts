import { gaussian, type Random } from '../../src/lib/core/numbers.js';
import type { LayerConfig } from '../../src/lib/core/project-schema.js';
import type { Graph, Operator } from '../../src/lib/formats/tflite/graph.js';
import { graphWith, statisticsOf } from '../../src/lib/model/engine/trained-graph.js';
import { buildTrainable } from '../../src/lib/model/network/build.js';
import { layersOf, type NetworkKind, type NetworkOutput } from '../../src/lib/model/network/layers.js';

interface Wanted {
  kind: NetworkKind;
  inputShape: number[];
  layers?: number[] | LayerConfig[];
  output: NetworkOutput;
}

const int = (random: Random, low: number, high: number) => low + Math.floor(random() * (high - low + 1));
const sizes = (random: Random, count: number, most: number) =>
  Array.from({ length: count }, () => int(random, 4, most));

/** Models for `model.kind` and `model.layers` in aiot.yaml, with random sizes and weights. */
export const engineKinds = {
  'kind mlp': made((random) => ({
    kind: 'mlp',
    inputShape: [int(random, 3, 36)],
    layers: sizes(random, int(random, 1, 3), 32),
    output: random() < 0.5 ? { kind: 'probability' } : { kind: 'classes', count: int(random, 2, 6) },
  })),
  'kind cnn1d': made((random) => ({
    kind: 'cnn1d',
    inputShape: [int(random, 16, 40), int(random, 1, 6)],
    layers: sizes(random, 2, 12),
    output: { kind: 'classes', count: int(random, 2, 5) },
  })),
  'kind ds-cnn over time': made((random) => ({
    kind: 'ds-cnn',
    inputShape: [int(random, 16, 40), int(random, 1, 6)],
    layers: sizes(random, int(random, 2, 3), 12),
    output: { kind: 'classes', count: int(random, 2, 5) },
  })),
  'kind ds-cnn over images': made((random) => ({
    kind: 'ds-cnn',
    inputShape: [int(random, 8, 14), int(random, 8, 14), int(random, 1, 3)],
    layers: sizes(random, int(random, 2, 3), 10),
    output: { kind: 'classes', count: int(random, 2, 5) },
  })),
  'kind autoencoder': made((random) => ({
    kind: 'autoencoder',
    inputShape: [int(random, 6, 24)],
    layers: sizes(random, 2, 16),
    output: { kind: 'reconstruction' },
  })),
  'layers one by one': made((random) => ({
    kind: 'layers',
    inputShape: [int(random, 16, 32), int(random, 2, 4)],
    layers: [
      {
        type: 'conv',
        filters: int(random, 4, 8),
        kernel: 3,
        stride: 1,
        padding: 'same',
        activation: 'relu6',
      },
      { type: 'max-pool', size: 2 },
      { type: 'depthwise', kernel: 3, stride: 1, padding: 'valid', activation: 'leaky-relu' },
      { type: 'batch-norm' },
      {
        type: 'separable',
        filters: int(random, 4, 8),
        kernel: 3,
        stride: 1,
        padding: 'same',
        activation: 'relu',
      },
      { type: 'average-pool', size: 2 },
      { type: 'dropout', rate: 0.2 },
      { type: 'flatten' },
      { type: 'dense', units: int(random, 4, 12), activation: random() < 0.5 ? 'tanh' : 'sigmoid' },
    ],
    output: { kind: 'value', count: int(random, 1, 3) },
  })),
} satisfies Record<string, (random: Random) => Graph>;

function made(wanted: (random: Random) => Wanted): (random: Random) => Graph {
  return (random) => {
    const { kind, inputShape, layers, output } = wanted(random);
    const all = layersOf(kind, layers, inputShape);
    const trainable = buildTrainable({ kind, inputShape, layers: all, output }, int(random, 0, 1e6));
    const { graph, parameters, batchNorms } = trainable;
    const normed = batchNorms.reduce((sum, { gamma }) => sum + gamma.length, 0);
    const weights = parameters.flatMap((index) => [...(graph.tensors[index]!.data as Float32Array)]);
    // Biases are 0 before training, but some are different here. Norms are like those of a trained model.
    const values = weights.map((value) => (value === 0 ? gaussian(random) * 0.2 : value));
    const norms = Array.from({ length: 2 * normed }, () => 0.5 + random());
    const statistics = statisticsOf(batchNorms).map(() => 0.3 + random());
    const trained = graphWith(trainable, Float32Array.from([...values, ...norms]), statistics);
    return trainable.ending === 'none' ? trained : withEnding(trained, trainable.ending);
  };
}

function withEnding(graph: Graph, op: 'SOFTMAX' | 'LOGISTIC'): Graph {
  const [from = 0] = graph.outputs;
  const { shape } = graph.tensors[from]!;
  const options = op === 'SOFTMAX' ? { beta: 1 } : {};
  const end = { op, inputs: [from], outputs: [graph.tensors.length], options } as Operator;
  return {
    ...graph,
    tensors: [...graph.tensors, { name: 'answer', shape, type: 'float32' }],
    operators: [...graph.operators, end],
    outputs: end.outputs,
  };
}
