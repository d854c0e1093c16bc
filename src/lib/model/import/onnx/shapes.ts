import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { counted } from './choices.js';
import { type Constant, constantOf, integers, listIn } from './constants.js';
import { flattened, permutationOf, shapeSlice, splitSizes, squeezed, unsqueezed } from './fold.js';
import { type Activation, identity, type OnnxMaker, type Value } from './maker.js';
import { axisIn, broadcastShape, reshapeTarget, slicedAxes } from './node.js';
import { negated, plainBinary, plainUnary, scalar, unary } from './pointwise.js';
import { sliced } from './windows.js';

const reshape: Lower = (call) => {
  const x = call.x();
  const wanted = call.constant(1, 'shape');
  const allowZero = call.attributes.integer('allowzero', 0) === 1;
  return call.maker.reshaped(x, reshapeTarget(x.shape, listIn(wanted, call.where), allowZero, call.where));
};

const flatten: Lower = (call) => {
  const x = call.x();
  return call.maker.reshaped(x, flattened(x.shape, call.attributes.integer('axis', 1), call.where));
};

const squeeze: Lower = (call) => {
  const x = call.x();
  return call.maker.reshaped(x, squeezed(x.shape, call.numbers('axes', 1), call.where));
};

const unsqueeze: Lower = (call) => {
  const x = call.x();
  return call.maker.reshaped(x, unsqueezed(x.shape, call.numbers('axes', 1) ?? [], call.where));
};

const transpose: Lower = (call) => {
  const x = call.x();
  return call.maker.transposedValue(
    x,
    permutationOf(x.shape.length, call.attributes.integers('perm'), call.where),
  );
};

const concat: Lower = (call) => {
  const parts = call.inputs.flatMap((_, place) =>
    elementCount(call.value(place).shape) === 0 ? [] : [call.x(place)],
  );
  return joined(call, parts, call.attributes.integer('axis', 0));
};

export function joined(call: NodeCall, parts: readonly Activation[], at: number): Activation {
  const { maker, where } = call;
  const [first] = parts;
  if (first === undefined) throw malformed(`${where}: it has no inputs`);
  const axis = axisIn(at, first.shape.length, where);
  const differs = parts.some(
    ({ shape }) =>
      shape.length !== first.shape.length || shape.some((size, k) => k !== axis && size !== first.shape[k]),
  );
  if (differs) throw malformed(`${where}: its inputs have different shapes`);
  if (parts.length === 1) return first;
  // Uses the order in which the largest part is already stored, so that this part need not move.
  const largest = parts.reduce((a, b) => (elementCount(b.shape) > elementCount(a.shape) ? b : a));
  const { order } = maker.settled(largest);
  const tensors = parts.map((part) => maker.arranged(part, order).tensor);
  const shape = first.shape.map((size, k) =>
    k === axis ? parts.reduce((sum, part) => sum + part.shape[axis]!, 0) : size,
  );
  const y = maker.concatenated(tensors, order.indexOf(axis));
  return maker.stored(y, shape, order);
}

const slice: Lower = (call) => {
  const x = call.x();
  const [starts, ends] = [call.constant(1, 'starts'), call.constant(2, 'ends')];
  const [axes, steps] = [call.optional(3, 'axes'), call.optional(4, 'steps')];
  const cut = slicedAxes(
    x.shape,
    listIn(starts, call.where),
    listIn(ends, call.where),
    axes && listIn(axes, call.where),
    steps && listIn(steps, call.where),
    call.where,
  );
  const shape = cut.map(({ count }) => count);
  return shape.includes(0) ? empty(shape) : cutOut(call.maker, x, cut);
};

/** A value without elements, which exporters write for the rest of a tensor that has no rest. */
const empty = (shape: readonly number[]): Constant => constantOf('float32', shape, []);

/** The elements of a slice along each axis, in the file's order. */
export function cutOut(
  maker: OnnxMaker,
  x: Activation,
  cut: readonly { first: number; step: number; count: number }[],
): Activation {
  if (cut.every(({ step, count }, k) => step === 1 && count === x.shape[k])) return x;
  const y = maker.settled(x);
  const begin = y.order.map((axis) => cut[axis]!.first);
  const steps = y.order.map((axis) => cut[axis]!.step);
  const end = y.order.map((axis) => {
    const { first, step, count } = cut[axis]!;
    return first + step * (count - 1) + Math.sign(step);
  });
  const tensor = sliced(maker, y.tensor, begin, end, steps);
  return maker.stored(
    tensor,
    x.shape.map((_, k) => cut[k]!.count),
    y.order,
  );
}

