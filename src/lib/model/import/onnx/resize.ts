import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { dense } from './linear.js';
import { type Activation, identity } from './maker.js';
import { axisIn } from './node.js';

/**
 * Resize. Mode `nearest` with a whole multiple copies elements. Any other resize multiplies each axis by a matrix, whose rows weight the
 * elements around a position.
 */
const resize: Lower = (call) => {
  const { attributes, where } = call;
  const x = call.x();
  const rank = x.shape.length;
  const axes = attributes.integers('axes')?.map((axis) => axisIn(axis, rank, where)) ?? identity(rank);
  const [scales, sizes] = [call.optional(2, 'scales'), call.optional(3, 'sizes')];
  const chosen = sizes && sizes.data.length > 0 ? sizes : scales;
  if (chosen === undefined || chosen.data.length !== axes.length)
    throw malformed(`${where}: expected scales or sizes for ${axes.length} axes`);
  const isCut = attributes.text('coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize';
  const regions = isCut ? regionsOf(call, axes.length) : undefined;
  const common = chosen === sizes ? commonScale(call, x, axes, sizes.data) : undefined;
  const lines = axes.map((axis, k): Line => {
    const size = x.shape[axis]!;
    const value = chosen.data[k]!;
    const scale = common ?? (chosen === sizes ? value / size : value);
    const target =
      common !== undefined
        ? Math.floor(size * common + 0.5)
        : chosen === sizes
          ? value
          : Math.floor(Math.fround(size * value));
    if (!(target >= 1 && target <= 2 ** 16))
      throw malformed(`${where}: expected a size from 1 to 65536, got ${target}`);
    return { axis, size, target, scale, region: regions?.[k] };
  });
  const y = lines.reduce<Activation>((made, line) => {
    const isSame = line.target === line.size && line.scale === 1 && line.region === undefined;
    return isSame ? made : resized(call, made, line);
  }, x);
  return isCut ? extrapolated(call, y, lines) : y;
};

/** How one axis is resized. */
interface Line {
  axis: number;
  size: number;
  target: number;
  scale: number;
  /** The start and end that tf_crop_and_resize cuts out, as shares of the axis. */
  region: [number, number] | undefined;
}

function regionsOf(call: NodeCall, axes: number): [number, number][] {
  const { data } = call.constant(1, 'region');
  if (data.length !== 2 * axes)
    throw malformed(`${call.where}: expected a region of ${2 * axes} numbers, got ${data.length}`);
  return Array.from({ length: axes }, (_, k): [number, number] => [data[k]!, data[k + axes]!]);
}

/** The scale of all axes that keeps the proportions; undefined if each axis has its own. */
function commonScale(
  { attributes, where }: NodeCall,
  x: Activation,
  axes: readonly number[],
  sizes: ArrayLike<number>,
): number | undefined {
  const policy = attributes.text('keep_aspect_ratio_policy', 'stretch');
  if (policy === 'stretch') return undefined;
  const scales = axes.map((axis, k) => sizes[k]! / x.shape[axis]!);
  if (policy === 'not_larger') return Math.min(...scales);
  if (policy === 'not_smaller') return Math.max(...scales);
  throw malformed(`${where}: unknown keep_aspect_ratio_policy ${JSON.stringify(policy)}`);
}

/** The result with one value wherever a position of tf_crop_and_resize is outside of the image. */
function extrapolated(call: NodeCall, y: Activation, lines: readonly Line[]): Activation {
  const { maker } = call;
  const inside = lines.reduce<Constant>(
    (all, line) => {
      const own = Array.from({ length: line.target }, (_, at) => {
        const position = positionOf(call, at, line);
        return Number(position >= 0 && position <= line.size - 1);
      });
      const shape = y.shape.map((_, k) => (k === line.axis ? line.target : all.shape[k]!));
      const step = shape.slice(line.axis + 1).reduce((a, b) => a * b, 1);
      maker.budget.spend(shape, call.where);
      const data = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
        const at = Math.floor(i / step) % line.target;
        const before = Math.floor(i / (step * line.target));
        return own[at]! * all.data[before * step + (i % step)]!;
      });
      return constantOf('float32', shape, data);
    },
    constantOf(
      'float32',
      y.shape.map(() => 1),
      [1],
    ),
  );
  if (inside.data.every((value) => value === 1)) return y;
  const value = call.attributes.float('extrapolation_value', 0);
  const kept = maker.two('MUL', y, inside);
  return value === 0
    ? kept
    : maker.two('ADD', kept, { ...inside, data: inside.data.map((each) => (1 - each) * value) });
}

