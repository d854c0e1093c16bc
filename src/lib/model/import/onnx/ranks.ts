import type { Operator } from '../../../formats/tflite/graph.js';
import { unsupported } from '../errors.js';
import type { OnnxMaker } from './maker.js';

/**
 * Tensors of up to eight dimensions in files whose tensors have up to six, as in TFLite Micro: neighboring axes that an operator treats alike
 * become one. Their elements stay in the same order, so the results are exact.
 */

/** Maximum number of dimensions of a stored tensor. */
export const mostStored = 6;

/** Axes that become one, in order. */
type Groups = number[][];

/** The given axes in groups: `joins` decides whether an axis belongs to its predecessor's group. Axes of length 1 belong to no group. */
function grouped(
  rank: number,
  isSingle: (axis: number) => boolean,
  joins: (before: number, axis: number) => boolean,
): Groups {
  const groups: Groups = [];
  for (let axis = 0; axis < rank; axis++) {
    if (isSingle(axis)) continue;
    const last = groups.at(-1)?.at(-1);
    if (last !== undefined && joins(last, axis)) groups.at(-1)!.push(axis);
    else groups.push([axis]);
  }
  return groups.length === 0 ? [[0]] : groups;
}

const sizeOf = (axes: readonly number[], shape: readonly number[]) =>
  axes.reduce((product, axis) => product * shape[axis]!, 1);

const mergedBy = (groups: Groups, shape: readonly number[]) => groups.map((axes) => sizeOf(axes, shape));

/** A shape with at most six dimensions for the same elements: the last dimensions become one. */
export function storedShapeOf(shape: readonly number[]): number[] {
  if (shape.length <= mostStored) return [...shape];
  const kept = shape.slice(0, mostStored - 1);
  return [...kept, shape.slice(mostStored - 1).reduce((a, b) => a * b, 1)];
}

const elementwise: ReadonlySet<Operator['op']> = new Set<Operator['op']>([
  ...(['ABS', 'ADD', 'CAST', 'CEIL', 'COS', 'DIV', 'ELU', 'EQUAL', 'EXP', 'FLOOR'] as const),
  ...(['FLOOR_MOD', 'GREATER', 'GREATER_EQUAL', 'HARD_SWISH', 'LEAKY_RELU', 'LESS', 'LESS_EQUAL'] as const),
  ...(['LOG', 'LOGICAL_AND', 'LOGICAL_NOT', 'LOGICAL_OR', 'LOGISTIC', 'MAXIMUM', 'MINIMUM', 'MUL'] as const),
  ...(['NEG', 'NOT_EQUAL', 'PRELU', 'RELU', 'RELU6', 'ROUND', 'RSQRT', 'SELECT_V2', 'SIN'] as const),
  ...(['SQRT', 'SQUARE', 'SQUARED_DIFFERENCE', 'SUB', 'TANH'] as const),
]);

const reducing: ReadonlySet<Operator['op']> = new Set<Operator['op']>([
  ...(['MEAN', 'REDUCE_MAX', 'REDUCE_MIN', 'SUM'] as const),
]);

const moving: ReadonlySet<Operator['op']> = new Set<Operator['op']>(['PAD', 'PADV2', 'STRIDED_SLICE']);

/**
 * Adds an operator of which a tensor has more than six dimensions, in terms of tensors with fewer. @returns a tensor of this shape
 * @throws AIOT_LAYER_UNSUPPORTED
 */
export function addNarrowed(
  maker: OnnxMaker,
  op: Operator['op'],
  inputs: readonly number[],
  shape: readonly number[],
  options: object,
): number {
  const made = narrowed(maker, op, inputs, shape, options);
  if (made !== undefined) return maker.reshape(made, [...shape]);
  const wide = Math.max(shape.length, ...inputs.map((index) => maker.tensors[index]?.shape.length ?? 0));
  throw unsupported(
    maker.where,
    `it needs tensors of ${wide} dimensions (${op}); TensorFlow Lite Micro has ${mostStored}`,
    'combine dimensions before it, for example with Reshape',
  );
}

function narrowed(
  maker: OnnxMaker,
  op: Operator['op'],
  inputs: readonly number[],
  shape: readonly number[],
  options: object,
): number | undefined {
  const [x = -1, ...rest] = inputs;
  const from = maker.shape(x);
  const add = (others: number[], groups: Groups, target: number[], changed: object = options) =>
    groups.length > mostStored
      ? undefined
      : maker.op(op, [maker.reshape(x, mergedBy(groups, from)), ...others], target, changed as never);
  if (op === 'TRANSPOSE') return transposed(maker, x, listOf(maker, rest[0]!));
  if (elementwise.has(op)) return broadcast(maker, op, inputs, shape, options);
  if (reducing.has(op)) {
    const axes = listOf(maker, rest[0]!);
    const groups = grouped(
      from.length,
      (axis) => from[axis] === 1,
      (before, axis) => axes.includes(before) === axes.includes(axis),
    );
    const places = groups.flatMap(([first], place) => (axes.includes(first!) ? [place] : []));
    if (places.length === 0) return x;
    const target = mergedBy(groups, from).map((size, place) => (places.includes(place) ? 1 : size));
    return add([maker.integers(places)], groups, target, { ...options, keepDims: true });
  }
  if (moving.has(op)) {
    const isWhole = (axis: number) => shape[axis] === from[axis] && isUntouched(maker, op, rest, axis);
    const groups = grouped(
      from.length,
      (axis) => from[axis] === 1 && isWhole(axis),
      (before, axis) => isWhole(before) && isWhole(axis),
    );
    return moved(maker, op, rest, groups, add, mergedBy(groups, shape), from, options);
  }
  if (op === 'SOFTMAX' || op === 'LOG_SOFTMAX' || op === 'FULLY_CONNECTED') {
    const last = from.length - 1;
    const groups = [Array.from({ length: last }, (_, axis) => axis), [last]];
    const target = [sizeOf(groups[0]!, from), shape.at(-1)!];
    const isDense = op === 'FULLY_CONNECTED';
    return add(rest, groups, target, isDense ? { ...options, keepNumDims: false } : options);
  }
  if (op === 'CONCATENATION') {
    const { axis } = options as { axis: number };
    const around = (each: readonly number[]) => [
      sizeOf(
        Array.from({ length: axis }, (_, k) => k),
        each,
      ),
      each.slice(axis).reduce((a, b) => a * b, 1),
    ];
    const parts = inputs.map((index) => maker.reshape(index, around(maker.shape(index))));
    return maker.op('CONCATENATION', parts, around(shape), { ...options, axis: 1 } as never);
  }
  return undefined;
}

