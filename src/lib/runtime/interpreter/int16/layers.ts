import { elementCount, type OperatorOptions } from '../../../formats/index.js';
import { depthwiseFilter, endCell, firstCell, windowAxes } from '../geometry.js';
import type { Node } from '../node.js';
import { fillPatch } from '../patches.js';
import { activationRange, channelMultipliers } from '../quantized.js';
import { rowSums, wideBias } from './wide.js';

/** FULLY_CONNECTED on int16 with int8 weights: x [rows, in] · weights [out, in]ᵀ + bias → [rows, out]. */
export function fullyConnected(node: Node<OperatorOptions['FULLY_CONNECTED']>): () => void {
  const [x, weights, y] = [node.int16(0), node.int8Weights(1), node.int16Output];
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  if (!Number.isInteger(rows)) throw node.malformed(`${x.length} inputs are no rows of ${inputs}`);
  node.expectRows(rows, outputs);
  const { multipliers, shifts } = channelMultipliers(node, outputs, 0);
  const { low, high } = activationRange(node, node.options.activation);
  const { bias, scaled } = wideBias(node, outputs, node.options.quantizedBiasType);
  const sums = new Float64Array(outputs);
  return () => {
    for (let row = 0; row < rows; row++) {
      rowSums(weights, 0, outputs, x, row * inputs, inputs, sums);
      for (let out = 0; out < outputs; out++) {
        const value = scaled(bias[out]! + sums[out]!, multipliers[out]!, shifts[out]!);
        y[row * outputs + out] = value < low ? low : value > high ? high : value;
      }
    }
  };
}

/** CONV_2D on int16 with int8 weights, as on int8. */
export function convolution(node: Node<OperatorOptions['CONV_2D']>): () => void {
  const [x, weights, y] = [node.int16(0), node.int8Weights(1), node.int16Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as [number, number, number, number];
  const groups = channels / taken;
  if (!Number.isInteger(groups) || outputs % groups !== 0)
    throw node.malformed(`${channels} channels and ${outputs} outputs do not divide by a filter of ${taken}`);
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  const { multipliers, shifts } = channelMultipliers(node, outputs, 0);
  const { low, high } = activationRange(node, node.options.activation);
  const { bias, scaled } = wideBias(node, outputs, node.options.quantizedBiasType);
  const length = filterH * filterW * taken;
  const patch = new Int16Array(length);
  const perGroup = outputs / groups;
  const sums = new Float64Array(perGroup);
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++) {
      const start = batch * rows.input * columns.input * channels;
      for (let row = 0; row < rows.output; row++) {
        for (let column = 0; column < columns.output; column++) {
          for (let group = 0; group < groups; group++) {
            fillPatch(patch, x, start, rows, columns, row, column, channels, group * taken, taken, 0);
            rowSums(weights, group * perGroup, perGroup, patch, 0, length, sums);
            for (let i = 0, out = group * perGroup; i < perGroup; i++, out++) {
              const value = scaled(bias[out]! + sums[i]!, multipliers[out]!, shifts[out]!);
              y[to++] = value < low ? low : value > high ? high : value;
            }
          }
        }
      }
    }
  };
}

/** DEPTHWISE_CONV_2D on int16 with int8 weights, as on int8. */
export function depthwise(node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>): () => void {
  const [x, weights, y] = [node.int16(0), node.int8Weights(1), node.int16Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW, outputs, multiplier } = depthwiseFilter(node, channels);
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  const { multipliers, shifts } = channelMultipliers(node, outputs, 3);
  const { low, high } = activationRange(node, node.options.activation);
  const { bias, scaled } = wideBias(node, outputs, undefined);
  const sums = new Float64Array(outputs);
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
                for (let m = 0; m < multiplier; m++, out++)
                  sums[out]! += weights[filter + out]! * x[from + channel]!;
              }
            }
          }
          for (let out = 0; out < outputs; out++) {
            const value = scaled(sums[out]!, multipliers[out]!, shifts[out]!);
            y[to++] = value < low ? low : value > high ? high : value;
          }
        }
      }
    }
  };
}
