import { malformed, unsupported } from '../errors.js';
import type { LayerCall, LayerMaker } from './layer.js';
import { transposed } from './maker.js';
import type { Weight } from './types.js';

interface Windows {
  filter: [number, number];
  stride: [number, number];
  dilation: [number, number];
  padding: 'same' | 'valid';
  /** [height, width] of the result. */
  size: [number, number];
}

/** Conv1D and Conv2D: kernel [… window, in ÷ groups, out]; output channel c sees the inputs of group c ÷ (out ÷ groups). */
export const convolution: LayerMaker = (call) => {
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

/** DepthwiseConv1D and DepthwiseConv2D: kernel [… window, in, multiplier]. */
export const depthwise: LayerMaker = (call) => {
  const { maker, settings } = call;
  const bias = settings.flag('use_bias', true);
  // tfjs and Keras 2 call it depthwise_kernel; files of Keras 3 by place.
  const [kernel, b] = call.weights('depthwise_kernel|kernel', ...(bias ? ['bias'] : []));
  const { x, rank } = start(call);
  const y = channelwise(call, x, windowsOf(call, x, rank), kernel!, b);
  return maker.activate(maker.back(y, rank), settings.raw('activation'), settings.where);
};

/** SeparableConv1D and SeparableConv2D: a depthwise convolution without bias, then one of a single cell. */
export const separable: LayerMaker = (call) => {
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

/** MaxPooling and AveragePooling over time or an image. */
export const pooling =
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

/** GlobalAveragePooling and GlobalMaxPooling. */
export const overall =
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

/** The input as an image. Where padding is `causal`, it is padded in front, and the windows are VALID ones. */
function start({ maker, inputs, settings }: LayerCall): { x: number; rank: number } {
  settings.channelsLast();
  const [given = -1] = inputs;
  const rank = maker.shape(given).length;
  const x = maker.image(given, settings.where);
  if (settings.padding() !== 'causal') return { x, rank };
  if (rank !== 3) throw unsupported(settings.where, 'padding causal over an image', 'use valid or same');
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
  // A pool steps by its size where nothing else is said.
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

/** Input channels of one group. @throws AIOT_FILE_MALFORMED when the groups are not of one size */
function groupSize(settings: LayerCall['settings'], channels: number, filters: number): number {
  const groups = settings.number('groups', 1);
  if (groups >= 1 && Number.isInteger(channels / groups) && Number.isInteger(filters / groups))
    return channels / groups;
  throw malformed(
    `${settings.where}: groups is ${groups}, and there are ${channels} channels and ${filters} filters`,
  );
}

/** A kernel is [… window, in, out], with the channels of one group as `in`. @throws AIOT_FILE_MALFORMED when settings and weights contradict each other */
function requireKernel(
  { settings }: LayerCall,
  { shape }: Weight,
  { filter }: Windows,
  channels: number,
): void {
  const window = shape.length === 3 ? [1, shape[0]] : shape.slice(0, 2);
  if (window.join() === filter.join() && shape.at(-2) === channels) return;
  throw malformed(
    `${settings.where}: a window of ${filter.join(' × ')} over ${channels} channels, and its weights are [${shape.join(', ')}]`,
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
