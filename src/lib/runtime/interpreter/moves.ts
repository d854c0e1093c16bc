import { elementCount, type Operator, type OperatorOptions } from '../../formats/tflite/graph.js';
import { sliceAxes } from '../../formats/tflite/shapes.js';
import type { Node, Operand, Values } from './node.js';

/**
 * Rejects a RESHAPE, EXPAND_DIMS or SQUEEZE with an inconsistent output. The output of a RESHAPE must have the same number of elements.
 * EXPAND_DIMS inserts a 1 at a constant axis. SQUEEZE removes the specified axes, which must have size 1. If no axes are specified, SQUEEZE
 * removes all axes with size 1.
 */
export function expectReshaped(node: Node, { op, options }: Operator): void {
  const { shape } = node.input(0).tensor;
  node.expectOutputSize(elementCount(shape));
  if (op === 'RESHAPE' && options.newShape.length > 8)
    throw node.malformed(`expected at most 8 dimensions, got ${options.newShape.length}`);
  if (op === 'EXPAND_DIMS') {
    const axes = node.int32Constant(1);
    const axis = node.axis(axes[0]!, [...shape, 1]);
    if (axes.length !== 1) throw node.malformed(`expected one axis, got [${axes}]`);
    node.expectOutput(...shape.slice(0, axis), 1, ...shape.slice(axis));
  }
  if (op === 'SQUEEZE') {
    const named = options.squeezeDims.map((axis) => node.axis(axis, shape));
    const wide = named.find((axis) => shape[axis] !== 1);
    if (wide !== undefined) throw node.malformed(`axis ${wide} of [${shape}] is not 1`);
    node.expectOutput(
      ...shape.filter((size, axis) => (named.length === 0 ? size !== 1 : !named.includes(axis))),
    );
  }
}

/** TRANSPOSE: axis k of the output is axis permutation[k] of the input. */
export function transpose(node: Node): () => void {
  const { shape } = node.input(0).tensor;
  const permutation = [...node.int32Constant(1)];
  if ([...permutation].sort((a, b) => a - b).join() !== shape.map((_, axis) => axis).join())
    throw node.malformed(`[${permutation}] is not a permutation of ${shape.length} axes`);
  const output = permutation.map((axis) => shape[axis]!);
  node.expectOutput(...output);
  const strides = stridesOf(shape);
  const source = walk(
    output,
    permutation.map((axis) => strides[axis]!),
  );
  return gather(node.input(0).values, node.output.values, source);
}

/** STRIDED_SLICE with constant bounds. */
export function stridedSlice(node: Node<OperatorOptions['STRIDED_SLICE']>): () => void {
  const { shape } = node.input(0).tensor;
  const bounds = [node.int32Constant(1), node.int32Constant(2), node.int32Constant(3)] as const;
  const axes = sliceAxes(shape, bounds, node.options);
  if (axes === undefined)
    throw node.malformed(`begin [${bounds[0]}] and strides [${bounds[2]}] do not fit [${shape}]`);
  node.expectOutput(...axes.filter(({ shrunk }) => !shrunk).map(({ count }) => count));
  const strides = stridesOf(shape);
  const source = walk(
    axes.map(({ count }) => count),
    axes.map(({ step }, axis) => step * strides[axis]!),
    axes.reduce((start, { first }, axis) => start + first * strides[axis]!, 0),
  );
  return gather(node.input(0).values, node.output.values, source);
}

/** PAD and PADV2. `fill` returns the value around the input. For PAD, this value depends on the type. */
export function pad(fill: (node: Node) => number): (node: Node) => () => void {
  return (node) => {
    const { shape } = node.input(0).tensor;
    const paddings = node.int32Constant(1);
    if (paddings.length !== 2 * shape.length || paddings.some((size) => size < 0))
      throw node.malformed(
        `expected two paddings of at least 0 for each axis of [${shape}], got [${paddings}]`,
      );
    const output = shape.map((size, axis) => size + paddings[2 * axis]! + paddings[2 * axis + 1]!);
    node.expectOutput(...output);
    const strides = stridesOf(output);
    const start = strides.reduce((sum, stride, axis) => sum + stride * paddings[2 * axis]!, 0);
    const target = walk(shape, strides, start);
    const [x, y] = [node.input(0).values, node.output.values];
    y.fill(fill(node));
    // The border stays filled, because nothing else writes to the output.
    return () => {
      for (let i = 0; i < target.length; i++) y[target[i]!] = x[i]!;
    };
  };
}

/** The fill value of a PADV2. */
export function padValue(node: Node): number {
  const { tensor, values } = node.input(2);
  if (tensor.data === undefined || values.length !== 1)
    throw node.unsupported('a padding value that is not a constant scalar');
  return values[0]!;
}

