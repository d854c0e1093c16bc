import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { positionAlong } from './choices.js';
import { type Constant, constantOf } from './constants.js';
import { type Activation, identity, isNonNegative, type OnnxMaker } from './maker.js';
import { maximum } from './pointwise.js';
import { joined, picked, reduced } from './shapes.js';
import {
  asGiven,
  asImage,
  image,
  kernelOf,
  type Pair,
  padsOf,
  sliced,
  thin,
  type Window,
  type WindowAxis,
  windowAxes,
  windowOf,
  zeroPadded,
} from './windows.js';

const maxPool: Lower = (call) => {
  const x = call.x();
  const axes = poolAxes(call, x);
  requireElements(call, x, axes);
  const largest = largestOf(call, x, axes);
  return call.reads(1) ? [largest, positionsOf(call, x, axes)] : largest;
};

function largestOf(call: NodeCall, x: Activation, axes: readonly WindowAxis[]): Activation {
  const { maker } = call;
  if (isPlain(axes)) {
    const picture = asImage(call, x);
    const window = windowOf(axes);
    const given = maker.channelsLast(picture).tensor;
    const { explicit } = window;
    const padded = (pads: [Pair, Pair]) =>
      isNonNegative(maker, picture) ? zeroPadded(maker, given, pads) : edgePadded(maker, given, pads);
    const y = pooled(maker, 'MAX_POOL_2D', explicit ? padded(explicit) : given, window);
    return asGiven(call, image(maker, y), x.shape.length);
  }
  return axes.reduce((y, axis, k) => largestAlong(call, y, k + 2, axis), x);
}

/** Positions of the largest elements in the flattened input: which element of its window each one is, looked up in a table. */
function positionsOf(call: NodeCall, x: Activation, axes: readonly WindowAxis[]): Activation {
  const { maker, where } = call;
  const [batch = 1, channels = 1, ...sizes] = x.shape;
  const taps = axes.reduce((product, { kernel }) => product * kernel, 1);
  if (taps > mostTaps)
    throw unsupported(
      where,
      `the positions in windows of ${taps} elements are not supported`,
      `use at most ${mostTaps}, or only the first output`,
    );
  const byColumn = call.attributes.integer('storage_order', 0) === 1;
  let candidates = [{ value: x, places: [0] }];
  axes.forEach((window, k) => {
    const step = elementCount(byColumn ? sizes.slice(0, k) : sizes.slice(k + 1));
    const tapped = tapPlaces(window, sizes[k]!);
    candidates = candidates.flatMap(({ value, places }) =>
      tapped.map((own) => ({
        value: picked(call, value, k + 2, own),
        places: places.flatMap((place) => own.map((at) => place + at * step)),
      })),
    );
  });
  const shape = [batch, channels, ...axes.map(({ size }) => size)];
  const stacked = candidates.map(({ value }) => maker.reshaped(value, [...shape, 1]));
  const best = positionAlong(maker, 'ARG_MAX', joined(call, stacked, -1), shape.length);
  const windows = candidates[0]!.places.length;
  maker.reserve(windows * taps);
  const table = maker.integers(
    identity(windows * taps).map((at) => candidates[at % taps]!.places[Math.floor(at / taps)]!),
  );
  const rowStarts = constantOf(
    'int32',
    shape.slice(2),
    identity(windows).map((at) => at * taps),
  );
  const at = maker.two('ADD', maker.reshaped(best, shape), rowStarts);
  const options = { axis: 0, batchDims: 0 };
  const within = maker.each(at, (tensor) =>
    maker.op('GATHER', [table, tensor], maker.shape(tensor), options),
  );
  const images = identity(batch * channels).map((image) => image * elementCount(sizes));
  return maker.two('ADD', within, constantOf('int32', [batch, channels, ...sizes.map(() => 1)], images));
}

