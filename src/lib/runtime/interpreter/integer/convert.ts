import { roundHalfAway } from '../../../core/index.js';
import type { Node } from '../node.js';
import { scaleOf, typeRange } from '../quantized.js';

/** QUANTIZE from float32 to int8 or int16: clamp(round(x / scale) + zero point), the quotient in single precision. */
export function quantize(node: Node): () => void {
  const [x, y] = [node.float32(0), node.integerOutput];
  node.expectOutputSize(x.length);
  const { scale, zeroPoint } = scaleOf(node, node.output);
  const { low, high } = typeRange(node);
  return () => {
    for (let i = 0; i < x.length; i++) {
      const value = roundHalfAway(Math.fround(x[i]! / scale)) + zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** DEQUANTIZE from int8 or int16 to float32: scale · (q − zero point), rounded once. */
export function dequantize(node: Node): () => void {
  const [x, y] = [node.integers(0), node.float32Output];
  node.expectOutputSize(x.length);
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  return () => {
    for (let i = 0; i < x.length; i++) y[i] = scale * (x[i]! - zeroPoint);
  };
}
