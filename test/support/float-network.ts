import { gaussian, type Random } from '../../src/lib/core/numbers.js';
import {
  type Activation,
  elementCount,
  type Graph,
  type Operator,
  type Padding,
} from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';

/** The window of a convolution or pool. */
export interface Window {
  filter: [h: number, w: number];
  stride?: [h: number, w: number];
  dilation?: [h: number, w: number];
  padding?: Padding;
}

/** Assembles a float32 model layer by layer. Each method returns the index of its output. */
export class FloatNetwork extends GraphBuilder {
  shape(x: number): number[] {
    return this.tensors[x]!.shape;
  }
  float(shape: number[]): number {
    return this.add({ type: 'float32', shape });
  }
  /** A constant of Gaussian values. */
  values(shape: number[], deviation: number): number {
    const data = Float32Array.from({ length: elementCount(shape) }, () => gaussian(this.random) * deviation);
    return this.add({ type: 'float32', shape, data });
  }

  dense(x: number, outputs: number, activation: Activation = 'none', keepNumDims = false): number {
    const inputs = keepNumDims ? this.shape(x).at(-1)! : elementCount(this.shape(x).slice(1));
    const weights = this.values([outputs, inputs], 1 / Math.sqrt(inputs));
    const bias = this.pick(-1, this.values([outputs], 0.2));
    const y = this.float(keepNumDims ? [...this.shape(x).slice(0, -1), outputs] : [1, outputs]);
    const options = { activation, keepNumDims };
    return this.op({ op: 'FULLY_CONNECTED', inputs: [x, weights, bias], outputs: [y], options });
  }

  convolution(x: number, outputs: number, window: Window, activation: Activation = 'none'): number {
    const channels = this.shape(x)[3]!;
    const [h, w] = window.filter;
    const weights = this.values([outputs, h, w, channels], 1 / Math.sqrt(h * w * channels));
    const { padding, sizes, ...strides } = geometry(this.shape(x), window);
    const inputs = [x, weights, this.values([outputs], 0.2)];
    const y = this.float([1, ...sizes, outputs]);
    return this.op({ op: 'CONV_2D', inputs, outputs: [y], options: { padding, ...strides, activation } });
  }

  depthwise(x: number, multiplier: number, window: Window, activation: Activation = 'none'): number {
    const outputs = this.shape(x)[3]! * multiplier;
    const [h, w] = window.filter;
    const weights = this.values([1, h, w, outputs], 1 / Math.sqrt(h * w));
    const { padding, sizes, ...strides } = geometry(this.shape(x), window);
    const inputs = [x, weights, this.values([outputs], 0.2)];
    const y = this.float([1, ...sizes, outputs]);
    const options = { padding, ...strides, depthMultiplier: multiplier, activation };
    return this.op({ op: 'DEPTHWISE_CONV_2D', inputs, outputs: [y], options });
  }

  pool(x: number, op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D', window: Window): number {
    const { padding, sizes, strideH, strideW } = geometry(this.shape(x), window);
    const [filterH, filterW] = window.filter;
    const y = this.float([1, ...sizes, this.shape(x)[3]!]);
    const options = { padding, strideH, strideW, filterH, filterW, activation: 'none' } as const;
    return this.op({ op, inputs: [x], outputs: [y], options });
  }

  /** MEAN or REDUCE_MAX over height and width. */
  overImage(x: number, op: 'MEAN' | 'REDUCE_MAX' = 'MEAN'): number {
    const y = this.float([1, this.shape(x)[3]!]);
    return this.op({ op, inputs: [x, this.int32s(1, 2)], outputs: [y], options: { keepDims: false } });
  }

  reshape(x: number, shape: number[]): number {
    const y = this.float(shape);
    return this.op({
      op: 'RESHAPE',
      inputs: [x, this.int32s(...shape)],
      outputs: [y],
      options: { newShape: shape },
    });
  }

