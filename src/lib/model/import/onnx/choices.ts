import type { OperatorName } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { constantOf, type ElementType, elementTypeOf, finite, isReal } from './constants.js';
import { constantAs, permuted, triangle } from './fold.js';
import { type Activation, type OnnxMaker, type Value, withElement } from './maker.js';
import { axisIn, broadcastShape } from './node.js';
import { negated, plainBinary, plainUnary, scalar } from './pointwise.js';
import { isSmallFloat } from './small-elements.js';

/** Operators that compare, and that choose by the result. Truth values are bool tensors, which only these operators and Cast read. */

type Comparison = 'EQUAL' | 'NOT_EQUAL' | 'GREATER' | 'GREATER_EQUAL' | 'LESS' | 'LESS_EQUAL';

/** A comparison of real numbers, or of indices with indices or constants. */
const compared =
  (op: Comparison): Lower =>
  (call) => {
    const { maker, where } = call;
    const [a, b] = [call.value(0), call.value(1)];
    const types = [a, b].flatMap((value) => (value.kind === 'activation' ? maker.typeOfValue(value) : []));
    if (types.every((type) => type === 'float32')) return plainBinary(maker, op, a, b);
    const shape = broadcastShape(a.shape, b.shape, where);
    const tensors = [a, b].map((value) => {
      if (value.kind === 'activation') return maker.inFileOrder(value);
      maker.budget.spend(value.shape, where);
      return maker.integers([...value.data], [...value.shape]);
    });
    if (!tensors.every((tensor) => maker.typeOf(tensor) === 'int32'))
      throw unsupported(where, 'a comparison of truth values is not supported', 'use And, Or and Not');
    return maker.plain(maker.op(op, tensors, shape, {}), shape);
  };

/** All values in one order of stored axes, as tensors that broadcast; constants become tensors of the type that `typed` states. */
function alike(
  maker: OnnxMaker,
  values: readonly Value[],
  typed: readonly ('float32' | 'int32' | 'bool')[],
): { tensors: number[]; shape: number[]; order: number[] } {
  const shape = values.reduce<number[]>((all, each) => broadcastShape(all, each.shape, maker.where), []);
  const computed = values.filter((value) => value.kind === 'activation');
  const whole = computed.map((value) => maker.ranked(value, shape.length));
  const size = (x: Activation) => x.shape.reduce((product, length) => product * length, 1);
  const [lead] = whole.sort((x, y) => size(y) - size(x));
  const { order } = maker.settled(lead!);
  const tensors = values.map((value, place) => {
    if (value.kind === 'activation') return maker.arranged(maker.ranked(value, shape.length), order).tensor;
    const full = [...new Array<number>(shape.length - value.shape.length).fill(1), ...value.shape];
    const moved = permuted({ ...value, shape: full }, order);
    if (typed[place] === 'bool') return maker.truths(moved);
    return typed[place] === 'int32' ? maker.wholes(moved) : maker.weights(finite(moved));
  });
  return { tensors, shape, order };
}

const logical =
  (op: 'LOGICAL_AND' | 'LOGICAL_OR'): Lower =>
  (call) =>
    joinedTruths(call.maker, op, call.value(0), call.value(1));

export function joinedTruths(
  maker: OnnxMaker,
  op: 'LOGICAL_AND' | 'LOGICAL_OR',
  a: Value,
  b: Value,
): Activation {
  const { tensors, shape, order } = alike(maker, [a, b], ['bool', 'bool']);
  return maker.stored(maker.op(op, tensors, maker.storedShape({ shape, order }), {}), shape, order);
}

export const inverted = (maker: OnnxMaker, x: Activation) =>
  maker.each(x, (tensor) => maker.op('LOGICAL_NOT', [tensor], maker.shape(tensor), {}));

/** (a or b) and not (a and b) */
const exclusive: Lower = (call) => {
  const { maker } = call;
  const [a, b] = [call.value(0), call.value(1)];
  const both = joinedTruths(maker, 'LOGICAL_AND', a, b);
  return joinedTruths(maker, 'LOGICAL_AND', joinedTruths(maker, 'LOGICAL_OR', a, b), inverted(maker, both));
};

/** The second value where the test is true, otherwise the third. */
export function chosen(maker: OnnxMaker, test: Value, yes: Value, no: Value): Activation {
  const isWhole = [yes, no].some((value) =>
    value.kind === 'activation' ? maker.isWhole(value) : value.type === 'int32' || value.type === 'int64',
  );
  const type = isWhole ? 'int32' : 'float32';
  const { tensors, shape, order } = alike(maker, [test, yes, no], ['bool', type, type]);
  return maker.stored(maker.op('SELECT_V2', tensors, maker.storedShape({ shape, order }), {}), shape, order);
}

