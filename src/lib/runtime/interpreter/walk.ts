import { elementCount } from '../../formats/index.js';

/** Distance between neighbours along each axis of a row-major tensor. */
export function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

/** For every index of `shape` in row-major order: start + Σ index · stride. */
export function walk(shape: readonly number[], strides: readonly number[], start = 0): Int32Array {
  const places = new Int32Array(elementCount(shape));
  const position = shape.map(() => 0);
  let at = start;
  for (let i = 0; i < places.length; i++) {
    places[i] = at;
    // Count one further, like an odometer, and move the place along.
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