/** CONCATENATION along an axis. */
export function concatenation(node: Node<OperatorOptions['CONCATENATION']>): () => void {
  if (node.options.activation !== 'none') throw node.unsupported(`a fused ${node.options.activation}`);
  const { shape } = node.input(0).tensor;
  const axis = node.axis(node.options.axis, shape);
  const parts = node.inputs.map((_, place) => node.input(place));
  const fits = (other: number[]) =>
    other.length === shape.length && other.every((size, k) => k === axis || size === shape[k]);
  for (const { tensor } of parts)
    if (!fits(tensor.shape))
      throw node.malformed(`[${shape}] and [${tensor.shape}] cannot be joined along axis ${axis}`);
  const along = parts.reduce((sum, { tensor }) => sum + tensor.shape[axis]!, 0);
  node.expectOutput(...shape.map((size, k) => (k === axis ? along : size)));
  const strides = stridesOf(node.output.tensor.shape);
  let start = 0;
  const targets = parts.map(({ tensor }) => {
    const target = walk(tensor.shape, strides, start);
    start += tensor.shape[axis]! * strides[axis]!;
    return target;
  });
  const y = node.output.values;
  return () => {
    for (let part = 0; part < parts.length; part++) {
      const [x, target] = [parts[part]!.values, targets[part]!];
      for (let i = 0; i < target.length; i++) y[target[i]!] = x[i]!;
    }
  };
}

/** SPLIT into equal parts. */
export function split(node: Node<OperatorOptions['SPLIT']>): () => void {
  const { tensor, values } = node.input(1);
  const axis = node.axis(node.int32Constant(0)[0] ?? 0, tensor.shape);
  const size = tensor.shape[axis]! / node.options.numSplits;
  if (!Number.isInteger(size))
    throw node.malformed(`[${tensor.shape}] does not split into ${node.options.numSplits}`);
  const shape = tensor.shape.map((whole, k) => (k === axis ? size : whole));
  const strides = stridesOf(tensor.shape);
  const copies = node.outputs.map((output, part) => {
    if (output.tensor.shape.join() !== shape.join())
      throw node.malformed(`expected outputs of [${shape}], got [${output.tensor.shape}]`);
    return gather(values, output.values, walk(shape, strides, part * size * strides[axis]!));
  });
  return () => {
    for (let part = 0; part < copies.length; part++) copies[part]!();
  };
}

/** SPLIT_V into parts of constant sizes. */
export function splitSizes(node: Node<OperatorOptions['SPLIT_V']>): () => void {
  const { tensor, values } = node.input(0);
  const { shape: whole } = tensor;
  const [sizes, axes] = [[...node.int32Constant(1)], node.int32Constant(2)];
  const axis = node.axis(axes[0]!, whole);
  const open = sizes.indexOf(-1);
  const given = sizes.reduce((sum, size) => sum + (size === -1 ? 0 : size), 0);
  if (open >= 0) sizes[open] = whole[axis]! - given;
  const fits = sizes.every((size) => size > 0) && (open >= 0 || given === whole[axis]);
  if (axes.length !== 1 || sizes.length !== node.outputs.length || !fits)
    throw node.malformed(`[${whole}] does not split into [${node.int32Constant(1)}] along axis ${axes[0]}`);
  const strides = stridesOf(whole);
  let start = 0;
  const copies = node.outputs.map((output, part) => {
    const shape = whole.map((size, k) => (k === axis ? sizes[part]! : size));
    if (output.tensor.shape.join() !== shape.join())
      throw node.malformed(`expected an output of [${shape}], got [${output.tensor.shape}]`);
    const copy = gather(values, output.values, walk(shape, strides, start * strides[axis]!));
    start += sizes[part]!;
    return copy;
  });
  return () => {
    for (let part = 0; part < copies.length; part++) copies[part]!();
  };
}

/** READ_VARIABLE: copies the current value, because a later ASSIGN_VARIABLE must not change the output. */
export function read(node: Node): () => void {
  return copied(node, node.input(0), node.output);
}

/** ASSIGN_VARIABLE: sets the value for later reads in this run and in later runs. */
export function assign(node: Node): () => void {
  return copied(node, node.input(1), node.input(0));
}

function copied(node: Node, { values: x, tensor }: Operand, { values: y, tensor: to }: Operand): () => void {
  if (tensor.shape.join() !== to.shape.join())
    throw node.malformed(`a variable has the shapes [${tensor.shape}] and [${to.shape}]`);
  return () => y.set(x);
}

/** REDUCE_MAX over constant axes. */
export function reduceMax(node: Node<OperatorOptions['REDUCE_MAX']>): () => void {
  const { target } = reductionPlan(node);
  const [x, y] = [node.input(0).values, node.output.values];
  const least = x instanceof Float32Array ? -largestFloat : x instanceof Int16Array ? -32768 : -128;
  return () => {
    y.fill(least);
    for (let i = 0; i < x.length; i++) if (x[i]! > y[target[i]!]!) y[target[i]!] = x[i]!;
  };
}

