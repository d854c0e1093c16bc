import { bytes, entries, float, integer, integers, message, text } from './protobuf.js';
import { unsupported } from './tflite/errors.js';
import type {
  Activation,
  Graph,
  Operator,
  OperatorName,
  OperatorOptions,
  Padding,
  Tensor,
} from './tflite/graph.js';
import { withRealValues } from './tflite/real-values.js';

/**
 * The last GraphDef version that changed the meaning of a graph (core/public/version.h). Every TensorFlow 2 release supports a later
 * version.
 */
const producer = 27;

/**
 * Writes a model as saved_model.pb (protobuf/saved_model.proto, meta_graph.proto) with the tag `serve`. The signature `serving_default` has
 * named float32 inputs and outputs in the graph's shapes, including batch 1. Weights are constants, so the model has no variables and needs
 * no folder for them. A quantized model's integers are written as real values.
 * @throws AIOT_TFLITE_UNSUPPORTED for computed weights, operators that TensorFlow lacks, and inputs or outputs that are not float32
 */
export function writeSavedModel(graph: Graph): Uint8Array {
  const writer = new GraphWriter(withRealValues(graph));
  const { operators } = writer.graph;
  const names = endNames(writer.graph);
  const inputs = names.inputs.map(({ name, index }) => [name, writer.input(index, name)]);
  for (const operator of operators) writer.operator(operator);
  const outputs = names.outputs.map(({ name, index }) => [name, writer.output(index, name)]);
  const signature = message(
    entries(1, Object.fromEntries(inputs)),
    entries(2, Object.fromEntries(outputs)),
    text(3, 'tensorflow/serving/predict'),
  );
  // Attributes with default values are omitted.
  const about = message(text(4, 'serve'), integer(7, 1));
  const metaGraph = message(
    bytes(1, about),
    bytes(2, writer.nodes.bytes(producer)),
    entries(5, { serving_default: signature }),
  );
  return message(integer(1, 1), bytes(2, metaGraph));
}

interface NamedEnd {
  name: string;
  index: number;
}

/**
 * Names of inputs and outputs, from the file's signature or, without a signature, from the tensors. The names are valid Python identifiers:
 * letters, digits and underscores.
 */
function endNames({ inputs, outputs, tensors, signature }: Graph): Record<'inputs' | 'outputs', NamedEnd[]> {
  const named = (indices: readonly number[], given: readonly string[] | undefined): NamedEnd[] => {
    const taken = new Set<string>();
    return indices.map((index, place) => {
      const base = (given?.[place] ?? tensors[index]!.name)
        .replace(/[^A-Za-z0-9_]+/g, '_')
        .replace(/^(?![A-Za-z])/, 'x');
      let name = base;
      for (let i = 1; taken.has(name); i++) name = `${base}_${i}`;
      taken.add(name);
      return { name, index };
    });
  };
  return { inputs: named(inputs, signature?.inputs), outputs: named(outputs, signature?.outputs) };
}

/** Converts a graph with real values to TensorFlow, and stores each tensor's TensorFlow reference. */
class GraphWriter {
  readonly nodes = new GraphDefBuilder();
  private readonly references = new Map<number, string>();

  constructor(readonly graph: Graph) {}

  /** Reference to a tensor. A constant is added on first use. */
  reference(index: number): string {
    const known = this.references.get(index);
    if (known !== undefined) return known;
    const { name, shape, type, data } = this.graph.tensors[index]!;
    if (!(data instanceof Float32Array) && !(data instanceof Int32Array))
      throw unsupported(`tensor ${index} (${name})`, `a constant of ${type}`);
    const reference = this.nodes.constant(name, shape, data);
    this.references.set(index, reference);
    return reference;
  }

  /** Adds an input. @returns its TensorInfo */
  input(index: number, name: string): Uint8Array {
    const shape = this.floatShape(index);
    const attributes = { dtype: attribute.type('float32'), shape: attribute.shape(shape) };
    const node = this.nodes.node('Placeholder', `serving_default_${name}`, [], attributes);
    this.references.set(index, node);
    return tensorInfo(`${node}:0`, shape);
  }

