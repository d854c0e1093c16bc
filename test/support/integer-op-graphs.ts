import type { Random } from '../../src/lib/core/numbers.js';
import {
  type Activation,
  elementCount,
  type Graph,
  type Operator,
  type OperatorName,
  type TensorType,
} from '../../src/lib/formats/tflite/graph.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { GraphBuilder } from './graph-builder.js';
import { argMaxGraph, oneOpGraphs } from './one-op-graphs.js';

/** A model of one operator on these indices or conditions. */
type MakeGraph = (random: Random) => Graph;

type Kind = 'int32' | 'bool';

/** The float32 model of one operator, with int32 or bool in place of float32. Values are whole numbers. */
function typed(op: OperatorName, type: Kind): MakeGraph {
  return (random) => inWholeNumbers(oneOpGraphs[op]!(random), type);
}

/** The model with int32 or bool in place of quantized and real values. */
export function inWholeNumbers(quantized: Graph, type: Kind): Graph {
  const graph = withRealValues(quantized);
  const whole = (values: Float32Array) =>
    type === 'int32'
      ? Int32Array.from(values, (value) => Math.round(value * 100))
      : Uint8Array.from(values, (value) => Number(value > 0));
  const tensors = graph.tensors.map((tensor) => {
    if (tensor.type !== 'float32') return tensor;
    const { name, shape, data, variable } = tensor;
    return {
      ...{ name, shape, type },
      ...(data instanceof Float32Array && { data: whole(data) }),
      ...(variable instanceof Float32Array && { variable: whole(variable) }),
    };
  });
  // A fused activation or a QUANTIZE has no kernel for these types.
  const operators = graph.operators.map((operator) =>
    'activation' in operator.options
      ? ({ ...operator, options: { ...operator.options, activation: 'none' } } as typeof operator)
      : operator,
  );
  return { ...graph, tensors, operators };
}

function castGraph(from: TensorType, to: TensorType): MakeGraph {
  return (random) => {
    const b = new GraphBuilder(random);
    const shape = [b.integer(1, 4), b.integer(1, 6)];
    const tensor = (type: TensorType) =>
      b.add({
        ...{ type, shape },
        ...((type === 'int8' || type === 'int16') && {
          quantization: { scale: [b.scale()], zeroPoint: [0], axis: 0 },
        }),
      });
    const [x, y] = [tensor(from), tensor(to)];
    const options = { inDataType: from, outDataType: to };
    return b.graph(x, b.op({ op: 'CAST', inputs: [x], outputs: [y], options }));
  };
}

/** A comparison of int32 or bool with a constant. Small values are often equal. */
function comparisonGraph(op: (typeof comparisons)[number], type: Kind = 'int32'): MakeGraph {
  return (random) => {
    const b = new GraphBuilder(random);
    const shape = [1, b.integer(1, 5), b.integer(1, 6)];
    const x = b.add({ type, shape });
    const limits = b.pick(shape, [shape[2]!], [1]);
    const count = elementCount(limits);
    const data =
      type === 'int32'
        ? Int32Array.from({ length: count }, () => b.integer(-5, 5))
        : Uint8Array.from({ length: count }, () => b.integer(0, 1));
    const limit = b.add({ type, shape: limits, data });
    const y = b.add({ type: 'bool', shape });
    return b.graph(x, b.op({ op, inputs: b.pick([x, limit], [limit, x]), outputs: [y], options: {} }));
  };
}

function logicalGraph(op: 'LOGICAL_AND' | 'LOGICAL_OR' | 'LOGICAL_NOT'): MakeGraph {
  return (random) => {
    const b = new GraphBuilder(random);
    const shape = [1, b.integer(1, 5), b.integer(1, 6)];
    const x = b.add({ type: 'bool', shape });
    const y = b.add({ type: 'bool', shape });
    if (op === 'LOGICAL_NOT') return b.graph(x, b.op({ op, inputs: [x], outputs: [y], options: {} }));
    const others = b.pick(shape, [shape[2]!]);
    const data = Uint8Array.from({ length: elementCount(others) }, () => b.integer(0, 1));
    const other = b.add({ type: 'bool', shape: others, data });
    return b.graph(x, b.op({ op, inputs: [x, other], outputs: [y], options: {} }));
  };
}

