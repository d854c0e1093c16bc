import type { OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized } from '../fixed-point.js';
import type { Node } from '../node.js';
import { ratio, scaleOf, typeRange } from '../quantized.js';
import { reductionPlan } from '../reduction.js';

/**
 * MEAN on int8 and int16: the division by the count N is folded into the multiplier, M·2^k ÷ N with as many bits as fit
 * (TFLite's QuantizedMeanOrSum).
 */
export function mean(node: Node<OperatorOptions['MEAN']>): () => void {
  const [x, y] = [node.integers(0), node.integerOutput];
  const { target, count } = reductionPlan(node);
  const [input, output] = [scaleOf(node, node.input(0)), scaleOf(node, node.output)];
  const scales = ratio(node, input.scale / output.scale);
  const bits = Math.min(31 - Math.clz32(count), 32, 31 + scales.shift);
  const multiplier = Number((BigInt(scales.multiplier) << BigInt(bits)) / BigInt(count));
  const shift = scales.shift - bits;
  const { low, high } = typeRange(node);
  const offset = Math.imul(input.zeroPoint, count);
  const sums = new Int32Array(y.length);
  return () => {
    sums.fill(0);
    for (let i = 0; i < x.length; i++) sums[target[i]!]! += x[i]!;
    for (let i = 0; i < y.length; i++) {
      const value = multiplyByQuantized((sums[i]! - offset) | 0, multiplier, shift) + output.zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}
