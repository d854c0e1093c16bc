import type { OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized } from '../fixed-point.js';
import type { Node } from '../node.js';
import { ratio, scaleOf } from '../quantized.js';
import { reductionPlan } from '../reduction.js';

/**
 * MEAN on int8: the division by the count N is folded into the multiplier, M·2^k ÷ N with as many bits as fit
 * (TFLite's QuantizedMeanOrSum).
 */
export function mean(node: Node<OperatorOptions['MEAN']>): () => void {
  const [x, y] = [node.int8(0), node.int8Output];
  const { target, count } = reductionPlan(node);
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const scales = ratio(node, input.scale / output.scale);
  const bits = Math.min(31 - Math.clz32(count), 32, 31 + scales.shift);
  const multiplier = Number((BigInt(scales.multiplier) << BigInt(bits)) / BigInt(count));
  const shift = scales.shift - bits;
  const offset = Math.imul(input.zeroPoint, count);
  const sums = new Int32Array(y.length);
  return () => {
    sums.fill(0);
    for (let i = 0; i < x.length; i++) sums[target[i]!]! += x[i]!;
    for (let i = 0; i < y.length; i++) {
      const value = multiplyByQuantized((sums[i]! - offset) | 0, multiplier, shift) + output.zeroPoint;
      y[i] = value < -128 ? -128 : value > 127 ? 127 : value;
    }
  };
}
