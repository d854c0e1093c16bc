import type { Random } from '../../src/lib/core/numbers.js';
import {
  type Activation,
  elementCount,
  type Graph,
  type OperatorName,
  type OperatorOptions,
  type Padding,
} from '../../src/lib/formats/tflite/graph.js';
import { GraphBuilder } from './graph-builder.js';

/** Makes a model of one operator with int8 (the default) or int16. */
export type MakeGraph = (random: Random, type?: 'int8' | 'int16') => Graph;

/** Single-operator models with random shapes, scales and options, for each operator that reads and yields integers. */
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
  UNIDIRECTIONAL_SEQUENCE_LSTM: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [batches, steps, inputs, units] = [
      b.pick(1, 1, 2),
      b.integer(1, 5),
      b.integer(1, 8),
      b.integer(1, 8),
    ];
    const timeMajor = b.pick(true, false);
    const outer = timeMajor ? [steps, batches] : [batches, steps];
    const x = b.activation([...outer, inputs], b.scale(0.01, 0.1));
    const y = b.activation([...outer, units], b.scale(0.004, 0.02));
    const { scale, zeroPoint } = b.tensors[y]!.quantization!;
    const hidden = b.state(b.type, [batches, units], scale[0]!, zeroPoint[0]!);
    const cell = b.state('int16', [batches, units], 2 ** -b.integer(9, 15));
    const weights = [inputs, inputs, inputs, inputs, units, units, units, units].map((taken) =>
      b.weights([units, taken], 0, false),
    );
    const biases = weights.slice(0, 4).map((own) => b.bias(x, own, units));
    const none = (count: number) => new Array<number>(count).fill(-1);
    const ends = [...none(2), hidden, cell, ...none(4)];
    const inputsOf = [x, ...weights, ...none(3), ...biases, ...ends];
    const options = { cellClip: b.pick(0, 0, Math.fround(0.3), 10), timeMajor };
    return b.graph(x, b.op({ op: 'UNIDIRECTIONAL_SEQUENCE_LSTM', inputs: inputsOf, outputs: [y], options }));
  },
  SVDF: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [batches, inputs, units] = [b.pick(1, 1, 2), b.integer(1, 20), b.integer(1, 8)];
    const [rank, memory, wide] = [b.integer(1, 3), b.integer(1, 10), b.pick(true, true, false)];
    const x = b.activation([batches, inputs]);
    const feature = b.weights([units * rank, inputs], 0, false);
    const state = b.state(
      wide ? 'int16' : 'int8',
      [batches, units * rank * memory],
      b.scale(...((wide ? [1e-4, 1e-2] : [0.05, 1]) as [number, number])),
      wide ? 0 : b.integer(-128, 127),
    );
    const time = b.weights([units * rank, memory], 0, false);
    if (wide) {
      const { data, shape } = b.tensors[time]!;
      const scale = [b.scale(1e-5, 1e-3)];
      const quantization = { scale, zeroPoint: [0], axis: 0 };
      const values = Int16Array.from(data as Int8Array, () => b.integer(-32767, 32767));
      b.tensors[time] = { name: 'time', type: 'int16', shape, data: values, quantization };
    }
    const bias = b.bias(state, time, units);
    const relu = b.pick(true, false);
    const y = b.activation([batches, units], b.scale(0.05, 2), relu ? -128 : b.integer(-128, 127));
    const options = { rank, activation: relu ? 'relu' : 'none' } as const;
    return b.graph(x, b.op({ op: 'SVDF', inputs: [x, feature, time, bias, state], outputs: [y], options }));
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
  LOG_SOFTMAX: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 3), b.integer(1, 40)];
    const x = b.activation(shape, b.scale(0.001, 1));
    const quantization = { scale: [1 / 16], zeroPoint: [type === 'int16' ? 0 : 127], axis: 0 };
    const y = b.add({ type: b.type, shape, quantization });
    return b.graph(x, b.op({ op: 'LOG_SOFTMAX', inputs: [x], outputs: [y], options: {} }));
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
  ADD: (random, type) => binaryGraph(new GraphBuilder(random, type), 'ADD'),
  SUB: (random, type) => binaryGraph(new GraphBuilder(random, type), 'SUB'),
  MUL: (random, type) => binaryGraph(new GraphBuilder(random, type), 'MUL'),
  MAXIMUM: (random, type) => choiceGraph(new GraphBuilder(random, type), 'MAXIMUM'),
  MINIMUM: (random, type) => choiceGraph(new GraphBuilder(random, type), 'MINIMUM'),
  SQUARED_DIFFERENCE: (random, type) => binaryGraph(new GraphBuilder(random, type), 'SQUARED_DIFFERENCE'),
  PRELU: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 5), b.integer(1, 5), b.integer(1, 6)];
    const x = b.activation(shape);
    const slopes = b.pick(shape.slice(1), [1, 1, shape[3]!], [shape[3]!]);
    const alpha = b.add({
      type: 'int8',
      shape: slopes,
      data: Int8Array.from({ length: elementCount(slopes) }, () => b.integer(-128, 127)),
      quantization: { scale: [b.scale(0.001, 0.02)], zeroPoint: [b.integer(-20, 20)], axis: 0 },
    });
    return b.graph(x, b.op({ op: 'PRELU', inputs: [x, alpha], outputs: [b.activation(shape)], options: {} }));
  },
  ABS: (random, type) => everyByte(new GraphBuilder(random, type), 'ABS'),
  RSQRT: (random, type) => {
    const b = new GraphBuilder(random, type);
    const wide = type === 'int16';
    const zero = wide ? 0 : -128;
    const [x, y] = [b.activation([1, 256], b.scale(), zero), b.activation([1, 256], b.scale(0.01, 0.5))];
    if (wide) b.tensors[y]!.quantization!.scale = [b.scale(1e-4, 1e-2)];
    // TFLite Micro rejects negative values.
    const inputs = [wide ? b.op({ op: 'ABS', inputs: [x], outputs: [b.like(x, [1, 256])], options: {} }) : x];
    return b.graph(x, b.op({ op: 'RSQRT', inputs, outputs: [y], options: {} }));
  },
  ELU: (random, type) => everyByte(new GraphBuilder(random, type), 'ELU'),
  HARD_SWISH: (random, type) => everyByte(new GraphBuilder(random, type), 'HARD_SWISH'),
  LESS: (random, type) => selectGraph(new GraphBuilder(random, type), 'LESS'),
  LESS_EQUAL: (random, type) => selectGraph(new GraphBuilder(random, type), 'LESS_EQUAL'),
  GREATER: (random, type) => selectGraph(new GraphBuilder(random, type), 'GREATER'),
  GREATER_EQUAL: (random, type) => selectGraph(new GraphBuilder(random, type), 'GREATER_EQUAL'),
  EQUAL: (random, type) => selectGraph(new GraphBuilder(random, type), 'EQUAL'),
  NOT_EQUAL: (random, type) => selectGraph(new GraphBuilder(random, type), 'NOT_EQUAL'),
  SUM: (random, type) => reductionGraph(new GraphBuilder(random, type), 'SUM'),
  REDUCE_MIN: (random, type) => reductionGraph(new GraphBuilder(random, type), 'REDUCE_MIN'),
  TRANSPOSE_CONV: (random, type) => {
    const b = new GraphBuilder(random, type);
    const window = windowOf(b, false);
    const { padding, strideH, strideW, filterH, filterW, height, width, outH, outW } = window;
    const [channels, outputs] = [b.integer(1, 4), b.integer(1, 4)];
    const x = b.activation([b.integer(1, 2), outH, outW, channels]);
    const shape = [b.tensors[x]!.shape[0]!, height, width, outputs];
    const w = b.weights([outputs, filterH, filterW, channels], 0, b.pick(true, false));
    const y = b.activation(shape, b.scale(0.05, 1));
    const inputs = [b.int32s(...shape), w, x, ...(b.pick(true, false) ? [b.bias(x, w, outputs)] : [])];
    const options = { padding, strideH, strideW, activation: b.pick<Activation>('none', 'relu') };
    return b.graph(x, b.op({ op: 'TRANSPOSE_CONV', inputs, outputs: [y], options }));
  },
  BATCH_MATMUL: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [rows, depth, columns] = [b.integer(1, 5), b.integer(1, 8), b.integer(1, 5)];
    const [adjX, adjY] = [b.pick(true, false), b.pick(true, false)];
    const batch = b.pick([], [2], [1], [3]);
    const x = b.activation([...batch, ...(adjX ? [depth, rows] : [rows, depth])]);
    const other = b.constant([...b.pick(batch, []), ...(adjY ? [columns, depth] : [depth, columns])]);
    const y = b.activation([...batch, rows, columns], b.scale(0.01, 1));
    return b.graph(
      x,
      b.op({ op: 'BATCH_MATMUL', inputs: [x, other], outputs: [y], options: { adjX, adjY } }),
    );
  },
  L2_NORMALIZATION: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 3), b.integer(1, 40)];
    const y = b.add({ type: b.type, shape, quantization: { scale: [1 / 128], zeroPoint: [0], axis: 0 } });
    const x = b.activation(shape);
    return b.graph(
      x,
      b.op({ op: 'L2_NORMALIZATION', inputs: [x], outputs: [y], options: { activation: 'none' } }),
    );
  },
  RESIZE_BILINEAR: (random, type) => resizeGraph(new GraphBuilder(random, type), 'RESIZE_BILINEAR'),
  RESIZE_NEAREST_NEIGHBOR: (random, type) =>
    resizeGraph(new GraphBuilder(random, type), 'RESIZE_NEAREST_NEIGHBOR'),
  PACK: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 4), b.integer(1, 5)].slice(b.integer(0, 2));
    const x = b.activation(shape);
    const other = b.constant(shape);
    b.tensors[other]!.quantization = b.tensors[x]!.quantization!;
    const inputs = b.pick([x], [x, other], [other, x, x]);
    const axis = b.integer(0, shape.length);
    const y = b.like(x, [...shape.slice(0, axis), inputs.length, ...shape.slice(axis)]);
    const options = { valuesCount: inputs.length, axis: b.pick(axis, axis - shape.length - 1) };
    return b.graph(x, b.op({ op: 'PACK', inputs, outputs: [y], options }));
  },
  UNPACK: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 3), b.integer(1, 4), b.integer(1, 5)];
    const axis = b.integer(0, 2);
    const x = b.activation(shape);
    const rest = shape.filter((_, k) => k !== axis);
    const outputs = Array.from({ length: shape[axis]! }, () => b.like(x, rest));
    b.op({
      op: 'UNPACK',
      inputs: [x],
      outputs,
      options: { num: shape[axis]!, axis: b.pick(axis, axis - 3) },
    });
    return b.graph(x, b.pick(...outputs));
  },
  SLICE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(2, 6), b.integer(2, 6), b.integer(2, 6)].slice(b.integer(0, 3));
    const begin = shape.map((size) => b.integer(0, size - 1));
    const size = shape.map((whole, axis) => b.pick(-1, b.integer(1, whole - begin[axis]!)));
    const x = b.activation(shape);
    const y = b.like(
      x,
      shape.map((whole, axis) => (size[axis] === -1 ? whole - begin[axis]! : size[axis]!)),
    );
    const inputs = [x, b.int32s(...begin), b.int32s(...size)];
    return b.graph(x, b.op({ op: 'SLICE', inputs, outputs: [y], options: {} }));
  },
  GATHER: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
    const axis = b.integer(0, 2);
    const x = b.activation(shape);
    const count = b.integer(1, 5);
    const places = b.int32s(...Array.from({ length: count }, () => b.integer(0, shape[axis]! - 1)));
    const y = b.like(x, [...shape.slice(0, axis), count, ...shape.slice(axis + 1)]);
    const options = { axis: b.pick(axis, axis - 3), batchDims: 0 };
    return b.graph(x, b.op({ op: 'GATHER', inputs: [x, places], outputs: [y], options }));
  },
  DEPTH_TO_SPACE: (random, type) => blockGraph(new GraphBuilder(random, type), 'DEPTH_TO_SPACE'),
  SPACE_TO_DEPTH: (random, type) => blockGraph(new GraphBuilder(random, type), 'SPACE_TO_DEPTH'),
  SPACE_TO_BATCH_ND: (random, type) => batchGraph(new GraphBuilder(random, type), 'SPACE_TO_BATCH_ND'),
  BATCH_TO_SPACE_ND: (random, type) => batchGraph(new GraphBuilder(random, type), 'BATCH_TO_SPACE_ND'),
  FILL: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 4), b.integer(1, 5)];
    const x = b.activation([]);
    return b.graph(
      x,
      b.op({ op: 'FILL', inputs: [b.int32s(...shape), x], outputs: [b.like(x, shape)], options: {} }),
    );
  },
  LEAKY_RELU: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [x, y] = [b.activation([1, 256]), b.activation([1, 256])];
    const alpha = Math.fround(b.pick(0.2, 0.01, random(), -0.3, 1.5));
    return b.graph(x, b.op({ op: 'LEAKY_RELU', inputs: [x], outputs: [y], options: { alpha } }));
  },
  REDUCE_MAX: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 6), b.integer(1, 6), b.integer(1, 6)];
    const keepDims = b.pick(true, false);
    const axes = b.pick([1], [1, 2], [-2], [2, 3]);
    const reduced = new Set(axes.map((axis) => (axis + 4) % 4));
    const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
    const x = b.activation(shape);
    const y = b.like(x, keepDims ? kept : kept.filter((_, axis) => !reduced.has(axis)));
    const inputs = [x, b.int32s(...axes)];
    return b.graph(x, b.op({ op: 'REDUCE_MAX', inputs, outputs: [y], options: { keepDims } }));
  },
  CONCATENATION: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 5)];
    const axis = b.integer(1, 3);
    const x = b.activation(shape);
    const parts = Array.from({ length: b.integer(1, 4) }, () => {
      const part = b.constant(shape.map((size, k) => (k === axis ? b.integer(1, 4) : size)));
      b.tensors[part]!.quantization = b.tensors[x]!.quantization!;
      return part;
    });
    const inputs = b.pick([x, ...parts], [...parts, x], [x, ...parts, x]);
    const along = inputs.reduce((sum, part) => sum + b.tensors[part]!.shape[axis]!, 0);
    const y = b.like(
      x,
      shape.map((size, k) => (k === axis ? along : size)),
    );
    const options = { axis: b.pick(axis, axis - 4), activation: 'none' } as const;
    return b.graph(x, b.op({ op: 'CONCATENATION', inputs, outputs: [y], options }));
  },
  PAD: (random, type) => padGraph(new GraphBuilder(random, type), false),
  PADV2: (random, type) => padGraph(new GraphBuilder(random, type), true),
  MIRROR_PAD: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(2, 5), b.integer(2, 5), b.integer(2, 4)].slice(b.integer(0, 2));
    const mode = b.pick('reflect', 'symmetric');
    const most = (size: number) => (mode === 'reflect' ? size - 1 : size);
    const paddings = shape.map((size) => [b.integer(0, most(size)), b.integer(0, most(size))] as const);
    const x = b.activation(shape);
    const y = b.like(
      x,
      shape.map((size, k) => size + paddings[k]![0] + paddings[k]![1]),
    );
    const list = { type: 'int32' as const, shape: [shape.length, 2], data: Int32Array.from(paddings.flat()) };
    return b.graph(x, b.op({ op: 'MIRROR_PAD', inputs: [x, b.add(list)], outputs: [y], options: { mode } }));
  },
  BROADCAST_TO: (random, type) => {
    const b = new GraphBuilder(random, type);
    const full = [b.integer(1, 3), b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
    const shape = full.map((size) => b.pick(size, size, 1)).slice(b.integer(0, 3));
    const x = b.activation(shape);
    const inputs = [x, b.int32s(...full)];
    return b.graph(x, b.op({ op: 'BROADCAST_TO', inputs, outputs: [b.like(x, full)], options: {} }));
  },
  REVERSE_V2: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [b.integer(1, 3), b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)].slice(b.integer(0, 3));
    const x = b.activation(shape);
    // LiteRT supports only neighboring axes.
    const first = b.integer(0, shape.length - 1);
    const axes = Array.from({ length: b.integer(1, shape.length - first) }, (_, k) => first + k);
    const inputs = [x, b.int32s(...axes)];
    return b.graph(x, b.op({ op: 'REVERSE_V2', inputs, outputs: [b.like(x, shape)], options: {} }));
  },
  TRANSPOSE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)].slice(b.integer(0, 2));
    const order = shape.map((_, axis) => ({ axis, key: b.random() })).sort((p, q) => p.key - q.key);
    const permutation = order.map(({ axis }) => axis);
    const x = b.activation(shape);
    const y = b.like(
      x,
      permutation.map((axis) => shape[axis]!),
    );
    const inputs = [x, b.int32s(...permutation)];
    return b.graph(x, b.op({ op: 'TRANSPOSE', inputs, outputs: [y], options: {} }));
  },
  SPLIT: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [numSplits, axis] = [b.integer(1, 4), b.integer(1, 3)];
    const shape = [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 4)];
    const x = b.activation(shape.map((size, k) => (k === axis ? size * numSplits : size)));
    const inputs = [b.int32(b.pick(axis, axis - 4)), x];
    const outputs = Array.from({ length: numSplits }, () => b.like(x, shape));
    b.op({ op: 'SPLIT', inputs, outputs, options: { numSplits } });
    return b.graph(x, b.pick(...outputs));
  },
  SPLIT_V: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [axis, shape] = [b.integer(0, 3), [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 4)]];
    const sizes = Array.from({ length: b.integer(1, 4) }, () => b.integer(1, 4));
    const sized = (whole: number) => shape.map((size, k) => (k === axis ? whole : size));
    const x = b.activation(sized(sizes.reduce((sum, size) => sum + size, 0)));
    const outputs = sizes.map((size) => b.like(x, sized(size)));
    const open = b.integer(-1, sizes.length - 1);
    const given = b.int32s(...sizes.map((size, at) => (at === open ? -1 : size)));
    const inputs = [x, given, b.int32(b.pick(axis, axis - 4))];
    b.op({ op: 'SPLIT_V', inputs, outputs, options: { numSplits: sizes.length } });
    return b.graph(x, b.pick(...outputs));
  },
  // The last steps of a stream, kept in a variable as in a streaming convolution.
  READ_VARIABLE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const [kept, taken, channels] = [b.integer(1, 6), b.integer(1, 3), b.integer(1, 8)];
    const x = b.activation([1, taken, channels]);
    const old = b.like(x, [1, kept, channels]);
    const all = b.like(x, [1, kept + taken, channels]);
    const last = b.like(x, [1, kept, channels]);
    const variable = b.variable(x, [1, kept, channels], b.pick(true, false));
    b.op({ op: 'READ_VARIABLE', inputs: [variable], outputs: [old], options: {} });
    const options = { axis: 1, activation: 'none' } as const;
    b.op({ op: 'CONCATENATION', inputs: [old, x], outputs: [all], options });
    const bounds = [b.int32s(0, taken, 0), b.int32s(1, kept + taken, channels), b.int32s(1, 1, 1)];
    const masks = { beginMask: 0, endMask: 0, shrinkAxisMask: 0 };
    b.op({ op: 'STRIDED_SLICE', inputs: [all, ...bounds], outputs: [last], options: masks });
    b.op({ op: 'ASSIGN_VARIABLE', inputs: [variable, last], outputs: [], options: {} });
    return b.graph(x, all);
  },
  // The sum of all inputs so far, in two variables. The first one is read again after its assignment.
  ASSIGN_VARIABLE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(1, 20)];
    const x = b.activation(shape);
    const sum = b.activation(shape, b.scale(0.05, 1));
    const variables = [true, false].map((given) => b.variable(sum, shape, given));
    const options: OperatorOptions['ADD'] = { activation: 'none' };
    if (type === 'int16') options.potScaleInt16 = false;
    const [before, mixed, after, y] = [0, 0, 0, 0].map(() => b.like(sum, shape)) as [
      number,
      number,
      number,
      number,
    ];
    b.op({ op: 'READ_VARIABLE', inputs: [variables[0]!], outputs: [before], options: {} });
    b.op({ op: 'ADD', inputs: [before, x], outputs: [sum], options });
    b.op({ op: 'ASSIGN_VARIABLE', inputs: [variables[0]!, sum], outputs: [], options: {} });
    b.op({ op: 'READ_VARIABLE', inputs: [variables[1]!], outputs: [mixed], options: {} });
    b.op({ op: 'READ_VARIABLE', inputs: [variables[0]!], outputs: [after], options: {} });
    b.op({ op: 'ASSIGN_VARIABLE', inputs: [variables[1]!, before], outputs: [], options: {} });
    b.op({ op: 'MAXIMUM', inputs: [mixed, after], outputs: [y], options: {} });
    return b.graph(x, y);
  },
  STRIDED_SLICE: (random, type) => {
    const b = new GraphBuilder(random, type);
    const shape = [1, b.integer(2, 6), b.integer(2, 6), b.integer(2, 6)];
    let [beginMask, endMask, shrinkAxisMask] = [0, 0, 0];
    const output: number[] = [];
    const bounds = shape.map((size, axis) => {
      const begin = b.integer(0, size - 1);
      const how = axis === 0 ? 'open' : b.pick('range', 'range', 'open', 'back', 'one', 'from end');
      if (how === 'open') {
        beginMask |= 1 << axis;
        endMask |= 1 << axis;
        output.push(size);
        return [begin, 0, 1];
      }
      if (how === 'one') {
        shrinkAxisMask |= 1 << axis;
        return [begin, begin + 1, 1];
      }
      if (how === 'back') {
        beginMask |= 1 << axis;
        endMask |= 1 << axis;
        output.push(size);
        return [0, 0, -1];
      }
      const [end, step] = [b.integer(begin + 1, size + 2), b.integer(1, 2)];
      output.push(Math.ceil((Math.min(end, size) - begin) / step));
      return [how === 'range' ? begin : begin - size, end, step];
    });
    const x = b.activation(shape);
    const columns = [0, 1, 2].map((place) => b.int32s(...bounds.map((bound) => bound[place]!)));
    const options = { beginMask, endMask, shrinkAxisMask };
    const y = b.like(x, output);
    return b.graph(x, b.op({ op: 'STRIDED_SLICE', inputs: [x, ...columns], outputs: [y], options }));
  },
};

