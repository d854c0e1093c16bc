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
  const given = attributes.integers('axes')?.map((axis) => axisIn(axis, rank, where)) ?? identity(rank);
  const [scales, sizes] = [call.optional(2, 'scales'), call.optional(3, 'sizes')];
  const chosen = sizes && sizes.data.length > 0 ? sizes : scales;
  if (chosen === undefined || chosen.data.length !== given.length)
    throw malformed(`${where}: expected scales or sizes for ${given.length} axes`);
  if (attributes.text('keep_aspect_ratio_policy', 'stretch') !== 'stretch')
    throw unsupported(where, 'keep_aspect_ratio_policy is not supported', 'use stretch');
  attributes.refuse('antialias', 0, 'export it without antialiasing');
  return given.reduce((y, axis, k) => {
    const size = x.shape[axis]!;
    const value = chosen.data[k]!;
    const target = chosen === sizes ? value : Math.floor(size * value);
    const scale = chosen === sizes ? value / size : value;
    if (!(target >= 1 && target <= 2 ** 16))
      throw malformed(`${where}: expected a size from 1 to 65536, got ${target}`);
    return target === size && scale === 1 ? y : resized(call, y, axis, target, scale);
  }, x);
};

function resized(call: NodeCall, x: Activation, axis: number, target: number, scale: number): Activation {
  const { maker, attributes } = call;
  const size = x.shape[axis]!;
  const mode = attributes.text('mode', 'nearest');
  const positions = Array.from({ length: target }, (_, at) => positionOf(call, at, size, target, scale));
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
  if (mode === 'linear')
    return weighed(
      call,
      x,
      axis,
      positions.map((position) => {
        const low = Math.floor(position);
        return [
          [low, 1 - (position - low)],
          [low + 1, position - low],
        ];
      }),
    );
  if (mode === 'cubic') {
    const a = attributes.float('cubic_coeff_a', -0.75);
    const outside = attributes.integer('exclude_outside', 0) === 1;
    return weighed(
      call,
      x,
      axis,
      positions.map((position) => {
        const low = Math.floor(position);
        const taps = [-1, 0, 1, 2].map((step): [number, number] => [
          low + step,
          cubic(Math.abs(position - low - step), a),
        ]);
        if (!outside) return taps;
        const inside = taps.filter(([place]) => place >= 0 && place < size);
        const total = inside.reduce((sum, [, weight]) => sum + weight, 0);
        return inside.map(([place, weight]): [number, number] => [place, weight / total]);
      }),
    );
  }
  throw unsupported(maker.where, `the mode ${mode} is not supported`, 'use nearest, linear or cubic');
}

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
  size: number,
  target: number,
  scale: number,
): number {
  const mode = attributes.text('coordinate_transformation_mode', 'half_pixel');
  switch (mode) {
    case 'half_pixel':
      return (at + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return target > 1 ? (at + 0.5) / scale - 0.5 : 0;
    case 'align_corners':
      return target > 1 ? (at * (size - 1)) / (target - 1) : 0;
    case 'asymmetric':
      return at / scale;
    case 'half_pixel_symmetric': {
      const adjustment = target / (size * scale);
      return (size / 2) * (1 - adjustment) + (at + 0.5) / scale - 0.5;
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
