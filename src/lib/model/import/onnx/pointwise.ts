import { elementCount, type OperatorName } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf, finite } from './constants.js';
import type { Activation, OnnxMaker, Value } from './maker.js';

type Unary = 'RELU' | 'RELU6' | 'TANH' | 'LOGISTIC';

export function unary(maker: OnnxMaker, op: Unary, x: Activation): Activation {
  return maker.each(x, (tensor) => maker.op(op, [tensor], maker.shape(tensor), {}));
}

/** A number as a constant. */
export function scalar(value: number): Constant {
  return constantOf('float32', [], [value]);
}

/** An operator with one input and no options. @throws AIOT_LAYER_UNSUPPORTED if the runtime does not support it */
export function plainUnary(maker: OnnxMaker, op: string, x: Activation): Activation {
  requireOperator(maker, op);
  return maker.each(x, (tensor) => maker.op(op as OperatorName, [tensor], maker.shape(tensor), {} as never));
}

export function requireOperator(maker: OnnxMaker, op: string): void {
  if (!maker.has(op))
    throw unsupported(
      maker.where,
      `it needs ${op}, which the runtime does not have`,
      'compute it before or after the model',
    );
}

/** DIV, MAXIMUM, MINIMUM, …: an operator with two inputs that are broadcast. */
export function plainBinary(maker: OnnxMaker, op: string, a: Value, b: Value): Activation {
  requireOperator(maker, op);
  return maker.elementwise(a, b, (x, y) => {
    const [left, right] = [maker.shape(x), maker.shape(y)];
    const rank = Math.max(left.length, right.length);
    const shape = Array.from({ length: rank }, (_, k) =>
      Math.max(left[k - rank + left.length] ?? 1, right[k - rank + right.length] ?? 1),
    );
    const options = op === 'DIV' ? { activation: 'none' } : {};
    return maker.op(op as OperatorName, [x, y], shape, options as never);
  });
}

const one =
  (op: Unary): Lower =>
  (call) =>
    unary(call.maker, op, call.x());

const relu: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  return maker.isWhole(x) ? maximum(maker, x, scalar(0)) : unary(maker, 'RELU', x);
};

/** A Dropout has no effect during inference, and its mask is true everywhere. */
const dropout: Lower = (call) => {
  // Training mode with a ratio of 0 drops nothing.
  if (call.optional(2, 'training mode')?.data[0] && call.optional(1, 'ratio')?.data[0] !== 0)
    throw unsupported(call.where, 'it is in training mode', 'export the model for inference (model.eval())');
  const x = call.value(0);
  if (call.outputs.length === 1) return x;
  call.maker.budget.spend(x.shape, call.where);
  return [x, constantOf('bool', x.shape, new Float32Array(elementCount(x.shape)).fill(1))];
};

const arithmetic =
  (op: 'ADD' | 'SUB' | 'MUL'): Lower =>
  (call) => {
    const [a, b] = [call.value(0), call.value(1)];
    // A sum with an infinity is a mask. A product with one would change if the infinity became a number.
    const bearable = (value: Value) => (value.kind === 'constant' && op !== 'MUL' ? finite(value) : value);
    return call.maker.two(op, bearable(a), bearable(b));
  };

const divide: Lower = (call) => {
  const [a, b] = [call.value(0), call.value(1)];
  return quotient(call.maker, a, b);
};

export function quotient(maker: OnnxMaker, a: Value, b: Value): Activation {
  const isWhole = a.kind === 'activation' && maker.isWhole(a);
  if (b.kind === 'activation' || isWhole || !reciprocalIsExactEnough(b))
    return plainBinary(maker, 'DIV', a, b);
  const inverse = { ...b, type: 'float32' as const, data: Float32Array.from(b.data, (value) => 1 / value) };
  return maker.two('MUL', a, inverse);
}

function reciprocalIsExactEnough({ data }: Constant): boolean {
  return data.every((value) => Number.isFinite(Math.fround(1 / value)));
}

/** Add, Mul, Max and others, with any number of inputs. */
const folded =
  (
    two: (maker: OnnxMaker, a: Value, b: Value) => Activation,
    after?: (call: NodeCall, y: Value) => Value,
  ): Lower =>
  (call) => {
    const values = call.inputs.map((_, place) => call.value(place));
    const y = values.slice(1).reduce<Value>((a, b) => two(call.maker, a, b), values[0]!);
    return after ? after(call, y) : y;
  };