function listOf(maker: OnnxMaker, tensor: number): number[] {
  return Array.from(maker.tensors[tensor]!.data as Int32Array);
}

/** An elementwise operator with broadcasting. Axes join where each input has either all of their elements or one. */
function broadcast(
  maker: OnnxMaker,
  op: Operator['op'],
  inputs: readonly number[],
  shape: readonly number[],
  options: object,
): number | undefined {
  const shapes = inputs.map((index) => {
    const own = maker.shape(index);
    return [...new Array<number>(shape.length - own.length).fill(1), ...own];
  });
  const groups = grouped(
    shape.length,
    (axis) => shape[axis] === 1,
    (before, axis) => shapes.every((own) => (own[before] === 1) === (own[axis] === 1)),
  );
  if (groups.length > mostStored) return undefined;
  const parts = inputs.map((index, place) => {
    const { data } = maker.tensors[index]!;
    const own = mergedBy(groups, shapes[place]!);
    if (data === undefined) return maker.reshape(index, own);
    return maker.tensors.push({ ...maker.tensors[index]!, shape: own }) - 1;
  });
  return maker.op(op, parts, mergedBy(groups, shape), options as never);
}

/** Whether a PAD or a STRIDED_SLICE leaves this axis as it is. */
function isUntouched(maker: OnnxMaker, op: Operator['op'], rest: readonly number[], axis: number): boolean {
  if (op !== 'STRIDED_SLICE') {
    const pads = listOf(maker, rest[0]!);
    return pads[2 * axis] === 0 && pads[2 * axis + 1] === 0;
  }
  return listOf(maker, rest[2]!)[axis] === 1;
}

/** A PAD or a STRIDED_SLICE. Only groups of one axis are touched. */
function moved(
  maker: OnnxMaker,
  op: Operator['op'],
  rest: readonly number[],
  groups: Groups,
  add: (others: number[], groups: Groups, target: number[], changed?: object) => number | undefined,
  target: number[],
  from: readonly number[],
  options: object,
): number | undefined {
  if (op !== 'STRIDED_SLICE') {
    const pads = listOf(maker, rest[0]!);
    const own = groups.flatMap(([axis]) => [pads[2 * axis!]!, pads[2 * axis! + 1]!]);
    return add([maker.integers(own, [groups.length, 2]), ...rest.slice(1)], groups, target);
  }
  const [begin, end, steps] = rest.map((index) => listOf(maker, index)) as [number[], number[], number[]];
  const { endMask } = options as { endMask: number };
  const firsts = groups.map(([axis]) => axis!);
  const ends = groups.map((axes) => (axes.length === 1 ? end[axes[0]!]! : sizeOf(axes, from)));
  const mask = firsts.reduce((bits, axis, place) => bits | (((endMask >> axis) & 1) << place), 0);
  const lists = [firsts.map((axis) => begin[axis]!), ends, firsts.map((axis) => steps[axis]!)];
  return add(
    lists.map((list) => maker.integers(list)),
    groups,
    target,
    { ...options, endMask: mask },
  );
}

/** A TRANSPOSE: axes that stay neighbors become one. If more than six remain, they move to their places one after the other. */
function transposed(maker: OnnxMaker, x: number, order: readonly number[]): number {
  const from = maker.shape(x);
  const groups = grouped(
    from.length,
    (axis) => from[axis] === 1,
    (before, axis) => order.indexOf(axis) === nextAxis(order, from, before),
  );
  const sizes = mergedBy(groups, from);
  const places = order.flatMap((axis) => {
    const place = groups.findIndex(([first]) => first === axis);
    return place === -1 ? [] : [place];
  });
  const move = (tensor: number, shape: readonly number[], axes: number[]) =>
    maker.op(
      'TRANSPOSE',
      [maker.reshape(tensor, [...shape]), maker.integers(axes)],
      axes.map((axis) => shape[axis]!),
      {},
    );
  if (groups.length <= mostStored) return move(x, sizes, places);
  let y = x;
  const current = sizes.map((_, axis) => axis);
  for (const [target, axis] of places.entries()) {
    const at = current.indexOf(axis);
    if (at === target) continue;
    const [before, passed, after] = [
      current.slice(0, target),
      current.slice(target, at),
      current.slice(at + 1),
    ].map((axes) => sizeOf(axes, sizes));
    y = move(y, [before!, passed!, sizes[axis]!, after!], [0, 2, 1, 3]);
    current.splice(at, 1);
    current.splice(target, 0, axis);
  }
  return y;
}

/** The position in the result after this axis, without axes of length 1. */
function nextAxis(order: readonly number[], from: readonly number[], before: number): number {
  let at = order.indexOf(before) + 1;
  while (at < order.length && from[order[at]!] === 1) at++;
  return at;
}
