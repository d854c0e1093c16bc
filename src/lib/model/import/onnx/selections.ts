import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { asReal, asWhole, chosen, counted, inverted, joinedTruths, positionAlong } from './choices.js';
import { type Constant, constantOf } from './constants.js';
import { type Activation, identity, type OnnxMaker } from './maker.js';
import { axisIn } from './node.js';
import { negated, overAxis, plainBinary, plainUnary, scalar } from './pointwise.js';
import { joined, picked, reduced } from './shapes.js';

/** Operators that select elements along one axis, or mark selected positions. */

/** Maximum number of values that a TopK may return. Each needs a few operators. */
const mostRanked = 64;

/** The positions 0, 1, … along one axis, of a value with this many dimensions. */
function positions(count: number, axis: number, rank: number, first = 0): Constant {
  const shape = identity(rank).map((k) => (k === axis ? count : 1));
  return constantOf(
    'int32',
    shape,
    identity(count).map((at) => at + first),
  );
}

/** The largest or smallest values along one axis, one after another: each is replaced by a value below all others once it is found. */
const topK: Lower = (call) => {
  const { maker, attributes, where } = call;
  const x = call.x();
  const rank = x.shape.length;
  const axis = axisIn(attributes.integer('axis', -1), rank, where);
  const count = call.constant(1, 'number of values').data[0] ?? 0;
  if (!(Number.isInteger(count) && count >= 1 && count <= x.shape[axis]!))
    throw malformed(`${where}: it selects ${count} of ${x.shape[axis]} values`);
  if (count > mostRanked)
    throw unsupported(where, `it selects ${count} values`, `select at most ${mostRanked}`);
  const isLargest = attributes.integer('largest', 1) === 1;
  const real = asReal(maker, x) as Activation;
  let rest = isLargest ? real : negated(maker, real);
  const low = belowAll(maker, rest, axis);
  const places = positions(x.shape[axis]!, axis, rank);
  const mayTie = mayBeInfinite(maker, rest);
  const least = mayTie ? leastOf(maker, rest, axis) : low;
  let used: Activation | undefined;
  const [values, found]: [Activation[], Activation[]] = [[], []];
  for (let k = 0; k < count; k++) {
    let at = positionAlong(maker, 'ARG_MAX', rest, axis);
    let best = reduced(maker, 'REDUCE_MAX', rest, [axis], true);
    if (mayTie) {
      if (used !== undefined) at = unusedPosition(maker, at, used, axis);
      // REDUCE_MAX yields the lowest finite number for values of −∞, which the factor turns into −∞.
      const [above, limit] = [best, least].map((each) => maker.two('MUL', each, scalar(1.0001)));
      const isExact = joinedTruths(
        maker,
        'LOGICAL_OR',
        plainBinary(maker, 'GREATER', above!, limit!),
        plainBinary(maker, 'GREATER', best, scalar(0)),
      );
      best = chosen(maker, isExact, best, least);
    }
    values.push(best);
    found.push(at);
    if (k === count - 1) break;
    const isFound = plainBinary(maker, 'EQUAL', at, places);
    rest = chosen(maker, isFound, low, rest);
    if (mayTie) used = used === undefined ? isFound : joinedTruths(maker, 'LOGICAL_OR', used, isFound);
  }
  const all = joined(call, values, axis);
  const signed = isLargest ? all : negated(maker, all);
  return [maker.isWhole(x) ? asWhole(maker, signed) : signed, joined(call, found, axis)];
};

/** The position, or the first unused one if it is used already, because no value is below −∞. */
function unusedPosition(maker: OnnxMaker, at: Activation, used: Activation, axis: number): Activation {
  const places = positions(used.shape[axis]!, axis, used.shape.length);
  const taken = joinedTruths(maker, 'LOGICAL_AND', plainBinary(maker, 'EQUAL', at, places), used);
  const count = reduced(maker, 'REDUCE_MAX', counted(maker, taken), [axis], true);
  const first = positionAlong(maker, 'ARG_MAX', counted(maker, inverted(maker, used)), axis);
  return chosen(maker, plainBinary(maker, 'GREATER', count, scalar(0.5)), first, at);
}

/** Operators that can make infinite values from finite ones. */
const unbounded = new Set<string>(['DIV', 'EXP', 'LOG', 'POW', 'RSQRT']);

/** Operators whose results are finite. */
const bounded = new Set<string>(['CAST', 'LOGISTIC', 'LOG_SOFTMAX', 'RELU6', 'SOFTMAX', 'TANH']);