/** An operator that processes each byte independently, on a tensor that contains all 256 values from −128 to 127. */
function everyByte(
  b: GraphBuilder,
  op: 'LOGISTIC' | 'TANH' | 'RELU' | 'RELU6' | 'QUANTIZE' | 'ABS' | 'ELU' | 'HARD_SWISH',
): Graph {
  const shape = [1, 256];
  const x = b.activation(shape);
  const y =
    op === 'LOGISTIC' || op === 'TANH'
      ? b.fixed(op, shape)
      : op === 'RELU6'
        ? b.like(x, shape)
        : op === 'HARD_SWISH'
          ? b.activation(shape, Math.max(b.scale(), b.tensors[x]!.quantization!.scale[0]! / 100))
          : b.activation(shape);
  return b.graph(x, b.op({ op, inputs: [x], outputs: [y], options: {} }));
}

function resizeGraph(b: GraphBuilder, op: 'RESIZE_BILINEAR' | 'RESIZE_NEAREST_NEIGHBOR'): Graph {
  const [n, h, w, c] = [b.integer(1, 2), b.integer(1, 6), b.integer(1, 6), b.integer(1, 4)];
  const size = [b.integer(1, 10), b.integer(1, 10)];
  const x = b.activation([n, h, w, c]);
  const options = b.pick(
    { alignCorners: false, halfPixelCenters: false },
    { alignCorners: true, halfPixelCenters: false },
    { alignCorners: false, halfPixelCenters: true },
  );
  const outputs = [b.like(x, [n, ...size, c])];
  return b.graph(x, b.op({ op, inputs: [x, b.int32s(...size)], outputs, options }));
}

