import type { OperatorOptions } from '../../../formats/index.js';
import { multiplyByQuantized } from '../fixed-point.js';
import { depthwiseFilter, endCell, firstCell, windowAxes } from '../geometry.js';
import type { Node } from '../node.js';
import { activationRange, channelMultipliers, scaleOf } from '../quantized.js';

/** DEPTHWISE_CONV_2D on int8: filter [1, kh, kw, out]; output channel c reads input channel c ÷ (out ÷ in). */
export function depthwise(node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>): () => void {
  const [x, weights, y] = [node.int8(0), node.int8Weights(1), node.int8Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW, outputs, multiplier } = depthwiseFilter(node, channels);
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  const { multipliers, shifts } = channelMultipliers(node, outputs, 3);
  const { zeroPoint } = scaleOf(node, node.output);
  const { low, high } = activationRange(node, node.options.activation);
  const inputZero = scaleOf(node, node.input(0)).zeroPoint;
  const bias = node.int32Bias(2, outputs);
  const sums = new Int32Array(outputs);
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++) {
      for (let row = 0; row < rows.output; row++) {
        const rowEnd = endCell(rows, row);
        for (let column = 0; column < columns.output; column++) {
          const columnEnd = endCell(columns, column);
          sums.set(bias);
          for (let r = firstCell(rows, row); r < rowEnd; r++) {
            const inputRow = row * rows.stride - rows.before + r * rows.dilation;
            for (let c = firstCell(columns, column); c < columnEnd; c++) {
              const inputColumn = column * columns.stride - columns.before + c * columns.dilation;
              const from = ((batch * rows.input + inputRow) * columns.input + inputColumn) * channels;
              const filter = (r * filterW + c) * outputs;
              for (let channel = 0, out = 0; channel < channels; channel++) {
                const value = x[from + channel]! - inputZero;
                for (let m = 0; m < multiplier; m++, out++)
                  sums[out]! += Math.imul(weights[filter + out]!, value);
              }
            }
          }
          for (let out = 0; out < outputs; out++) {
            const value = multiplyByQuantized(sums[out]!, multipliers[out]!, shifts[out]!) + zeroPoint;
            y[to++] = value < low ? low : value > high ? high : value;
          }
        }
      }
    }
  };
}