/** REDUCE_MIN over constant axes. */
export function reduceMin(node: Node<OperatorOptions['REDUCE_MIN']>): () => void {
  const { target } = reductionPlan(node);
  const [x, y] = [node.input(0).values, node.output.values];
  const most = x instanceof Float32Array ? largestFloat : x instanceof Int16Array ? 32767 : 127;
  return () => {
    y.fill(most);
    for (let i = 0; i < x.length; i++) if (x[i]! < y[target[i]!]!) y[target[i]!] = x[i]!;
  };
}

/** The largest finite float32. TFLite Micro starts a maximum with the negative of this number. */
const largestFloat = (2 - 2 ** -23) * 2 ** 127;

/** ARG_MAX along a constant axis. If the largest value occurs several times, the first position is returned. */
export function argMax(node: Node): () => void {
  return firstPosition(node, (value, best) => value > best);
}

/** ARG_MIN, like ARG_MAX for the smallest value. */
export function argMin(node: Node): () => void {
  return firstPosition(node, (value, best) => value < best);
}

function firstPosition(node: Node, isBetter: (value: number, best: number) => boolean): () => void {
  const { tensor, values: x } = node.input(0);
  const given = node.int32Constant(1);
  if (given.length !== 1) throw node.malformed(`expected one axis, got [${given}]`);
  const axis = node.axis(given[0]!, tensor.shape);
  node.expectOutput(...tensor.shape.filter((_, k) => k !== axis));
  const y = node.output.values;
  const size = tensor.shape[axis]!;
  const inner = elementCount(tensor.shape.slice(axis + 1));
  return () => {
    for (let i = 0; i < y.length; i++) {
      const start = Math.floor(i / inner) * size * inner + (i % inner);
      let best = 0;
      for (let k = 1; k < size; k++) if (isBetter(x[start + k * inner]!, x[start + best * inner]!)) best = k;
      y[i] = best;
    }
  };
}

/** y[i] = x[source[i]]. */
function gather(x: Values, y: Values, source: Int32Array): () => void {
  return () => {
    for (let i = 0; i < source.length; i++) y[i] = x[source[i]!]!;
  };
}

/** Distance between neighbors along each axis of a row-major tensor. */
export function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

/** For every index of `shape` in row-major order, computes start + Σ index · stride. */
export function walk(shape: readonly number[], strides: readonly number[], start = 0): Int32Array {
  const places = new Int32Array(elementCount(shape));
  const position = shape.map(() => 0);
  let at = start;
  for (let i = 0; i < places.length; i++) {
    places[i] = at;
    // Increments the position like an odometer, and updates the element index accordingly.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position[axis]! += 1;
      at += strides[axis]!;
      if (position[axis]! < shape[axis]!) break;
      at -= shape[axis]! * strides[axis]!;
      position[axis] = 0;
    }
  }
  return places;
}

/**
 * For each output element, the elements of several inputs (by default 0 and 1) that contribute to it under NumPy's broadcasting rules.
 * Shapes are aligned at their last axis, and a dimension of 1 is repeated.
 */
export function broadcastPlaces(node: Node): [a: Int32Array, b: Int32Array];
export function broadcastPlaces(node: Node, inputs: readonly number[]): Int32Array[];
export function broadcastPlaces(node: Node, inputs: readonly number[] = [0, 1]): Int32Array[] {
  const shapes = inputs.map((place) => node.input(place).tensor.shape);
  const rank = Math.max(...shapes.map(({ length }) => length));
  const padded = shapes.map((shape) => [...new Array<number>(rank - shape.length).fill(1), ...shape]);
  const output = Array.from({ length: rank }, (_, axis) => {
    const sizes = padded.map((shape) => shape[axis]!);
    const size = Math.max(...sizes);
    if (sizes.some((own) => own !== size && own !== 1))
      throw node.malformed(`${shapes.map((shape) => `[${shape}]`).join(' and ')} do not broadcast`);
    return size;
  });
  node.expectOutput(...output);
  const places = (shape: number[]) => {
    const strides = stridesOf(shape);
    return walk(
      output,
      shape.map((size, axis) => (size === 1 ? 0 : strides[axis]!)),
    );
  };
  return padded.map(places);
}

/**
 * For input element i of a reduction, `target[i]` is the index of the output element. `count` is the number of input elements per output
 * element. Axes may be negative and may repeat.
 */
export function reductionPlan(node: Node<OperatorOptions['MEAN']>): { target: Int32Array; count: number } {
  const { shape } = node.input(0).tensor;
  const reduced = new Set([...node.int32Constant(1)].map((axis) => node.axis(axis, shape)));
  const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
  node.expectOutput(...(node.options.keepDims ? kept : kept.filter((_, axis) => !reduced.has(axis))));
  const strides = stridesOf(kept).map((stride, axis) => (reduced.has(axis) ? 0 : stride));
  const target = walk(shape, strides);
  return {
    target,
    count: shape.reduce((count, size, axis) => (reduced.has(axis) ? count * size : count), 1),
  };
}
