import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { permuted, strides } from './fold.js';
import { type Activation, fileIndexes, identity, type OnnxMaker, type Value } from './maker.js';
import { broadcastShape } from './node.js';
import { joined, part } from './shapes.js';

/** x · wᵀ + bias over the last axis in the file's order. @param w [units, inputs] */
export function dense(maker: OnnxMaker, x: Activation, w: Constant, bias?: Constant): Activation {
  const [units = 0, inputs = 0] = w.shape;
  const shape = [...x.shape.slice(0, -1), units];
  if (x.shape.at(-1) !== inputs)
    throw malformed(
      `${maker.where}: its weights expect ${inputs} inputs, but [${x.shape.join(', ')}] ends with another size`,
    );
  const b = bias ? maker.floats(Float32Array.from(bias.data), [units]) : -1;
  const apply = (tensor: number, weights: Constant): number => {
    const given = maker.shape(tensor);
    // A vector counts as a batch of one.
    const from = given.length === 1 ? maker.reshape(tensor, [1, inputs]) : tensor;
    const rows = maker.shape(from);
    const options = { activation: 'none' as const, keepNumDims: rows.length > 2 };
    const y = maker.op(
      'FULLY_CONNECTED',
      [from, maker.weights(weights), b],
      [...rows.slice(0, -1), units],
      options,
    );
    return given.length === 1 ? maker.reshape(y, [units]) : y;
  };
  if (x.before !== undefined && elementCount(x.shape) === inputs) {
    const inner = x.before;
    const places = fileIndexes(inner);
    const data = Float32Array.from({ length: w.data.length }, (_, i) => {
      const column = i % inputs;
      return w.data[i - column + places[column]!]!;
    });
    const flat = maker.reshape(inner.tensor, [1, inputs]);
    const y = apply(flat, { ...w, type: 'float32', data });
    return maker.plain(maker.reshape(y, shape));
  }
  const y = maker.withLast(x, x.shape.length - 1);
  return maker.stored(apply(y.tensor, w), shape, y.order);
}

const matMul: Lower = (call) => product(call, call.value(0), call.value(1));

/** A matrix product; one operand may be a constant matrix. */
export function product(call: NodeCall, a: Value, b: Value): Activation {
  const { maker, where } = call;
  if (b.kind === 'constant' && a.kind === 'activation') {
    if (hasBatch(b)) return batched(call, a, b);
    const w = matrixOf(call, b);
    if (w.shape.length === 1) {
      const y = dense(maker, a, { ...w, shape: [1, w.shape[0]!] });
      return maker.reshaped(y, a.shape.slice(0, -1));
    }
    return maker.ranked(dense(maker, a, permuted(w, [1, 0])), Math.max(a.shape.length, b.shape.length));
  }
  if (a.kind === 'constant' && b.kind === 'activation') {
    if (hasBatch(a)) {
      const [left, right] = [
        permuted(a, [...identity(a.shape.length - 2), a.shape.length - 1, a.shape.length - 2]),
        swapped(maker, b),
      ];
      return swapped(maker, batched(call, right, left));
    }
    const w = matrixOf(call, a);
    if (w.shape.length === 1) {
      const y = product(call, { ...w, shape: [1, w.shape[0]!] }, b);
      return maker.reshaped(
        y,
        y.shape.filter((_, k) => k !== y.shape.length - 2),
      );
    }
    if (b.shape.length === 1) return dense(maker, b, w);
    return swapped(maker, dense(maker, swapped(maker, b), w));
  }
  if (a.kind === 'activation' && b.kind === 'activation') return computedProduct(maker, a, b);
  throw unsupported(where, 'both matrices are constants');
}

/** Largest number of axes that a BATCH_MATMUL may have in every kernel. */
const mostAxes = 4;

/** The product of two computed matrices, or of stacks of them, such as those of an attention layer. Either may be a vector. */
function computedProduct(maker: OnnxMaker, a: Activation, b: Activation): Activation {
  if (a.shape.length === 1) {
    const y = computedProduct(maker, maker.reshaped(a, [1, ...a.shape]), b);
    return maker.reshaped(y, [...y.shape.slice(0, -2), ...y.shape.slice(-1)]);
  }
  if (b.shape.length === 1) {
    const y = computedProduct(maker, a, maker.reshaped(b, [...b.shape, 1]));
    return maker.reshaped(y, y.shape.slice(0, -1));
  }
  const [rows = 0, depth = 0] = a.shape.slice(-2);
  const [inputs = 0, columns = 0] = b.shape.slice(-2);
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2), maker.where);
  if (depth !== inputs)
    throw malformed(
      `${maker.where}: [${a.shape.join(', ')}] cannot be multiplied by [${b.shape.join(', ')}]`,
    );
  const rank = batch.length + 2;
  if (rank > mostAxes) {
    const isWhole = (x: Activation) => elementCount(x.shape.slice(0, -2)) === elementCount(batch);
    if (!isWhole(a) || !isWhole(b))
      throw unsupported(maker.where, `it repeats matrices along some of ${rank} axes`, 'use four axes');
    const flat = (x: Activation) => maker.reshaped(x, [elementCount(batch), ...x.shape.slice(-2)]);
    return maker.reshaped(computedProduct(maker, flat(a), flat(b)), [...batch, rows, columns]);
  }
  const [left, right] = [operandOf(maker, a, rank), operandOf(maker, b, rank)];
  const shape = [...batch, rows, columns];
  const options = { adjX: left.transposed, adjY: right.transposed };
  return maker.plain(maker.op('BATCH_MATMUL', [left.tensor, right.tensor], shape, options), shape);
}

