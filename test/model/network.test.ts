import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { LayerConfig } from '../../src/lib/core/project-schema.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { openEngine } from '../../src/lib/model/engine/open-engine.js';
import type { Loss } from '../../src/lib/model/engine/types.js';
import { buildTrainable, graphInput } from '../../src/lib/model/network/build.js';
import {
  layersOf,
  type NetworkKind,
  type NetworkOutput,
  type NetworkSpec,
  outputSize,
} from '../../src/lib/model/network/layers.js';
import { trainableOf } from '../../src/lib/model/quantize/finetune.js';
import { finishGraph } from '../../src/lib/model/train/learn.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { openLiteRt } from '../../src/lib/runtime/litert.js';
import { quantized } from '../support/architectures.js';
import { shapes } from '../support/engines.js';

const classes: NetworkOutput = { kind: 'classes', count: 3 };

function spec(
  kind: NetworkKind,
  inputShape: number[],
  output: NetworkOutput = classes,
  layers?: number[],
  blocks?: 'v2',
): NetworkSpec {
  return { kind, inputShape, layers: layersOf(kind, layers, inputShape, blocks), output };
}

const kinds: [string, NetworkSpec, string[]][] = [
  ['mlp', spec('mlp', [7]), ['FULLY_CONNECTED', 'FULLY_CONNECTED', 'FULLY_CONNECTED', 'SOFTMAX']],
  [
    'cnn1d',
    spec('cnn1d', [16, 3]),
    ['CONV_2D', 'MAX_POOL_2D', 'CONV_2D', 'MAX_POOL_2D', 'MEAN', 'FULLY_CONNECTED', 'SOFTMAX'],
  ],
  [
    'ds-cnn over time, one probability',
    spec('ds-cnn', [20, 3], { kind: 'probability' }, [6, 8]),
    ['CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D', 'MEAN', 'FULLY_CONNECTED', 'LOGISTIC'],
  ],
  [
    'ds-cnn over an image, values',
    spec('ds-cnn', [9, 8, 2], { kind: 'value', count: 2 }, [6, 8]),
    ['CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D', 'MEAN', 'FULLY_CONNECTED'],
  ],
  [
    'mobilenet over a picture',
    spec('mobilenet', [17, 16, 3], { kind: 'classes', count: 3 }, [4, 6, 8]),
    [
      ...['CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D'],
      ...['MEAN', 'FULLY_CONNECTED', 'SOFTMAX'],
    ],
  ],
  [
    'mobilenet of inverted residuals over a picture',
    spec('mobilenet', [17, 16, 3], classes, [4, 4, 4, 6, 10], 'v2'),
    [
      // The first block does not widen its input; the last one has another shape, so its input is not added.
      ...['CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D', 'ADD'],
      ...['CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D', 'ADD'],
      ...['CONV_2D', 'DEPTHWISE_CONV_2D', 'CONV_2D'],
      ...['CONV_2D', 'MEAN', 'FULLY_CONNECTED', 'SOFTMAX'],
    ],
  ],
  [
    'autoencoder',
    spec('autoencoder', [10], { kind: 'reconstruction' }, [6, 3]),
    ['FULLY_CONNECTED', 'FULLY_CONNECTED', 'FULLY_CONNECTED', 'FULLY_CONNECTED'],
  ],
  [
    'layers of every type',
    {
      kind: 'layers',
      inputShape: shapes['layers of every type']![0],
      layers: shapes['layers of every type']![1],
      output: classes,
    },
    [
      ...[
        'MUL',
        'ADD',
        'CONV_2D',
        'LEAKY_RELU',
        'DEPTHWISE_CONV_2D',
        'CONV_2D',
        'MAX_POOL_2D',
        'DEPTHWISE_CONV_2D',
        'TANH',
      ],
      ...['AVERAGE_POOL_2D', 'FULLY_CONNECTED', 'LOGISTIC', 'FULLY_CONNECTED', 'FULLY_CONNECTED', 'SOFTMAX'],
    ],
  ],
];