function resized(call: NodeCall, x: Activation, line: Line): Activation {
  const { maker, attributes } = call;
  const { axis, size, target, scale } = line;
  const mode = attributes.text('mode', 'nearest');
  const positions = Array.from({ length: target }, (_, at) => positionOf(call, at, line));
  if (mode === 'nearest') {
    const places = positions.map((position) => Math.min(Math.max(nearest(call, position), 0), size - 1));
    const times = target / size;
    if (Number.isInteger(times) && places.every((place, at) => place === Math.floor(at / times)))
      return copied(call, x, axis, times);
    return weighed(
      call,
      x,
      axis,
      places.map((place) => [[place, 1]]),
    );
  }
  const a = attributes.float('cubic_coeff_a', -0.75);
  const kernels: Record<string, [number, (distance: number) => number]> = {
    linear: [1, (distance) => Math.max(0, 1 - distance)],
    cubic: [2, (distance) => cubic(distance, a)],
  };
  const kernel = Object.hasOwn(kernels, mode) ? kernels[mode] : undefined;
  if (kernel === undefined)
    throw unsupported(maker.where, `the mode ${mode} is not supported`, 'use nearest, linear or cubic');
  const [reach, weightAt] = kernel;
  // With antialiasing, a smaller image averages over as many elements as each of its own covers.
  const isSmoothed = attributes.integer('antialias', 0) === 1 && scale < 1;
  const stretch = isSmoothed ? scale : 1;
  const onlyInside = attributes.integer('exclude_outside', 0) === 1;
  return weighed(
    call,
    x,
    axis,
    positions.map((position) => {
      const first = Math.floor(position - reach / stretch) + 1;
      const last = Math.ceil(position + reach / stretch);
      if (last - first > mostWeighed)
        throw unsupported(
          call.where,
          `each result depends on ${last - first} elements`,
          'use a larger scale',
        );
      const taps = Array.from({ length: last - first }, (_, k): [number, number] => [
        first + k,
        weightAt(Math.abs(position - first - k) * stretch),
      ]);
      const used = onlyInside ? taps.filter(([place]) => place >= 0 && place < size) : taps;
      const total = used.reduce((sum, [, weight]) => sum + weight, 0);
      // A region may end so far outside that no element has any weight.
      return total === 0 ? [] : used.map(([place, weight]): [number, number] => [place, weight / total]);
    }),
  );
}

/** Maximum number of elements that one element of a smoothed result depends on. */
const mostWeighed = 4096;

/** Keys' cubic kernel (1981). It is 0 at distances of 2 or more. */
function cubic(distance: number, a: number): number {
  const [d1, d2, d3] = [distance, distance ** 2, distance ** 3];
  if (d1 <= 1) return (a + 2) * d3 - (a + 3) * d2 + 1;
  return d1 < 2 ? a * d3 - 5 * a * d2 + 8 * a * d1 - 4 * a : 0;
}

/** The input position that corresponds to an output element (onnx, operator Resize). */
function positionOf(
  { attributes, where }: NodeCall,
  at: number,
  { size, target, scale, region }: Line,
): number {
  const mode = attributes.text('coordinate_transformation_mode', 'half_pixel');
  // Single precision decides which element is the nearest one, as in ONNX Runtime.
  const isNearest = attributes.text('mode', 'nearest') === 'nearest';
  const rounded = isNearest ? Math.fround : (value: number) => value;
  const scaled = (place: number) => rounded(place / rounded(scale));
  switch (mode) {
    case 'half_pixel':
      return scaled(at + 0.5) - 0.5;
    case 'pytorch_half_pixel':
      return target > 1 ? scaled(at + 0.5) - 0.5 : 0;
    case 'align_corners':
      return target > 1 ? (at * (size - 1)) / (target - 1) : 0;
    case 'asymmetric':
      return scaled(at);
    case 'tf_crop_and_resize': {
      const [start = 0, end = 1] = region ?? [];
      return target > 1
        ? start * (size - 1) + (at * (end - start) * (size - 1)) / (target - 1)
        : 0.5 * (start + end) * (size - 1);
    }
    case 'half_pixel_symmetric': {
      const adjustment = rounded(target / rounded(size * scale));
      const offset = rounded((size / 2) * rounded(1 - adjustment));
      return rounded(offset + rounded(scaled(at + 0.5) - 0.5));
    }
    default:
      throw unsupported(where, `coordinate_transformation_mode ${mode} is not supported`, 'use half_pixel');
  }
}

function nearest({ attributes, where }: NodeCall, position: number): number {
  const mode = attributes.text('nearest_mode', 'round_prefer_floor');
  switch (mode) {
    case 'round_prefer_floor':
      return Math.ceil(position - 0.5);
    case 'round_prefer_ceil':
      return Math.floor(position + 0.5);
    case 'floor':
      return Math.floor(position);
    case 'ceil':
      return Math.ceil(position);
    default:
      throw malformed(`${where}: unknown nearest_mode ${JSON.stringify(mode)}`);
  }
}

/** Repeats each element several times in succession. */
function copied({ maker, where }: NodeCall, x: Activation, axis: number, times: number): Activation {
  if (times > 64) throw unsupported(where, `it copies each element ${times} times`, 'use at most 64 copies');
  const y = maker.settled(x);
  const at = y.order.indexOf(axis);
  const stored = maker.shape(y.tensor);
  const before = stored.slice(0, at).reduce((a, b) => a * b, 1);
  const after = stored.slice(at + 1).reduce((a, b) => a * b, 1);
  const rows = maker.reshape(y.tensor, [before * stored[at]!, 1, after]);
  const joined = maker.concatenated(new Array<number>(times).fill(rows), 1);
  const wide = stored.map((size, k) => (k === at ? size * times : size));
  const shape = x.shape.map((size, k) => (k === axis ? size * times : size));
  return maker.stored(maker.reshape(joined, wide), shape, y.order);
}

/**
 * Makes each element of the result a weighted sum, given as pairs [position, weight]. Positions outside the axis refer to its nearest end.
 */
function weighed(
  { maker }: NodeCall,
  x: Activation,
  axis: number,
  taps: readonly (readonly (readonly number[])[])[],
): Activation {
  const size = x.shape[axis]!;
  maker.reserve(taps.length * size);
  const matrix = new Float32Array(taps.length * size);
  taps.forEach((list, row) => {
    for (const [place = 0, weight = 0] of list)
      matrix[row * size + Math.min(Math.max(place, 0), size - 1)]! += weight;
  });
  const w: Constant = constantOf('float32', [taps.length, size], matrix);
  const order = [...identity(x.shape.length).filter((each) => each !== axis), axis];
  const y = dense(maker, maker.transposedValue(x, order), w);
  return maker.transposedValue(
    y,
    identity(order.length).map((each) => order.indexOf(each)),
  );
}

export const resizeRows: Readonly<Record<string, Lower>> = { Resize: resize };
