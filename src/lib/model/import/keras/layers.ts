import { malformed, unsupported } from '../errors.js';
import type { OnnxMaker } from '../onnx/maker.js';
import type { LayerSettings, Weight, WeightPart } from './config.js';
import { transposed } from './maker.js';
import { bidirectional, recurrent } from './recurrent.js';

export interface LayerCall {
  maker: OnnxMaker;
  /** The layer's class. */
  kind: string;
  /** The layer's input tensors. */
  inputs: number[];
  settings: LayerSettings;
  /** The layer's own name. */
  name: string;
  /** The layer's weights by Keras' names, in Keras' order. */
  weights(...roles: string[]): Weight[];
  /** The weights of a recurrent layer's cell. */
  partWeights(part: WeightPart, ...roles: string[]): Weight[];
}

/** Adds a layer's operators to the graph; returns the index of the resulting tensor. */
export type LayerMaker = (call: LayerCall) => number;

const activation: LayerMaker = ({ maker, inputs, settings }) =>
  maker.activate(inputs[0]!, settings.raw('activation'), settings.where);

/** Layers that have no effect outside training. */
const nothing: LayerMaker = ({ inputs }) => inputs[0]!;

/** Add, Subtract and Multiply of two or more inputs. */
const combined =
  (op: 'ADD' | 'SUB' | 'MUL'): LayerMaker =>
  ({ maker, inputs }) =>
    inputs.reduce((a, b) => maker.binary(op, a, b));

const average: LayerMaker = ({ maker, inputs }) => {
  const sum = inputs.reduce((a, b) => maker.binary('ADD', a, b));
  return maker.binary('MUL', sum, maker.floats(Float32Array.of(1 / inputs.length), [1]));
};