  operator(operator: Operator): void {
    // The cast is safe, because each function is listed under the name of the operator that it converts.
    const write = operations[operator.op as RealOperatorName] as
      | ((use: NodeWriter) => string | string[])
      | undefined;
    if (write === undefined) throw unsupported(operator.op, 'it cannot be written as a SavedModel');
    const made = [write(new NodeWriter(this, operator))].flat();
    operator.outputs.forEach((index, place) => {
      this.references.set(index, made[place]!);
    });
  }

  /** Adds an output. @returns its TensorInfo */
  output(index: number, name: string): Uint8Array {
    const type = { T: attribute.type('float32') };
    const node = this.nodes.node('Identity', name, [this.reference(index)], type);
    return tensorInfo(`${node}:0`, this.floatShape(index));
  }

  private floatShape(index: number): readonly number[] {
    const { name, shape, type } = this.graph.tensors[index]!;
    if (type === 'float32') return shape;
    throw unsupported(`tensor ${index} (${name})`, `expected an input or output of numbers, got ${type}`);
  }
}

/** Writes an operator's nodes. Returns the reference to its output, or references to several outputs. */
type Write<Name extends OperatorName> = (use: NodeWriter<Name>) => string | string[];

const unary =
  (op: string) =>
  (use: NodeWriter): string =>
    use.node(op, [use.input(0)]);

const binary =
  (op: string) =>
  (use: NodeWriter<'ADD' | 'SUB' | 'MUL' | 'DIV'>): string =>
    use.activated(use.node(op, [use.input(0), use.input(1)]), use.options.activation);

/** An operation with two inputs and no fused activation. */
const pair =
  (op: string) =>
  (use: NodeWriter): string =>
    use.node(op, [use.input(0), use.input(1)]);

const pool =
  (op: string) =>
  (use: NodeWriter<'MAX_POOL_2D' | 'AVERAGE_POOL_2D'>): string => {
    const { filterH, filterW, activation } = use.options;
    const ksize = attribute.integers([1, filterH, filterW, 1]);
    return use.activated(use.node(op, [use.input(0)], { ksize, ...windowOf(use.options) }), activation);
  };

const reduction =
  (op: string) =>
  (use: NodeWriter<'MEAN' | 'SUM' | 'REDUCE_MAX' | 'REDUCE_MIN'>): string =>
    use.node(op, [use.input(0), use.input(1)], { keep_dims: attribute.flag(use.options.keepDims) });

const resize =
  (op: string) =>
  (use: NodeWriter<'RESIZE_BILINEAR' | 'RESIZE_NEAREST_NEIGHBOR'>): string =>
    use.node(op, [use.input(0), use.input(1)], {
      align_corners: attribute.flag(use.options.alignCorners),
      half_pixel_centers: attribute.flag(use.options.halfPixelCenters),
    });

const blocks =
  (op: string) =>
  (use: NodeWriter<'DEPTH_TO_SPACE' | 'SPACE_TO_DEPTH'>): string =>
    // TensorFlow rejects a block size of 1, which changes nothing.
    use.options.blockSize === 1
      ? use.input(0)
      : use.node(op, [use.input(0)], { block_size: attribute.integer(use.options.blockSize) });

/** Writes any shape change as a RESHAPE. All sizes are known, so the output shape determines the operation. */
const reshape = (use: NodeWriter): string => use.reshape(use.input(0), use.outputShape);

/** Stateless operators on real numbers: all except quantization, variables, trees, and operators whose output is an index or a bool. */
type RealOperatorName = Exclude<
  OperatorName,
  | 'QUANTIZE'
  | 'DEQUANTIZE'
  | 'CAST'
  | 'ARG_MAX'
  | 'ARG_MIN'
  | 'LOGICAL_AND'
  | 'LOGICAL_OR'
  | 'LOGICAL_NOT'
  | 'READ_VARIABLE'
  | 'ASSIGN_VARIABLE'
  | 'SVDF'
  | 'UNIDIRECTIONAL_SEQUENCE_LSTM'
  | 'FOREST'
  | `SIGNAL_${string}`