  /** Combines tensors of the same shape, or broadcasts the constant b. */
  binary(op: 'ADD' | 'SUB' | 'MUL', a: number, b: number, activation: Activation = 'none'): number {
    const y = this.float(this.shape(a));
    return this.op({ op, inputs: [a, b], outputs: [y], options: { activation } });
  }

  unary(x: number, op: 'RELU' | 'RELU6' | 'LOGISTIC' | 'TANH'): number {
    return this.op({ op, inputs: [x], outputs: [this.float(this.shape(x))], options: {} });
  }
  leakyRelu(x: number, alpha: number): number {
    const outputs = [this.float(this.shape(x))];
    return this.op({ op: 'LEAKY_RELU', inputs: [x], outputs, options: { alpha: Math.fround(alpha) } });
  }
  softmax(x: number): number {
    const outputs = [this.float(this.shape(x))];
    return this.op({ op: 'SOFTMAX', inputs: [x], outputs, options: { beta: 1 } });
  }

  concatenation(parts: number[], axis: number): number {
    const first = this.shape(parts[0]!);
    const along = parts.reduce((sum, part) => sum + this.shape(part)[axis]!, 0);
    const y = this.float(first.map((size, k) => (k === axis ? along : size)));
    const options = { axis, activation: 'none' } as const;
    return this.op({ op: 'CONCATENATION', inputs: parts, outputs: [y], options });
  }

  split(x: number, numSplits: number, axis: number): number[] {
    const shape = this.shape(x).map((size, k) => (k === axis ? size / numSplits : size));
    const outputs = Array.from({ length: numSplits }, () => this.float(shape));
    this.op({ op: 'SPLIT', inputs: [this.int32(axis), x], outputs, options: { numSplits } });
    return outputs;
  }

  /** Returns the slice x[…, from:to:step, …] along one axis. */
  slice(x: number, axis: number, from: number, to: number, step = 1): number {
    const shape = this.shape(x);
    const vector = (other: number, value: number) =>
      this.int32s(...shape.map((_, k) => (k === axis ? value : other)));
    const y = this.float(shape.map((size, k) => (k === axis ? Math.ceil((to - from) / step) : size)));
    const mask = (1 << shape.length) - 1 - (1 << axis);
    const options = { beginMask: mask, endMask: mask, shrinkAxisMask: 0 };
    const inputs = [x, vector(0, from), vector(0, to), vector(1, step)];
    return this.op({ op: 'STRIDED_SLICE', inputs, outputs: [y], options });
  }

  transpose(x: number, permutation: number[]): number {
    const y = this.float(permutation.map((axis) => this.shape(x)[axis]!));
    const inputs = [x, this.int32s(...permutation)];
    return this.op({ op: 'TRANSPOSE', inputs, outputs: [y], options: {} } as Operator);
  }

  /** Pads one axis by `before` and `after`. */
  pad(x: number, axis: number, before: number, after: number): number {
    const shape = this.shape(x);
    const data = Int32Array.from(shape.flatMap((_, k) => (k === axis ? [before, after] : [0, 0])));
    const list = this.add({ type: 'int32', shape: [shape.length, 2], data });
    const y = this.float(shape.map((size, k) => (k === axis ? size + before + after : size)));
    return this.op({ op: 'PAD', inputs: [x, list], outputs: [y], options: {} });
  }
}

/** Output sizes for SAME and VALID padding, from TensorFlow's documentation. */
function geometry(shape: number[], { filter, stride, dilation, padding = 'same' }: Window) {
  const [strideH, strideW] = stride ?? [1, 1];
  const [dilationH, dilationW] = dilation ?? [1, 1];
  const size = (input: number, taps: number, dilated: number, step: number) =>
    Math.ceil((padding === 'same' ? input : input - (taps - 1) * dilated) / step);
  const sizes = [
    size(shape[1]!, filter[0], dilationH, strideH),
    size(shape[2]!, filter[1], dilationW, strideW),
  ];
  return { padding, strideH, strideW, dilationH, dilationW, sizes };
}