/** Part of a value along one axis. */
export function part(
  maker: OnnxMaker,
  x: Activation,
  axis: number,
  first: number,
  count: number,
): Activation {
  return cutOut(
    maker,
    x,
    x.shape.map((size, k) => (k === axis ? { first, step: 1, count } : { first: 0, step: 1, count: size })),
  );
}

/** Maximum number of slices that one selection of elements may need. */
const mostRuns = 256;

/** The elements at these positions along one axis: slices, joined where the positions are not evenly spaced. */
export function picked(call: NodeCall, x: Activation, axis: number, places: readonly number[]): Activation {
  const runs: { first: number; step: number; count: number }[] = [];
  for (const at of places) {
    const last = runs.at(-1);
    const step = last && at - (last.first + (last.count - 1) * last.step);
    if (last && last.count === 1 && step !== 0) [last.step, last.count] = [step!, 2];
    else if (last && step === last.step) last.count += 1;
    else runs.push({ first: at, step: 1, count: 1 });
  }
  if (runs.length > mostRuns)
    throw unsupported(
      call.where,
      `it has ${runs.length} separate runs of positions`,
      'use evenly spaced positions',
    );
  const whole = x.shape.map((count) => ({ first: 0, step: 1, count }));
  const parts = runs.map((run) =>
    cutOut(
      call.maker,
      x,
      whole.map((all, k) => (k === axis ? run : all)),
    ),
  );
  return joined(call, parts, axis);
}

const split: Lower = (call) => {
  const { maker, where } = call;
  const x = maker.settled(call.x());
  const axis = axisIn(call.attributes.integer('axis', 0), x.shape.length, where);
  const sizes = splitSizes(x.shape[axis]!, call.numbers('split', 1), call.outputs.length, where);
  let first = 0;
  return sizes.map((size): Value => {
    const start = first;
    first += size;
    if (size === 0) return empty(x.shape.map((all, k) => (k === axis ? 0 : all)));
    return part(maker, x, axis, start, size);
  });
};

/** Gather with constant indices: slices, joined where the indices are not consecutive. Computed indices look up rows, as in an embedding. */
const gather: Lower = (call) => {
  const { maker, where } = call;
  const places = call.value(1);
  if (places.kind === 'activation') return lookedUp(call, places);
  const indices = call.constant(1, 'index');
  const x = call.x();
  const axis = axisIn(call.attributes.integer('axis', 0), x.shape.length, where);
  const size = x.shape[axis]!;
  const list = listIn(indices, call.where).map((at) => (at < 0 ? at + size : at));
  if (list.length === 0 || list.some((at) => !Number.isInteger(at) || at < 0 || at >= size))
    throw malformed(`${where}: an index is outside of 0 to ${size - 1}`);
  const y = picked(call, x, axis, list);
  return maker.reshaped(y, [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)]);
};

/** Gather with indices that the model receives or computes. Negative indices, which count from the end, are not supported. */
function lookedUp(call: NodeCall, places: Activation): Activation {
  const { maker, where } = call;
  const index = maker.inFileOrder(places);
  if (maker.typeOf(index) !== 'int32') throw unsupported(where, 'its indices are not whole numbers');
  const x = call.x();
  const axis = axisIn(call.attributes.integer('axis', 0), x.shape.length, where);
  const shape = [...x.shape.slice(0, axis), ...places.shape, ...x.shape.slice(axis + 1)];
  const options = { axis, batchDims: 0 };
  return maker.plain(maker.op('GATHER', [maker.inFileOrder(x), index], shape, options), shape);
}

const expand: Lower = (call) => {
  const x = call.x();
  const shape = broadcastShape(x.shape, listIn(call.constant(1, 'shape'), call.where), call.where);
  const { maker } = call;
  const wide = maker.ranked(x, shape.length);
  if (maker.typeOfValue(wide) === 'int32') {
    // Adding zeros broadcasts.
    const zeros = shape.map((size, k) => (wide.shape[k] === size ? 1 : size));
    maker.budget.spend(zeros, call.where);
    const tensor = maker.integers(new Array<number>(elementCount(zeros)).fill(0), zeros);
    return maker.plain(
      maker.op('ADD', [maker.inFileOrder(wide), tensor], shape, { activation: 'none' }),
      shape,
    );
  }
  return repeated(
    call,
    wide,
    shape.map((size, k) => size / wide.shape[k]!),
  );
};