/** An int8 model: two comparisons of x, combined with each other and with a constant, select between x and a constant. */
export function conditionsGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [1, b.integer(1, 4), b.integer(1, 6)];
  const x = b.activation(shape);
  const compared = () => {
    const y = b.add({ type: 'bool', shape });
    const inputs = [x, b.constant(b.pick(shape, [shape[2]!], [1]), b.scale())];
    return b.op({ op: b.pick(...comparisons), inputs, outputs: [y], options: {} });
  };
  const combined = (op: 'LOGICAL_AND' | 'LOGICAL_OR' | 'LOGICAL_NOT', ...inputs: number[]) =>
    b.op({ op, inputs, outputs: [b.add({ type: 'bool', shape })], options: {} });
  const fixed = b.pick(shape, [shape[2]!], [1]);
  const data = Uint8Array.from({ length: elementCount(fixed) }, () => b.integer(0, 1));
  const constant = b.add({ type: 'bool', shape: fixed, data });
  const [first, second] = b.pick(
    ['LOGICAL_AND', 'LOGICAL_OR'] as const,
    ['LOGICAL_OR', 'LOGICAL_AND'] as const,
  );
  const both = combined(first, compared(), combined('LOGICAL_NOT', compared()));
  const condition = combined(second, ...b.pick([both, constant], [constant, both]));
  const other = b.constant(b.pick(shape, [1]));
  b.tensors[other]!.quantization = b.tensors[x]!.quantization!;
  const inputs = [condition, ...b.pick([x, other], [other, x])];
  return b.graph(x, b.op({ op: 'SELECT_V2', inputs, outputs: [b.like(x, shape)], options: {} }));
}

/** An int8 model: elements of a constant table, or of x itself, at the positions of x's largest or smallest values. */
export function indicesGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const [rows, size] = [b.integer(1, 5), b.integer(2, 6)];
  const x = b.activation([rows, size]);
  const at = b.add({ type: 'int32', shape: [rows] });
  const op = b.pick('ARG_MAX', 'ARG_MIN');
  b.op({ op, inputs: [x, b.int32s(1)], outputs: [at], options: { outputType: 'int32' } });
  const inner = b.integer(1, 4);
  const table = b.random() < 0.5 ? b.constant([size, inner]) : x;
  const axis = table === x ? 1 : 0;
  const y = b.like(table, table === x ? [rows, rows] : [rows, inner]);
  return b.graph(
    x,
    b.op({ op: 'GATHER', inputs: [table, at], outputs: [y], options: { axis, batchDims: 0 } }),
  );
}

/** An int8 model: x becomes float32 or int16 and, with any scale, int8 again. */
export function requantizedGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [1, b.integer(1, 5), b.integer(1, 6)];
  const x = b.activation(shape);
  const type = b.pick('float32', 'int16');
  const quantization = { scale: [b.scale()], zeroPoint: [0], axis: 0 };
  const wide = b.add({ type, shape, ...(type === 'int16' && { quantization }) });
  const options = { inDataType: 'int8', outDataType: type } as const;
  b.op({ op: 'CAST', inputs: [x], outputs: [wide], options });
  return b.graph(x, b.op({ op: 'QUANTIZE', inputs: [wide], outputs: [b.activation(shape)], options: {} }));
}

/** An int8 model: positions, a comparison or x itself, converted through other types and back to int8. */
export function conversionsGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [1, b.integer(1, 5), b.integer(2, 6)];
  const x = b.activation(shape);
  const start = b.pick<OperatorName>('ARG_MAX', 'ARG_MIN', 'GREATER', 'CAST');
  const axis = b.integer(1, 2);
  const kept = start.startsWith('ARG') ? shape.filter((_, at) => at !== axis) : shape;
  let last = x;
  if (start === 'GREATER') {
    last = b.add({ type: 'bool', shape });
    b.op({ op: start, inputs: [x, b.constant([1], b.scale())], outputs: [last], options: {} });
  } else if (start !== 'CAST') {
    last = b.add({ type: 'int32', shape: kept });
    const inputs = [x, b.int32s(b.pick(axis, axis - 3))];
    b.op({ op: start as 'ARG_MAX', inputs, outputs: [last], options: { outputType: 'int32' } });
  }
  const path = Array.from({ length: b.integer(0, 3) }, () => b.pick(...castTypes));
  for (const type of [...path, 'int8'] as const) {
    const from = b.tensors[last]!.type;
    const scaled = type === 'int8' || type === 'int16';
    const quantization = { scale: [b.scale()], zeroPoint: [0], axis: 0 };
    const y = b.add({ type, shape: kept, ...(scaled && { quantization }) });
    b.op({ op: 'CAST', inputs: [last], outputs: [y], options: { inDataType: from, outDataType: type } });
    last = y;
  }
  return b.graph(x, last);
}