/** Scores of a text of `length` words: int32 positions in a table of embeddings, their mean, and two dense layers. */
export function embeddingNetwork(
  random: Random,
  { words, width, length }: { words: number; width: number; length: number },
): Graph {
  const n = new FloatNetwork(random);
  const x = n.add({ type: 'int32', shape: [1, length] });
  const table = n.values([words, width], 1);
  const y = n.float([1, length, width]);
  n.op({ op: 'GATHER', inputs: [table, x], outputs: [y], options: { axis: 0, batchDims: 0 } });
  const mean = n.float([1, width]);
  n.op({ op: 'MEAN', inputs: [y, n.int32s(1)], outputs: [mean], options: { keepDims: false } });
  return n.graph(x, n.dense(n.dense(mean, 12, 'relu'), 3));
}

/** A convolution over the last three steps of a stream, two of which are in a variable. */
export function streamingNetwork(random: Random): Graph {
  const n = new FloatNetwork(random);
  const [kept, channels] = [2, 4];
  const x = n.float([1, 1, channels]);
  const shape = [1, kept, channels];
  const state = n.add({ type: 'float32', shape, variable: new Float32Array(kept * channels) });
  const old = n.float(shape);
  n.op({ op: 'READ_VARIABLE', inputs: [state], outputs: [old], options: {} });
  const all = n.concatenation([old, x], 1);
  const last = n.slice(all, 1, 1, kept + 1);
  n.op({ op: 'ASSIGN_VARIABLE', inputs: [state, last], outputs: [], options: {} });
  return n.graph(x, n.dense(n.dense(n.reshape(all, [1, (kept + 1) * channels]), 10, 'relu'), 3));
}

/** An LSTM over several time steps, and a dense layer on all its outputs. */
export function lstmNetwork(random: Random): Graph {
  const n = new FloatNetwork(random);
  const [steps, inputs, units] = [n.integer(1, 8), n.integer(1, 8), n.integer(2, 8)];
  const timeMajor = n.pick(true, false);
  const outer = timeMajor ? [steps, 1] : [1, steps];
  const x = n.float([...outer, inputs]);
  const weights = [inputs, inputs, inputs, inputs, units, units, units, units].map((taken) =>
    n.values([units, taken], 1 / Math.sqrt(taken)),
  );
  const biases = weights.slice(0, 4).map(() => n.values([units], 0.5));
  const state = () => n.add({ type: 'float32', shape: [1, units], variable: new Float32Array(units) });
  const none = (count: number) => new Array<number>(count).fill(-1);
  const y = n.float([...outer, units]);
  n.op({
    op: 'UNIDIRECTIONAL_SEQUENCE_LSTM',
    inputs: [x, ...weights, ...none(3), ...biases, ...none(2), state(), state(), ...none(4)],
    outputs: [y],
    options: { cellClip: n.pick(0, 0, 10), timeMajor },
  });
  return n.graph(x, n.dense(n.reshape(y, [1, steps * units]), 3));
}

/** Two SVDF layers, with and without a bias, and a dense layer. */
export function svdfNetwork(random: Random): Graph {
  const n = new FloatNetwork(random);
  const layer = (x: number, activation: 'none' | 'relu', bias: boolean) => {
    const [inputs = 0, units, rank, memory] = [
      n.shape(x)[1],
      n.integer(3, 8),
      n.integer(1, 2),
      n.integer(1, 10),
    ];
    const feature = n.values([units * rank, inputs], 1 / Math.sqrt(inputs));
    const time = n.values([units * rank, memory], 1 / Math.sqrt(rank * memory));
    const shape = [1, units * rank * memory];
    const state = n.add({ type: 'float32', shape, variable: new Float32Array(shape[1]!) });
    const operands = [x, feature, time, bias ? n.values([units], 0.2) : -1, state];
    const y = n.float([1, units]);
    return n.op({ op: 'SVDF', inputs: operands, outputs: [y], options: { rank, activation } });
  };
  const x = n.float([1, n.integer(2, 12)]);
  return n.graph(x, n.dense(layer(layer(x, 'relu', true), 'none', false), 3));
}