const tile: Lower = (call) => {
  const repeats = listIn(call.constant(1, 'repeats'), call.where);
  const x = call.x();
  if (repeats.length !== x.shape.length)
    throw malformed(
      `${call.where}: expected one repeat for each axis of [${x.shape.join(', ')}], got ${repeats.length}`,
    );
  return repeated(call, x, repeats);
};

/** Repeats the value several times along each axis. */
function repeated(call: NodeCall, x: Activation, counts: readonly number[]): Activation {
  return counts.reduce((y, count, axis) => {
    if (count === 1) return y;
    if (!(count >= 1 && count <= 256))
      throw unsupported(call.where, `it repeats its input ${count} times`, 'use at most 256 repetitions');
    return joined(call, new Array<Activation>(count).fill(y), axis);
  }, x);
}

const pad: Lower = (call) => {
  const { maker, where, attributes } = call;
  const x = maker.settled(call.x());
  const rank = x.shape.length;
  const given = listIn(call.constant(1, 'pads'), where);
  const axes = call.optional(3, 'axes');
  const which = axes ? listIn(axes, where).map((axis) => axisIn(axis, rank, where)) : identity(rank);
  if (given.length !== 2 * which.length)
    throw malformed(
      `${where}: expected ${2 * which.length} pads for ${which.length} axes, got ${given.length}`,
    );
  const sides = identity(rank).map((axis): [number, number] => {
    const at = which.indexOf(axis);
    return at === -1 ? [0, 0] : [given[at]!, given[at + which.length]!];
  });
  const mode = attributes.text('mode', 'constant');
  const value = call.optional(2, 'constant_value')?.data[0] ?? 0;
  const cut = sides.map(([before, after], k) => {
    const first = Math.max(0, -before);
    return { first, step: 1, count: x.shape[k]! - first - Math.max(0, -after) };
  });
  if (cut.some(({ count }) => count < 1))
    throw malformed(`${where}: its negative pads remove the whole input`);
  const inner = cutOut(maker, x, cut);
  const added = sides.map((side) => side.map((count) => Math.max(0, count)) as [number, number]);
  if (mode === 'constant') return constantPadded(maker, inner, added, value);
  if (mode === 'edge' || mode === 'reflect' || mode === 'wrap') return continued(call, inner, added, mode);
  throw malformed(`${where}: unknown mode ${JSON.stringify(mode)}`);
};

/** Removes or adds elements on both sides of some axes. The centre stays; an odd element is removed or added after it. */
const centerCropPad: Lower = (call) => {
  const { maker, where } = call;
  const x = maker.settled(call.x());
  const rank = x.shape.length;
  const wanted = listIn(call.constant(1, 'shape'), where);
  const axes = (call.attributes.integers('axes') ?? identity(rank)).map((axis) => axisIn(axis, rank, where));
  if (wanted.length !== axes.length || wanted.some((size) => !(size >= 1)))
    throw malformed(`${where}: expected a size for each of ${axes.length} axes, got [${wanted.join(', ')}]`);
  const sizes = x.shape.map((size, k) => wanted[axes.indexOf(k)] ?? size);
  const cut = sizes.map((size, k) => {
    const first = Math.max(0, Math.floor((x.shape[k]! - size) / 2));
    return { first, step: 1, count: Math.min(size, x.shape[k]!) };
  });
  const added = sizes.map((size, k): [number, number] => {
    const missing = Math.max(0, size - x.shape[k]!);
    return [Math.floor(missing / 2), Math.ceil(missing / 2)];
  });
  return constantPadded(maker, cutOut(maker, x, cut), added, 0);
};

function constantPadded(
  maker: OnnxMaker,
  x: Activation,
  sides: [number, number][],
  value: number,
): Activation {
  if (sides.flat().every((count) => count === 0)) return x;
  const shape = x.shape.map((size, k) => size + sides[k]![0] + sides[k]![1]);
  const stored = maker.storedShape({ shape, order: x.order });
  const list = maker.integers(
    x.order.flatMap((axis) => sides[axis]!),
    [x.order.length, 2],
  );
  const y =
    value === 0
      ? maker.op('PAD', [x.tensor, list], stored, {})
      : maker.op('PADV2', [x.tensor, list, maker.constantFor(x.tensor, scalar(value))], stored, {});
  return maker.stored(y, shape, x.order);
}

