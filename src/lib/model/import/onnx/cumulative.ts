import { unsupported } from '../errors.js';
import type { Lower } from './call.js';
import { constantOf } from './constants.js';
import { dense } from './linear.js';
import { identity } from './maker.js';
import { axisIn } from './node.js';
import { part, type Reduce, reduction } from './shapes.js';

/** Operators that combine the elements along an axis one after another. */

/** Maximum number of elements in a running sum, whose weights are a square matrix. */
const mostSummed = 1024;

/** A running sum along one axis: a layer whose weights are 1 up to each position. */
const cumulativeSum: Lower = (call) => {
  const { maker, attributes, where } = call;
  const x = call.x();
  const rank = x.shape.length;
  const axis = axisIn(call.constant(1, 'axis').data[0] ?? 0, rank, where);
  const size = x.shape[axis]!;
  if (size > mostSummed)
    throw unsupported(where, `it sums ${size} elements`, `use an axis of at most ${mostSummed}`);
  const isExclusive = attributes.integer('exclusive', 0) === 1;
  const sign = attributes.integer('reverse', 0) === 1 ? -1 : 1;
  const isSummed = (own: number, other: number) => {
    const before = (own - other) * sign;
    return isExclusive ? before > 0 : before >= 0;
  };
  maker.reserve(size * size);
  const weights = identity(size * size).map((at) => Number(isSummed(Math.floor(at / size), at % size)));
  const order = [...identity(rank).filter((each) => each !== axis), axis];
  const y = dense(maker, maker.transposedValue(x, order), constantOf('float32', [size, size], weights));
  return maker.transposedValue(
    y,
    identity(rank).map((each) => order.indexOf(each)),
  );
};

/** Maximum number of factors along one axis of a product, each of which needs operators of its own. */
const mostFactors = 64;

const product: Reduce = (call, x, axes, keep) => {
  const { maker } = call;
  const longest = Math.max(1, ...axes.map((axis) => x.shape[axis]!));
  if (longest > mostFactors)
    throw unsupported(
      call.where,
      `it multiplies ${longest} elements`,
      `use an axis of at most ${mostFactors}`,
    );
  const y = axes.reduce(
    (all, axis) =>
      identity(all.shape[axis]!)
        .map((at) => part(maker, all, axis, at, 1))
        .reduce((a, b) => maker.two('MUL', a, b)),
    x,
  );
  return keep
    ? y
    : maker.reshaped(
        y,
        x.shape.filter((_, k) => !axes.includes(k)),
      );
};

export const cumulativeRows: Readonly<Record<string, Lower>> = {
  CumSum: cumulativeSum,
  ReduceProd: reduction(product),
};