function blockGraph(b: GraphBuilder, op: 'DEPTH_TO_SPACE' | 'SPACE_TO_DEPTH'): Graph {
  const [n, h, w, c, blockSize] = [
    b.integer(1, 2),
    b.integer(1, 3),
    b.integer(1, 3),
    b.integer(1, 3),
    b.integer(1, 3),
  ];
  const [deep, wide] = [
    [n, h, w, c * blockSize * blockSize],
    [n, h * blockSize, w * blockSize, c],
  ];
  const x = b.activation(op === 'DEPTH_TO_SPACE' ? deep : wide);
  const y = b.like(x, op === 'DEPTH_TO_SPACE' ? wide : deep);
  return b.graph(x, b.op({ op, inputs: [x], outputs: [y], options: { blockSize } }));
}

/**
 * SPACE_TO_BATCH_ND without paddings, because TFLite Micro leaves the padding value undefined; `padded` is for comparisons with
 * other runtimes. BATCH_TO_SPACE_ND has crops.
 */
export function batchGraph(
  b: GraphBuilder,
  op: 'SPACE_TO_BATCH_ND' | 'BATCH_TO_SPACE_ND',
  padded = op === 'BATCH_TO_SPACE_ND',
): Graph {
  const spatial = b.pick(1, 2);
  const block = Array.from({ length: spatial }, () => b.integer(1, 3));
  const paddings = block.flatMap(() => [padded ? b.integer(0, 2) : 0, 0]);
  const cells = block.map((size, axis) => size * b.integer(1, 3) + (size > 1 ? 0 : paddings[2 * axis]!));
  const sizes = cells.map((size, axis) => {
    const before = Math.min(paddings[2 * axis]!, size - 1);
    paddings[2 * axis] = before;
    return size - before;
  });
  const [n, c] = [b.integer(1, 2), b.integer(1, 4)];
  const image = [n, ...sizes, c];
  const batches = [
    n * block.reduce((product, size) => product * size, 1),
    ...cells.map((size, axis) => size / block[axis]!),
    c,
  ];
  const forward = op === 'SPACE_TO_BATCH_ND';
  const x = b.activation(forward ? image : batches);
  const y = b.like(x, forward ? batches : image);
  const list = b.add({ type: 'int32', shape: [spatial, 2], data: Int32Array.from(paddings) });
  return b.graph(x, b.op({ op, inputs: [x, b.int32s(...block), list], outputs: [y], options: {} }));
}