/** max(a, b) = b + relu(a − b), for runtimes without MAXIMUM. */
export function maximum(maker: OnnxMaker, a: Value, b: Value): Activation {
  const same = withoutLimit(a, b, Number.NEGATIVE_INFINITY);
  if (same !== undefined) return same;
  if (maker.has('MAXIMUM')) return plainBinary(maker, 'MAXIMUM', a, b);
  const above = unary(maker, 'RELU', maker.two('SUB', a, b));
  return maker.two('ADD', above, b);
}

export function minimum(maker: OnnxMaker, a: Value, b: Value): Activation {
  const same = withoutLimit(a, b, Number.POSITIVE_INFINITY);
  if (same !== undefined) return same;
  if (maker.has('MINIMUM')) return plainBinary(maker, 'MINIMUM', a, b);
  const above = unary(maker, 'RELU', maker.two('SUB', a, b));
  return maker.two('SUB', a, above);
}

/** The computed value, if the other one is an infinite limit that does not broadcast it, as in softmax exported from JAX. */
function withoutLimit(a: Value, b: Value, limit: number): Activation | undefined {
  const [x, other] = a.kind === 'activation' ? [a, b] : [b, a];
  const isLimit = other.kind === 'constant' && other.data.every((value) => value === limit);
  if (!isLimit || x.kind === 'constant') return undefined;
  const missing = x.shape.length - other.shape.length;
  return missing >= 0 && other.shape.every((size, k) => size === 1 || size === x.shape[k + missing])
    ? x
    : undefined;
}

const clip: Lower = (call) => {
  const [low, high] = [1, 2].map(
    (place) => call.optional(place, place === 1 ? 'minimum' : 'maximum')?.data[0],
  );
  return clipped(call.maker, call.x(), low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY);
};

/** Nearly the largest single-precision number. Exporters use such numbers for missing bounds. */
const open = 3.4e38;

export function clipped(maker: OnnxMaker, x: Activation, low: number, high: number): Activation {
  if (Number.isNaN(low) || Number.isNaN(high)) throw malformed(`${maker.where}: a bound is not a number`);
  const [below, above] = [low <= -open, high >= open];
  if (below && above) return x;
  if (above) {
    if (low === 0 && !maker.isWhole(x)) return unary(maker, 'RELU', x);
    return maximum(maker, x, scalar(low));
  }
  if (low === 0 && high === 6 && !maker.isWhole(x)) return unary(maker, 'RELU6', x);
  if (below) return minimum(maker, x, scalar(high));
  if (low >= high) return minimum(maker, maximum(maker, x, scalar(low)), scalar(high));
  if (maker.isWhole(x) || (maker.has('MAXIMUM') && maker.has('MINIMUM') && low !== 0))
    return minimum(maker, maximum(maker, x, scalar(low)), scalar(high));
  // Uses RELU6, after scaling the range to 0 … 6.
  const factor = 6 / (high - low);
  const shifted = low === 0 ? x : maker.two('SUB', x, scalar(low));
  const inner = unary(maker, 'RELU6', maker.two('MUL', shifted, scalar(factor)));
  const y = maker.two('MUL', inner, scalar(1 / factor));
  return low === 0 ? y : maker.two('ADD', y, scalar(low));
}

const leakyRelu: Lower = (call) => leaky(call.maker, call.x(), call.attributes.float('alpha', 0.01));

export function leaky(maker: OnnxMaker, x: Activation, alpha: number): Activation {
  return maker.each(x, (tensor) => maker.leaky(tensor, alpha));
}

/** relu(x) − slope · relu(−x) */
const parametricRelu: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  const slope = call.value(1);
  if (
    slope.kind === 'constant' &&
    slope.data.every((value) => value === slope.data[0]) &&
    slope.data[0]! <= 1
  )
    return leaky(maker, x, slope.data[0] ?? 0);
  const below = unary(maker, 'RELU', negated(maker, x));
  return maker.two('SUB', unary(maker, 'RELU', x), maker.two('MUL', below, slope));
};

export function negated(maker: OnnxMaker, x: Activation): Activation {
  return maker.two('MUL', x, scalar(-1));
}

