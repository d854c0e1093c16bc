import type { OperatorOptions } from '../../../formats/index.js';
import type { Node } from '../node.js';
import { poolKernel } from '../pool.js';
import { activationRange } from '../quantized.js';

/** MAX_POOL_2D on int8. */
export function maxPool(node: Node<OperatorOptions['MAX_POOL_2D']>): () => void {
  const { low, high } = activationRange(node, node.options.activation);
  return poolKernel(node, node.int8(0), node.int8Output, {
    start: -128,
    add: (sum, value) => (value > sum ? value : sum),
    finish: (sum) => (sum < low ? low : sum > high ? high : sum),
  });
}

/** AVERAGE_POOL_2D on int8: raw values, the quotient rounded half away from zero. */
export function averagePool(node: Node<OperatorOptions['AVERAGE_POOL_2D']>): () => void {
  const { low, high } = activationRange(node, node.options.activation);
  return poolKernel(node, node.int8(0), node.int8Output, {
    start: 0,
    add: (sum, value) => sum + value,
    finish: (sum, count) => {
      const half = count >> 1;
      const value = Math.trunc((sum > 0 ? sum + half : sum - half) / count);
      return value < low ? low : value > high ? high : value;
    },
  });
}
