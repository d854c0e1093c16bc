import { gaussian, type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { type Activation, elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { FloatNetwork, type Window } from './float-network.js';

/** Small float32 models with random sizes and weights, by kind. */
export const architectures = {
  mlp: build((n) => {
    let x = n.float([1, n.integer(3, 40)]);
    for (let layer = n.integer(1, 3); layer > 0; layer--)
      x = activated(n, n.dense(x, n.integer(4, 40), some(n)));
    return n.dense(x, n.integer(2, 6));
  }),
  conv1d: build((n) => {
    let x = n.float([1, 1, n.integer(16, 40), n.integer(1, 6)]);
    for (let layer = n.integer(1, 2); layer > 0; layer--) {
      const window = {
        filter: [1, n.integer(2, 5)] as [number, number],
        stride: n.pick<[number, number]>([1, 1], [1, 2]),
        dilation: [1, 1] as [number, number],
        padding: n.pick<'same' | 'valid'>('same', 'valid'),
      };
      x = n.convolution(x, n.integer(3, 10), window, some(n));
      x = n.pool(x, n.pick('MAX_POOL_2D', 'AVERAGE_POOL_2D'), { filter: [1, 2], stride: [1, 2] });
    }
    return n.dense(n.pick(true, false) ? n.overImage(x) : n.flat(x), n.integer(2, 6));
  }),
  causal: build((n) => {
    const x = n.float([1, 1, n.integer(12, 24), n.integer(1, 4)]);
    const dilation = n.integer(1, 3);
    const padded = n.pad(x, 2, 2 * dilation, 0);
    const window = { filter: [1, 3], dilation: [1, dilation], padding: 'valid' } satisfies Window;
    const y = n.leakyRelu(n.convolution(padded, n.integer(3, 8), window), 0.2);
    return n.dense(n.overImage(y, n.pick('MEAN', 'REDUCE_MAX')), 3);
  }),
  conv2d: build((n) => {
    let x = n.float([1, n.integer(6, 12), n.integer(6, 12), n.integer(1, 3)]);
    x = n.convolution(
      x,
      n.integer(3, 8),
      { filter: [3, n.integer(1, 3)], stride: n.pick([1, 1], [2, 2]) },
      some(n),
    );
    x = n.pool(x, n.pick('MAX_POOL_2D', 'AVERAGE_POOL_2D'), { filter: [2, 2], stride: [2, 2] });
    x = activated(n, n.convolution(x, n.integer(3, 8), { filter: [2, 2], dilation: n.pick([1, 1], [2, 2]) }));
    return n.dense(n.flat(x), n.integer(2, 6));
  }),
  separable: build((n) => {
    let x = n.float([1, n.pick(1, 6), n.integer(8, 20), n.integer(2, 4)]);
    const high = n.shape(x)[1]! > 1 ? 3 : 1;
    for (let layer = n.integer(1, 2); layer > 0; layer--) {
      x = n.depthwise(x, n.integer(1, 2), { filter: [high, 3], stride: n.pick([1, 1], [1, 2]) }, some(n));
      x = n.convolution(x, n.integer(4, 10), { filter: [1, 1] }, some(n));
    }
    return n.dense(n.overImage(x), n.integer(2, 5));
  }),
  residual: build((n) => {
    const channels = n.integer(3, 8);
    let x = n.convolution(n.float([1, 1, n.integer(10, 24), 3]), channels, { filter: [1, 3] }, some(n));
    for (let block = n.integer(1, 2); block > 0; block--) {
      const inner = n.convolution(x, channels, { filter: [1, 3] }, 'relu');
      x = n.binary('ADD', x, n.convolution(inner, channels, { filter: [1, 3] }), n.pick('relu', 'none'));
    }
    return n.dense(n.overImage(x), n.integer(2, 5));
  }),
  concatenation: build((n) => {
    const x = n.float([1, 1, n.integer(10, 24), n.integer(2, 4)]);
    const parts = [
      n.convolution(x, n.integer(2, 5), { filter: [1, 3] }, some(n)),
      n.pool(x, 'MAX_POOL_2D', { filter: [1, 3] }),
      n.unary(n.convolution(x, n.integer(2, 5), { filter: [1, 1] }), n.pick('TANH', 'LOGISTIC')),
    ];
    const joined = n.concatenation(parts.slice(0, n.integer(2, 3)), 3);
    return n.dense(n.overImage(n.concatenation([joined, x], 3)), n.integer(2, 5));
  }),
  arithmetic: build((n) => {
    const width = n.integer(4, 12);
    const x = n.float([1, width]);
    const scaled = n.binary('MUL', x, n.values(n.pick([width], [1, width], []), 1));
    const moved = n.binary('SUB', scaled, n.values([width], 1), some(n));
    const [a, b] = [n.dense(moved, width, some(n)), n.dense(x, width)];
    const gated = n.binary('MUL', a, n.unary(b, 'LOGISTIC'));
    return n.dense(n.binary('ADD', n.binary('SUB', gated, x), moved, 'relu'), n.integer(2, 5));
  }),
  pieces: build((n) => {
    const [time, channels] = [2 * n.integer(4, 8), 2 * n.integer(1, 3)];
    const x = n.float([1, time, channels]);
    const [left, right] = n.split(x, 2, n.pick(1, 2)) as [number, number];
    const turned = n.transpose(left, [0, 2, 1]);
    const cut = n.slice(turned, 2, 1, n.shape(turned)[2]!, n.integer(1, 2));
    const parts = [n.dense(n.flat(cut), n.integer(3, 8), some(n)), n.dense(n.flat(right), n.integer(3, 8))];
    return n.dense(n.concatenation(parts, 1), n.integer(2, 5));
  }),
  sequence: build((n) => {
    // Keras's Dense on time steps, a batch norm after a ReLU, and global pooling.
    const [time, channels] = [n.integer(6, 12), n.integer(3, 8)];
    const x = n.dense(n.float([1, time, n.integer(2, 5)]), channels, 'relu', true);
    const normed = n.binary('ADD', n.binary('MUL', x, n.values([channels], 1)), n.values([channels], 0.5));
    const image = n.reshape(normed, [1, 1, time, channels]);
    return n.dense(activated(n, n.overImage(image, n.pick('MEAN', 'REDUCE_MAX'))), n.integer(2, 5));
  }),
} satisfies Record<string, (random: Random) => Graph>;

/**
 * Models with several inputs or outputs, by kind. They run everywhere except on devices, whose bundles have one input and
 * one output.
 */
export const severalEnds = {
  twoHeads: (random: Random): Graph => {
    // Separable convolutions with a class and a position as outputs, like those of detectors.
    const n = new Network(random);
    const x = n.float([1, n.integer(6, 9), n.integer(6, 9), n.integer(1, 3)]);
    let y = n.convolution(x, n.integer(4, 6), { filter: [3, 3], stride: [2, 2], padding: 'same' }, 'relu6');
    y = n.depthwise(y, 1, { filter: [3, 3], padding: 'same' }, 'relu6');
    y = n.convolution(y, n.integer(4, 8), { filter: [1, 1] }, 'relu6');
    return n.graph(x, [n.softmax(n.dense(n.overImage(y), 4)), n.dense(n.flat(y), 2)]);
  },
  twoInputs: (random: Random): Graph => {
    const n = new Network(random);
    const [window, features] = [n.float([1, n.integer(6, 9), 3]), n.float([1, n.integer(2, 6)])];
    const image = n.reshape(window, [1, 1, n.shape(window)[1]!, 3]);
    const steps = n.convolution(image, n.integer(3, 6), { filter: [1, 3] }, 'relu');
    const joined = n.concatenation([n.overImage(steps), n.dense(features, 4, 'relu')], 1);
    return n.graph([features, window], n.unary(n.dense(joined, 1), 'LOGISTIC'));
  },
  innerOutput: (random: Random): Graph => {
    // Two inputs and three outputs, one of which is also read by other operators, and one of which is the same with
    // another shape.
    const n = new Network(random);
    const [a, b] = [n.float([1, 6]), n.float([1, 6])];
    const sum = n.binary('ADD', n.dense(a, 6, 'relu'), n.dense(b, 6));
    return n.graph([b, a], [n.softmax(n.dense(sum, 3)), sum, n.reshape(sum, [1, 2, 3])]);
  },
} satisfies Record<string, (random: Random) => Graph>;

/**
 * A model of this kind with weights from this seed, quantized to int8 on Gaussian inputs and read back from its file.
 */
export function quantized(kind: keyof typeof architectures, seed: number): Graph {
  return quantizedOf(architectures[kind], seed);
}

/** Like `quantized`, for any function that makes float models. */
export function quantizedOf(
  make: (random: Random) => Graph,
  seed: number,
  mode: 'int8' | 'int16x8' = 'int8',
  io?: 'float32',
): Graph {
  const random = seededRandom(seed);
  const float = make(random);
  const size = inputSize(float);
  const representative = Array.from({ length: 40 }, () =>
    Float32Array.from({ length: size }, () => gaussian(random)),
  );
  const { graph } = quantizeGraph(float, representative, { mode, io, calibration: 'min-max' });
  return readTflite(writeTflite(graph));
}

class Network extends FloatNetwork {
  flat(x: number): number {
    return this.reshape(x, [1, this.shape(x).reduce((product, size) => product * size, 1)]);
  }
}

/** Builds a graph: the body, followed by a softmax, a sigmoid or nothing. */
function build(body: (network: Network) => number): (random: Random) => Graph {
  return (random) => {
    const n = new Network(random);
    const y = body(n);
    const last = n.pick(
      () => n.softmax(y),
      () => n.unary(y, 'LOGISTIC'),
      () => y,
    )();
    return n.graph(0, last);
  };
}

function some(n: FloatNetwork): Activation {
  return n.pick<Activation>('relu', 'relu', 'relu6', 'none');
}

function activated(n: FloatNetwork, x: number): number {
  const how = n.pick('RELU', 'RELU6', 'TANH', 'LOGISTIC', 'LEAKY_RELU', 'none');
  if (how === 'none') return x;
  return how === 'LEAKY_RELU' ? n.leakyRelu(x, 0.1) : n.unary(x, how);
}

/** Number of input values for one run: those of all inputs, in sequence. */
export function inputSize({ inputs, tensors }: Graph): number {
  return inputs.reduce((sum, index) => sum + elementCount(tensors[index]!.shape), 0);
}
