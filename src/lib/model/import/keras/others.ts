import { malformed, unsupported } from '../errors.js';
import type { LayerMaker } from './layer.js';

/** Layers that do nothing outside training. */
export const nothing: LayerMaker = ({ inputs }) => inputs[0]!;

export const dense: LayerMaker = ({ maker, inputs, settings, name, weights }) => {
  const bias = settings.flag('use_bias', true);
  const [kernel, b] = weights('kernel', ...(bias ? ['bias'] : []));
  const width = maker.shape(inputs[0]!).at(-1);
  settings.sameAs('units', kernel!, 1, 2);
  if (kernel!.shape[0] !== width)
    throw malformed(`${settings.where}: its kernel takes ${kernel!.shape[0]} numbers, and gets ${width}`);
  return maker.activate(
    maker.dense1(inputs[0]!, kernel!, b, name),
    settings.raw('activation'),
    settings.where,
  );
};

/** γ(x − μ)/√(σ² + ε) + β as one factor and one offset per channel. */
export const batchNormalization: LayerMaker = ({ maker, inputs, settings, weights }) => {
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
    throw malformed(`${settings.where}: it has ${data.length} numbers for ${channels} channels`);
  }
  const [mean, variance] = given.slice(-2).map(({ data }) => data) as [Float32Array, Float32Array];
  const epsilon = settings.number('epsilon', 1e-3);
  const factor = variance.map((value, c) => (scale ? given[0]!.data[c]! : 1) / Math.sqrt(value + epsilon));
  const beta = center ? given[scale ? 1 : 0]!.data : undefined;
  const offset = mean.map((value, c) => (beta?.[c] ?? 0) - value * factor[c]!);
  return maker.line(inputs[0]!, factor, offset);
};

export const activation: LayerMaker = ({ maker, inputs, settings }) =>
  maker.activate(inputs[0]!, settings.raw('activation'), settings.where);

export const relu: LayerMaker = ({ maker, inputs, settings }) => {
  const most = settings.raw('max_value');
  const slope = settings.number('negative_slope', 0);
  if (settings.number('threshold', 0) !== 0) throw unsupported(settings.where, 'a threshold', 'use 0');
  if (slope !== 0 && most === undefined) return maker.leaky(inputs[0]!, slope);
  if (slope !== 0 || (most !== undefined && most !== 6))
    throw unsupported(
      settings.where,
      `max_value ${most} and negative_slope ${slope}`,
      'use max_value 6 or none',
    );
  return maker.activate(inputs[0]!, most === 6 ? 'relu6' : 'relu', settings.where);
};

export const leakyRelu: LayerMaker = ({ maker, inputs, settings }) =>
  maker.leaky(inputs[0]!, settings.number('negative_slope', settings.number('alpha', 0.3)));

export const softmax: LayerMaker = ({ maker, inputs, settings }) => {
  settings.lastAxis(maker.shape(inputs[0]!).length);
  return maker.activate(inputs[0]!, 'softmax', settings.where);
};

export const flatten: LayerMaker = ({ maker, inputs, settings }) => {
  settings.channelsLast();
  return maker.reshape(inputs[0]!, [1, maker.size(inputs[0]!)]);
};

export const reshape: LayerMaker = ({ maker, inputs, settings }) => {
  const target = settings.raw('target_shape');
  if (!Array.isArray(target)) throw malformed(`${settings.where}: it has no target_shape`);
  const size = maker.size(inputs[0]!);
  const known = target.filter((each) => each !== -1).reduce((a: number, b: number) => a * b, 1);
  const shape = target.map((each) => (each === -1 ? size / known : each)) as number[];
  if (shape.reduce((a, b) => a * b, 1) !== size)
    throw malformed(`${settings.where}: [${target}] does not hold ${size} numbers`);
  return maker.reshape(inputs[0]!, [1, ...shape]);
};

