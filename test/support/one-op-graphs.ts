import type { Random } from '../../src/lib/core/numbers.js';
import type { Activation, Graph, OperatorName, Padding } from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';
import { arithmeticGraphs } from './one-op-arithmetic.js';
import { movingGraphs } from './one-op-moving.js';

/** Makes a network of one operator on int8 (the default) or int16. */
export type MakeGraph = (random: Random, type?: 'int8' | 'int16') => Graph;

/** One operator with chance shapes, scales and options, for each that reads and gives integers. */
export const oneOpGraphs: { readonly [Name in OperatorName]?: MakeGraph } = {
  FULLY_CONNECTED: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [rows, inputs, outputs] = [b.integer(1, 3), b.integer(1, 70), b.integer(1, 20)];
    const x = b.activation([rows, inputs]);
    const w = b.weights([outputs, inputs], 0, b.pick(true, false));
    const bias = b.pick(true, false) ? b.bias(x, w, outputs) : -1;
    const y = b.activation([rows, outputs], b.scale(0.05, 2));
    const activation = b.pick<Activation>('none', 'relu', 'relu6', 'relu_n1_to_1');
    const options = { activation, keepNumDims: false };
    return b.graph(x, b.op({ op: 'FULLY_CONNECTED', inputs: [x, w, bias], outputs: [y], options }));
  },
  CONV_2D: (random, type) => {
    const b = new GraphBuilder(random, type);
    const window = windowOf(b, true);
    const [groups, taken, outputs] = [b.pick(1, 1, 2), b.integer(1, 5), b.integer(1, 4) * 2];
    const x = b.activation([b.integer(1, 2), window.height, window.width, groups * taken]);
    const w = b.weights([outputs, window.filterH, window.filterW, taken], 0, b.pick(true, false));
    const y = b.activation([b.tensors[x]!.shape[0]!, window.outH, window.outW, outputs], b.scale(0.05, 1));
    const inputs = [x, w, ...(b.pick(true, true, false) ? [b.bias(x, w, outputs)] : [])];
    const { padding, strideH, strideW, dilationH, dilationW } = window;
    const activation = b.pick<Activation>('none', 'relu', 'relu6', 'relu_n1_to_1');
    const options = { padding, strideH, strideW, dilationH, dilationW, activation };
    return b.graph(x, b.op({ op: 'CONV_2D', inputs, outputs: [y], options }));
  },
  DEPTHWISE_CONV_2D: (random, type) => {
    const b = new GraphBuilder(random, type);
    const window = windowOf(b, true);
    const [channels, depthMultiplier] = [b.integer(1, 5), b.integer(1, 3)];
    const outputs = channels * depthMultiplier;
    const x = b.activation([1, window.height, window.width, channels]);
    const w = b.weights([1, window.filterH, window.filterW, outputs], 3);
    const y = b.activation([1, window.outH, window.outW, outputs], b.scale(0.05, 1));
    const { padding, strideH, strideW, dilationH, dilationW } = window;
    const activation = b.pick<Activation>('none', 'relu', 'relu6', 'relu_n1_to_1');
    const options = { padding, strideH, strideW, dilationH, dilationW, depthMultiplier, activation };
    return b.graph(
      x,
      b.op({ op: 'DEPTHWISE_CONV_2D', inputs: [x, w, b.bias(x, w, outputs)], outputs: [y], options }),
    );
  },
  MAX_POOL_2D: (random, type) => poolGraph(new GraphBuilder(random, type), 'MAX_POOL_2D'),
  AVERAGE_POOL_2D: (random, type) => poolGraph(new GraphBuilder(random, type), 'AVERAGE_POOL_2D'),
  MEAN: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 6), b.integer(1, 6), b.integer(1, 6)];
    const keepDims = b.pick(true, false);
    const axes = b.pick([1], [1, 2], [-2], [1, 2, 3], [2]);
    const reduced = new Set(axes.map((axis) => (axis < 0 ? axis + 4 : axis)));
    const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
    const x = b.activation(shape);
    const y = b.activation(keepDims ? kept : kept.filter((_, axis) => !reduced.has(axis)));
    return b.graph(
      x,
      b.op({ op: 'MEAN', inputs: [x, b.int32s(...axes)], outputs: [y], options: { keepDims } }),
    );
  },
  SOFTMAX: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 3), b.integer(1, 40)];
    const x = b.activation(shape, b.scale(0.001, 1));
    const y = b.fixed('SOFTMAX', shape);
    return b.graph(
      x,
      b.op({ op: 'SOFTMAX', inputs: [x], outputs: [y], options: { beta: b.pick(1, 1, 0.5) } }),
    );
  },
  LOGISTIC: (random, type) => everyByte(new GraphBuilder(random, type), 'LOGISTIC'),
  TANH: (random, type) => everyByte(new GraphBuilder(random, type), 'TANH'),
  RELU: (random, type) => everyByte(new GraphBuilder(random, type), 'RELU'),
  RELU6: (random, type) => everyByte(new GraphBuilder(random, type), 'RELU6'),
  QUANTIZE: (random, type) => everyByte(new GraphBuilder(random, type), 'QUANTIZE'),
  RESHAPE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const x = b.activation([1, 4, 6]);
    const y = b.like(x, [2, 12]);
    const inputs = [x, ...(b.pick(true, false) ? [b.int32s(2, 12)] : [])];
    return b.graph(x, b.op({ op: 'RESHAPE', inputs, outputs: [y], options: { newShape: [2, 12] } }));
  },
  EXPAND_DIMS: (random, type) => {
    const b = new GraphBuilder(random, type);
    const x = b.activation([1, 4, 6]);
    const y = b.like(x, [1, 1, 4, 6]);
    const axis = b.add({ type: 'int32', shape: [], data: Int32Array.of(-3) });
    return b.graph(x, b.op({ op: 'EXPAND_DIMS', inputs: [x, axis], outputs: [y], options: {} }));
  },
  SQUEEZE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const x = b.activation([1, 4, 1, 6]);
    const y = b.like(x, [1, 4, 6]);
    return b.graph(x, b.op({ op: 'SQUEEZE', inputs: [x], outputs: [y], options: { squeezeDims: [2] } }));
  },
  ...arithmeticGraphs,
  ...movingGraphs,
};