>;

/** Attributes of a node, in addition to its inputs (AttrValue, framework/attr_value.proto). */
const attribute = {
  text: (value: string) => text(2, value),
  integer: (value: number) => integer(3, value),
  float: (value: number) => float(4, value),
  flag: (value: boolean) => integer(5, value ? 1 : 0),
  type: (value: DataType) => integer(6, dataTypes[value]),
  integers: (values: readonly number[]) => bytes(1, integers(3, values)),
  shape: (sizes: readonly number[]) => bytes(7, shapeProto(sizes)),
};

/** TensorFlow's float32 operations for each operator (core/ops/nn_ops.cc, math_ops.cc, array_ops.cc). */
const operations: { readonly [Name in RealOperatorName]: Write<Name> } = {
  FULLY_CONNECTED: (use) => {
    const [outputs, inputs] = use.tensor(1).shape as [number, number];
    const flat = use.tensor(0).shape.length === 2 && use.tensor(0).shape[1] === inputs;
    const x = flat ? use.input(0) : use.reshape(use.input(0), [-1, inputs]);
    const transposed = { transpose_b: attribute.flag(true) };
    const y = use.ending(use.node('MatMul', [x, use.input(1)], transposed), 2, use.options.activation);
    return use.outputShape.length === 2 && use.outputShape[1] === outputs
      ? y
      : use.reshape(y, use.outputShape);
  },
  CONV_2D: convolution,
  DEPTHWISE_CONV_2D: depthwise,
  MAX_POOL_2D: pool('MaxPool'),
  AVERAGE_POOL_2D: pool('AvgPool'),
  MEAN: reduction('Mean'),
  SUM: reduction('Sum'),
  REDUCE_MAX: reduction('Max'),
  REDUCE_MIN: reduction('Min'),
  DIV: binary('RealDiv'),
  FLOOR_MOD: pair('FloorMod'),
  MAXIMUM: pair('Maximum'),
  MINIMUM: pair('Minimum'),
  SQUARED_DIFFERENCE: pair('SquaredDifference'),
  EQUAL: pair('Equal'),
  NOT_EQUAL: pair('NotEqual'),
  GREATER: pair('Greater'),
  GREATER_EQUAL: pair('GreaterEqual'),
  LESS: pair('Less'),
  LESS_EQUAL: pair('LessEqual'),
  SELECT_V2: (use) => use.node('SelectV2', [use.input(0), use.input(1), use.input(2)]),
  PRELU: (use) => {
    const below = use.node('Minimum', [use.input(0), use.constant('zero', [], Float32Array.of(0))]);
    const sloped = use.node('Mul', [below, use.input(1)]);
    return use.node('AddV2', [use.node('Relu', [use.input(0)]), sloped]);
  },
  ABS: unary('Abs'),
  NEG: unary('Neg'),
  SQRT: unary('Sqrt'),
  RSQRT: unary('Rsqrt'),
  SQUARE: unary('Square'),
  EXP: unary('Exp'),
  LOG: unary('Log'),
  ELU: unary('Elu'),
  SIN: unary('Sin'),
  COS: unary('Cos'),
  FLOOR: unary('Floor'),
  CEIL: unary('Ceil'),
  ROUND: unary('Round'),
  LOG_SOFTMAX: unary('LogSoftmax'),
  ADD: binary('AddV2'),
  SUB: binary('Sub'),
  MUL: binary('Mul'),
  CONCATENATION: (use) => {
    const parts = Array.from({ length: use.inputCount }, (_, place) => use.input(place));
    const axis = use.constant('axis', [], Int32Array.of(use.options.axis));
    const joined = use.node('ConcatV2', [...parts, axis], { N: attribute.integer(parts.length) });
    return use.activated(joined, use.options.activation);
  },
  PAD: (use) => use.node('Pad', [use.input(0), use.input(1)]),
  // TFLite also accepts one-element lists for scalars, here and in SPLIT.
  PADV2: (use) => use.node('PadV2', [use.input(0), use.input(1), use.constant('value', [], use.weights(2))]),
  MIRROR_PAD: (use) =>
    use.node('MirrorPad', [use.input(0), use.input(1)], {
      mode: attribute.text(use.options.mode.toUpperCase()),
    }),
  BROADCAST_TO: (use) => use.node('BroadcastTo', [use.input(0), use.input(1)]),
  REVERSE_V2: (use) => use.node('ReverseV2', [use.input(0), use.input(1)]),
  TRANSPOSE: (use) => use.node('Transpose', [use.input(0), use.input(1)]),
  SPLIT: (use) => {
    const { numSplits } = use.options;
    const axis = use.constant('axis', [], use.tensor(0).data as Int32Array);
    const parts = use.node('Split', [axis, use.input(1)], { num_split: attribute.integer(numSplits) });
    return Array.from({ length: numSplits }, (_, part) => (part === 0 ? parts : `${parts}:${part}`));
  },
  SPLIT_V: (use) => {
    const { numSplits } = use.options;
    const axis = use.constant('axis', [], use.tensor(2).data as Int32Array);
    const attributes = { num_split: attribute.integer(numSplits), Tlen: attribute.type('int32') };
    const parts = use.node('SplitV', [use.input(0), use.input(1), axis], attributes);
    return Array.from({ length: numSplits }, (_, part) => (part === 0 ? parts : `${parts}:${part}`));
  },
  STRIDED_SLICE: (use) => {
    const { beginMask, endMask, shrinkAxisMask } = use.options;
    return use.node(
      'StridedSlice',
      [0, 1, 2, 3].map((place) => use.input(place)),
      {
        Index: attribute.type('int32'),
        begin_mask: attribute.integer(beginMask),
        end_mask: attribute.integer(endMask),
        shrink_axis_mask: attribute.integer(shrinkAxisMask),
      },
    );
  },
  LEAKY_RELU: (use) => use.node('LeakyRelu', [use.input(0)], { alpha: attribute.float(use.options.alpha) }),
  RESHAPE: reshape,
  EXPAND_DIMS: reshape,
  SQUEEZE: reshape,
  SOFTMAX: (use) => {
    const { beta } = use.options;
    const x = use.input(0);
    const scaled = () => use.node('Mul', [x, use.constant('beta', [], Float32Array.of(beta))]);
    return use.node('Softmax', [beta === 1 ? x : scaled()]);
  },
  LOGISTIC: unary('Sigmoid'),
  TANH: unary('Tanh'),
  RELU: unary('Relu'),
  RELU6: unary('Relu6'),
  HARD_SWISH: (use) => {
    const [three, sixth] = [3, 1 / 6].map((value) => use.constant('term', [], Float32Array.of(value)));
    const gate = use.node('Relu6', [use.node('AddV2', [use.input(0), three!])]);
    return use.node('Mul', [use.node('Mul', [use.input(0), gate]), sixth!]);
  },
  TRANSPOSE_CONV: transposedConvolution,
  BATCH_MATMUL: (use) => {
    const { adjX, adjY } = use.options;
    const attributes = { adj_x: attribute.flag(adjX), adj_y: attribute.flag(adjY) };
    return use.node('BatchMatMulV2', [use.input(0), use.input(1)], attributes);
  },
  L2_NORMALIZATION: (use) => {
    const squares = use.node('Square', [use.input(0)]);
    const kept = { keep_dims: attribute.flag(true) };
    const norm = use.node('Sqrt', [use.node('Sum', [squares, use.integers('axis', [-1])], kept)]);
    const least = use.constant('least', [], Float32Array.of(1e-6));
    const y = use.node('RealDiv', [use.input(0), use.node('Maximum', [norm, least])]);
    return use.activated(y, use.options.activation);
  },
  RESIZE_BILINEAR: resize('ResizeBilinear'),
  RESIZE_NEAREST_NEIGHBOR: resize('ResizeNearestNeighbor'),
  PACK: (use) => {
    const parts = Array.from({ length: use.inputCount }, (_, place) => use.input(place));
    const attributes = { N: attribute.integer(parts.length), axis: attribute.integer(use.options.axis) };
    return use.node('Pack', parts, attributes);
  },
  UNPACK: (use) => {
    const { num, axis } = use.options;
    const attributes = { num: attribute.integer(num), axis: attribute.integer(axis) };
    const parts = use.node('Unpack', [use.input(0)], attributes);
    return Array.from({ length: num }, (_, part) => (part === 0 ? parts : `${parts}:${part}`));
  },
  SLICE: (use) =>
    use.node('Slice', [use.input(0), use.input(1), use.input(2)], { Index: attribute.type('int32') }),
  GATHER: (use) => {
    const { axis, batchDims } = use.options;
    const inputs = [use.input(0), use.input(1), use.constant('axis', [], Int32Array.of(axis))];
    return use.typed('GatherV2', inputs, {
      Tparams: attribute.type('float32'),
      Tindices: attribute.type('int32'),
      Taxis: attribute.type('int32'),
      batch_dims: attribute.integer(batchDims),
    });
  },
  FILL: (use) => {
    // TensorFlow requires a scalar here.
    const value = use.reshape(use.input(1), []);
    return use.node('Fill', [use.input(0), value], { index_type: attribute.type('int32') });
  },
  DEPTH_TO_SPACE: blocks('DepthToSpace'),
  SPACE_TO_DEPTH: blocks('SpaceToDepth'),
  SPACE_TO_BATCH_ND: (use) => use.node('SpaceToBatchND', [use.input(0), use.input(1), use.input(2)]),
  BATCH_TO_SPACE_ND: (use) => use.node('BatchToSpaceND', [use.input(0), use.input(1), use.input(2)]),
};

