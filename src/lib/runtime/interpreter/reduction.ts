import type { OperatorOptions } from '../../formats/index.js';
import type { Node } from './node.js';
import { stridesOf, walk } from './walk.js';

/**
 * Where each input element of a MEAN or REDUCE_MAX goes: `target[i]` = index of its output element; `count` = elements
 * in each. Axes may be negative and may repeat.
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