/** MaxPooling and AveragePooling over time or an image. */
const pooling =
  (op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D'): LayerMaker =>
  (call) => {
    const { maker } = call;
    const { x, rank } = start(call);
    const { filter, stride, padding, size } = windowsOf(call, x, rank, 'pool_size');
    const [filterH, filterW] = filter;
    const [strideH, strideW] = stride;
    const options = { padding, strideH, strideW, filterH, filterW, activation: 'none' as const };
    return maker.back(maker.op(op, [x], [1, ...size, maker.shape(x)[3]!], options, call.name), rank);
  };

/** γ(x − μ)/√(σ² + ε) + β as one factor and one offset per channel. */
const batchNormalization: LayerMaker = ({ maker, inputs, settings, weights }) => {
  settings.lastAxis(maker.shape(inputs[0]!).length);
  const [scale, center] = [settings.flag('scale', true), settings.flag('center', true)];
  const given = weights(
    ...(scale ? ['gamma'] : []),
    ...(center ? ['beta'] : []),
    'moving_mean',
    'moving_variance',
  );
  const channels = maker.shape(inputs[0]!).at(-1)!;
  for (const { data } of given) {
    if (data.length === channels) continue;
    throw malformed(
      `${settings.where}: expected ${channels} numbers, one for each channel, got ${data.length}`,
    );
  }
  const [mean, variance] = given.slice(-2).map(({ data }) => data) as [Float32Array, Float32Array];
  const epsilon = settings.number('epsilon', 1e-3);
  const factor = variance.map((value, c) => (scale ? given[0]!.data[c]! : 1) / Math.sqrt(value + epsilon));
  const beta = center ? given[scale ? 1 : 0]!.data : undefined;
  const offset = mean.map((value, c) => (beta?.[c] ?? 0) - value * factor[c]!);
  return maker.line(inputs[0]!, factor, offset);
};

const concatenate: LayerMaker = ({ maker, inputs, settings }) => {
  const shapes = inputs.map((x) => maker.shape(x));
  const rank = shapes[0]!.length;
  const given = settings.number('axis', -1);
  const axis = given < 0 ? given + rank : given;
  const along = shapes.reduce((sum, shape) => sum + shape[axis]!, 0);
  const shape = shapes[0]!.map((size, k) => (k === axis ? along : size));
  return maker.op('CONCATENATION', inputs, shape, { axis, activation: 'none' });
};

/** Conv1D and Conv2D: kernel [… window, in ÷ groups, out]. Output channel c reads the inputs of group c ÷ (out ÷ groups). */
const convolution: LayerMaker = (call) => {
  const { maker, settings, name } = call;
  const bias = settings.flag('use_bias', true);
  const [kernel, b] = call.weights('kernel', ...(bias ? ['bias'] : []));
  const { x, rank } = start(call);
  const windows = windowsOf(call, x, rank);
  settings.sameAs('filters', kernel!, -1, rank);
  const channels = kernel!.shape.at(-1)!;
  requireKernel(call, kernel!, windows, groupSize(settings, maker.shape(x)[3]!, channels));
  const inside = kernel!.data.length / channels;
  const weights = transposed(kernel!.data, inside, channels);
  const shape = [channels, ...windows.filter, inside / (windows.filter[0] * windows.filter[1])];
  const y = linear(call, 'CONV_2D', x, windows, maker.floats(weights, shape, `${name}/weights`), b, channels);
  return maker.activate(maker.back(y, rank), settings.raw('activation'), settings.where);
};

/** Cropping1D and Cropping2D. */
const cropping: LayerMaker = ({ maker, inputs, settings }) => {
  settings.channelsLast();
  const shape = maker.shape(inputs[0]!);
  const pairs = [[0, 0], ...sides(settings.raw('cropping') ?? 1, shape.length - 2), [0, 0]] as [
    number,
    number,
  ][];
  const end = shape.map((size, k) => size - pairs[k]![1]);
  const cut = end.map((last, k) => last - pairs[k]![0]);
  if (Math.min(...cut) < 1)
    throw malformed(`${settings.where}: the output of [${shape.slice(1)}] would be empty`);
  const bounds = [pairs.map(([first]) => first), end, shape.map(() => 1)].map((list) => maker.integers(list));
  const options = { beginMask: 0, endMask: 0, shrinkAxisMask: 0 };
  return maker.op('STRIDED_SLICE', [inputs[0]!, ...bounds], cut, options);
};

const dense: LayerMaker = ({ maker, inputs, settings, name, weights }) => {
  const bias = settings.flag('use_bias', true);
  const [kernel, b] = weights('kernel', ...(bias ? ['bias'] : []));
  const width = maker.shape(inputs[0]!).at(-1);
  settings.sameAs('units', kernel!, 1, 2);
  if (kernel!.shape[0] !== width)
    throw malformed(`${settings.where}: its kernel expects ${kernel!.shape[0]} inputs, but gets ${width}`);
  return maker.activate(
    maker.dense1(inputs[0]!, kernel!, b, name),
    settings.raw('activation'),
    settings.where,
  );
};

/** DepthwiseConv1D and DepthwiseConv2D: kernel [… window, in, multiplier]. */
const depthwise: LayerMaker = (call) => {
  const { maker, settings } = call;
  const bias = settings.flag('use_bias', true);
  // The kernel is named depthwise_kernel in tfjs and Keras 2, and identified by position in Keras 3 files.
  const [kernel, b] = call.weights('depthwise_kernel|kernel', ...(bias ? ['bias'] : []));
  const { x, rank } = start(call);
  const y = channelwise(call, x, windowsOf(call, x, rank), kernel!, b);
  return maker.activate(maker.back(y, rank), settings.raw('activation'), settings.where);
};

const flatten: LayerMaker = ({ maker, inputs, settings }) => {
  settings.channelsLast();
  return maker.reshape(inputs[0]!, [1, maker.size(inputs[0]!)]);
};

/** GlobalAveragePooling and GlobalMaxPooling. */
const overall =
  (op: 'MEAN' | 'REDUCE_MAX'): LayerMaker =>
  ({ maker, inputs, settings, name }) => {
    settings.channelsLast();
    const x = maker.image(inputs[0]!, settings.where);
    const channels = maker.shape(x)[3]!;
    const keep = settings.flag('keepdims', false);
    const y = maker.op(op, [x, maker.integers([1, 2])], [1, channels], { keepDims: false }, name);
    const ones = maker
      .shape(inputs[0]!)
      .slice(1, -1)
      .map(() => 1);
    return keep ? maker.reshape(y, [1, ...ones, channels]) : y;
  };

const leakyRelu: LayerMaker = ({ maker, inputs, settings }) =>
  maker.leaky(inputs[0]!, settings.number('negative_slope', settings.number('alpha', 0.3)));

/**
 * (x − mean) / √variance per channel. This step is not folded into the next layer, because inputs in different units would then share one
 * int8 scale.
 */
const normalization: LayerMaker = ({ maker, inputs, settings, weights }) => {
  settings.lastAxis(maker.shape(inputs[0]!).length);
  const [mean, variance] =
    settings.raw('mean') === undefined
      ? weights('mean', 'variance', 'count').map(({ data }) => data)
      : ['mean', 'variance'].map((name) => Float32Array.from([settings.raw(name)].flat(4) as number[]));
  const factor = variance!.map((value) => 1 / Math.max(Math.sqrt(value), 1e-7));
  const centred = maker.binary('SUB', inputs[0]!, maker.floats(mean!, [mean!.length]));
  return maker.binary('MUL', centred, maker.floats(factor, [factor.length]));
};

const permute: LayerMaker = ({ maker, inputs, settings }) => {
  const shape = maker.shape(inputs[0]!);
  const axes = [0, ...settings.integers('dims', shape.length - 1)];
  const moved = axes.map((axis) => shape[axis]!);
  return maker.op('TRANSPOSE', [inputs[0]!, maker.integers(axes)], moved, {});
};

const relu: LayerMaker = ({ maker, inputs, settings }) => {
  const most = settings.raw('max_value');
  const slope = settings.number('negative_slope', 0);
  if (settings.number('threshold', 0) !== 0)
    throw unsupported(settings.where, 'a threshold is not supported', 'use 0');
  if (slope !== 0 && most === undefined) return maker.leaky(inputs[0]!, slope);
  if (slope !== 0 || (most !== undefined && most !== 6))
    throw unsupported(
      settings.where,
      `max_value ${most} and negative_slope ${slope} are not supported`,
      'use max_value 6 or none',
    );
  return maker.activate(inputs[0]!, most === 6 ? 'relu6' : 'relu', settings.where);
};

const rescaling: LayerMaker = ({ maker, inputs, settings }) => {
  const list = (name: string, otherwise: number) =>
    Float32Array.from([settings.raw(name) ?? otherwise].flat() as number[]);
  const [factor, offset] = [list('scale', 1), list('offset', 0)];
  return maker.line(inputs[0]!, factor, offset);
};

const reshape: LayerMaker = ({ maker, inputs, settings }) => {
  const target = settings.raw('target_shape');
  if (!Array.isArray(target)) throw malformed(`${settings.where}: target_shape is missing`);
  const size = maker.size(inputs[0]!);
  const known = target.filter((each) => each !== -1).reduce((a: number, b: number) => a * b, 1);
  const shape = target.map((each) => (each === -1 ? size / known : each)) as number[];
  if (shape.reduce((a, b) => a * b, 1) !== size)
    throw malformed(`${settings.where}: [${target}] does not hold ${size} numbers`);
  return maker.reshape(inputs[0]!, [1, ...shape]);
};

/** SeparableConv1D and SeparableConv2D: a depthwise convolution without bias, then a pointwise convolution. */
const separable: LayerMaker = (call) => {
  const { maker, settings, name } = call;
  const bias = settings.flag('use_bias', true);
  const [deep, point, b] = call.weights('depthwise_kernel', 'pointwise_kernel', ...(bias ? ['bias'] : []));
  const { x, rank } = start(call);
  const middle = channelwise(call, x, windowsOf(call, x, rank), deep!, undefined);
  const [, height = 1, width = 1, inside = 1] = maker.shape(middle);
  settings.sameAs('filters', point!, -1, rank);
  const channels = point!.shape.at(-1)!;
  const weights = transposed(point!.data, inside, channels);
  const windows: Windows = {
    ...{ filter: [1, 1], stride: [1, 1], dilation: [1, 1], padding: 'valid' },
    size: [height, width],
  };
  const w = maker.floats(weights, [channels, 1, 1, inside], `${name}/pointwise`);
  const y = linear(call, 'CONV_2D', middle, windows, w, b, channels);
  return maker.activate(maker.back(y, rank), settings.raw('activation'), settings.where);
};

const softmax: LayerMaker = ({ maker, inputs, settings }) => {
  settings.lastAxis(maker.shape(inputs[0]!).length);
  return maker.activate(inputs[0]!, 'softmax', settings.where);
};

/** ZeroPadding1D and ZeroPadding2D. */
const zeroPadding: LayerMaker = ({ maker, inputs, settings }) => {
  settings.channelsLast();
  const shape = maker.shape(inputs[0]!);
  const pairs = [[0, 0], ...sides(settings.raw('padding') ?? 1, shape.length - 2), [0, 0]] as [
    number,
    number,
  ][];
  const list = maker.integers(pairs.flat(), [shape.length, 2]);
  const padded = shape.map((size, k) => size + pairs[k]![0] + pairs[k]![1]);
  return maker.op('PAD', [inputs[0]!, list], padded, {});
};

/** Layers by Keras class name. To add a layer, add a row. */
export const layerMakers: Readonly<Record<string, LayerMaker>> = {
  Activation: activation,
  ActivityRegularization: nothing,
  Add: combined('ADD'),
  AlphaDropout: nothing,
  Average: average,
  AveragePooling1D: pooling('AVERAGE_POOL_2D'),
  AveragePooling2D: pooling('AVERAGE_POOL_2D'),
  BatchNormalization: batchNormalization,
  BatchNormalizationV1: batchNormalization,
  Bidirectional: bidirectional,
  Concatenate: concatenate,
  Conv1D: convolution,
  Conv2D: convolution,
  Cropping1D: cropping,
  Cropping2D: cropping,
  Dense: dense,
  DepthwiseConv1D: depthwise,
  DepthwiseConv2D: depthwise,
  Dropout: nothing,
  Flatten: flatten,
  GRU: recurrent,
  GaussianDropout: nothing,
  GaussianNoise: nothing,
  GlobalAveragePooling1D: overall('MEAN'),
  GlobalAveragePooling2D: overall('MEAN'),
  GlobalMaxPooling1D: overall('REDUCE_MAX'),
  GlobalMaxPooling2D: overall('REDUCE_MAX'),
  Identity: nothing,
  LSTM: recurrent,
  LeakyReLU: leakyRelu,
  MaxPooling1D: pooling('MAX_POOL_2D'),
  MaxPooling2D: pooling('MAX_POOL_2D'),
  Multiply: combined('MUL'),
  Normalization: normalization,
  Permute: permute,
  ReLU: relu,
  Rescaling: rescaling,
  Reshape: reshape,
  SeparableConv1D: separable,
  SeparableConv2D: separable,
  SimpleRNN: recurrent,
  Softmax: softmax,
  SpatialDropout1D: nothing,
  SpatialDropout2D: nothing,
  Subtract: combined('SUB'),
  ZeroPadding1D: zeroPadding,
  ZeroPadding2D: zeroPadding,
};

const unsupportedRecurrent = 'use LSTM, GRU or Conv1D over the window instead';

/** Suggested replacements for layers that the table above does not contain. */
export const replacements: Readonly<Record<string, string>> = {
  Attention: 'use Conv1D and GlobalAveragePooling1D',
  Conv1DTranspose: 'use Dense and Reshape to widen, then Conv1D',
  Conv2DTranspose: 'use Dense and Reshape to widen, then Conv2D',
  ConvLSTM1D: unsupportedRecurrent,
  ConvLSTM2D: unsupportedRecurrent,
  Dot: 'use Multiply and Dense',
  ELU: 'use ReLU or LeakyReLU',
  Embedding: 'use Dense on a one-hot input',
  GroupNormalization: 'use BatchNormalization, which folds into the layer before it',
  Lambda: 'replace it with layers: the file does not contain its computation',
  LayerNormalization: 'use BatchNormalization, which folds into the layer before it',
  Masking: 'use windows of equal length',
  Maximum: 'use Concatenate and GlobalMaxPooling',
  MultiHeadAttention: 'use Conv1D and GlobalAveragePooling1D',
  PReLU: 'use LeakyReLU, with one slope',
  RNN: unsupportedRecurrent,
  TimeDistributed: 'use Conv1D with kernel_size 1, or Dense, which works on the last axis',
  UpSampling1D: 'use it outside the network',
  UpSampling2D: 'use it outside the network',
};

interface Windows {
  filter: [number, number];
  stride: [number, number];
  dilation: [number, number];
  padding: 'same' | 'valid';
  /** [height, width] of the result. */
  size: [number, number];
}

/** The input as an image. For `causal` padding, the image is padded in front, and the windows then use VALID padding. */
function start({ maker, inputs, settings }: LayerCall): { x: number; rank: number } {
  settings.channelsLast();
  const [given = -1] = inputs;
  const rank = maker.shape(given).length;
  const x = maker.image(given, settings.where);
  if (settings.padding() !== 'causal') return { x, rank };
  if (rank !== 3)
    throw unsupported(settings.where, 'causal padding of an image is not supported', 'use valid or same');
  const before = (settings.integers('kernel_size', 1)[0]! - 1) * settings.integers('dilation_rate', 1, 1)[0]!;
  const [, height = 1, width = 1, channels = 1] = maker.shape(x);
  const list = maker.integers([0, 0, 0, 0, before, 0, 0, 0], [4, 2]);
  return { x: maker.op('PAD', [x, list], [1, height, width + before, channels], {}), rank };
}

function windowsOf({ settings, maker }: LayerCall, x: number, rank: number, size = 'kernel_size'): Windows {
  const two = (name: string, otherwise?: number): [number, number] => {
    const values = settings.integers(name, rank - 2, otherwise);
    return rank === 3 ? [1, values[0]!] : [values[0]!, values[1]!];
  };
  const filter = two(size);
  // A pool's stride defaults to its size.
  const stride = size === 'pool_size' && settings.raw('strides') === undefined ? filter : two('strides', 1);
  const dilation = size === 'pool_size' ? ([1, 1] as [number, number]) : two('dilation_rate', 1);
  const padding = settings.padding() === 'same' ? 'same' : 'valid';
  const shape = maker.shape(x);
  const sizes = [0, 1].map((k) => {
    const cells = padding === 'same' ? shape[k + 1]! : shape[k + 1]! - (filter[k]! - 1) * dilation[k]!;
    return Math.ceil(cells / stride[k]!);
  }) as [number, number];
  if (Math.min(...sizes) < 1)
    throw malformed(`${settings.where}: its window does not fit into [${shape.slice(1)}]`);
  return { filter, stride, dilation, padding, size: sizes };
}

/** Input channels per group. @throws AIOT_FILE_MALFORMED if the groups differ in size */
function groupSize(settings: LayerCall['settings'], channels: number, filters: number): number {
  const groups = settings.number('groups', 1);
  if (groups >= 1 && Number.isInteger(channels / groups) && Number.isInteger(filters / groups))
    return channels / groups;
  throw malformed(
    `${settings.where}: groups is ${groups}, but there are ${channels} channels and ${filters} filters`,
  );
}

/**
 * Requires a kernel of shape [… window, in, out], where `in` is the number of channels per group. @throws AIOT_FILE_MALFORMED if settings
 * and weights contradict each other
 */
function requireKernel(
  { settings }: LayerCall,
  { shape }: Weight,
  { filter }: Windows,
  channels: number,
): void {
  const window = shape.length === 3 ? [1, shape[0]] : shape.slice(0, 2);
  if (window.join() === filter.join() && shape.at(-2) === channels) return;
  throw malformed(
    `${settings.where}: a window of ${filter.join(' × ')} over ${channels} channels, but its weights are [${shape.join(', ')}]`,
  );
}

function channelwise(
  call: LayerCall,
  x: number,
  windows: Windows,
  kernel: Weight,
  bias: Weight | undefined,
): number {
  const { maker, name } = call;
  call.settings.sameAs('depth_multiplier', kernel, -1, maker.shape(call.inputs[0]!).length);
  requireKernel(call, kernel, windows, maker.shape(x)[3]!);
  const channels = kernel.shape.at(-1)! * kernel.shape.at(-2)!;
  const w = maker.floats(kernel.data, [1, ...windows.filter, channels], `${name}/weights`);
  return linear(call, 'DEPTHWISE_CONV_2D', x, windows, w, bias, channels);
}

function linear(
  { maker, name }: LayerCall,
  op: 'CONV_2D' | 'DEPTHWISE_CONV_2D',
  x: number,
  { stride, dilation, padding, size }: Windows,
  weights: number,
  bias: Weight | undefined,
  channels: number,
): number {
  const b = bias ? maker.floats(bias.data, [channels], `${name}/bias`) : -1;
  const [strideH, strideW] = stride;
  const [dilationH, dilationW] = dilation;
  const shared = { padding, strideH, strideW, dilationH, dilationW, activation: 'none' as const };
  const shape = [1, ...size, channels];
  if (op === 'CONV_2D') return maker.op(op, [x, weights, b], shape, shared, name);
  const depthMultiplier = channels / maker.shape(x)[3]!;
  return maker.op(op, [x, weights, b], shape, { ...shared, depthMultiplier }, name);
}

/**
 * Converts a padding or cropping to [before, after] per axis. The setting may be one number for all sides, one number per axis, or [before,
 * after] per axis. For a time axis, two numbers are before and after.
 */
function sides(given: unknown, axes: number): [number, number][] {
  if (typeof given === 'number') return new Array(axes).fill([given, given]);
  const list = given as (number | [number, number])[];
  if (axes === 1 && typeof list[0] === 'number') return [list as [number, number]];
  return list.map((side) => (typeof side === 'number' ? [side, side] : side)) as [number, number][];
}