interface Window {
  padding: Padding;
  strideH: number;
  strideW: number;
}

/** Attributes shared by all operations that move a window over an image. */
function windowOf({ padding, strideH, strideW }: Window) {
  return {
    padding: attribute.text(padding.toUpperCase()),
    strides: attribute.integers([1, strideH, strideW, 1]),
  };
}

function convolution(use: NodeWriter<'CONV_2D'>): string {
  const [outputs, high, wide, taken] = use.tensor(1).shape as [number, number, number, number];
  const channels = use.tensor(0).shape[3]!;
  const weights = use.weights(1);
  // TFLite's filter is [out, height, width, in]. The number of groups is the image's channels divided by the filter's input channels.
  const perGroup = (outputs * taken) / channels;
  const filter = new Float32Array(high * wide * channels * outputs);
  for (let cell = 0; cell < high * wide; cell++) {
    for (let output = 0; output < outputs; output++) {
      const first = Math.floor(output / perGroup) * taken;
      for (let c = 0; c < taken; c++)
        filter[(cell * channels + first + c) * outputs + output] =
          weights[(output * high * wide + cell) * taken + c]!;
    }
  }
  return whole(use, [high, wide, channels, outputs], filter);
}

/**
 * TensorFlow's depthwise kernel supports only equal strides on both axes and, on a CPU, no dilation. If that is insufficient, writes a full
 * convolution whose filter is 0 across channels.
 */
