import { sliceAxes } from '../../../formats/tflite/shapes.js';
import { malformed, unsupported } from '../errors.js';
import { type GraphMaker, transposed } from '../keras/maker.js';
import { resolved } from './constants.js';
import type { Constant, NodeDef, Value } from './graph-def.js';

/** One operation on activations. */
interface Operation {
  maker: GraphMaker;
  /**
   * Tensor of an image → dilation of the next convolution, [height, width]. TensorFlow splits the image (SpaceToBatchND) to dilate a
   * convolution; here the image remains whole.
   */
  spread: Map<number, [number, number]>;
  node: NodeDef;
  /** Description of the operation, for error messages. */
  where: string;
  inputs: Value[];
  /** The n-th input as a tensor in our graph; constants are converted to tensors. */
  tensor(place: number): number;
  /** The n-th input, which must be constant. */
  constant(place: number): Constant;
}

type Maker = (operation: Operation) => number;

const unary =
  (op: 'RELU' | 'RELU6' | 'TANH' | 'LOGISTIC'): Maker =>
  ({ maker, tensor }) =>
    maker.op(op, [tensor(0)], maker.shape(tensor(0)), {});

const binary =
  (op: 'ADD' | 'SUB' | 'MUL'): Maker =>
  ({ maker, tensor }) =>
    maker.binary(op, tensor(0), tensor(1));

const reduction =
  (op: 'MEAN' | 'REDUCE_MAX'): Maker =>
  ({ maker, node, tensor, constant }) => {
    const shape = maker.shape(tensor(0));
    const axes = [...constant(1).data].map((axis) => (axis < 0 ? axis + shape.length : axis));
    const keepDims = node.attributes.get('keep_dims')?.integer(5) === 1;
    const kept = shape.flatMap((size, k) => (axes.includes(k) ? (keepDims ? [1] : []) : [size]));
    return maker.op(op, [tensor(0), maker.integers(axes)], kept, { keepDims });
  };

const reshaped: Maker = ({ maker, node, tensor, constant, spread }) => {
  const x = tensor(0);
  const shape = maker.shape(x);
  if (node.op === 'Reshape') return maker.reshape(x, resolved([...constant(1).data], maker.size(x)));
  const kept = (y: number) => {
    const dilation = spread.get(x);
    if (dilation) spread.set(y, dilation);
    return y;
  };
  if (node.op === 'ExpandDims') {
    const axis = constant(1).data[0]!;
    const at = axis < 0 ? axis + shape.length + 1 : axis;
    return kept(maker.reshape(x, [...shape.slice(0, at), 1, ...shape.slice(at)]));
  }
  const axes = (node.attributes.get('squeeze_dims')?.message(1)?.integers(3) ?? []).map((axis) =>
    axis < 0 ? axis + shape.length : axis,
  );
  return kept(
    maker.reshape(
      x,
      shape.filter((size, k) => (axes.length > 0 ? !axes.includes(k) : size !== 1)),
    ),
  );
};