/** Pads by repeating the edge, by mirroring the elements beside it, or with those of the opposite side. */
function continued(
  call: NodeCall,
  x: Activation,
  sides: [number, number][],
  mode: 'edge' | 'reflect' | 'wrap',
): Activation {
  const { where } = call;
  return sides.reduce((y, [before, after], axis) => {
    if (before + after === 0) return y;
    const size = y.shape[axis]!;
    if (mode === 'reflect' && Math.max(before, after) >= size)
      throw malformed(`${where}: ${size} elements are too few to be mirrored by its pads`);
    if (before + after > 256)
      throw unsupported(where, `it pads with ${before + after} elements`, 'use at most 256');
    const placeOf = (at: number): number => {
      if (mode === 'wrap') return ((at % size) + size) % size;
      if (mode === 'edge') return Math.min(Math.max(at, 0), size - 1);
      return at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
    };
    const front = Array.from({ length: before }, (_, k) => placeOf(k - before));
    const back = Array.from({ length: after }, (_, k) => placeOf(size + k));
    const parts = [front, back].map((places) => (places.length > 0 ? [picked(call, y, axis, places)] : []));
    return joined(call, [...parts[0]!, y, ...parts[1]!], axis);
  }, x);
}

/** MEAN or REDUCE_MAX over axes given in the file's order. */
export function reduced(
  maker: OnnxMaker,
  op: 'MEAN' | 'REDUCE_MAX',
  x: Activation,
  axes: readonly number[],
  keep: boolean,
): Activation {
  if (axes.length === 0) return x;
  const y = maker.settled(x);
  const places = axes.map((axis) => y.order.indexOf(axis)).sort((a, b) => a - b);
  const stored = maker.shape(y.tensor).map((size, k) => (places.includes(k) ? 1 : size));
  const made = maker.op(op, [y.tensor, maker.integers(places)], stored, { keepDims: true });
  const kept = maker.stored(
    made,
    x.shape.map((size, k) => (axes.includes(k) ? 1 : size)),
    y.order,
  );
  return keep
    ? kept
    : maker.reshaped(
        kept,
        x.shape.filter((_, k) => !axes.includes(k)),
      );
}

/** Reduces some axes of a value. @param keep whether they keep a length of 1 */
export type Reduce = (call: NodeCall, x: Activation, axes: number[], keep: boolean) => Activation;

export const reduction =
  (reduce: Reduce): Lower =>
  (call) => {
    const x = call.x();
    const rank = x.shape.length;
    const given = call.numbers('axes', 1) ?? [];
    const noop = call.attributes.integer('noop_with_empty_axes', 0) === 1;
    const axes =
      given.length > 0 ? given.map((axis) => axisIn(axis, rank, call.where)) : noop ? [] : identity(rank);
    return reduce(call, x, [...new Set(axes)], call.attributes.integer('keepdims', 1) === 1);
  };

const mean: Reduce = ({ maker }, x, axes, keep) => reduced(maker, 'MEAN', x, axes, keep);

export const sum: Reduce = ({ maker }, x, axes, keep) => {
  const count = axes.reduce((product, axis) => product * x.shape[axis]!, 1);
  const y = reduced(maker, 'MEAN', x, axes, keep);
  return count === 1 ? y : maker.two('MUL', y, scalar(count));
};

const squares: Reduce = (call, x, axes, keep) => sum(call, call.maker.two('MUL', x, x), axes, keep);

const absolutes: Reduce = (call, x, axes, keep) => {
  const { maker } = call;
  const size = maker.two('ADD', unary(maker, 'RELU', x), unary(maker, 'RELU', negated(maker, x)));
  return sum(call, size, axes, keep);
};

const length: Reduce = (call, x, axes, keep) => plainUnary(call.maker, 'SQRT', squares(call, x, axes, keep));

const most: Reduce = ({ maker }, x, axes, keep) => reduced(maker, 'REDUCE_MAX', x, axes, keep);

const least: Reduce = ({ maker }, x, axes, keep) =>
  negated(maker, reduced(maker, 'REDUCE_MAX', negated(maker, x), axes, keep));