function depthwise(use: NodeWriter<'DEPTHWISE_CONV_2D'>): string {
  const { options } = use;
  const [, high, wide, outputs] = use.tensor(1).shape as [number, number, number, number];
  const channels = use.tensor(0).shape[3]!;
  const multiplier = outputs / channels;
  const dilated = options.dilationH > 1 || options.dilationW > 1;
  const stride = dilated ? undefined : commonStride(use, [high, wide]);
  if (stride !== undefined) {
    const filter = use.constant('filter', [high, wide, channels, multiplier], use.weights(1));
    const window = windowOf({ ...options, strideH: stride, strideW: stride });
    const y = use.node('DepthwiseConv2dNative', [use.input(0), filter], window);
    return use.ending(y, 2, options.activation);
  }
  const filter = new Float32Array(high * wide * channels * outputs);
  use.weights(1).forEach((weight, i) => {
    const [cell, output] = [Math.floor(i / outputs), i % outputs];
    filter[(cell * channels + Math.floor(output / multiplier)) * outputs + output] = weight;
  });
  return whole(use, [high, wide, channels, outputs], filter);
}

/** @param filter [height, width, in, out] */
function whole(
  use: NodeWriter<'CONV_2D' | 'DEPTHWISE_CONV_2D'>,
  shape: readonly number[],
  filter: Float32Array,
): string {
  const { dilationH, dilationW, activation } = use.options;
  const y = use.node('Conv2D', [use.input(0), use.constant('filter', shape, filter)], {
    ...windowOf(use.options),
    dilations: attribute.integers([1, dilationH, dilationW, 1]),
  });
  return use.ending(y, 2, activation);
}