/** The tensor of a matrix; `transposed`: its last two axes are stored the other way around, so that no elements have to move. */
function operandOf(maker: OnnxMaker, x: Activation, rank: number): { tensor: number; transposed: boolean } {
  const y = maker.settled(maker.ranked(x, rank));
  const order = [...identity(rank - 2), rank - 1, rank - 2];
  const transposed = y.order.join() === order.join();
  return { tensor: maker.arranged(y, transposed ? order : identity(rank)).tensor, transposed };
}

function swapped(maker: OnnxMaker, x: Activation): Activation {
  const order = identity(x.shape.length);
  const [last, before] = [order.pop()!, order.pop()!];
  return maker.transposedValue(x, [...order, last, before]);
}

function hasBatch({ shape }: Constant): boolean {
  return shape.slice(0, -2).some((size) => size > 1);
}

/** Maximum number of products for a constant with one matrix per batch element. */
const mostMatrices = 64;

/** Multiplies each element of the batch by its own matrix. @param w [… batch, inputs, units] */
function batched(call: NodeCall, x: Activation, w: Constant): Activation {
  const { maker, where } = call;
  const [inputs, units] = w.shape.slice(-2) as [number, number];
  const batch = broadcastShape(x.shape.slice(0, -2), w.shape.slice(0, -2), where);
  const count = elementCount(batch);
  if (count > mostMatrices || x.shape.length < 2)
    throw unsupported(
      where,
      `a constant of shape [${w.shape.join(', ')}] is ${count} matrices`,
      'use one matrix',
    );
  const wide = maker.ranked(x, batch.length + 2);
  const steps = strides(batch);
  const parts = Array.from({ length: count }, (_, k) => {
    const index = steps.map((step, axis) => Math.floor(k / step) % batch[axis]!);
    const own = w.shape.slice(0, -2);
    const skip = batch.length - own.length;
    const place = own.reduce((at, size, axis) => at * size + (size === 1 ? 0 : index[axis + skip]!), 0);
    const size = inputs * units;
    const matrix = constantOf('float32', [inputs, units], w.data.subarray(place * size, (place + 1) * size));
    const slice = index.reduce(
      (y, at, axis) => (y.shape[axis] === 1 ? y : part(maker, y, axis, at, 1)),
      wide,
    );
    const y = dense(maker, slice, permuted(matrix, [1, 0]));
    return maker.reshaped(y, [1, ...y.shape.slice(-2)]);
  });
  return maker.reshaped(joined(call, parts, 0), [...batch, x.shape.at(-2)!, units]);
}

/** A constant matrix or vector without batch axes. */
function matrixOf({ where }: NodeCall, w: Constant): Constant {
  const batch = w.shape.slice(0, -2);
  if (batch.every((size) => size === 1)) return { ...w, shape: w.shape.slice(batch.length) };
  throw unsupported(where, `a constant of shape [${w.shape.join(', ')}] is not a matrix`, 'use one matrix');
}

export const gemm: Lower = (call) => {
  const { attributes, maker } = call;
  const [alpha, beta] = [attributes.float('alpha', 1), attributes.float('beta', 1)];
  const side = (place: number, flag: string): Value => {
    const value = call.value(place);
    if (value.shape.length !== 2)
      throw malformed(`${call.where}: [${value.shape.join(', ')}] is not a matrix`);
    if (attributes.integer(flag, 0) === 0) return value;
    return value.kind === 'constant' ? permuted(value, [1, 0]) : maker.transposedValue(value, [1, 0]);
  };
  const [a, b] = [side(0, 'transA'), side(1, 'transB')];
  const c = call.inputs[2];
  if (a.kind === 'activation' && b.kind === 'constant') {
    const w = scaled(permuted(b, [1, 0]), alpha);
    const units = w.shape[0]!;
    const bias = c?.kind === 'constant' ? biasOf(c, units, beta) : undefined;
    const y = dense(maker, a, w, bias);
    return c === undefined || bias ? y : maker.two('ADD', y, weighted(call, c, beta));
  }
  const left = a.kind === 'constant' ? scaled(a, alpha) : a;
  const whole = product(call, left, b);
  const y =
    a.kind === 'constant' || alpha === 1
      ? whole
      : maker.two('MUL', whole, constantOf('float32', [], [alpha]));
  return c === undefined ? y : maker.two('ADD', y, weighted(call, c, beta));
};

function scaled(w: Constant, factor: number): Constant {
  return factor === 1 ? w : { ...w, data: w.data.map((value) => value * factor) };
}

function weighted({ maker }: NodeCall, c: Value, factor: number): Value {
  if (factor === 1) return c;
  if (c.kind === 'constant') return scaled(c, factor);
  return maker.two('MUL', c, constantOf('float32', [], [factor]));
}

/** One value per unit, from a constant that is the same for each row. */
export function biasOf(c: Constant, units: number, factor = 1): Constant | undefined {
  const perUnit = c.shape.at(-1) === units && c.data.length === units;
  if (!perUnit && c.data.length !== 1) return undefined;
  return constantOf(
    'float32',
    [units],
    Float32Array.from({ length: units }, (_, k) => c.data[perUnit ? k : 0]! * factor),
  );
}

export const linearRows: Readonly<Record<string, Lower>> = {
  Gemm: gemm,
  MatMul: matMul,
};