function poolAxes(call: NodeCall, x: Activation): WindowAxis[] {
  const count = x.shape.length - 2;
  if (count < 1 || count > 3)
    throw unsupported(
      call.where,
      `expected [batch, channels] and one to three axes, got [${x.shape.join(', ')}]`,
      'use one to three axes after the channels',
    );
  return windowAxes(call, x.shape.slice(2), kernelOf(call, count));
}

/** Rejects windows without an element of the input: they have no maximum, and no mean unless zeros count. @throws AIOT_FILE_MALFORMED */
function requireElements({ where }: NodeCall, x: Activation, axes: readonly WindowAxis[]): void {
  axes.forEach((axis, k) => {
    for (let at = 0; at < axis.size; at++)
      if (elementsWithin(axis, at, 0, x.shape[k + 2]!) < 1)
        throw malformed(`${where}: a window contains only padding`);
  });
}

/** Number of elements of a window whose positions are at least `low` and below `high`. @param at the window's position in the result */
function elementsWithin(
  { kernel, stride, dilation, pads }: WindowAxis,
  at: number,
  low: number,
  high: number,
): number {
  const first = at * stride - pads[0];
  // The k-th element is at first + k · dilation.
  const before = Math.max(0, Math.ceil((low - first) / dilation));
  const after = Math.min(kernel, Math.ceil((high - first) / dilation));
  return after - before;
}

/** Whether TFLite's own operators can compute a pool. */
const isPlain = (axes: readonly WindowAxis[]) =>
  axes.length < 3 && axes.every(({ dilation }) => dilation === 1);

/** Maximum number of elements along one axis of a dilated window or a volume's. */
const mostTaps = 64;

/** The largest elements of the windows along one axis, as maxima of slices. */
function largestAlong(call: NodeCall, x: Activation, axis: number, window: WindowAxis): Activation {
  const { kernel, stride } = window;
  if (kernel === 1 && stride === 1) return x;
  if (kernel > mostTaps)
    throw unsupported(
      call.where,
      `a window of ${kernel} elements is not supported here`,
      `use at most ${mostTaps}`,
    );
  return tapPlaces(window, x.shape[axis]!)
    .map((places) => picked(call, x, axis, places))
    .reduce((a, b) => maximum(call.maker, a, b));
}

/** For each element of a window, its place along the axis in each window. Instead of padding, the window's next element is taken. */
function tapPlaces({ kernel, stride, dilation, pads, size }: WindowAxis, input: number): number[][] {
  const starts = Array.from({ length: size }, (_, at) => at * stride - pads[0]);
  return Array.from({ length: kernel }, (_, tap) =>
    starts.map((start) => {
      const inside = Array.from({ length: kernel }, (_, k) => start + k * dilation).filter(
        (place) => place >= 0 && place < input,
      );
      const place = start + tap * dilation;
      return place < 0 ? inside[0]! : place >= input ? inside.at(-1)! : place;
    }),
  );
}

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
  const { maker, attributes } = call;
  const x = call.x();
  const axes = poolAxes(call, x);
  const withZeros = attributes.integer('count_include_pad', 0) === 1;
  if (!withZeros) requireElements(call, x, axes);
  const isStated = attributes.text('auto_pad', 'NOTSET') === 'NOTSET';
  const stated = isStated ? padsOf(call, axes.length) : axes.map(({ pads }) => pads);
  const factors = shareFactors(call, x, axes, withZeros ? stated : undefined);
  const corrected = (y: Activation) =>
    factors.data.every((value) => value === 1) ? y : maker.two('MUL', y, factors);
  if (!isPlain(axes)) return corrected(meansOf(call, x, axes));
  const window = windowOf(axes);
  const given = maker.channelsLast(asImage(call, x)).tensor;
  const isSame = window.padding === 'same';
  const pads = isSame && withZeros ? window.pads : window.explicit;
  // TFLite counts only the elements inside the input.
  if (pads === null)
    return asGiven(call, image(maker, pooled(maker, 'AVERAGE_POOL_2D', given, window)), x.shape.length);
  const y = pooled(maker, 'AVERAGE_POOL_2D', zeroPadded(maker, given, pads), { ...window, padding: 'valid' });
  return corrected(asGiven(call, image(maker, y), x.shape.length));
};