/** An operator that works byte by byte, on a tensor that has all 256 of them when given −128 … 127. */
function everyByte(b: GraphBuilder, op: 'LOGISTIC' | 'TANH' | 'RELU' | 'RELU6' | 'QUANTIZE'): Graph {
  const shape = [1, 256];
  const x = b.activation(shape);
  const y =
    op === 'LOGISTIC' || op === 'TANH'
      ? b.fixed(op, shape)
      : op === 'RELU6'
        ? b.like(x, shape)
        : b.activation(shape);
  return b.graph(x, b.op({ op, inputs: [x], outputs: [y], options: {} }));
}

function poolGraph(b: GraphBuilder, op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D'): Graph {
  const { height, width, outH, outW, padding, strideH, strideW, filterH, filterW } = windowOf(b, false);
  const channels = b.integer(1, 5);
  const x = b.activation([1, height, width, channels]);
  const y = b.like(x, [1, outH, outW, channels]);
  const options = {
    padding,
    strideH,
    strideW,
    filterH,
    filterW,
    activation: b.pick<Activation>('none', 'relu', 'relu6'),
  };
  return b.graph(x, b.op({ op, inputs: [x], outputs: [y], options }));
}

/** A window over an image, with the output size that TensorFlow's documentation gives for it. */
function windowOf(b: GraphBuilder, dilated: boolean) {
  const padding: Padding = b.pick('same', 'valid');
  const [filterH, filterW, strideH, strideW] = [
    b.integer(1, 4),
    b.integer(1, 4),
    b.integer(1, 3),
    b.integer(1, 3),
  ];
  const [dilationH, dilationW] = dilated ? [b.pick(1, 1, 2), b.pick(1, 1, 2)] : [1, 1];
  const [spanH, spanW] = [(filterH - 1) * dilationH + 1, (filterW - 1) * dilationW + 1];
  const [height, width] = [spanH + b.integer(0, 5), spanW + b.integer(0, 5)];
  const size = (input: number, span: number, stride: number) =>
    Math.ceil((padding === 'same' ? input : input - span + 1) / stride);
  const [outH, outW] = [size(height, spanH, strideH), size(width, spanW, strideW)];
  return { padding, filterH, filterW, strideH, strideW, dilationH, dilationW, height, width, outH, outW };
}