function reductionGraph(b: GraphBuilder, op: 'SUM' | 'REDUCE_MIN'): Graph {
  const shape = [1, b.integer(1, 6), b.integer(1, 6), b.integer(1, 6)];
  const keepDims = b.pick(true, false);
  const axes = b.pick([1], [1, 2], [-2], [2, 3]);
  const reduced = new Set(axes.map((axis) => (axis + 4) % 4));
  const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
  const output = keepDims ? kept : kept.filter((_, axis) => !reduced.has(axis));
  const x = b.activation(shape);
  const y = op === 'SUM' ? b.activation(output, b.scale(0.02, 1)) : b.like(x, output);
  return b.graph(x, b.op({ op, inputs: [x, b.int32s(...axes)], outputs: [y], options: { keepDims } }));
}

/** Operators that compare values of the same scale: x with a constant, or with its neighbors. */
function choiceGraph(b: GraphBuilder, op: 'MAXIMUM' | 'MINIMUM'): Graph {
  const [h, w, c] = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
  const shape = b.pick([1, h, w, c], [1, w, c], [1, c], [1, 1, 1, c], [1, h, 1, c]);
  const x = b.activation(shape);
  const other = b.constant(b.pick([1, h, w, c], [c], [1], shape.slice(-2)));
  b.tensors[other]!.quantization = b.tensors[x]!.quantization!;
  const y = b.like(x, broadcastShape(shape, b.tensors[other]!.shape));
  return b.graph(x, b.op({ op, inputs: b.pick([x, other], [other, x]), outputs: [y], options: {} }));
}