/** In TensorFlow, this operation is the gradient of a convolution. The filter is [height, width, out, in]. */
function transposedConvolution(use: NodeWriter<'TRANSPOSE_CONV'>): string {
  const [outputs, high, wide, taken] = use.tensor(1).shape as [number, number, number, number];
  const weights = use.weights(1);
  const filter = new Float32Array(weights.length);
  for (let output = 0; output < outputs; output++)
    for (let cell = 0; cell < high * wide; cell++)
      for (let c = 0; c < taken; c++)
        filter[(cell * outputs + output) * taken + c] = weights[(output * high * wide + cell) * taken + c]!;
  const inputs = [
    use.integers('sizes', use.outputShape),
    use.constant('filter', [high, wide, outputs, taken], filter),
    use.input(2),
  ];
  const y = use.node('Conv2DBackpropInput', inputs, windowOf(use.options));
  return use.ending(y, 3, use.options.activation);
}

/** A stride that works for both axes. On an axis with one output step, any stride that yields one step works. */
function commonStride(use: NodeWriter<'DEPTHWISE_CONV_2D'>, filter: [number, number]): number | undefined {
  const { strideH, strideW, padding } = use.options;
  const own = [strideH, strideW];
  const [, ...input] = use.tensor(0).shape;
  const steps = (axis: 0 | 1, stride: number) =>
    Math.ceil((input[axis]! - (padding === 'valid' ? filter[axis] - 1 : 0)) / stride);
  const does = (stride: number) =>
    ([0, 1] as const).every(
      (axis) => own[axis] === stride || (steps(axis, own[axis]!) === 1 && steps(axis, stride) === 1),
    );
  return own.find(does);
}

/** A graph operator during its conversion to TensorFlow nodes. */
class NodeWriter<Name extends OperatorName = OperatorName> {
  readonly options: OperatorOptions[Name];
  /** The first output's shape. */
  readonly outputShape: readonly number[];
  private readonly scope: string;

  constructor(
    private readonly writer: GraphWriter,
    private readonly operator: Operator,
  ) {
    const { name, shape } = writer.graph.tensors[operator.outputs[0]!]!;
    this.options = operator.options as OperatorOptions[Name];
    this.outputShape = shape;
    this.scope = name;
  }

  get inputCount(): number {
    return this.operator.inputs.length;
  }

  tensor(place: number): Tensor {
    return this.writer.graph.tensors[this.operator.inputs[place]!]!;
  }

  /** Reference to the input at this position. */
  input(place: number): string {
    return this.writer.reference(this.operator.inputs[place]!);
  }

  /** The values of constant weights. */
  weights(place: number): Float32Array {
    const { data, name } = this.tensor(place);
    if (data instanceof Float32Array) return data;
    throw unsupported(`${this.operator.op} (${this.scope})`, `the weights of ${name} are not constant`);
  }

  constant(name: string, shape: readonly number[], data: Float32Array | Int32Array): string {
    return this.writer.nodes.constant(`${this.scope}/${name}`, shape, data);
  }

