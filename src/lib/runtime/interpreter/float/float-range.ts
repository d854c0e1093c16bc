import type { Activation } from '../../../formats/index.js';

/** Range of a fused activation on float32. */
export function floatRange(activation: Activation): { low: number; high: number } {
  const [low, high] = {
    none: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    relu: [0, Number.POSITIVE_INFINITY],
    relu6: [0, 6],
    relu_n1_to_1: [-1, 1],
  }[activation] as [number, number];
  return { low, high };
}