/** An int8 model that adds constants to x, which a CAST converts. Most of them do not fit the intermediate types. */
export function wrappedGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const type = b.pick('float32', 'int16', 'int32', 'int8');
  const large = () => (random() - 0.5) * 2 ** b.integer(0, 70);
  const real = [large(), large(), large(), large(), 2 ** 31, -(2 ** 31) - 256, Infinity, Number.NaN];
  const shape = [1, real.length];
  const [x, y] = [b.activation(shape, 0.1, 0), b.activation(shape, 0.2, 0)];
  const small = b.activation(shape, 0.1, 0);
  const scaled = { quantization: { scale: [1], zeroPoint: [0], axis: 0 } };
  const middle = b.add({ type, shape, ...(type.startsWith('int') && type !== 'int32' && scaled) });
  const data = Float32Array.from(real);
  const constant = b.add({ type: 'float32', shape, data });
  const cast = (from: number, to: number, inDataType: TensorType, outDataType: TensorType) =>
    b.op({ op: 'CAST', inputs: [from], outputs: [to], options: { inDataType, outDataType } });
  cast(constant, middle, 'float32', type);
  cast(middle, small, type, 'int8');
  return b.graph(x, b.op({ op: 'ADD', inputs: [x, small], outputs: [y], options: { activation: 'none' } }));
}

/** A constant condition that selects between x and a constant. */
function selectGraph(type: Kind): MakeGraph {
  return (random) => {
    const b = new GraphBuilder(random);
    const shape = [1, b.integer(1, 5), b.integer(1, 6)];
    const x = b.add({ type, shape });
    const bits = () => Uint8Array.from({ length: elementCount(shape) }, () => b.integer(0, 1));
    const condition = b.add({ type: 'bool', shape, data: bits() });
    const data = type === 'bool' ? bits() : Int32Array.from(bits(), () => b.integer(-100, 100));
    const other = b.add({ type, shape, data });
    const y = b.add({ type, shape });
    const inputs = [condition, ...b.pick([x, other], [other, x])];
    return b.graph(x, b.op({ op: 'SELECT_V2', inputs, outputs: [y], options: {} }));
  };
}

/** ARG_MAX or ARG_MIN, whose positions are the model's output. */
function positionGraph(op: 'ARG_MAX' | 'ARG_MIN'): MakeGraph {
  return (random) => {
    const graph = argMaxGraph(random);
    const [position] = graph.operators;
    return {
      ...graph,
      operators: [{ ...position!, op } as typeof position & object],
      outputs: position!.outputs,
    };
  };
}

/** An embedding: a constant table, from which computed or given indices select rows. */
export function embeddingGraph(random: Random, type: 'float32' | 'int8' | Kind, computed = false): Graph {
  const b = new GraphBuilder(random);
  const [size, width, count] = [b.integer(2, 9), b.integer(1, 6), b.integer(1, 5)];
  const quantization =
    type === 'int8' ? { scale: [b.scale()], zeroPoint: [b.integer(-128, 127)], axis: 0 } : undefined;
  const values = Float32Array.from({ length: size * width }, () => b.integer(-128, 127));
  const data = {
    float32: values,
    int8: Int8Array.from(values),
    int32: Int32Array.from(values),
    bool: Uint8Array.from(values, (value) => Number(value > 0)),
  }[type];
  const table = b.add({ type, shape: [size, width], data, ...(quantization && { quantization }) });
  const y = b.add({ type, shape: [count, width], ...(quantization && { quantization }) });
  const x = computed ? b.activation([count, size]) : b.add({ type: 'int32', shape: [count] });
  let index = x;
  if (computed) {
    index = b.add({ type: 'int32', shape: [count] });
    b.op({
      op: b.pick('ARG_MAX', 'ARG_MIN'),
      inputs: [x, b.int32s(1)],
      outputs: [index],
      options: { outputType: 'int32' },
    });
  } else {
    // Indices within the table: the remainder of a division is not among the operators, so the values are limited.
    const limited = [0, 0].map(() => b.add({ type: 'int32', shape: [count] })) as [number, number];
    b.op({ op: 'MAXIMUM', inputs: [x, b.int32s(0)], outputs: [limited[0]], options: {} });
    b.op({ op: 'MINIMUM', inputs: [limited[0], b.int32s(size - 1)], outputs: [limited[1]], options: {} });
    index = limited[1];
  }
  return b.graph(
    x,
    b.op({ op: 'GATHER', inputs: [table, index], outputs: [y], options: { axis: 0, batchDims: 0 } }),
  );
}