export const permute: LayerMaker = ({ maker, inputs, settings }) => {
  const shape = maker.shape(inputs[0]!);
  const axes = [0, ...settings.integers('dims', shape.length - 1)];
  const moved = axes.map((axis) => shape[axis]!);
  return maker.op('TRANSPOSE', [inputs[0]!, maker.integers(axes)], moved, {});
};

/** ZeroPadding1D and ZeroPadding2D. */
export const zeroPadding: LayerMaker = ({ maker, inputs, settings }) => {
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

/** Cropping1D and Cropping2D. */
export const cropping: LayerMaker = ({ maker, inputs, settings }) => {
  settings.channelsLast();
  const shape = maker.shape(inputs[0]!);
  const pairs = [[0, 0], ...sides(settings.raw('cropping') ?? 1, shape.length - 2), [0, 0]] as [
    number,
    number,
  ][];
  const end = shape.map((size, k) => size - pairs[k]![1]);
  const cut = end.map((last, k) => last - pairs[k]![0]);
  if (Math.min(...cut) < 1) throw malformed(`${settings.where}: nothing is left of [${shape.slice(1)}]`);
  const bounds = [pairs.map(([first]) => first), end, shape.map(() => 1)].map((list) => maker.integers(list));
  const options = { beginMask: 0, endMask: 0, shrinkAxisMask: 0 };
  return maker.op('STRIDED_SLICE', [inputs[0]!, ...bounds], cut, options);
};

/** One number for all sides, one per axis, or [before, after] per axis. Over time, two numbers are before and after. */
function sides(given: unknown, axes: number): [number, number][] {
  if (typeof given === 'number') return new Array(axes).fill([given, given]);
  const list = given as (number | [number, number])[];
  if (axes === 1 && typeof list[0] === 'number') return [list as [number, number]];
  return list.map((side) => (typeof side === 'number' ? [side, side] : side)) as [number, number][];
}

export const rescaling: LayerMaker = ({ maker, inputs, settings }) => {
  const list = (name: string, otherwise: number) =>
    Float32Array.from([settings.raw(name) ?? otherwise].flat() as number[]);
  const [factor, offset] = [list('scale', 1), list('offset', 0)];
  return maker.line(inputs[0]!, factor, offset);
};

/** (x − mean) / √variance per channel. It stays in front: inputs of different units would else share one int8 scale. */
export const normalization: LayerMaker = ({ maker, inputs, settings, weights }) => {
  settings.lastAxis(maker.shape(inputs[0]!).length);
  const [mean, variance] =
    settings.raw('mean') === undefined
      ? weights('mean', 'variance', 'count').map(({ data }) => data)
      : ['mean', 'variance'].map((name) => Float32Array.from([settings.raw(name)].flat(4) as number[]));
  const factor = variance!.map((value) => 1 / Math.max(Math.sqrt(value), 1e-7));
  const centred = maker.binary('SUB', inputs[0]!, maker.floats(mean!, [mean!.length]));
  return maker.binary('MUL', centred, maker.floats(factor, [factor.length]));
};

/** Add, Subtract and Multiply of two or more. */
export const combined =
  (op: 'ADD' | 'SUB' | 'MUL'): LayerMaker =>
  ({ maker, inputs }) =>
    inputs.reduce((a, b) => maker.binary(op, a, b));

export const average: LayerMaker = ({ maker, inputs }) => {
  const sum = inputs.reduce((a, b) => maker.binary('ADD', a, b));
  return maker.binary('MUL', sum, maker.floats(Float32Array.of(1 / inputs.length), [1]));
};

export const concatenate: LayerMaker = ({ maker, inputs, settings }) => {
  const shapes = inputs.map((x) => maker.shape(x));
  const rank = shapes[0]!.length;
  const given = settings.number('axis', -1);
  const axis = given < 0 ? given + rank : given;
  const along = shapes.reduce((sum, shape) => sum + shape[axis]!, 0);
  const shape = shapes[0]!.map((size, k) => (k === axis ? along : size));
  return maker.op('CONCATENATION', inputs, shape, { axis, activation: 'none' });
};