/** TensorFlow's operations and their counterparts here. To add an operation, add a row. */
export const operations: Readonly<Record<string, Maker>> = {
  Add: binary('ADD'),
  AddV2: binary('ADD'),
  AvgPool: pool('AVERAGE_POOL_2D'),
  BatchToSpaceND: ({ maker, tensor, constant }) => {
    const [x, crops] = [tensor(0), constant(2).data];
    const shape = maker.shape(x);
    const begin = shape.map((_, k) => crops[2 * (k - 1)] ?? 0);
    const end = shape.map((size, k) => size - (crops[2 * (k - 1) + 1] ?? 0));
    return cut(maker, x, begin, end);
  },
  BiasAdd: binary('ADD'),
  ConcatV2: ({ maker, inputs, tensor, constant }) => {
    const parts = inputs.slice(0, -1).map((_, place) => tensor(place));
    const shape = maker.shape(parts[0]!);
    const given = constant(parts.length).data[0]!;
    const axis = given < 0 ? given + shape.length : given;
    const along = parts.reduce((sum, part) => sum + maker.shape(part)[axis]!, 0);
    return maker.op(
      'CONCATENATION',
      parts,
      shape.map((size, k) => (k === axis ? along : size)),
      {
        axis,
        activation: 'none',
      },
    );
  },
  Conv2D: convolution,
  DepthwiseConv2dNative: convolution,
  Erf: ({ maker, tensor }) => maker.erf(tensor(0)),
  ExpandDims: reshaped,
  FusedBatchNormV3: ({ maker, node, tensor, constant }) => {
    const [gamma, beta, mean, variance] = [1, 2, 3, 4].map((place) => constant(place).data) as Float32Array[];
    const epsilon = node.attributes.get('epsilon')?.floats(4)[0] ?? 1e-4;
    const factor = Float32Array.from(variance!, (value, c) => gamma![c]! / Math.sqrt(value + epsilon));
    const offset = Float32Array.from(mean!, (value, c) => beta![c]! - value * factor[c]!);
    return maker.line(tensor(0), factor, offset);
  },
  LeakyRelu: ({ maker, node, tensor }) =>
    maker.leaky(tensor(0), node.attributes.get('alpha')?.floats(4)[0] ?? 0.2),
  MatMul: ({ maker, node, where, tensor, constant }) => {
    if (node.attributes.get('transpose_a')?.integer(5))
      throw unsupported(where, 'transpose_a is not supported');
    const { data, shape } = constant(1);
    const [rows, columns] = shape as [number, number];
    const turned = node.attributes.get('transpose_b')?.integer(5) === 1;
    const kernel = turned
      ? { shape: [columns, rows], data: transposed(data as Float32Array, rows, columns) }
      : { shape, data: data as Float32Array };
    return maker.dense1(tensor(0), kernel, undefined, node.name);
  },
  Max: reduction('REDUCE_MAX'),
  MaxPool: pool('MAX_POOL_2D'),
  Mean: reduction('MEAN'),
  Mul: binary('MUL'),
  Pad: ({ maker, tensor, constant }) => {
    const list = [...constant(1).data];
    const shape = maker.shape(tensor(0)).map((size, k) => size + list[2 * k]! + list[2 * k + 1]!);
    return maker.op('PAD', [tensor(0), maker.integers(list, [shape.length, 2])], shape, {});
  },
  RealDiv: ({ maker, tensor, constant }) => {
    const { data, shape } = constant(1);
    return maker.binary(
      'MUL',
      tensor(0),
      maker.floats(
        Float32Array.from(data, (value) => 1 / value),
        shape,
      ),
    );
  },
  Relu: unary('RELU'),
  Relu6: unary('RELU6'),
  Reshape: reshaped,
  Sigmoid: unary('LOGISTIC'),
  Softmax: ({ maker, tensor }) => maker.op('SOFTMAX', [tensor(0)], maker.shape(tensor(0)), { beta: 1 }),
  SpaceToBatchND: ({ maker, spread, tensor, constant }) => {
    const [x, block, pads] = [tensor(0), [...constant(1).data], [...constant(2).data]];
    const shape = maker.shape(x);
    const list = [0, 0, ...pads, ...new Array<number>(2 * (shape.length - 1 - block.length)).fill(0)];
    const padded = shape.map((size, k) => size + list[2 * k]! + list[2 * k + 1]!);
    const y = maker.op('PAD', [x, maker.integers(list, [shape.length, 2])], padded, {});
    spread.set(y, block.length === 1 ? [1, block[0]!] : [block[0]!, block[1]!]);
    return y;
  },
  Squeeze: reshaped,
  StridedSlice: ({ maker, node, where, tensor, constant }) => {
    const x = tensor(0);
    const mask = (name: string) => node.attributes.get(name)?.integer(3) ?? 0;
    const [begin, end, strides] = [1, 2, 3].map((place) => constant(place).data) as Int32Array[];
    const masks = {
      beginMask: mask('begin_mask'),
      endMask: mask('end_mask'),
      shrinkAxisMask: mask('shrink_axis_mask'),
    };
    const axes = sliceAxes(maker.shape(x), [begin!, end!, strides!], masks);
    if (!axes || mask('ellipsis_mask') || mask('new_axis_mask'))
      throw unsupported(where, 'slices with … or new axes are not supported', 'slice every axis');
    const lists = [begin!, end!, strides!].map((list) => maker.integers([...list]));
    const shape = axes.flatMap(({ count, shrunk }) => (shrunk ? [] : [count]));
    return maker.op('STRIDED_SLICE', [x, ...lists], shape, masks);
  },
  Sub: binary('SUB'),
  Tanh: unary('TANH'),
  Transpose: ({ maker, tensor, constant }) => {
    const axes = [...constant(1).data];
    const x = tensor(0);
    if (axes.every((axis, k) => axis === k)) return x;
    return maker.op(
      'TRANSPOSE',
      [x, maker.integers(axes)],
      axes.map((axis) => maker.shape(x)[axis]!),
      {},
    );
  },
};

