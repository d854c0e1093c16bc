import type { OperatorName } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { constantOf, type ElementType, elementTypeOf, finite, isReal } from './constants.js';
import { constantAs, permuted, triangle } from './fold.js';
import type { Activation, OnnxMaker, Value } from './maker.js';
import { axisIn, broadcastShape } from './node.js';
import { plainBinary, scalar } from './pointwise.js';

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
    joined(call.maker, op, call.value(0), call.value(1));

function joined(maker: OnnxMaker, op: 'LOGICAL_AND' | 'LOGICAL_OR', a: Value, b: Value): Activation {
  const { tensors, shape, order } = alike(maker, [a, b], ['bool', 'bool']);
  return maker.stored(maker.op(op, tensors, maker.storedShape({ shape, order }), {}), shape, order);
}

const inverted = (maker: OnnxMaker, x: Activation) =>
  maker.each(x, (tensor) => maker.op('LOGICAL_NOT', [tensor], maker.shape(tensor), {}));

/** (a or b) and not (a and b) */
const exclusive: Lower = (call) => {
  const { maker } = call;
  const [a, b] = [call.value(0), call.value(1)];
  const both = joined(maker, 'LOGICAL_AND', a, b);
  return joined(maker, 'LOGICAL_AND', joined(maker, 'LOGICAL_OR', a, b), inverted(maker, both));
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

/** Positions along one axis, as int32. */
const position =
  (op: 'ARG_MAX' | 'ARG_MIN'): Lower =>
  (call) => {
    const { maker, attributes } = call;
    const x = maker.settled(call.x());
    if (x.shape.length === 0) throw malformed(`${call.where}: expected at least one dimension`);
    const axis = axisIn(attributes.integer('axis', 0), x.shape.length, call.where);
    const place = x.order.indexOf(axis);
    const kept = x.shape.map((size, k) => (k === axis ? 1 : size));
    const stored = maker.storedShape({ shape: kept, order: x.order });
    const inner = stored.filter((_, k) => k !== place);
    const length = inner.length === 0 ? [1] : inner;
    const best = (from: number) =>
      maker.op(op, [from, maker.integers([place], [1])], length, { outputType: 'int32' });
    // If the largest value occurs several times, ARG_MAX returns its first position, so the last one is found from behind.
    const isLast = attributes.integer('select_last_index', 0) === 1;
    const found = isLast
      ? maker.op(
          'SUB',
          [maker.integers([x.shape[axis]! - 1]), best(reversed(maker, x.tensor, place))],
          length,
          { activation: 'none' },
        )
      : best(x.tensor);
    const y = maker.stored(maker.reshape(found, stored), kept, x.order);
    if (attributes.integer('keepdims', 1) === 1) return y;
    return maker.reshaped(
      y,
      x.shape.filter((_, k) => k !== axis),
    );
  };

/** A truth value as 1 or 0. */
export function counted(maker: OnnxMaker, test: Activation): Activation {
  return maker.each(test, (tensor) =>
    maker.op('CAST', [tensor], maker.shape(tensor), { inDataType: 'bool', outDataType: 'float32' }),
  );
}

/** 1 above 0, −1 below, and 0 for 0. */
const sign: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  const test = (op: OperatorName) => counted(maker, plainBinary(maker, op, x, scalar(0)));
  return maker.two('SUB', test('GREATER'), test('LESS'));
};

/** Activations are float32, int32 for indices, or bool for comparisons. */
const cast: Lower = (call) => converted(call, elementTypeOf(call.attributes.integer('to', 1), call.where));

/** A Cast to the type of the second input. */
const castLike: Lower = (call) => {
  const like = call.value(1);
  return converted(call, like.kind === 'constant' ? like.type : call.maker.typeOfValue(like));
};

function converted(call: NodeCall, type: ElementType): Value {
  const { maker } = call;
  const x = call.value(0);
  if (x.kind === 'constant') return constantAs(type, x, call.where, maker.budget);
  const from = maker.typeOfValue(x);
  const to = isReal(type)
    ? 'float32'
    : type === 'int32' || type === 'int64'
      ? 'int32'
      : type === 'bool'
        ? 'bool'
        : undefined;
  if (to !== undefined && to === from) return x;
  if (to === 'bool') return plainBinary(maker, 'NOT_EQUAL', x, scalar(0));
  if (to !== undefined)
    return maker.each(x, (tensor) =>
      maker.op('CAST', [tensor], maker.shape(tensor), { inDataType: from, outDataType: to }),
    );
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
  Not: (call) => inverted(call.maker, call.x()),
  Or: logical('LOGICAL_OR'),
  Sign: sign,
  Trilu: trilu,
  Where: (call) => chosen(call.maker, call.value(0), call.value(1), call.value(2)),
  Xor: exclusive,
};