const trilu: Lower = (call) => {
  const x = call.x();
  const isKept = triangle(x.shape, call.attributes, call.numbers('k', 1)?.[0], call.where);
  const length = x.shape.reduce((product, size) => product * size, 1);
  call.maker.budget.spend(x.shape, call.where);
  const mask = Array.from({ length }, (_, at) => Number(isKept(at)));
  return chosen(call.maker, constantOf('bool', x.shape, mask), x, scalar(0));
};

const reversed = (maker: OnnxMaker, tensor: number, axis: number) =>
  maker.op('REVERSE_V2', [tensor, maker.integers([axis])], maker.shape(tensor), {});

/** Positions of the largest or smallest values along one axis, as int32. The axis keeps a length of 1. @param isLast of several equal values */
export function positionAlong(
  maker: OnnxMaker,
  op: 'ARG_MAX' | 'ARG_MIN',
  value: Activation,
  axis: number,
  isLast = false,
): Activation {
  if (value.shape.length === 1) {
    const row = positionAlong(maker, op, maker.reshaped(value, [1, ...value.shape]), 1, isLast);
    return maker.reshaped(row, [1]);
  }
  const x = maker.settled(value);
  const place = x.order.indexOf(axis);
  const kept = x.shape.map((size, k) => (k === axis ? 1 : size));
  const stored = maker.storedShape({ shape: kept, order: x.order });
  const inner = stored.filter((_, k) => k !== place);
  const best = (from: number) =>
    maker.op(op, [from, maker.integers([place], [1])], inner, { outputType: 'int32' });
  // If the largest value occurs several times, ARG_MAX returns its first position, so the last one is found from behind.
  const found = isLast
    ? maker.op('SUB', [maker.integers([x.shape[axis]! - 1]), best(reversed(maker, x.tensor, place))], inner, {
        activation: 'none',
      })
    : best(x.tensor);
  return maker.stored(maker.reshape(found, stored), kept, x.order);
}

const position =
  (op: 'ARG_MAX' | 'ARG_MIN'): Lower =>
  (call) => {
    const { maker, attributes } = call;
    const x = call.x();
    if (x.shape.length === 0) throw malformed(`${call.where}: expected at least one dimension`);
    const axis = axisIn(attributes.integer('axis', 0), x.shape.length, call.where);
    const y = positionAlong(maker, op, x, axis, attributes.integer('select_last_index', 0) === 1);
    if (attributes.integer('keepdims', 1) === 1) return y;
    return maker.reshaped(
      y,
      x.shape.filter((_, k) => k !== axis),
    );
  };

/** The values with elements of another type. A conversion from float32 to int32 rounds towards 0. */
function converted(maker: OnnxMaker, x: Activation, type: 'float32' | 'int32'): Activation {
  const from = maker.typeOfValue(x);
  if (from === type) return withElement(x, undefined);
  return maker.each(x, (tensor) =>
    maker.op('CAST', [tensor], maker.shape(tensor), { inDataType: from, outDataType: type }),
  );
}

/** A truth value as 1 or 0. */
export const counted = (maker: OnnxMaker, test: Activation) => converted(maker, test, 'float32');

export const asReal = (maker: OnnxMaker, x: Value): Value =>
  x.kind === 'constant' ? x : converted(maker, x, 'float32');

export const asWhole = (maker: OnnxMaker, x: Activation) => converted(maker, x, 'int32');

/** The lowest bits of integers as a number of this type, because a conversion drops the others. */
function lowestBits(maker: OnnxMaker, x: Activation, bits: number, isSigned: boolean): Activation {
  if (!isSigned) return flooredRemainder(maker, x, scalar(2 ** bits));
  const half = scalar(2 ** (bits - 1));
  return maker.two('SUB', flooredRemainder(maker, maker.two('ADD', x, half), scalar(2 ** bits)), half);
}

/** Real numbers rounded to integers; halves are rounded away from 0, as ONNX Runtime does for integers of 4 bits. */
function roundedAway(maker: OnnxMaker, x: Activation): Activation {
  if (maker.typeOfValue(x) !== 'float32') return asWhole(maker, x);
  const half = chosen(maker, plainBinary(maker, 'LESS', x, scalar(0)), scalar(-0.5), scalar(0.5));
  return asWhole(maker, maker.two('ADD', x, half));
}

/** The remainder of a division of integers that rounds towards 0, which has the sign of the first one. */
const remainder = (maker: OnnxMaker, a: Value, b: Value) =>
  maker.two('SUB', a, maker.two('MUL', plainBinary(maker, 'DIV', a, b), b));

/** The remainder of a division of integers that rounds down, which has the sign of the second one. */
const flooredRemainder = (maker: OnnxMaker, a: Value, b: Value) =>
  remainder(maker, maker.two('ADD', remainder(maker, a, b), b), b);

