import { elementCount, type OperatorOptions } from '../../formats/index.js';
import type { Node } from './node.js';

/**
 * Where each input element of a MEAN goes: `target[i]` = index of its output element; `count` = elements in each mean.
 * Axes may be negative and may repeat.
 */
export function reductionPlan(node: Node<OperatorOptions['MEAN']>): { target: Int32Array; count: number } {
  const { shape } = node.input(0).tensor;
  const reduced = new Set<number>();
  for (const axis of node.int32Constant(1)) {
    const positive = axis < 0 ? axis + shape.length : axis;
    if (positive < 0 || positive >= shape.length) throw node.malformed(`axis ${axis} of [${shape}]`);
    reduced.add(positive);
  }
  const kept = shape.map((size, axis) => (reduced.has(axis) ? 1 : size));
  node.expectOutput(...(node.options.keepDims ? kept : kept.filter((_, axis) => !reduced.has(axis))));
  const strides = shape.map((_, axis) => (reduced.has(axis) ? 0 : elementCount(kept.slice(axis + 1))));
  const target = new Int32Array(elementCount(shape));
  const position = shape.map(() => 0);
  let at = 0;
  for (let i = 0; i < target.length; i++) {
    target[i] = at;
    // Count one further, like an odometer, and move the output index along.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position[axis]! += 1;
      at += strides[axis]!;
      if (position[axis]! < shape[axis]!) break;
      at -= shape[axis]! * strides[axis]!;
      position[axis] = 0;
    }
  }
  return { target, count: target.length / elementCount(kept) };
}