/** DIV of an input by constants, because the reference kernel crashes if a divisor is 0. */
function quotientGraph(random: Random): Graph {
  const b = new GraphBuilder(random);
  const shape = [b.integer(1, 4), b.integer(1, 6)];
  const [x, y] = [b.add({ type: 'int32', shape }), b.add({ type: 'int32', shape })];
  const divisors = b.random() < 0.5 ? [] : shape;
  const data = Int32Array.from({ length: elementCount(divisors) }, () => b.pick(-1, 1) * b.integer(1, 30));
  const divisor = b.add({ type: 'int32', shape: divisors, data });
  return b.graph(x, b.op({ op: 'DIV', inputs: [x, divisor], outputs: [y], options: { activation: 'none' } }));
}

/**
 * DIV on int8 by constants or by computed divisors, none of which is 0. TFLite Micro's kernel is only defined if the output scale is small
 * enough, so that many quotients are beyond its range.
 */
const integerQuotientGraph = (random: Random) => divisionGraph(random, 1 / 200, 1);
/** DIV on int8 with output scales at which TFLite Micro's results are undefined. */
export const coarseQuotientGraph = (random: Random) => divisionGraph(random, 1.02, 200);

/** @param finest and `coarsest`: bounds of the output scale, as multiples of the largest one at which TFLite Micro is defined */
function divisionGraph(random: Random, finest: number, coarsest: number): Graph {
  const b = new GraphBuilder(random);
  const [h, w, c] = [b.integer(1, 4), b.integer(1, 5), b.integer(1, 6)];
  const shape = b.pick([1, h, w, c], [1, w, c], [1, c], [1, 1, 1, c]);
  const x = b.activation(shape);
  const isComputed = b.random() < 0.4;
  const divisorShape = isComputed ? shape : b.pick([1, h, w, c], [c], [1], []);
  const divisor = isComputed ? b.op(limited(b, x)) : b.constant(divisorShape);
  const { data, quantization } = b.tensors[divisor]!;
  const zero = quantization!.zeroPoint[0]!;
  if (data instanceof Int8Array)
    for (const [at, value] of data.entries()) if (value === zero) data[at] = zero > 0 ? zero - 1 : zero + 1;
  const dividend = isComputed && b.random() < 0.5 ? b.constant(b.pick(shape, [c])) : x;
  const scaleAt = (index: number) => b.tensors[index]!.quantization!.scale[0]!;
  const most = scaleAt(dividend) / scaleAt(divisor) / 65;
  const sizes = [b.tensors[dividend]!.shape, divisorShape];
  const rank = Math.max(...sizes.map(({ length }) => length));
  const output = Array.from({ length: rank }, (_, axis) =>
    Math.max(...sizes.map((own) => own[axis + own.length - rank] ?? 1)),
  );
  const y = b.activation(output, b.scale(most * finest, most * coarsest));
  const activation = b.pick<Activation>('none', 'none', 'relu', 'relu6', 'relu_n1_to_1');
  return b.graph(x, b.op({ op: 'DIV', inputs: [dividend, divisor], outputs: [y], options: { activation } }));
}

