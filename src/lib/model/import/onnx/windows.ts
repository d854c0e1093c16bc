import type { Padding } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { permuted } from './fold.js';
import type { Activation, OnnxMaker } from './maker.js';

type Pair = [number, number];

/** A window over the two axes of an image, with the padding before and after each axis. */
interface Window {
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
function asImage(call: NodeCall, x: Activation): Activation {
  if (x.shape.length === 4) return x;
  const [batch, channels, time] = x.shape;
  if (x.shape.length === 3) return call.maker.reshaped(x, [batch!, channels!, 1, time!]);
  throw unsupported(
    call.where,
    `expected [batch, channels, time] or an image, got [${x.shape.join(', ')}]`,
    'use one or two axes after the channels',
  );
}

/** The inverse of `asImage`. */
function asGiven({ maker }: NodeCall, y: Activation, rank: number): Activation {
  return rank === 3 ? maker.reshaped(y, [y.shape[0]!, y.shape[1]!, y.shape[3]!]) : y;
}

/** A list with one entry per window axis. For a time series, the added axis gets `first`. */
function pair(call: NodeCall, name: string, rank: number, otherwise: number, first = otherwise): Pair {
  const given = call.attributes.integers(name) ?? new Array<number>(rank - 2).fill(otherwise);
  if (given.length !== rank - 2 || given.some((value) => !(value >= 1 && value <= 2 ** 20)))
    throw malformed(
      `${call.where}: expected ${rank - 2} positive numbers as ${name}, got [${given.join(', ')}]`,
    );
  return rank === 3 ? [first, given[0]!] : [given[0]!, given[1]!];
}

function padsOf(call: NodeCall, rank: number): [Pair, Pair] {
  const axes = rank - 2;
  const given = call.attributes.integers('pads') ?? new Array<number>(2 * axes).fill(0);
  if (given.length !== 2 * axes || given.some((value) => !(value >= 0 && value <= 2 ** 20)))
    throw malformed(`${call.where}: expected ${2 * axes} pads of at least 0, got [${given.join(', ')}]`);
  return axes === 1
    ? [
        [0, 0],
        [given[0]!, given[1]!],
      ]
    : [
        [given[0]!, given[2]!],
        [given[1]!, given[3]!],
      ];
}

/** @param x an image in the file's shape */
function windowOf(call: NodeCall, x: Activation, rank: number, kernel: Pair): Window {
  const [stride, dilation] = [pair(call, 'strides', rank, 1), pair(call, 'dilations', rank, 1)];
  const auto = call.attributes.text('auto_pad', 'NOTSET');
  const ceil = call.attributes.integer('ceil_mode', 0) === 1;
  const given = padsOf(call, rank);
  const axes = ([0, 1] as const).map((axis) => {
    const input = x.shape[axis + 2]!;
    const wide = (kernel[axis] - 1) * dilation[axis] + 1;
    const step = stride[axis];
    const sameSize = Math.ceil(input / step);
    const total = Math.max(0, (sameSize - 1) * step + wide - input);
    const [less, more] = [Math.floor(total / 2), Math.ceil(total / 2)];
    const pads: Pair =
      auto === 'SAME_UPPER'
        ? [less, more]
        : auto === 'SAME_LOWER'
          ? [more, less]
          : auto === 'VALID'
            ? [0, 0]
            : given[axis];
    const room = input + pads[0] + pads[1] - wide;
    let size = Math.floor(room / step) + 1;
    // With ceil_mode, a window that would begin in the padding after the input is dropped.
    if (ceil && auto === 'NOTSET') {
      size = Math.ceil(room / step) + 1;
      if ((size - 1) * step >= input + pads[0]) size -= 1;
    }
    if (room < 0 || size < 1)
      throw malformed(`${call.where}: its window does not fit into [${x.shape.slice(2).join(', ')}]`);
    const needed = Math.max(0, (size - 1) * step + wide - input - pads[0]);
    return {
      size,
      pads: [pads[0], needed] as Pair,
      isSame: size === sameSize && pads[0] === less,
      isValid: pads[0] === 0 && needed === 0,
    };
  });
  const [high, wide] = axes as [(typeof axes)[0], (typeof axes)[0]];
  const isValid = axes.every((axis) => axis.isValid);
  const isSame = axes.every((axis) => axis.isSame);
  const pads: [Pair, Pair] = [high.pads, wide.pads];
  return {
    kernel,
    stride,
    dilation,
    padding: isSame && !isValid ? 'same' : 'valid',
    explicit: isValid || isSame ? null : pads,
    pads,
    size: [high.size, wide.size],
  };
}

/** Pads a channels-last image with zeros. */
function zeroPadded(maker: OnnxMaker, tensor: number, [high, wide]: [Pair, Pair]): number {
  const [batch = 1, height = 1, width = 1, channels = 1] = maker.shape(tensor);
  const list = maker.integers([0, 0, ...high, ...wide, 0, 0], [4, 2]);
  const shape = [batch, height + high[0] + high[1], width + wide[0] + wide[1], channels];
  return maker.op('PAD', [tensor, list], shape, {});
}

/** Converts the result of a channels-last image operator to the file's shape. */
function image(maker: OnnxMaker, tensor: number): Activation {
  const [batch = 1, height = 1, width = 1, channels = 1] = maker.shape(tensor);
  return maker.stored(tensor, [batch, channels, height, width], [0, 2, 3, 1]);
}

/** Weights [out, in ÷ groups, … window]. */
export const convolution: Lower = (call) => {
  const x = call.x();
  const rank = x.shape.length;
  const w = call.constant(1, 'weights');
  const bias = call.optional(2, 'bias');
  const filter = rank === 3 && w.shape.length === 3 ? [w.shape[0]!, w.shape[1]!, 1, w.shape[2]!] : w.shape;
  if (filter.length !== 4 || w.shape.length !== rank)
    throw unsupported(
      call.where,
      `weights of shape [${w.shape.join(', ')}] are not supported`,
      'use Conv1d or Conv2d',
    );
  const kernel: Pair = [filter[2]!, filter[3]!];
  const stated = call.attributes.integers('kernel_shape');
  if (stated && stated.join() !== w.shape.slice(2).join())
    throw malformed(
      `${call.where}: kernel_shape is [${stated.join(', ')}], but its weights are [${w.shape.join(', ')}]`,
    );
  const picture = asImage(call, x);
  const window = windowOf(call, picture, rank, kernel);
  return asGiven(call, convolve(call, picture, { ...w, shape: filter }, bias, window), rank);
};

function convolve(
  { maker, where, attributes }: NodeCall,
  x: Activation,
  w: Constant,
  bias: Constant | undefined,
  window: Window,
  groups = attributes.integer('group', 1),
): Activation {
  const [outputs = 0, taken = 0] = w.shape;
  const channels = x.shape[1]!;
  if (!(groups >= 1) || taken * groups !== channels || outputs % groups !== 0)
    throw malformed(
      `${where}: ${channels} channels in ${groups} groups do not match weights of [${w.shape.join(', ')}]`,
    );
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
  const given = call.constant(1, 'weights');
  const picture = asImage(call, x);
  const w = rank === 3 ? { ...given, shape: [given.shape[0]!, given.shape[1]!, 1, given.shape[2]!] } : given;
  const groups = attributes.integer('group', 1);
  const [channels = 0, perGroup = 0, high = 0, wide = 0] = w.shape;
  if (w.shape.length !== 4 || channels !== picture.shape[1] || !(groups >= 1) || channels % groups !== 0)
    throw malformed(
      `${where}: weights of shape [${given.shape.join(', ')}] do not match [${x.shape.join(', ')}]`,
    );
  const kernel: Pair = [high, wide];
  const [stride, dilation] = [pair(call, 'strides', rank, 1), pair(call, 'dilations', rank, 1)];
  const extra = attributes.integers('output_padding') ?? new Array<number>(rank - 2).fill(0);
  const outputPadding: Pair = rank === 3 ? [0, extra[0] ?? 0] : [extra[0] ?? 0, extra[1] ?? 0];
  const wanted = attributes.integers('output_shape')?.slice(2 - rank);
  const auto = attributes.text('auto_pad', 'NOTSET');
  const padding = padsOf(call, rank);
  const sizes = [0, 1].map((axis) => {
    const input = picture.shape[axis + 2]!;
    const taps = (kernel[axis]! - 1) * dilation[axis]! + 1;
    const full = stride[axis]! * (input - 1) + taps + outputPadding[axis]!;
    const size = rank === 3 ? (axis === 0 ? undefined : wanted?.[0]) : wanted?.[axis];
    const target = size ?? (auto.startsWith('SAME') ? input * stride[axis]! : undefined);
    let pads = auto === 'VALID' ? ([0, 0] as Pair) : padding[axis]!;
    if (target !== undefined) {
      const total = full - target;
      const half = Math.floor(total / 2);
      if (total < 0) pads = [0, total];
      else pads = auto === 'SAME_UPPER' ? [half, total - half] : [total - half, half];
    }
    // Stride − 1 zeros already follow the last element.
    const after = taps - 1 - pads[1] + outputPadding[axis]! - (stride[axis]! - 1);
    return { before: taps - 1 - pads[0], after, size: full - pads[0] - pads[1] };
  });
  const spread = zerosBetween(maker, maker.channelsLast(picture).tensor, stride);
  const pads = sizes.map(({ before, after }) => [before, after] as Pair) as [Pair, Pair];
  const cut = trimmed(maker, spread, pads);
  const mirrored = mirroredFilter(w, groups);
  const window: Window = {
    kernel,
    stride: [1, 1],
    dilation,
    padding: 'valid',
    explicit: pads.flat().some((value) => value > 0)
      ? (pads.map((each) => each.map((value) => Math.max(0, value))) as [Pair, Pair])
      : null,
    pads,
    size: [sizes[0]!.size, sizes[1]!.size],
  };
  if (Math.min(...window.size) < 1) throw malformed(`${where}: its output would be empty`);
  const bias = call.optional(2, 'bias');
  if (bias && bias.data.length !== perGroup * groups)
    throw malformed(
      `${where}: expected ${perGroup * groups} biases, one for each channel, got ${bias.data.length}`,
    );
  return asGiven(call, convolve(call, image(maker, cut), mirrored, bias, window, groups), rank);
};

/** [in, out ÷ groups, high, wide] → [out, in ÷ groups, high, wide], turned by 180°. */
function mirroredFilter(w: Constant, groups: number): Constant {
  const [channels = 0, perGroup = 0, high = 0, wide = 0] = w.shape;
  const taken = channels / groups;
  const cells = high * wide;
  const data = new Float32Array(w.data.length);
  for (let output = 0; output < perGroup * groups; output++) {
    const first = Math.floor(output / perGroup) * taken;
    for (let c = 0; c < taken; c++) {
      for (let cell = 0; cell < cells; cell++)
        data[(output * taken + c) * cells + cell] =
          w.data[((first + c) * perGroup + (output % perGroup)) * cells + cells - 1 - cell]!;
    }
  }
  return constantOf('float32', [perGroup * groups, taken, high, wide], data);
}

/** Inserts stride − 1 zeros after each element of an image, along both axes. */
function zerosBetween(maker: OnnxMaker, tensor: number, [strideH, strideW]: Pair): number {
  const [batch = 1, height = 1, width = 1, channels = 1] = maker.shape(tensor);
  const pad = (x: number, axis: number, count: number) => {
    const shape = maker.shape(x);
    const list = maker.integers(
      shape.flatMap((_, k) => [0, k === axis ? count : 0]),
      [shape.length, 2],
    );
    return maker.op(
      'PAD',
      [x, list],
      shape.map((size, k) => (k === axis ? size + count : size)),
      {},
    );
  };
  let x = tensor;
  if (strideW > 1) {
    x = pad(maker.reshape(x, [batch * height, width, 1, channels]), 2, strideW - 1);
    x = maker.reshape(x, [batch, height, width * strideW, channels]);
  }
  if (strideH > 1) {
    x = pad(maker.reshape(x, [batch, height, 1, width * strideW * channels]), 2, strideH - 1);
    x = maker.reshape(x, [batch, height * strideH, width * strideW, channels]);
  }
  return x;
}

/** Crops rows and columns where the padding is negative. */
function trimmed(maker: OnnxMaker, tensor: number, pads: [Pair, Pair]): number {
  const cuts = pads.map(([before, after]) => [Math.max(0, -before), Math.max(0, -after)] as Pair);
  if (cuts.flat().every((cut) => cut === 0)) return tensor;
  const shape = maker.shape(tensor);
  const side = (axis: number) => (axis === 1 || axis === 2 ? cuts[axis - 1]! : ([0, 0] as Pair));
  const begin = shape.map((_, axis) => side(axis)[0]);
  const end = shape.map((size, axis) => size - side(axis)[1]);
  return sliced(maker, tensor, begin, end);
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

/** Operators whose results are never negative; surrounding zeros do not change their maximum. */
const nonNegative = new Set(['RELU', 'RELU6', 'LOGISTIC', 'SOFTMAX']);

/** Operators whose results are not negative if their input is not. */
const passing = new Set(['MAX_POOL_2D', 'AVERAGE_POOL_2D', 'RESHAPE', 'TRANSPOSE']);

/** Maximum number of operators to look through, because few operators separate a Relu from a quantization. */
const mostPassed = 4;

/** Whether an operator ensures that no element is negative. */
export function isNonNegative(maker: OnnxMaker, { tensor }: Activation): boolean {
  let at = tensor;
  for (let passed = 0; passed <= mostPassed; passed++) {
    const source = maker.operators.findLast(({ outputs }) => outputs.includes(at));
    if (source === undefined || !passing.has(source.op))
      return source !== undefined && nonNegative.has(source.op);
    at = source.inputs[0]!;
  }
  return false;
}

const maxPool: Lower = (call) => {
  call.onlyFirst();
  const { maker } = call;
  const x = call.x();
  const rank = x.shape.length;
  const picture = asImage(call, x);
  const window = windowOf(call, picture, rank, pair(call, 'kernel_shape', rank, 0, 1));
  if (Math.max(...window.dilation) > 1)
    throw unsupported(call.where, 'dilations are not supported', 'use dilation 1');
  const given = maker.channelsLast(picture).tensor;
  const { explicit } = window;
  const padded = (pads: [Pair, Pair]) =>
    isNonNegative(maker, picture) ? zeroPadded(maker, given, pads) : edgePadded(maker, given, pads);
  const y = pooled(maker, 'MAX_POOL_2D', explicit ? padded(explicit) : given, window);
  return asGiven(call, image(maker, y), rank);
};

function pooled(
  maker: OnnxMaker,
  op: 'MAX_POOL_2D' | 'AVERAGE_POOL_2D',
  tensor: number,
  window: Window,
): number {
  const [filterH, filterW] = window.kernel;
  const [strideH, strideW] = window.stride;
  const options = {
    padding: window.padding,
    strideH,
    strideW,
    filterH,
    filterW,
    activation: 'none' as const,
  };
  const [batch = 1, , , channels = 1] = maker.shape(tensor);
  return maker.op(op, [tensor], [batch, ...window.size, channels], options);
}

/** Repeats the first and last rows and columns. Any window over a repeated element also covers the original. */
function edgePadded(maker: OnnxMaker, tensor: number, pads: [Pair, Pair]): number {
  return pads.reduce((x, [before, after], k) => {
    if (before + after === 0) return x;
    if (before + after > 256)
      throw unsupported(maker.where, `it pads with ${before + after} repeated elements`, 'pad fewer');
    const axis = k + 1;
    const shape = maker.shape(x);
    const edge = (at: number) =>
      sliced(
        maker,
        x,
        shape.map((_, each) => (each === axis ? at : 0)),
        shape.map((size, each) => (each === axis ? at + 1 : size)),
      );
    const parts = [
      ...(before > 0 ? new Array<number>(before).fill(edge(0)) : []),
      x,
      ...(after > 0 ? new Array<number>(after).fill(edge(shape[axis]! - 1)) : []),
    ];
    return maker.concatenated(parts, axis);
  }, tensor);
}

const averagePool: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  const rank = x.shape.length;
  const picture = asImage(call, x);
  const window = windowOf(call, picture, rank, pair(call, 'kernel_shape', rank, 0, 1));
  if (Math.max(...window.dilation) > 1)
    throw unsupported(call.where, 'dilations are not supported', 'use dilation 1');
  const withZeros = call.attributes.integer('count_include_pad', 0) === 1;
  const given = maker.channelsLast(picture).tensor;
  const isSame = window.padding === 'same';
  if (isSame && !withZeros)
    return asGiven(call, image(maker, pooled(maker, 'AVERAGE_POOL_2D', given, window)), rank);
  const pads = isSame ? window.pads : window.explicit;
  if (pads === null)
    return asGiven(call, image(maker, pooled(maker, 'AVERAGE_POOL_2D', given, window)), rank);
  const y = pooled(maker, 'AVERAGE_POOL_2D', zeroPadded(maker, given, pads), { ...window, padding: 'valid' });
  const stated = call.attributes.text('auto_pad', 'NOTSET') === 'NOTSET' ? padsOf(call, rank) : window.pads;
  maker.reserve(window.size[0] * window.size[1]);
  const factors = shareFactors(picture, window, pads, withZeros ? stated : undefined);
  if (factors.data.every((value) => value === 1)) return asGiven(call, image(maker, y), rank);
  return asGiven(call, maker.two('MUL', image(maker, y), factors), rank);
};

/** Window size ÷ number of counted elements, at each position of the result, [1, 1, high, wide]. @param stated padding whose zeros count */
function shareFactors(
  x: Activation,
  { kernel, stride, size }: Window,
  pads: [Pair, Pair],
  stated: [Pair, Pair] | undefined,
): Constant {
  const shares = ([0, 1] as const).map((axis) =>
    Array.from({ length: size[axis] }, (_, at) => {
      const first = at * stride[axis] - pads[axis][0];
      const low = stated ? -stated[axis][0] : 0;
      const high = x.shape[axis + 2]! + (stated ? Math.max(stated[axis][1], 0) : 0);
      return kernel[axis] / (Math.min(first + kernel[axis], high) - Math.max(first, low));
    }),
  );
  const values = shares[0]!.flatMap((row) => shares[1]!.map((column) => row * column));
  return constantOf('float32', [1, 1, ...size], values);
}

const overall =
  (op: 'MEAN' | 'REDUCE_MAX'): Lower =>
  (call) => {
    const { maker } = call;
    const x = maker.settled(call.x());
    const places = x.order.flatMap((axis, k) => (axis > 1 ? [k] : []));
    if (places.length === 0) return x;
    const stored = maker.storedShape(x).map((size, k) => (places.includes(k) ? 1 : size));
    const y = maker.op(op, [x.tensor, maker.integers(places)], stored, { keepDims: true });
    return maker.stored(
      y,
      x.shape.map((size, k) => (k > 1 ? 1 : size)),
      x.order,
    );
  };

export const windowRows: Readonly<Record<string, Lower>> = {
  AveragePool: averagePool,
  Conv: convolution,
  ConvTranspose: transposedConvolution,
  GlobalAveragePool: overall('MEAN'),
  GlobalMaxPool: overall('REDUCE_MAX'),
  MaxPool: maxPool,
};