const absolute: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  if (maker.isWhole(x)) return maximum(maker, x, negated(maker, x));
  if (maker.has('ABS')) return plainUnary(maker, 'ABS', x);
  return maker.two('ADD', unary(maker, 'RELU', x), unary(maker, 'RELU', negated(maker, x)));
};

/** max(0, min(1, αx + β)) */
export function hardSigmoid(maker: OnnxMaker, x: Activation, alpha: number, beta: number): Activation {
  const stretched = maker.two('ADD', maker.two('MUL', x, scalar(6 * alpha)), scalar(6 * beta));
  return maker.two('MUL', unary(maker, 'RELU6', stretched), scalar(1 / 6));
}

const hardSwish: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  if (maker.has('HARD_SWISH')) return plainUnary(maker, 'HARD_SWISH', x);
  return maker.two('MUL', x, hardSigmoid(maker, x, 1 / 6, 0.5));
};

export function elu(maker: OnnxMaker, x: Activation, alpha: number): Activation {
  if (alpha === 1 && maker.has('ELU')) return plainUnary(maker, 'ELU', x);
  return scaledElu(maker, x, alpha, 1);
}

/** γ (relu(x) + α (exp(min(x, 0)) − 1)) */
function scaledElu(maker: OnnxMaker, x: Activation, alpha: number, gamma: number): Activation {
  const below = negated(maker, unary(maker, 'RELU', negated(maker, x)));
  const curve = maker.two('SUB', plainUnary(maker, 'EXP', below), scalar(1));
  const left = maker.two('MUL', curve, scalar(alpha * gamma));
  const right = unary(maker, 'RELU', x);
  return maker.two('ADD', gamma === 1 ? right : maker.two('MUL', right, scalar(gamma)), left);
}

/** relu(x) + α (exp(min(x, 0) / α) − 1) */
const celu: Lower = (call) => {
  const { maker } = call;
  const x = call.x();
  const alpha = call.attributes.float('alpha', 1);
  const below = negated(maker, unary(maker, 'RELU', negated(maker, x)));
  const scaled = alpha === 1 ? below : maker.two('MUL', below, scalar(1 / alpha));
  const curve = maker.two('SUB', plainUnary(maker, 'EXP', scaled), scalar(1));
  const left = alpha === 1 ? curve : maker.two('MUL', curve, scalar(alpha));
  return maker.two('ADD', unary(maker, 'RELU', x), left);
};

const reciprocal: Lower = (call) => plainBinary(call.maker, 'DIV', scalar(1), call.x());

const named =
  (op: string): Lower =>
  (call) =>
    plainUnary(call.maker, op, call.x());

/** ln(1 + eˣ) = relu(x) + ln(1 + e^−|x|), which does not overflow. */
export function smoothRelu(maker: OnnxMaker, x: Activation): Activation {
  const size = maker.two('ADD', unary(maker, 'RELU', x), unary(maker, 'RELU', negated(maker, x)));
  const rest = maker.two('ADD', plainUnary(maker, 'EXP', negated(maker, size)), scalar(1));
  return maker.two('ADD', unary(maker, 'RELU', x), plainUnary(maker, 'LOG', rest));
}

export function softsign(maker: OnnxMaker, x: Activation): Activation {
  const size = maker.two('ADD', unary(maker, 'RELU', x), unary(maker, 'RELU', negated(maker, x)));
  return plainBinary(maker, 'DIV', x, maker.two('ADD', size, scalar(1)));
}

/** Applies Softmax, LogSoftmax or Hardmax over one axis, or before opset 13 over all axes starting at `axis`. */
export function overAxis(call: NodeCall, f: (x: Activation, axis: number) => Activation): Activation {
  const { maker, attributes, opset } = call;
  const x = call.x();
  const rank = x.shape.length;
  if (rank === 0) throw malformed(`${call.where}: expected at least one dimension, got a single number`);
  const given = attributes.integer('axis', opset < 13 ? 1 : -1);
  const axis = given < 0 ? given + rank : given;
  if (!(axis >= 0 && axis < Math.max(rank, 1)))
    throw malformed(`${call.where}: axis ${given} does not exist: the tensor has ${rank} dimensions`);
  if (opset < 13 && x.shape.slice(axis + 1).some((size) => size > 1)) {
    const flat = [elementCount(x.shape.slice(0, axis)), elementCount(x.shape.slice(axis))];
    return maker.reshaped(f(maker.reshaped(x, flat), 1), x.shape);
  }
  return f(x, axis);
}

