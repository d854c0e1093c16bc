import type { Padding } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { permuted } from './fold.js';
import type { Activation, OnnxMaker } from './maker.js';

export type Pair = [number, number];

/** A window over the two axes of an image, with the padding before and after each axis. */
export interface Window {
  kernel: Pair;
  stride: Pair;
  dilation: Pair;
  /** Padding that TFLite's own operator provides. */
  padding: Padding;
  /** Padding that needs a separate operator: [before, after] for each axis; null if `padding` is equivalent. */
  explicit: [Pair, Pair] | null;
  /** Total padding [before, after] per axis, regardless of how it is implemented. */
  pads: [Pair, Pair];
  /** Size of the output. */
  size: Pair;
}

/** [batch, channels, time] → [batch, channels, 1, time]; an image is unchanged. */
export function asImage({ maker }: NodeCall, x: Activation): Activation {
  const [batch, channels, time] = x.shape;
  return x.shape.length === 3 ? maker.reshaped(x, [batch!, channels!, 1, time!]) : x;
}

/** The inverse of `asImage`. */
export function asGiven({ maker }: NodeCall, y: Activation, rank: number): Activation {
  return rank === 3 ? maker.reshaped(y, [y.shape[0]!, y.shape[1]!, y.shape[3]!]) : y;
}

/** A list of positive numbers, one for each axis of a window. */
function perAxis(call: NodeCall, name: string, axes: number, otherwise: number): number[] {
  const given = call.attributes.integers(name) ?? new Array<number>(axes).fill(otherwise);
  if (given.length !== axes || given.some((value) => !(value >= 1 && value <= 2 ** 20)))
    throw malformed(`${call.where}: expected ${axes} positive numbers as ${name}, got [${given.join(', ')}]`);
  return given;
}

/** The stated padding [before, after] of each axis. */
export function padsOf(call: NodeCall, axes: number): Pair[] {
  const given = call.attributes.integers('pads') ?? new Array<number>(2 * axes).fill(0);
  if (given.length !== 2 * axes || given.some((value) => !(value >= 0 && value <= 2 ** 20)))
    throw malformed(`${call.where}: expected ${2 * axes} pads of at least 0, got [${given.join(', ')}]`);
  return Array.from({ length: axes }, (_, axis): Pair => [given[axis]!, given[axis + axes]!]);
}

/** A window along one axis. */
export interface WindowAxis {
  kernel: number;
  stride: number;
  dilation: number;
  /** Padding [before, after] that the output's size needs. */
  pads: Pair;
  size: number;
  /** Whether TFLite's padding `same` is equivalent, or none is needed. */
  isSame: boolean;
  isValid: boolean;
}

export const kernelOf = (call: NodeCall, axes: number): number[] => perAxis(call, 'kernel_shape', axes, 0);

/** @param inputs sizes of the axes that the window moves along */
export function windowAxes(
  call: NodeCall,
  inputs: readonly number[],
  kernel: readonly number[],
): WindowAxis[] {
  const axes = inputs.length;
  const [strides, dilations] = [perAxis(call, 'strides', axes, 1), perAxis(call, 'dilations', axes, 1)];
  const auto = call.attributes.text('auto_pad', 'NOTSET');
  const ceil = call.attributes.integer('ceil_mode', 0) === 1;
  const given = padsOf(call, axes);
  return inputs.map((input, axis): WindowAxis => {
    const [stride, dilation] = [strides[axis]!, dilations[axis]!];
    const wide = (kernel[axis]! - 1) * dilation + 1;
    const sameSize = Math.ceil(input / stride);
    const total = Math.max(0, (sameSize - 1) * stride + wide - input);
    const [less, more] = [Math.floor(total / 2), Math.ceil(total / 2)];
    const pads: Pair =
      auto === 'SAME_UPPER'
        ? [less, more]
        : auto === 'SAME_LOWER'
          ? [more, less]
          : auto === 'VALID'
            ? [0, 0]
            : given[axis]!;
    const room = input + pads[0] + pads[1] - wide;
    let size = Math.floor(room / stride) + 1;
    // With ceil_mode, a window that would begin in the padding after the input is dropped.
    if (ceil && auto === 'NOTSET') {
      size = Math.ceil(room / stride) + 1;
      if ((size - 1) * stride >= input + pads[0]) size -= 1;
    }
    if (room < 0 || size < 1)
      throw malformed(`${call.where}: its window does not fit into [${inputs.join(', ')}]`);
    const needed = Math.max(0, (size - 1) * stride + wide - input - pads[0]);
    return {
      kernel: kernel[axis]!,
      stride,
      dilation,
      size,
      pads: [pads[0], needed],
      isSame: size === sameSize && pads[0] === less,
      isValid: pads[0] === 0 && needed === 0,
    };
  });
}

