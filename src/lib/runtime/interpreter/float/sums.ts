import type { OperatorOptions } from '../../../formats/index.js';
import { broadcastPlaces } from '../broadcast.js';
import type { Node } from '../node.js';
import { floatRange } from './float-range.js';
import { elementwise } from './others.js';

/** ADD, SUB and MUL on float32. */
export function binary(
  compute: (a: number, b: number) => number,
): (node: Node<OperatorOptions['MUL']>) => () => void {
  return (node) => {
    const [x0, x1, y] = [node.float32(0), node.float32(1), node.float32Output];
    const { low, high } = floatRange(node.options.activation);
    const [places0, places1] = broadcastPlaces(node);
    return () => {
      for (let i = 0; i < y.length; i++) {
        const value = compute(x0[places0[i]!]!, x1[places1[i]!]!);
        y[i] = value < low ? low : value > high ? high : value;
      }
    };
  };
}

/** LEAKY_RELU on float32. */
export function leakyRelu(node: Node<OperatorOptions['LEAKY_RELU']>): () => void {
  const { alpha } = node.options;
  return elementwise((x) => (x < 0 ? alpha * x : x))(node);
}