/** A comparison with a constant of another scale, whose result selects between x and another constant. */
function selectGraph(
  b: GraphBuilder,
  op: 'LESS' | 'LESS_EQUAL' | 'GREATER' | 'GREATER_EQUAL' | 'EQUAL' | 'NOT_EQUAL',
): Graph {
  const [h, w, c] = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
  const shape = b.pick([1, h, w, c], [1, w, c], [1, c]);
  const x = b.activation(shape);
  const limit = b.constant(b.pick(shape, [c], [1]), b.pick(b.scale(), b.tensors[x]!.quantization!.scale[0]!));
  const condition = b.add({ type: 'bool', shape });
  b.op({ op, inputs: b.pick([x, limit], [limit, x]), outputs: [condition], options: {} });
  const other = b.constant(b.pick(shape, [c], [1]));
  b.tensors[other]!.quantization = b.tensors[x]!.quantization!;
  const inputs = [condition, ...b.pick([x, other], [other, x])];
  return b.graph(x, b.op({ op: 'SELECT_V2', inputs, outputs: [b.like(x, shape)], options: {} }));
}

/** A constant condition that selects between x and another constant, because comparisons have no int16 kernel. */
export function constantSelectGraph(random: Random, type?: 'int8' | 'int16'): Graph {
  const b = new GraphBuilder(random, type);
  const [h, w, c] = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
  const shape = [1, h, w, c];
  const x = b.activation(shape);
  const data = Uint8Array.from({ length: h * w * c }, () => b.integer(0, 1));
  const condition = b.add({ type: 'bool', shape, data });
  const other = b.constant(b.pick(shape, [c], [1]));
  b.tensors[other]!.quantization = b.tensors[x]!.quantization!;
  const inputs = [condition, ...b.pick([x, other], [other, x])];
  return b.graph(x, b.op({ op: 'SELECT_V2', inputs, outputs: [b.like(x, shape)], options: {} }));
}

