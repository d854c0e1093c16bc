import type { OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized } from '../fixed-point.js';
import { windowAxes } from '../geometry.js';
import type { Node } from '../node.js';
import { fillPatch } from '../patches.js';
import { activationRange, channelMultipliers, scaleOf } from '../quantized.js';
import { foldedBias } from './folded-bias.js';
import { rowSums } from './row-sums.js';

/** CONV_2D on int8: x NHWC, filter [out, kh, kw, in ÷ groups], output channel c in group c ÷ (out ÷ groups). */
export function convolution(node: Node<OperatorOptions['CONV_2D']>): () => void {
  const [x, weights, y] = [node.int8(0), node.int8Weights(1), node.int8Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as [number, number, number, number];
  const groups = channels / taken;
  if (!Number.isInteger(groups) || outputs % groups !== 0)
    throw node.malformed(`${channels} channels and ${outputs} outputs do not divide by a filter of ${taken}`);
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  const { multipliers, shifts } = channelMultipliers(node, outputs, 0);
  const { zeroPoint } = scaleOf(node, node.output);
  const { low, high } = activationRange(node, node.options.activation);
  const inputZero = scaleOf(node, node.input(0)).zeroPoint;
  const bias = foldedBias(node.int32Bias(2, outputs), weights, inputZero);
  const length = filterH * filterW * taken;
  const patch = new Int8Array(length);
  const perGroup = outputs / groups;
  const sums = new Int32Array(perGroup);
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++) {
      const start = batch * rows.input * columns.input * channels;
      for (let row = 0; row < rows.output; row++) {
        for (let column = 0; column < columns.output; column++) {
          for (let group = 0; group < groups; group++) {
            // Padding filled with the zero point contributes nothing, as in the reference kernel.
            fillPatch(patch, x, start, rows, columns, row, column, channels, group * taken, taken, inputZero);
            rowSums(weights, group * perGroup, perGroup, patch, 0, length, sums);
            for (let i = 0, out = group * perGroup; i < perGroup; i++, out++) {
              const sum = (bias[out]! + sums[i]!) | 0;
              const value = multiplyByQuantized(sum, multipliers[out]!, shifts[out]!) + zeroPoint;
              y[to++] = value < low ? low : value > high ? high : value;
            }
          }
        }
      }
    }
  };
}