const shares =
  (op: Shares): Lower =>
  (call) =>
    overAxis(call, (x, axis) => softmaxOf(call.maker, x, axis, op));

type Shares = 'SOFTMAX' | 'LOG_SOFTMAX';

export function softmaxOf(maker: OnnxMaker, x: Activation, axis: number, op: Shares = 'SOFTMAX'): Activation {
  const y = maker.withLast(x, axis);
  const shape = maker.shape(y.tensor);
  const from = shape.length === 1 ? maker.reshape(y.tensor, [1, shape[0]!]) : y.tensor;
  const options = op === 'SOFTMAX' ? { beta: 1 } : {};
  const made = maker.op(op, [from], maker.shape(from), options as never);
  return maker.stored(shape.length === 1 ? maker.reshape(made, shape) : made, y.shape, y.order);
}

/** (eˣ ± e⁻ˣ) / 2 */
const hyperbolic =
  (op: 'ADD' | 'SUB'): Lower =>
  (call) => {
    const { maker } = call;
    const x = call.x();
    const [up, down] = [x, negated(maker, x)].map((each) => plainUnary(maker, 'EXP', each));
    return maker.two('MUL', maker.two(op, up!, down!), scalar(0.5));
  };

const tangent: Lower = (call) => {
  const [above, below] = ['SIN', 'COS'].map((op) => plainUnary(call.maker, op, call.x()));
  return plainBinary(call.maker, 'DIV', above!, below!);
};

const gelu: Lower = (call) => {
  const { maker } = call;
  const approximate = call.attributes.text('approximate', 'none') === 'tanh';
  return maker.each(call.x(), (tensor) => maker.gelu(tensor, approximate));
};

export const pointwiseRows: Readonly<Record<string, Lower>> = {
  Abs: absolute,
  Add: arithmetic('ADD'),
  Ceil: named('CEIL'),
  Celu: celu,
  Clip: clip,
  Cos: named('COS'),
  Cosh: hyperbolic('ADD'),
  Div: divide,
  Dropout: dropout,
  Elu: (call) => elu(call.maker, call.x(), call.attributes.float('alpha', 1)),
  Erf: (call) => call.maker.each(call.x(), (tensor) => call.maker.erf(tensor)),
  Exp: named('EXP'),
  Floor: named('FLOOR'),
  Gelu: gelu,
  HardSigmoid: (call) =>
    hardSigmoid(
      call.maker,
      call.x(),
      call.attributes.float('alpha', 0.2),
      call.attributes.float('beta', 0.5),
    ),
  HardSwish: hardSwish,
  Identity: (call) => call.value(0),
  LeakyRelu: leakyRelu,
  Log: named('LOG'),
  LogSoftmax: shares('LOG_SOFTMAX'),
  Mish: (call) => {
    const x = call.x();
    return call.maker.two('MUL', x, unary(call.maker, 'TANH', smoothRelu(call.maker, x)));
  },
  Max: folded(maximum),
  Mean: folded(
    (maker, a, b) => maker.two('ADD', a, b),
    ({ maker, inputs }, y) => (inputs.length === 1 ? y : maker.two('MUL', y, scalar(1 / inputs.length))),
  ),
  Min: folded(minimum),
  Mul: arithmetic('MUL'),
  Neg: (call) => negated(call.maker, call.x()),
  PRelu: parametricRelu,
  Reciprocal: reciprocal,
  Relu: relu,
  Round: named('ROUND'),
  Selu: (call) =>
    scaledElu(
      call.maker,
      call.x(),
      call.attributes.float('alpha', 1.6732632423543772),
      call.attributes.float('gamma', 1.0507009873554805),
    ),
  Sigmoid: one('LOGISTIC'),
  Sin: named('SIN'),
  Sinh: hyperbolic('SUB'),
  Softmax: shares('SOFTMAX'),
  Softplus: (call) => smoothRelu(call.maker, call.x()),
  Softsign: (call) => softsign(call.maker, call.x()),
  Sqrt: named('SQRT'),
  Sub: arithmetic('SUB'),
  Sum: folded((maker, a, b) => maker.two('ADD', a, b)),
  Tan: tangent,
  Tanh: one('TANH'),
};