/** Alternatives to unsupported TensorFlow operations. */
export const insteadOf: Readonly<Record<string, string>> = {
  Einsum: 'use Dense or Conv1D',
  Elu: 'use ReLU or LeakyReLU',
  Selu: 'use relu and batch normalization',
  Softplus: 'use relu',
  StatelessWhile: 'use Conv1D over the window in place of recurrent layers',
  TensorListReserve: 'use Conv1D over the window in place of recurrent layers',
  While: 'use Conv1D over the window in place of recurrent layers',
};

/** x[begin:end] along every axis. */
function cut(maker: GraphMaker, x: number, begin: number[], end: number[]): number {
  const shape = end.map((last, k) => last - begin[k]!);
  if (shape.join() === maker.shape(x).join()) return x;
  const lists = [begin, end, begin.map(() => 1)].map((list) => maker.integers(list));
  return maker.op('STRIDED_SLICE', [x, ...lists], shape, { beginMask: 0, endMask: 0, shrinkAxisMask: 0 });
}

/** [height, width] from a list attribute that also includes batch and channels. */
function pair({ node }: Operation, name: string): [number, number] {
  const [, height = 1, width = 1] = node.attributes.get(name)?.message(1)?.integers(3) ?? [];
  return [height, width];
}

function window(
  operation: Operation,
  [height, width]: [number, number],
  filter: [number, number],
  spread?: [number, number],
) {
  const { node, where } = operation;
  const format = node.attributes.get('data_format')?.text(2) || 'NHWC';
  const padding = node.attributes.get('padding')?.text(2).toLowerCase();
  if (format !== 'NHWC')
    throw unsupported(where, `data_format ${format} is not supported`, 'train with channels_last');
  if (padding !== 'same' && padding !== 'valid')
    throw unsupported(where, `padding ${padding} is not supported`, 'use same or valid');
  const [stride, dilation] = [pair(operation, 'strides'), spread ?? pair(operation, 'dilations')];
  const size = [height, width].map((input, k) =>
    Math.ceil((padding === 'same' ? input : input - (filter[k]! - 1) * dilation[k]!) / stride[k]!),
  ) as [number, number];
  if (Math.min(...size) < 1) throw malformed(`${where}: its window is larger than its input`);
  return { padding: padding as 'same' | 'valid', stride, dilation, size };
}

function convolution(operation: Operation): number {
  const { maker, node, tensor, constant } = operation;
  const { data, shape } = constant(1);
  const [kh, kw, inside, outside] = shape as [number, number, number, number];
  const [, height = 1, width = 1, channels = 1] = maker.shape(tensor(0));
  const { padding, stride, dilation, size } = window(
    operation,
    [height, width],
    [kh, kw],
    operation.spread.get(tensor(0)),
  );
  const [strideH, strideW] = stride;
  const [dilationH, dilationW] = dilation;
  const options = { padding, strideH, strideW, dilationH, dilationW, activation: 'none' as const };
  const deep = node.op !== 'Conv2D';
  // A kernel with fewer channels than the image is a grouped convolution.
  if (deep ? inside !== channels : channels % inside !== 0 || outside % (channels / inside) !== 0)
    throw malformed(`${operation.where}: weights of [${shape}] do not match ${channels} channels`);
  const filters = deep ? inside * outside : outside;
  const weights = deep
    ? maker.floats(data as Float32Array, [1, kh, kw, filters])
    : maker.floats(transposed(data as Float32Array, kh * kw * inside, outside), [outside, kh, kw, inside]);
  const [inputs, result] = [
    [tensor(0), weights, -1],
    [1, ...size, filters],
  ];
  if (!deep) return maker.op('CONV_2D', inputs, result, options, node.name);
  const depthMultiplier = filters / channels;
  return maker.op('DEPTHWISE_CONV_2D', inputs, result, { ...options, depthMultiplier }, node.name);
}

function pool(op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D'): Maker {
  return (operation) => {
    const { maker, tensor } = operation;
    const [, height = 1, width = 1, channels = 1] = maker.shape(tensor(0));
    const [filterH, filterW] = pair(operation, 'ksize');
    const { padding, stride, size } = window(operation, [height, width], [filterH, filterW]);
    const [strideH, strideW] = stride;
    const options = { padding, strideH, strideW, filterH, filterW, activation: 'none' as const };
    return maker.op(op, [tensor(0)], [1, ...size, channels], options);
  };
}