/** The axis of length 1 that a time series gets as an image. */
export const thin: WindowAxis = {
  kernel: 1,
  stride: 1,
  dilation: 1,
  pads: [0, 0],
  size: 1,
  isSame: true,
  isValid: true,
};

/** A window over one or two axes. */
export function windowOf(axes: readonly WindowAxis[]): Window {
  const [high, wide] = (axes.length === 1 ? [thin, axes[0]] : axes) as [WindowAxis, WindowAxis];
  const isValid = high.isValid && wide.isValid;
  const isSame = high.isSame && wide.isSame;
  const pads: [Pair, Pair] = [high.pads, wide.pads];
  return {
    kernel: [high.kernel, wide.kernel],
    stride: [high.stride, wide.stride],
    dilation: [high.dilation, wide.dilation],
    padding: isSame && !isValid ? 'same' : 'valid',
    explicit: isValid || isSame ? null : pads,
    pads,
    size: [high.size, wide.size],
  };
}

/** Pads a channels-last image with zeros. */
export function zeroPadded(maker: OnnxMaker, tensor: number, [high, wide]: [Pair, Pair]): number {
  const [batch = 1, height = 1, width = 1, channels = 1] = maker.shape(tensor);
  const list = maker.integers([0, 0, ...high, ...wide, 0, 0], [4, 2]);
  const shape = [batch, height + high[0] + high[1], width + wide[0] + wide[1], channels];
  return maker.op('PAD', [tensor, list], shape, {});
}

/** Converts the result of a channels-last image operator to the file's shape. */
export function image(maker: OnnxMaker, tensor: number): Activation {
  const [batch = 1, height = 1, width = 1, channels = 1] = maker.shape(tensor);
  return maker.stored(tensor, [batch, channels, height, width], [0, 2, 3, 1]);
}

/** Weights [out, in ÷ groups, … window]. */
export const convolution: Lower = (call) => {
  const x = call.x();
  const rank = x.shape.length;
  const w = call.constant(1, 'weights');
  const bias = call.optional(2, 'bias');
  if (rank < 3 || rank > 5 || w.shape.length !== rank)
    throw unsupported(
      call.where,
      `weights of shape [${w.shape.join(', ')}] for an input of [${x.shape.join(', ')}] are not supported`,
      'use Conv1d, Conv2d or Conv3d',
    );
  const stated = call.attributes.integers('kernel_shape');
  if (stated && stated.join() !== w.shape.slice(2).join())
    throw malformed(
      `${call.where}: kernel_shape is [${stated.join(', ')}], but its weights are [${w.shape.join(', ')}]`,
    );
  const axes = windowAxes(call, x.shape.slice(2), w.shape.slice(2));
  if (rank === 5) return convolveVolume(call, x, w, bias, axes);
  const filter = rank === 3 ? [w.shape[0]!, w.shape[1]!, 1, w.shape[2]!] : w.shape;
  const y = convolve(call, asImage(call, x), { ...w, shape: filter }, bias, windowOf(axes));
  return asGiven(call, y, rank);
};