/** Means over dilated windows, or over those of a volume, as depthwise convolutions. Padding counts as zeros. */
function meansOf({ maker }: NodeCall, x: Activation, axes: readonly WindowAxis[]): Activation {
  const [depth, high, wide] = (
    axes.length === 3 ? axes : [undefined, ...(axes.length === 1 ? [undefined] : []), ...axes]
  ) as [WindowAxis | undefined, WindowAxis | undefined, WindowAxis];
  const [batch = 1, channels = 1] = x.shape;
  const [slices = 1, rows = 1, columns = 1] = [
    ...new Array<number>(3 - axes.length).fill(1),
    ...x.shape.slice(2),
  ];
  const stored = maker.channelsLast(x).tensor;
  const images = maker.reshape(stored, [batch * slices, rows, columns, channels]);
  const flat = depthwiseMean(maker, images, windowOf(high ? [high, wide] : [wide]));
  const [, newRows = 1, newColumns = 1] = maker.shape(flat);
  const area = newRows * newColumns;
  const lines = maker.reshape(flat, [batch, slices, area, channels]);
  const y = depth ? depthwiseMean(maker, lines, windowOf([depth, { ...thin, size: area }])) : lines;
  const sizes = axes.map(({ size }) => size);
  return maker.stored(
    maker.reshape(y, [batch, ...sizes, channels]),
    [batch, channels, ...sizes],
    [0, ...sizes.map((_, k) => k + 2), 1],
  );
}

function depthwiseMean(maker: OnnxMaker, tensor: number, window: Window): number {
  const { kernel, stride, dilation, size, pads } = window;
  const [batch = 1, , , channels = 1] = maker.shape(tensor);
  const cells = kernel[0] * kernel[1];
  const padded = pads.flat().some((count) => count > 0) ? zeroPadded(maker, tensor, pads) : tensor;
  maker.reserve(cells * channels);
  const weights = maker.floats(new Float32Array(cells * channels).fill(1 / cells), [1, ...kernel, channels]);
  return maker.op('DEPTHWISE_CONV_2D', [padded, weights, -1], [batch, ...size, channels], {
    padding: 'valid',
    strideH: stride[0],
    strideW: stride[1],
    dilationH: dilation[0],
    dilationW: dilation[1],
    depthMultiplier: 1,
    activation: 'none',
  });
}

/**
 * Window size ÷ number of counted elements, at each position of the result, for [batch, channels, …].
 * @param stated padding whose zeros count
 */
function shareFactors(
  { maker }: NodeCall,
  x: Activation,
  axes: readonly WindowAxis[],
  stated: readonly Pair[] | undefined,
): Constant {
  maker.reserve(axes.reduce((product, { size }) => product * size, 1));
  const shares = axes.map((own, axis) => {
    const low = stated ? -stated[axis]![0] : 0;
    const high = x.shape[axis + 2]! + (stated ? Math.max(stated[axis]![1], 0) : 0);
    return Array.from({ length: own.size }, (_, at) => own.kernel / elementsWithin(own, at, low, high));
  });
  const values = shares.reduce((all, own) => all.flatMap((left) => own.map((right) => left * right)), [1]);
  return constantOf('float32', [1, 1, ...axes.map(({ size }) => size)], values);
}

const overall =
  (op: 'MEAN' | 'REDUCE_MAX'): Lower =>
  (call) => {
    const x = call.x();
    return reduced(call.maker, op, x, identity(x.shape.length).slice(2), true);
  };

export const poolRows: Readonly<Record<string, Lower>> = {
  AveragePool: averagePool,
  GlobalAveragePool: overall('MEAN'),
  GlobalMaxPool: overall('REDUCE_MAX'),
  MaxPool: maxPool,
};