/** A MAXIMUM or MINIMUM that keeps the values of x above or below real 0. */
function limited(b: GraphBuilder, x: number): Operator {
  const { quantization, shape } = b.tensors[x]!;
  const zero = quantization!.zeroPoint[0]!;
  const above = zero < 100;
  const data = Int8Array.of(above ? b.integer(zero + 1, Math.min(127, zero + 30)) : zero - b.integer(1, 30));
  const limit = b.add({ type: 'int8', shape: [1], data, quantization: quantization! });
  return { op: above ? 'MAXIMUM' : 'MINIMUM', inputs: [x, limit], outputs: [b.like(x, shape)], options: {} };
}

/** Operators that TFLite Micro supports for int32 or bool, and that have a model of one operator with whole numbers. */
const moved: Readonly<Record<Kind, readonly OperatorName[]>> = {
  int32: [
    ...(['RESHAPE', 'SQUEEZE', 'PACK', 'UNPACK', 'SLICE', 'CONCATENATION', 'PAD', 'PADV2', 'SPLIT'] as const),
    ...([
      'SPLIT_V',
      'STRIDED_SLICE',
      'FILL',
      'MAXIMUM',
      'MINIMUM',
      'READ_VARIABLE',
      'ASSIGN_VARIABLE',
      'BROADCAST_TO',
      'REVERSE_V2',
    ] as const),
    ...(['ADD', 'SUB', 'MUL', 'SQUARED_DIFFERENCE'] as const),
  ],
  bool: [
    'BROADCAST_TO',
    'REVERSE_V2',
    'RESHAPE',
    'SQUEEZE',
    'SLICE',
    'CONCATENATION',
    'STRIDED_SLICE',
    'READ_VARIABLE',
  ],
};

const comparisons = ['LESS', 'LESS_EQUAL', 'GREATER', 'GREATER_EQUAL', 'EQUAL', 'NOT_EQUAL'] as const;
const castTypes = ['float32', 'int8', 'int16', 'int32', 'bool'] as const;
const unsignedCasts = [
  ...(['float32', 'int8', 'int16', 'int32'] as const).map((to) => ['uint32', to] as const),
  ...(['int8', 'int16', 'int32'] as const).map((from) => [from, 'uint32'] as const),
];

/** Models of one operator with indices and conditions, by name, which TFLite Micro runs. */
export const integerOpGraphs: Readonly<Record<string, MakeGraph>> = Object.fromEntries([
  ...(['int32', 'bool'] as const).flatMap((type) =>
    moved[type].map((op) => [`${op} ${type}`, typed(op, type)]),
  ),
  ...comparisons.map((op) => [op, comparisonGraph(op)]),
  ...(['EQUAL', 'NOT_EQUAL'] as const).map((op) => [`${op} bool`, comparisonGraph(op, 'bool')]),
  ...(['LOGICAL_AND', 'LOGICAL_OR', 'LOGICAL_NOT'] as const).map((op) => [op, logicalGraph(op)]),
  ...(['ARG_MAX', 'ARG_MIN'] as const).flatMap((op) => [
    [op, positionGraph(op)],
    [`${op} float32`, (random: Random) => withRealValues(positionGraph(op)(random))],
  ]),
  ...castTypes.flatMap((from) => castTypes.map((to) => [`CAST ${from} ${to}`, castGraph(from, to)])),
  ...unsignedCasts.map(([from, to]) => [`CAST ${from} ${to}`, castGraph(from, to)]),
  ['DIV int32', quotientGraph],
  ['DIV int8', integerQuotientGraph],
  ...(['float32', 'int8'] as const).flatMap((type) => [
    [`GATHER ${type}`, (random: Random) => embeddingGraph(random, type)],
    [`GATHER ${type} computed`, (random: Random) => embeddingGraph(random, type, true)],
  ]),
]);

/** Models of one operator with indices and conditions, which LiteRT runs, but TFLite Micro does not. */
export const beyondMicroGraphs: Readonly<Record<string, MakeGraph>> = {
  'EXPAND_DIMS int32': typed('EXPAND_DIMS', 'int32'),
  'EXPAND_DIMS bool': typed('EXPAND_DIMS', 'bool'),
  'SELECT_V2 int32': selectGraph('int32'),
  'SELECT_V2 bool': selectGraph('bool'),
  'GATHER int32': (random) => embeddingGraph(random, 'int32'),
  'GATHER bool': (random) => embeddingGraph(random, 'bool'),
};
