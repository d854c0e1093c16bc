import type { OperatorOptions } from '../../../formats/index.js';
import { broadcastPlaces } from '../broadcast.js';
import { multiplyByQuantized } from '../fixed-point.js';
import type { Node } from '../node.js';
import { activationRange, ratio, scaleOf } from '../quantized.js';

/**
 * ADD (sign 1) and SUB (sign −1) on int8 and int16: both sides are scaled up to twice the larger scale with 20 bits
 * (int16: 15) of fraction, taken together, and scaled down to the output (TFLite's reference add.h and sub.h).
 */
export function sum(sign: 1 | -1): (node: Node<OperatorOptions['ADD' | 'SUB']>) => () => void {
  return (node) => {
    const [x0, x1, y] = [node.integers(0), node.integers(1), node.integerOutput];
    const [a, b, output] = [
      scaleOf(node, node.input(0)),
      scaleOf(node, node.input(1)),
      scaleOf(node, node.output),
    ];
    const bits = y instanceof Int16Array ? 15 : 20;
    const single = sign === -1 && node.ratioPrecision === 'single';
    const precise = (value: number) => (single ? Math.fround(value) : value);
    const twice = precise(2 * Math.max(a.scale, b.scale));
    const [ma, mb] = [ratio(node, precise(a.scale / twice)), ratio(node, precise(b.scale / twice))];
    const last = precise(twice / precise(2 ** bits * output.scale));
    if (!(last < 1)) throw node.malformed(`an output scale of ${output.scale} is too small for its inputs`);
    const mo = ratio(node, last);
    const { low, high } = activationRange(node, node.options.activation);
    const [places0, places1] = broadcastPlaces(node);
    return () => {
      for (let i = 0; i < y.length; i++) {
        const u = multiplyByQuantized((x0[places0[i]!]! - a.zeroPoint) << bits, ma.multiplier, ma.shift);
        const v = multiplyByQuantized((x1[places1[i]!]! - b.zeroPoint) << bits, mb.multiplier, mb.shift);
        const value = multiplyByQuantized(u + sign * v, mo.multiplier, mo.shift) + output.zeroPoint;
        y[i] = value < low ? low : value > high ? high : value;
      }
    };
  };
}

/** MUL on int8 and int16. */
export function product(node: Node<OperatorOptions['MUL']>): () => void {
  const [x0, x1, y] = [node.integers(0), node.integers(1), node.integerOutput];
  const [a, b, output] = [
    scaleOf(node, node.input(0)),
    scaleOf(node, node.input(1)),
    scaleOf(node, node.output),
  ];
  const { multiplier, shift } = ratio(node, (a.scale * b.scale) / output.scale);
  const { low, high } = activationRange(node, node.options.activation);
  const [places0, places1] = broadcastPlaces(node);
  return () => {
    for (let i = 0; i < y.length; i++) {
      const q = (x0[places0[i]!]! - a.zeroPoint) * (x1[places1[i]!]! - b.zeroPoint);
      const value = multiplyByQuantized(q, multiplier, shift) + output.zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}