/**
 * A convolution along three axes, as one of images: each image contains the slices of the volume that its window covers, as more channels.
 */
function convolveVolume(
  call: NodeCall,
  x: Activation,
  w: Constant,
  bias: Constant | undefined,
  [depth, ...rest]: WindowAxis[],
  groups = call.attributes.integer('group', 1),
): Activation {
  const { maker } = call;
  const [batch = 1, channels = 0, slices = 1, high = 1, wide = 1] = x.shape;
  const [outputs = 0, taken = 0, deep = 0, ...kernel] = w.shape;
  const { stride, dilation, pads, size } = depth!;
  requireGroups(call, channels, w, groups);
  const area = high * wide * channels;
  let given = maker.reshape(maker.channelsLast(x).tensor, [batch, slices, area]);
  const [before, after] = pads;
  if (before + after > 0) {
    const list = maker.integers([0, 0, before, after, 0, 0], [3, 2]);
    given = maker.op('PAD', [given, list], [batch, slices + before + after, area], {});
  }
  const images = batch * size;
  // Within each group, a tap's channels follow those of the tap before it.
  const parts = Array.from({ length: deep }, (_, tap) => {
    const first = tap * dilation;
    const isWhole = first === 0 && stride === 1 && size === slices + before + after;
    const end = first + (size - 1) * stride + 1;
    const part = isWhole ? given : sliced(maker, given, [0, first, 0], [batch, end, area], [1, stride, 1]);
    return maker.reshape(
      part,
      groups === 1 ? [images, high, wide, channels] : [images * high * wide, groups, taken],
    );
  });
  const joined = maker.concatenated(parts, groups === 1 ? 3 : 2);
  const picture = image(maker, maker.reshape(joined, [images, high, wide, deep * channels]));
  const filter = permuted(w, [0, 2, 1, 3, 4]);
  const flat = { ...filter, shape: [outputs, deep * taken, ...kernel] };
  const y = convolve(call, picture, flat, bias, windowOf(rest), groups);
  const { tensor } = maker.channelsLast(y);
  const [, rows = 1, columns = 1] = maker.shape(tensor);
  return maker.stored(
    maker.reshape(tensor, [batch, size, rows, columns, outputs]),
    [batch, outputs, size, rows, columns],
    [0, 2, 3, 4, 1],
  );
}

function requireGroups({ where }: NodeCall, channels: number, w: Constant, groups: number): void {
  const [outputs = 0, taken = 0] = w.shape;
  if (!(groups >= 1) || taken * groups !== channels || outputs % groups !== 0)
    throw malformed(
      `${where}: ${channels} channels in ${groups} groups do not match weights of [${w.shape.join(', ')}]`,
    );
}

function convolve(
  call: NodeCall,
  x: Activation,
  w: Constant,
  bias: Constant | undefined,
  window: Window,
  groups = call.attributes.integer('group', 1),
): Activation {
  const { maker, where } = call;
  const outputs = w.shape[0] ?? 0;
  const channels = x.shape[1]!;
  requireGroups(call, channels, w, groups);
  if (bias && bias.data.length !== outputs)
    throw malformed(`${where}: expected ${outputs} biases, one for each channel, got ${bias.data.length}`);
  const given = maker.channelsLast(x).tensor;
  const from = window.explicit ? zeroPadded(maker, given, window.explicit) : given;
  const b = bias ? maker.floats(Float32Array.from(bias.data), [outputs]) : -1;
  const shape = [x.shape[0]!, ...window.size, outputs];
  const [strideH, strideW] = window.stride;
  const [dilationH, dilationW] = window.dilation;
  const options = {
    padding: window.padding,
    strideH,
    strideW,
    dilationH,
    dilationW,
    activation: 'none' as const,
  };
  const depthwise = groups === channels && groups > 1;
  const weights = maker.weights(permuted(w, depthwise ? [1, 2, 3, 0] : [0, 2, 3, 1]));
  const y = depthwise
    ? maker.op('DEPTHWISE_CONV_2D', [from, weights, b], shape, {
        ...options,
        depthMultiplier: outputs / channels,
      })
    : maker.op('CONV_2D', [from, weights, b], shape, options);
  return image(maker, y);
}

