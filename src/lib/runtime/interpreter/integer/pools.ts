import type { OperatorOptions } from '../../../formats/index.js';
import type { Node } from '../node.js';
import { poolKernel } from '../pool.js';
import { activationRange } from '../quantized.js';

/** MAX_POOL_2D on int8 and int16. */
export function maxPool(node: Node<OperatorOptions['MAX_POOL_2D']>): () => void {
  const { low, high } = activationRange(node, node.options.activation);
  return poolKernel(node, node.integers(0), node.integerOutput, {
    take: 'largest',
    // Nothing below the activation's range matters.
    start: low,
    finish: (sum) => (sum > high ? high : sum),
  });
}

/** AVERAGE_POOL_2D on int8 and int16: raw values, the quotient rounded half away from zero. */
export function averagePool(node: Node<OperatorOptions['AVERAGE_POOL_2D']>): () => void {
  const { low, high } = activationRange(node, node.options.activation);
  return poolKernel(node, node.integers(0), node.integerOutput, {
    take: 'sum',
    start: 0,
    finish: (sum, count) => {
      const half = count >> 1;
      const value = Math.trunc((sum > 0 ? sum + half : sum - half) / count);
      return value < low ? low : value > high ? high : value;
    },
  });
}