/** Trains for a few steps on random data, so that every weight and statistic changes. */
async function trained(network: NetworkSpec, steps = 8) {
  const trainable = buildTrainable(network, 3);
  const loss =
    ({ classes: 'classes', probability: 'probability' } as Record<string, Loss>)[network.output.kind] ??
    'value';
  const engine = await openEngine(trainable, { backend: 'auto', loss, learningRate: 0.01, seed: 3 });
  const random = seededRandom(9);
  const numbers = (count: number) => Float32Array.from({ length: count }, () => gaussian(random));
  for (let n = 0; n < steps; n++) {
    const targets = numbers(8 * engine.outputSize).map((value) =>
      loss === 'value' ? value : value > 0 ? 1 : 0,
    );
    engine.step(numbers(8 * engine.inputSize), targets, null, 8);
  }
  return { engine, trainable, numbers };
}

describe('a model of each kind', () => {
  it.each(kinds)(
    '%s: the written model matches the engine, without norms and dropout',
    async (_name, network, ops) => {
      const { engine, trainable, numbers } = await trained(network);
      const { ending } = trainable;
      const finished = finishGraph(engine.graph(), trainable, 'a network');
      expect(finished.operators.map(({ op }) => op)).toEqual(ops);
      expect(finished.tensors[finished.inputs[0]!]!.shape).toEqual(graphInput(network));
      expect(engine.outputSize).toBe(outputSize(network));
      // Omits the final activation, to compare the values before it.
      const plain = createInterpreter(finishGraph(engine.graph(), { ending: 'none' }));
      const whole = createInterpreter(finished);
      const litert = await openLiteRt(writeTflite(finished));
      for (let n = 0; n < 5; n++) {
        const x = numbers(engine.inputSize);
        const expected = engine.forward(x, 1);
        const got = plain.invoke(x);
        expected.forEach((value, i) => {
          expect(Math.abs(got[i]! - value)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
        });
        const scores = whole.invoke(x) as Float32Array;
        if (ending === 'SOFTMAX') expect(scores.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
        if (ending === 'LOGISTIC') expect(scores[0]).toBeCloseTo(1 / (1 + Math.exp(-expected[0]!)), 5);
        litert.predict(x).forEach((value, i) => {
          expect(value).toBeCloseTo(scores[i]!, 5);
        });
      }
      litert.close();
    },
  );

  it.each(kinds)(
    '%s: the same seed gives the same weights, and different seeds give different weights',
    (_name, network) => {
      expect(buildTrainable(network, 4)).toEqual(buildTrainable(network, 4));
      expect(buildTrainable(network, 5)).not.toEqual(buildTrainable(network, 4));
    },
  );

  it('initializes weights with He variance', () => {
    const { graph, parameters } = buildTrainable(spec('mlp', [200], classes, [300]), 1);
    const weights = graph.tensors[parameters[0]!]!.data as Float32Array;
    const variance = weights.reduce((sum, w) => sum + w * w, 0) / weights.length;
    expect(variance * 100).toBeGreaterThan(0.97);
    expect(variance * 100).toBeLessThan(1.03);
  });
});

describe('incompatible layers', () => {
  const conv: LayerConfig = {
    type: 'conv',
    filters: 4,
    kernel: 3,
    stride: 1,
    padding: 'valid',
    activation: 'relu',
  };
  it.each<[string, number[], LayerConfig[], RegExp]>([
    [
      'a convolution over features',
      [12],
      [conv],
      /layer 1 \(conv\): expected raw windows or an image as input, got 12 separate numbers/,
    ],
    [
      'a convolution after flatten',
      [12, 2],
      [{ ...conv }, { type: 'flatten' }, conv],
      /layer 3 \(conv\): .* got 40 separate/,
    ],
    [
      'a window longer than the remaining samples',
      [12, 2],
      [conv, { type: 'max-pool', size: 11 }],
      /layer 2 \(max-pool\): a window of 11 does not fit into 10 sample/,
    ],
    [
      'a window across fields',
      [12, 2],
      [{ ...conv, kernel: [3, 2] }],
      /expected \[3, 1\] or 3 over \[samples, fields\], got \[3,2\]/,
    ],
  ])('%s is rejected, naming the layer', (_what, inputShape, layers, message) => {
    const build = () => buildTrainable({ kind: 'layers', inputShape, layers, output: classes }, 1);
    expect(build).toThrow(
      expect.objectContaining({ code: 'AIOT_MODEL_UNFIT', message: expect.stringMatching(message) }),
    );
  });

  it('the kind layers requires an explicit list of layers', () => {
    expect(() => layersOf('layers', undefined, [4])).toThrow(
      expect.objectContaining({ code: 'AIOT_MODEL_UNFIT' }),
    );
  });
});

describe('a training engine', () => {
  it('resumes from a saved state with the same result as without a stop', async () => {
    const network = kinds.at(-1)![1];
    const { engine, trainable, numbers } = await trained(network, 3);
    const again = await openEngine(trainable, {
      backend: 'auto',
      loss: 'classes',
      learningRate: 0.01,
      seed: 3,
    });
    again.load(structuredClone(engine.save()));
    for (let n = 0; n < 3; n++) {
      const [x, t] = [numbers(5 * engine.inputSize), numbers(5 * 3).map((value) => (value > 0 ? 1 : 0))];
      expect(again.step(x, t, null, 5)).toEqual(engine.step(x, t, null, 5));
    }
    expect(again.save()).toEqual(engine.save());
    expect(again.graph()).toEqual(engine.graph());
  });

  it('produces the same outputs at any batch size, and leaves the given model unchanged', async () => {
    const trainable = buildTrainable(kinds[2]![1], 3);
    const before = structuredClone(trainable);
    const engine = await openEngine(trainable, {
      backend: 'auto',
      loss: 'probability',
      learningRate: 0.01,
      seed: 3,
    });
    const random = seededRandom(2);
    const x = Float32Array.from({ length: 150 * engine.inputSize }, () => gaussian(random));
    engine.step(x, new Float32Array(100), null, 100);
    const all = engine.forward(x, 150);
    for (const row of [0, 63, 64, 99, 149])
      expect(engine.forward(x.subarray(row * engine.inputSize, (row + 1) * engine.inputSize), 1)[0]).toBe(
        all[row],
      );
    expect(trainable).toEqual(before);
  });

  it('rejects the state of a different model', async () => {
    const { engine } = await trained(kinds[0]![1], 1);
    const { engine: other } = await trained(kinds[1]![1], 1);
    expect(() => engine.load(other.save())).toThrow(expect.objectContaining({ code: 'AIOT_FILE_MALFORMED' }));
  });

  it('reports that tfjs-node is missing', async () => {
    const opened = openEngine(buildTrainable(kinds[0]![1], 1), {
      backend: 'node',
      loss: 'classes',
      learningRate: 0.01,
      seed: 1,
    });
    await expect(opened).rejects.toMatchObject({
      code: 'AIOT_BACKEND_MISSING',
      message: '@tensorflow/tfjs-node is not installed',
    });
  });
});

describe('a model read from a file', () => {
  it('can be trained further, with its softmax moved to the loss and back', async () => {
    const { engine, trainable } = await trained(kinds[1]![1]);
    const file = readTflite(writeTflite(finishGraph(engine.graph(), trainable)));
    const read = trainableOf(file);
    expect(read.ending).toBe('SOFTMAX');
    const further = await openEngine(read, { backend: 'auto', loss: 'classes', learningRate: 0.01, seed: 1 });
    const random = seededRandom(8);
    const x = Float32Array.from({ length: 6 * further.inputSize }, () => gaussian(random));
    const targets = Float32Array.from({ length: 18 }, (_, i) => (i % 3 === 0 ? 1 : 0));
    const losses = Array.from({ length: 30 }, () => further.step(x, targets, null, 6).loss);
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
    const finished = finishGraph(further.graph(), read);
    expect(finished.operators.map(({ op }) => op)).toEqual(file.operators.map(({ op }) => op));
  });

  it('is rejected for training if it is quantized', () => {
    expect(() => trainableOf(quantized('mlp', 1))).toThrow(
      expect.objectContaining({ code: 'AIOT_MODEL_UNFIT' }),
    );
  });
});