/**
 * Converts a transposed convolution to an ordinary one: zeros between the input's elements, padding around them, and a mirrored filter.
 * Weights have the shape [in, out ÷ groups, … window].
 */
const transposedConvolution: Lower = (call) => {
  const { maker, attributes, where } = call;
  const x = call.x();
  const rank = x.shape.length;
  const w = call.constant(1, 'weights');
  const groups = attributes.integer('group', 1);
  const [channels = 0, perGroup = 0, ...kernel] = w.shape;
  if (rank < 3 || rank > 5)
    throw unsupported(
      where,
      `an input of shape [${x.shape.join(', ')}] is not supported`,
      'use ConvTranspose1d, ConvTranspose2d or ConvTranspose3d',
    );
  if (w.shape.length !== rank || channels !== x.shape[1] || !(groups >= 1) || channels % groups !== 0)
    throw malformed(
      `${where}: weights of shape [${w.shape.join(', ')}] do not match [${x.shape.join(', ')}]`,
    );
  const bias = call.optional(2, 'bias');
  if (bias && bias.data.length !== perGroup * groups)
    throw malformed(
      `${where}: expected ${perGroup * groups} biases, one for each channel, got ${bias.data.length}`,
    );
  const axes = transposedAxes(call, x.shape.slice(2), kernel);
  let spread = maker.channelsLast(x).tensor;
  axes.forEach(({ stride, pads }, k) => {
    spread = trimmed(maker, zerosBetween(maker, spread, k + 1, stride), k + 1, pads);
  });
  const [batch = 1, ...rest] = maker.shape(spread);
  const shape = [batch, channels, ...rest.slice(0, -1)];
  const ordered = maker.stored(spread, shape, [0, ...shape.slice(2).map((_, k) => k + 2), 1]);
  // Negative padding was cut off above.
  const added = axes.map((axis): WindowAxis => {
    const pads = axis.pads.map((value) => Math.max(0, value)) as Pair;
    return { ...axis, stride: 1, pads, isSame: false, isValid: Math.max(...pads) === 0 };
  });
  const mirrored = mirroredFilter(w, groups);
  if (rank === 5) return convolveVolume(call, ordered, mirrored, bias, added, groups);
  const filter = rank === 3 ? [...mirrored.shape.slice(0, 2), 1, ...kernel] : mirrored.shape;
  const picture = asImage(call, ordered);
  return asGiven(
    call,
    convolve(call, picture, { ...mirrored, shape: filter }, bias, windowOf(added), groups),
    rank,
  );
};

/** The axes of a transposed convolution. `pads` is the padding around the input with its zeros; negative padding cuts off elements. */
function transposedAxes(call: NodeCall, inputs: readonly number[], kernel: readonly number[]): WindowAxis[] {
  const { attributes, where } = call;
  const count = inputs.length;
  const [strides, dilations] = [perAxis(call, 'strides', count, 1), perAxis(call, 'dilations', count, 1)];
  const extra = attributes.integers('output_padding') ?? new Array<number>(count).fill(0);
  const wanted = attributes.integers('output_shape')?.slice(-count);
  const auto = attributes.text('auto_pad', 'NOTSET');
  const padding = padsOf(call, count);
  return inputs.map((input, axis): WindowAxis => {
    const [stride, dilation, more] = [strides[axis]!, dilations[axis]!, extra[axis] ?? 0];
    const taps = (kernel[axis]! - 1) * dilation + 1;
    const full = stride * (input - 1) + taps + more;
    const target = wanted?.[axis] ?? (auto.startsWith('SAME') ? input * stride : undefined);
    let pads = auto === 'VALID' ? ([0, 0] as Pair) : padding[axis]!;
    if (target !== undefined) {
      const total = full - target;
      const half = Math.floor(total / 2);
      if (total < 0) pads = [0, total];
      else pads = auto === 'SAME_UPPER' ? [half, total - half] : [total - half, half];
    }
    const size = full - pads[0] - pads[1];
    if (size < 1) throw malformed(`${where}: its output would be empty`);
    // Stride − 1 zeros already follow the last element.
    const after = taps - 1 - pads[1] + more - (stride - 1);
    return {
      kernel: kernel[axis]!,
      stride,
      dilation,
      pads: [taps - 1 - pads[0], after],
      size,
      isSame: false,
      isValid: false,
    };
  });
}