/** Whether an operator that the value depends on can make infinite values. */
function mayBeInfinite(maker: OnnxMaker, { tensor, before }: Activation): boolean {
  if (before !== undefined) return mayBeInfinite(maker, before);
  const reached = new Set([tensor]);
  for (const { op, inputs, outputs } of maker.operators.toReversed()) {
    if (bounded.has(op) || !outputs.some((each) => reached.has(each))) continue;
    if (unbounded.has(op)) return true;
    for (const input of inputs) reached.add(input);
  }
  return false;
}

/** The smallest value along an axis, which keeps a length of 1. */
function leastOf(maker: OnnxMaker, x: Activation, axis: number): Activation {
  return negated(maker, reduced(maker, 'REDUCE_MAX', negated(maker, x), [axis], true));
}

/** A value below all others along an axis, if they are finite. It is close to them, so that it fits into their scale in int8. */
function belowAll(maker: OnnxMaker, x: Activation, axis: number): Activation {
  const [most, least] = [x, negated(maker, x)].map((each) =>
    reduced(maker, 'REDUCE_MAX', each, [axis], true),
  ) as [Activation, Activation];
  // −least is the smallest value. The other terms make a difference if all values are equal.
  const size = maker.two('MUL', plainUnary(maker, 'ABS', least), scalar(2 ** -21));
  const span = maker.two('ADD', maker.two('ADD', most, least), maker.two('ADD', size, scalar(1e-30)));
  return negated(maker, maker.two('ADD', least, span));
}

/** 1 at the first largest value along an axis, and 0 elsewhere. */
const hardmax: Lower = (call) => {
  const { maker } = call;
  return overAxis(call, (x, axis) => {
    const places = positions(x.shape[axis]!, axis, x.shape.length);
    const at = positionAlong(maker, 'ARG_MAX', x, axis);
    return counted(maker, plainBinary(maker, 'EQUAL', at, places));
  });
};

/** One value at the position that an index states, and another elsewhere. Negative indices count from the end. */
const oneHot: Lower = (call) => {
  const { maker, attributes, where } = call;
  const index = asWhole(maker, call.x());
  const rank = index.shape.length + 1;
  const depth = call.constant(1, 'depth').data[0] ?? 0;
  if (!(Number.isInteger(depth) && depth >= 1))
    throw malformed(`${where}: expected a depth of at least 1, got ${depth}`);
  const values = call.constant(2, 'values');
  if (values.data.length !== 2) throw malformed(`${where}: expected 2 values, got ${values.data.length}`);
  const axis = axisIn(attributes.integer('axis', -1), rank, where);
  maker.budget.spend([depth], where);
  const wide = maker.reshaped(index, [...index.shape.slice(0, axis), 1, ...index.shape.slice(axis)]);
  const marks = [0, -depth].map((first) =>
    plainBinary(maker, 'EQUAL', wide, positions(depth, axis, rank, first)),
  );
  const [off, on] = Array.from(values.data, (value) => constantOf(values.type, [], [value]));
  return chosen(maker, joinedTruths(maker, 'LOGICAL_OR', marks[0]!, marks[1]!), on!, off!);
};

/** The elements along an axis, or of the flattened input, for which a constant condition holds. */
const compress: Lower = (call) => {
  const { maker, attributes, where } = call;
  const given = call.x();
  const isFlat = !attributes.has('axis');
  const x = isFlat
    ? maker.reshaped(given, [given.shape.reduce((product, size) => product * size, 1)])
    : given;
  const axis = isFlat ? 0 : axisIn(attributes.integer('axis', 0), x.shape.length, where);
  const kept = Array.from(call.constant(1, 'condition').data).flatMap((holds, at) =>
    holds === 0 ? [] : [at],
  );
  if (kept.length === 0) throw unsupported(where, 'it selects nothing', 'remove the node');
  if (kept.at(-1)! >= x.shape[axis]!)
    throw malformed(`${where}: its condition is longer than the axis of ${x.shape[axis]} elements`);
  return picked(call, x, axis, kept);
};

/** Ones on a diagonal of a matrix of the input's shape. */
const eyeLike: Lower = (call) => diagonalOf(call, call.x().shape);

function diagonalOf({ attributes, maker, where }: NodeCall, shape: readonly number[]): Constant {
  if (shape.length !== 2) throw malformed(`${where}: [${shape.join(', ')}] is not a matrix`);
  maker.budget.spend(shape, where);
  const [rows, columns] = shape as [number, number];
  const diagonal = attributes.integer('k', 0);
  const ones = identity(rows * columns).map((at) =>
    Number((at % columns) - Math.floor(at / columns) === diagonal),
  );
  return constantOf('float32', shape, ones);
}

export const selectionRows: Readonly<Record<string, Lower>> = {
  Compress: compress,
  EyeLike: eyeLike,
  Hardmax: hardmax,
  OneHot: oneHot,
  TopK: topK,
};
