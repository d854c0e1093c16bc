import type { Node } from './node.js';
import { stridesOf, walk } from './walk.js';

/**
 * For each element of the output, the elements of inputs 0 and 1 that it is made of: NumPy's broadcasting (shapes are
 * aligned at their last axis, a dimension of 1 is repeated).
 */
export function broadcastPlaces(node: Node): [a: Int32Array, b: Int32Array] {
  const shapes = [node.input(0).tensor.shape, node.input(1).tensor.shape];
  const rank = Math.max(...shapes.map(({ length }) => length));
  const [a, b] = shapes.map((shape) => [...new Array<number>(rank - shape.length).fill(1), ...shape]) as [
    number[],
    number[],
  ];
  const output = a.map((size, axis) => {
    const other = b[axis]!;
    if (size !== other && size !== 1 && other !== 1)
      throw node.malformed(`[${shapes[0]}] and [${shapes[1]}] do not broadcast`);
    return Math.max(size, other);
  });
  node.expectOutput(...output);
  const places = (shape: number[]) => {
    const strides = stridesOf(shape);
    return walk(
      output,
      shape.map((size, axis) => (size === 1 ? 0 : strides[axis]!)),
    );
  };
  return [places(a), places(b)];
}