/** An ARG_MAX beside a RELU, because positions cannot be an output of the device interpreter. Small values often tie. */
export function argMaxGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [1, b.integer(1, 5), b.integer(1, 6), b.integer(2, 7)];
  const x = b.activation(shape);
  const axis = b.integer(1, 3);
  const place = b.add({ type: 'int32', shape: [1], data: Int32Array.of(b.pick(axis, axis - 4)) });
  const positions = b.add({ type: 'int32', shape: shape.filter((_, at) => at !== axis) });
  b.op({ op: 'ARG_MAX', inputs: [x, place], outputs: [positions], options: { outputType: 'int32' } });
  return b.graph(x, b.op({ op: 'RELU', inputs: [x], outputs: [b.like(x, shape)], options: {} }));
}

function broadcastShape(a: number[], b: number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const padded = (given: number[]) => [...new Array<number>(rank - given.length).fill(1), ...given];
  return padded(a).map((size, axis) => Math.max(size, padded(b)[axis]!));
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

/** A window over an image, with the output size specified by TensorFlow's documentation. */
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

/** x with a constant that is broadcast or broadcasts x, or with x itself in another scale. */
function binaryGraph(b: GraphBuilder, op: 'ADD' | 'SUB' | 'MUL' | 'SQUARED_DIFFERENCE'): Graph {
  const [h, w, c] = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
  const shape = b.pick([1, h, w, c], [1, w, c], [1, c], [1, 1, 1, c], [1, h, 1, c]);
  const x = b.activation(shape);
  const full = [1, h, w, c];
  const other = b.pick(
    () => b.constant(full),
    () => b.constant(b.pick([c], [1], [], shape.slice(-2))),
    () => {
      const again = b.activation(shape);
      return b.op({ op: 'QUANTIZE', inputs: [x], outputs: [again], options: {} });
    },
  )();
  const output = broadcastShape(shape, b.tensors[other]!.shape);
  const y = b.activation(output, op === 'MUL' ? b.scale(0.005, 2) : b.scale(0.01, 0.3));
  const inputs = b.pick([x, other], [other, x]);
  const activation = b.pick<Activation>('none', 'none', 'relu', 'relu6', 'relu_n1_to_1');
  const sum = { activation, ...(b.type === 'int16' && { potScaleInt16: false as const }) };
  if (op === 'SQUARED_DIFFERENCE') return b.graph(x, b.op({ op, inputs, outputs: [y], options: {} }));
  b.op(
    op === 'MUL'
      ? { op, inputs, outputs: [y], options: { activation } }
      : { op, inputs, outputs: [y], options: sum },
  );
  return b.graph(x, y);
}

function padGraph(b: GraphBuilder, withValue: boolean) {
  const shape = [1, b.integer(1, 4), b.integer(1, 4), b.integer(1, 4)].slice(b.integer(0, 2));
  const paddings = shape.flatMap(() => [b.integer(0, 2), b.integer(0, 3)]);
  const x = b.activation(shape);
  const list = b.add({ type: 'int32', shape: [shape.length, 2], data: Int32Array.from(paddings) });
  const y = b.like(
    x,
    shape.map((size, axis) => size + paddings[2 * axis]! + paddings[2 * axis + 1]!),
  );
  if (!withValue) return b.graph(x, b.op({ op: 'PAD', inputs: [x, list], outputs: [y], options: {} }));
  const value = b.constant([1]);
  b.tensors[value]!.quantization = b.tensors[x]!.quantization!;
  return b.graph(x, b.op({ op: 'PADV2', inputs: [x, list, value], outputs: [y], options: {} }));
}
