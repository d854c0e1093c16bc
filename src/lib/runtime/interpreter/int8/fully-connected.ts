import { elementCount, type OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized } from '../fixed-point.js';
import type { Node } from '../node.js';
import { activationRange, channelMultipliers, scaleOf } from '../quantized.js';
import { foldedBias } from './folded-bias.js';
import { rowSums } from './row-sums.js';

/** FULLY_CONNECTED on int8: x [rows, in] · weights [out, in]ᵀ + bias → [rows, out]. */
export function fullyConnected(node: Node<OperatorOptions['FULLY_CONNECTED']>): () => void {
  const [x, weights, y] = [node.int8(0), node.int8Weights(1), node.int8Output];
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  if (!Number.isInteger(rows)) throw node.malformed(`${x.length} inputs are no rows of ${inputs}`);
  node.expectRows(rows, outputs);
  const { multipliers, shifts } = channelMultipliers(node, outputs, 0);
  const { zeroPoint } = scaleOf(node, node.output);
  const { low, high } = activationRange(node, node.options.activation);
  const bias = foldedBias(node.int32Bias(2, outputs), weights, scaleOf(node, node.input(0)).zeroPoint);
  const sums = new Int32Array(outputs);
  return () => {
    for (let row = 0; row < rows; row++) {
      rowSums(weights, 0, outputs, x, row * inputs, inputs, sums);
      for (let out = 0; out < outputs; out++) {
        const sum = (bias[out]! + sums[out]!) | 0;
        const value = multiplyByQuantized(sum, multipliers[out]!, shifts[out]!) + zeroPoint;
        y[row * outputs + out] = value < low ? low : value > high ? high : value;
      }
    }
  };
}