/** ReduceMax or ReduceMin, also of truth values, which count as 1 and 0. */
const extreme =
  (reduce: Reduce): Reduce =>
  (call, x, axes, keep) => {
    const { maker } = call;
    if (maker.typeOfValue(x) !== 'bool') return reduce(call, x, axes, keep);
    return plainBinary(maker, 'NOT_EQUAL', reduce(call, counted(maker, x), axes, keep), scalar(0));
  };

const logOfSum: Reduce = (call, x, axes, keep) => plainUnary(call.maker, 'LOG', sum(call, x, axes, keep));

/** The largest value is subtracted before EXP, which would overflow, and added to the result. */
const logOfExponentials: Reduce = (call, x, axes, keep) => {
  const { maker } = call;
  const largest = most(call, x, axes, true);
  const rest = plainUnary(maker, 'EXP', maker.two('SUB', x, largest));
  const y = maker.two('ADD', plainUnary(maker, 'LOG', sum(call, rest, axes, true)), largest);
  return keep
    ? y
    : maker.reshaped(
        y,
        x.shape.filter((_, k) => !axes.includes(k)),
      );
};

/** Divides by the sum of absolute values, or by the length, along one axis. */
const normalized: Lower = (call) => {
  const x = call.x();
  const p = call.attributes.integer('p', 2);
  if (p !== 1 && p !== 2) throw unsupported(call.where, `its p is ${p}, expected 1 or 2`);
  const axis = axisIn(call.attributes.integer('axis', -1), x.shape.length, call.where);
  return plainBinary(call.maker, 'DIV', x, (p === 1 ? absolutes : length)(call, x, [axis], true));
};

const shapeOf: Lower = (call) => integers(shapeSlice(call.x().shape, call.attributes));

const size: Lower = (call): Constant => ({ ...integers([elementCount(call.x().shape)]), shape: [] });

/** Moves blocks of channels into blocks of the image [batch, channels, height, width]. */
const depthToSpace: Lower = (call) => {
  const { maker, where } = call;
  const x = call.x();
  const block = call.attributes.integer('blocksize', 0);
  const [batch = 1, channels = 0, high = 1, wide = 1] = x.shape;
  const inner = channels / block ** 2;
  if (x.shape.length !== 4 || !Number.isInteger(inner))
    throw malformed(`${where}: a block size of ${block} does not fit [${x.shape.join(', ')}]`);
  const isColumnFirst = call.attributes.text('mode', 'DCR') === 'CRD';
  const wider = isColumnFirst
    ? [batch, inner, block, block, high, wide]
    : [batch, block, block, inner, high, wide];
  const order = isColumnFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  const y = maker.transposedValue(maker.reshaped(x, wider), order);
  return maker.reshaped(y, [batch, inner, high * block, wide * block]);
};

const spaceToDepth: Lower = (call) => {
  const { maker, where } = call;
  const x = call.x();
  const block = call.attributes.integer('blocksize', 0);
  const [batch = 1, channels = 1, high = 0, wide = 0] = x.shape;
  if (x.shape.length !== 4 || !(block >= 1) || high % block !== 0 || wide % block !== 0)
    throw malformed(`${where}: a block size of ${block} does not fit [${x.shape.join(', ')}]`);
  const y = maker.reshaped(x, [batch, channels, high / block, block, wide / block, block]);
  return maker.reshaped(maker.transposedValue(y, [0, 3, 5, 1, 2, 4]), [
    batch,
    channels * block ** 2,
    high / block,
    wide / block,
  ]);
};

export const shapeRows: Readonly<Record<string, Lower>> = {
  CenterCropPad: centerCropPad,
  Concat: concat,
  DepthToSpace: depthToSpace,
  Expand: expand,
  Flatten: flatten,
  Gather: gather,
  LpNormalization: normalized,
  Pad: pad,
  ReduceL1: reduction(absolutes),
  ReduceL2: reduction(length),
  ReduceLogSum: reduction(logOfSum),
  ReduceLogSumExp: reduction(logOfExponentials),
  ReduceMax: reduction(extreme(most)),
  ReduceMean: reduction(mean),
  ReduceMin: reduction(extreme(least)),
  ReduceSum: reduction(sum),
  ReduceSumSquare: reduction(squares),
  Reshape: reshape,
  Shape: shapeOf,
  Size: size,
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
  Unsqueeze: unsqueeze,
};
