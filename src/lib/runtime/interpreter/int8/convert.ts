import { roundAway } from '../fixed-point.js';
import type { Node } from '../node.js';
import { scaleOf } from '../quantized.js';

/** QUANTIZE from float32 to int8: clamp(round(x / scale) + zero point), the quotient in single precision. */
export function quantize(node: Node): () => void {
  const [x, y] = [node.float32(0), node.int8Output];
  node.expectOutputSize(x.length);
  const { scale, zeroPoint } = scaleOf(node, node.output);
  return () => {
    for (let i = 0; i < x.length; i++) {
      const value = roundAway(Math.fround(x[i]! / scale)) + zeroPoint;
      y[i] = value < -128 ? -128 : value > 127 ? 127 : value;
    }
  };
}

/** DEQUANTIZE from int8 to float32: scale · (q − zero point), rounded once. */
export function dequantize(node: Node): () => void {
  const [x, y] = [node.int8(0), node.float32Output];
  node.expectOutputSize(x.length);
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  return () => {
    for (let i = 0; i < x.length; i++) y[i] = scale * (x[i]! - zeroPoint);
  };
}