/** [in, out ÷ groups, … window] → [out, in ÷ groups, … window], mirrored along each axis of the window. */
function mirroredFilter(w: Constant, groups: number): Constant {
  const [channels = 0, perGroup = 0, ...kernel] = w.shape;
  const taken = channels / groups;
  const cells = kernel.reduce((product, size) => product * size, 1);
  const data = new Float32Array(w.data.length);
  for (let output = 0; output < perGroup * groups; output++) {
    const first = Math.floor(output / perGroup) * taken;
    for (let c = 0; c < taken; c++) {
      for (let cell = 0; cell < cells; cell++)
        data[(output * taken + c) * cells + cell] =
          w.data[((first + c) * perGroup + (output % perGroup)) * cells + cells - 1 - cell]!;
    }
  }
  return constantOf('float32', [perGroup * groups, taken, ...kernel], data);
}

/** Inserts stride − 1 zeros after each element along one stored axis. */
function zerosBetween(maker: OnnxMaker, tensor: number, axis: number, stride: number): number {
  if (stride === 1) return tensor;
  const shape = maker.shape(tensor);
  const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  const [lines, inner] = [product(shape.slice(0, axis + 1)), product(shape.slice(axis + 1))];
  const rows = maker.reshape(tensor, [lines, 1, inner]);
  const list = maker.integers([0, 0, 0, stride - 1, 0, 0], [3, 2]);
  const spread = maker.op('PAD', [rows, list], [lines, stride, inner], {});
  return maker.reshape(
    spread,
    shape.map((size, k) => (k === axis ? size * stride : size)),
  );
}

/** Crops elements of one stored axis where the padding is negative. */
function trimmed(maker: OnnxMaker, tensor: number, axis: number, [before, after]: Pair): number {
  const [first, last] = [Math.max(0, -before), Math.max(0, -after)];
  if (first + last === 0) return tensor;
  const shape = maker.shape(tensor);
  return sliced(
    maker,
    tensor,
    shape.map((_, k) => (k === axis ? first : 0)),
    shape.map((size, k) => (k === axis ? size - last : size)),
  );
}

/** Elements from `begin` to `end` along each stored axis. */
export function sliced(
  maker: OnnxMaker,
  tensor: number,
  begin: number[],
  end: number[],
  steps = begin.map(() => 1),
): number {
  const shape = end.map((stop, k) => Math.ceil((stop - begin[k]!) / steps[k]!));
  // A backward slice that includes element 0 ends before that element, which only a mask can express.
  const endMask = end.reduce((mask, stop, k) => (stop < 0 ? mask | (1 << k) : mask), 0);
  const bounds = [begin, end.map((stop) => Math.max(0, stop)), steps].map((list) => maker.integers(list));
  return maker.op('STRIDED_SLICE', [tensor, ...bounds], shape, { beginMask: 0, endMask, shrinkAxisMask: 0 });
}

export const windowRows: Readonly<Record<string, Lower>> = {
  Conv: convolution,
  ConvTranspose: transposedConvolution,
};