  integers(name: string, values: readonly number[]): string {
    return this.constant(name, [values.length], Int32Array.from(values));
  }

  /** Adds a node that computes with float32. */
  node(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.typed(op, inputs, { T: attribute.type('float32'), ...attributes });
  }

  /** Adds a node with type attributes other than T. */
  typed(op: string, inputs: readonly string[], attributes: Attributes): string {
    return this.writer.nodes.node(op, `${this.scope}/${op}`, inputs, attributes);
  }

  reshape(x: string, shape: readonly number[]): string {
    return this.node('Reshape', [x, this.integers('shape', shape)]);
  }

  /** Adds the bias, if the operator has one, and the activation. */
  ending(x: string, bias: number, activation: Activation): string {
    if ((this.operator.inputs[bias] ?? -1) === -1) return this.activated(x, activation);
    const values = this.weights(bias);
    // TensorFlow requires a list. TFLite accepts any shape with the same number of elements.
    const added = this.node('BiasAdd', [x, this.constant('bias', [values.length], values)]);
    return this.activated(added, activation);
  }

  activated(x: string, activation: Activation): string {
    switch (activation) {
      case 'none':
        return x;
      case 'relu':
        return this.node('Relu', [x]);
      case 'relu6':
        return this.node('Relu6', [x]);
      case 'relu_n1_to_1': {
        const [one, other] = [1, -1].map((limit) => this.constant('limit', [], Float32Array.of(limit)));
        return this.node('Maximum', [this.node('Minimum', [x, one!]), other!]);
      }
    }
  }
}

/** Numbers in TensorFlow's DataType (framework/types.proto). */
const dataTypes = { float32: 1, int32: 3 } as const;

type DataType = keyof typeof dataTypes;

type Attributes = Readonly<Record<string, Uint8Array>>;

/** A signature's TensorInfo (protobuf/meta_graph.proto). */
function tensorInfo(reference: string, shape: readonly number[]): Uint8Array {
  return message(text(1, reference), integer(2, dataTypes.float32), bytes(3, shapeProto(shape)));
}

/** Builds a GraphDef (framework/graph.proto) node by node. Each node is added after its inputs. */
class GraphDefBuilder {
  private readonly nodes: Uint8Array[] = [];
  private readonly names = new Set<string>();

  /**
   * @param name requested name; characters that TensorFlow does not accept are replaced, and a number makes it unique
   * @returns the node's name, which also refers to its first output
   */
  node(op: string, name: string, inputs: readonly string[], attributes: Attributes): string {
    const own = this.freeName(name);
    this.nodes.push(
      message(text(1, own), text(2, op), ...inputs.map((input) => text(3, input)), entries(5, attributes)),
    );
    return own;
  }

  /** Adds a Const. `data` is in the order of `shape`, which is [] for a scalar. */
  constant(name: string, shape: readonly number[], data: Float32Array | Int32Array): string {
    const type: DataType = data instanceof Float32Array ? 'float32' : 'int32';
    const content = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // tensor_content is in native byte order, which is little-endian wherever TensorFlow and Node run.
    const tensor = message(integer(1, dataTypes[type]), bytes(2, shapeProto(shape)), bytes(4, content));
    return this.node('Const', name, [], { dtype: attribute.type(type), value: bytes(8, tensor) });
  }

  /** @param producer version of GraphDef */
  bytes(producer: number): Uint8Array {
    return message(...this.nodes.map((node) => bytes(1, node)), bytes(4, integer(1, producer)));
  }

  private freeName(wished: string): string {
    const base = wished.replace(/[^A-Za-z0-9_./-]/g, '_').replace(/^(?![A-Za-z0-9.])/, 'n');
    let name = base;
    for (let i = 1; this.names.has(name); i++) name = `${base}_${i}`;
    this.names.add(name);
    return name;
  }
}

/** TensorShapeProto (framework/tensor_shape.proto). */
function shapeProto(sizes: readonly number[]): Uint8Array {
  return message(...sizes.map((size) => bytes(2, integer(1, size))));
}
