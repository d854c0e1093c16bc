import type { OperatorOptions } from './graph.js';

/** One axis of a slice: elements first, first + step, … `count` of them. */
export interface SliceAxis {
  first: number;
  step: number;
  count: number;
  /** The axis is left out of the output's shape. */
  shrunk: boolean;
}

/**
 * The elements that a STRIDED_SLICE takes from a tensor of this shape, by axis: Python's x[begin:end:stride], where a
 * mask's bit leaves a bound out (TensorFlow's documentation of tf.strided_slice). Axes past the vectors are whole.
 * @returns undefined when a stride is 0 or a shrunk axis has no such element
 */
export function sliceAxes(
  shape: readonly number[],
  [begin, end, strides]: readonly [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>],
  { beginMask, endMask, shrinkAxisMask }: OperatorOptions['STRIDED_SLICE'],
): SliceAxis[] | undefined {
  const axes: SliceAxis[] = [];
  for (const [axis, size] of shape.entries()) {
    const step = strides[axis] ?? 1;
    if (step === 0) return undefined;
    const wrapped = (value: number) => (value < 0 ? value + size : value);
    if ((shrinkAxisMask >> axis) & 1) {
      const first = (beginMask >> axis) & 1 ? 0 : wrapped(begin[axis] ?? 0);
      if (first < 0 || first >= size) return undefined;
      axes.push({ first, step: 1, count: 1, shrunk: true });
      continue;
    }
    // Going down, the bounds are one lower: x[::-1] ends before element −1.
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const bound = (value: number | undefined, mask: number, open: number) =>
      value === undefined || (mask >> axis) & 1 ? open : Math.min(Math.max(wrapped(value), low), high);
    const first = bound(begin[axis], beginMask, step > 0 ? low : high);
    const stop = bound(end[axis], endMask, step > 0 ? high : low);
    axes.push({ first, step, count: Math.max(0, Math.ceil((stop - first) / step)), shrunk: false });
  }
  return axes;
}