/** A remainder of integers with the sign of the second input, or with `fmod` that of the first one. Real numbers need `fmod`. */
const modulo: Lower = (call) => {
  const { maker } = call;
  const [a, b] = [call.value(0), call.value(1)];
  const isTruncated = call.attributes.integer('fmod', 0) === 1;
  if (![a, b].some((value) => value.kind === 'activation' && maker.typeOfValue(value) === 'float32'))
    return (isTruncated ? remainder : flooredRemainder)(maker, a, b);
  if (!isTruncated) throw malformed(`${call.where}: for real numbers, fmod must be 1`);
  const size = (value: Value): Value =>
    value.kind === 'activation'
      ? plainUnary(maker, 'ABS', value)
      : { ...value, data: value.data.map(Math.abs) };
  const rest = plainBinary(maker, 'FLOOR_MOD', size(a), size(b));
  const isNegative = plainBinary(maker, 'LESS', a.kind === 'activation' ? a : call.x(), scalar(0));
  return chosen(maker, isNegative, negated(maker, rest), rest);
};

/** x + bias below −λ, x − bias above λ, and 0 between. */
const shrink: Lower = (call) => {
  const { maker, attributes } = call;
  const x = call.x();
  const [bias, limit] = [attributes.float('bias', 0), attributes.float('lambd', 0.5)];
  const shifted = (by: number) => (by === 0 ? x : maker.two('ADD', x, scalar(by)));
  const beyond = (op: 'GREATER' | 'LESS', at: number) => plainBinary(maker, op, x, scalar(at));
  const above = chosen(maker, beyond('GREATER', limit), shifted(-bias), scalar(0));
  return chosen(maker, beyond('LESS', -limit), shifted(bias), above);
};

/** x above the threshold α, otherwise 0. */
const thresholded: Lower = (call) => {
  const x = call.x();
  const limit = scalar(call.attributes.float('alpha', 1));
  return chosen(call.maker, plainBinary(call.maker, 'GREATER', x, limit), x, scalar(0));
};

/** 1 above 0, −1 below, and 0 for 0. */
const sign: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  const test = (op: OperatorName) => counted(maker, plainBinary(maker, op, x, scalar(0)));
  return maker.two('SUB', test('GREATER'), test('LESS'));
};

const cast: Lower = (call) => castTo(call, elementTypeOf(call.attributes.integer('to', 1), call.where));

/** A Cast to the type of the second input. */
const castLike: Lower = (call) => {
  const like = call.value(1);
  const type = like.kind === 'constant' ? like.type : (like.element ?? call.maker.typeOfValue(like));
  return castTo(call, type as ElementType);
};

/** Activations are float32, int32 for integers, or bool for comparisons. */
function castTo(call: NodeCall, type: ElementType): Value {
  const { maker } = call;
  const x = call.value(0);
  const saturates = call.attributes.integer('saturate', 1) !== 0;
  if (x.kind === 'constant') return constantAs(type, x, call.where, maker.budget, saturates);
  if (isReal(type) && !isSmallFloat(type)) return converted(maker, x, 'float32');
  if (type === 'int32' || type === 'int64') return asWhole(maker, x);
  const from = maker.typeOfValue(x);
  if (type === 'bool') return from === 'bool' ? x : plainBinary(maker, 'NOT_EQUAL', x, scalar(0));
  if (type === 'int4' || type === 'uint4')
    return lowestBits(maker, roundedAway(maker, x), 4, type === 'int4');
  if (type === 'int8' || type === 'uint8') {
    const whole = asWhole(maker, x);
    return { ...(from === 'bool' ? whole : lowestBits(maker, whole, 8, type === 'int8')), element: type };
  }
  throw unsupported(
    call.where,
    `a conversion of computed values to ${type} is not supported`,
    'keep float values',
  );
}

export const choiceRows: Readonly<Record<string, Lower>> = {
  And: logical('LOGICAL_AND'),
  ArgMax: position('ARG_MAX'),
  ArgMin: position('ARG_MIN'),
  Cast: cast,
  CastLike: castLike,
  Equal: compared('EQUAL'),
  Greater: compared('GREATER'),
  GreaterOrEqual: compared('GREATER_EQUAL'),
  Less: compared('LESS'),
  LessOrEqual: compared('LESS_EQUAL'),
  Mod: modulo,
  Not: (call) => inverted(call.maker, call.x()),
  Or: logical('LOGICAL_OR'),
  Shrink: shrink,
  Sign: sign,
  ThresholdedRelu: thresholded,
  Trilu: trilu,
  Where: (call) => chosen(call.maker, call.value(0), call.value(1), call.value(2)),
  Xor: exclusive,
};
