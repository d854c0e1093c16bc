import { roundHalfAway } from '../../core/numbers.js';
import { elementCount, type OperatorOptions, type TensorType } from '../../formats/tflite/graph.js';
import {
  activationRange,
  channelMultipliers,
  multiply64,
  multiplyByQuantized,
  quantizeMultiplier,
  scaleOf,
} from './fixed-point.js';
import { depthwiseFilter, endCell, fillPatch, firstCell, windowAxes } from './geometry.js';
import { perElement } from './integer.js';
import type { Node } from './node.js';

/** FULLY_CONNECTED on int16 with int8 weights: x [rows, in] · weights [out, in]ᵀ + bias → [rows, out]. */
export function fullyConnected(node: Node<OperatorOptions['FULLY_CONNECTED']>): () => void {
  const [x, weights, y] = [node.int16(0), node.int8Weights(1), node.int16Output];
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  if (!Number.isInteger(rows))
    throw node.malformed(`${x.length} inputs do not divide into rows of ${inputs}`);
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

/** CONV_2D on int16 with int8 weights. See int8.ts for the shapes. */
export function convolution(node: Node<OperatorOptions['CONV_2D']>): () => void {
  const [x, weights, y] = [node.int16(0), node.int8Weights(1), node.int16Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as [number, number, number, number];
  const groups = channels / taken;
  if (!Number.isInteger(groups) || outputs % groups !== 0)
    throw node.malformed(`${channels} channels and ${outputs} outputs do not match a filter of ${taken}`);
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

/** DEPTHWISE_CONV_2D on int16 with int8 weights. See int8.ts for the shapes. */
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

/** A layer's bias, and the function that scales the layer's sums to outputs. */
interface Wide {
  bias: Float64Array;
  /** Multiplies a sum (including the bias) by the channel's multiplier. */
  scaled: (sum: number, multiplier: number, shift: number) => number;
}

/** Maximum magnitude of a bias. With a larger bias, TFLite Micro's 64-bit multiplication would overflow. */
const limit = 2 ** 46;

/**
 * The bias of an int16 layer. With an int64 bias, sums have 64 bits and multipliers have 15 bits. With an int32 bias, sums and multipliers
 * have as many bits as for int8. Doubles represent the sums exactly.
 * @param absent the sums' type if there is no bias; undefined = int64
 */
export function wideBias(node: Node, channels: number, absent: TensorType | undefined, place = 2): Wide {
  const data = node.inputs[place]?.tensor.data;
  if (node.inputs[place] !== undefined && data?.length !== channels)
    throw node.malformed(`expected a bias of ${channels} elements, got ${data?.length}`);
  if (data instanceof Int32Array || (data === undefined && absent === 'int32'))
    return {
      bias: Float64Array.from(data ?? new Int32Array(channels)),
      scaled: (sum, multiplier, shift) => multiplyByQuantized(sum | 0, multiplier, shift),
    };
  if (data !== undefined && !(data instanceof BigInt64Array))
    throw node.unsupported(`${node.inputs[place]!.tensor.type} bias`);
  const bias = Float64Array.from(data ?? [], Number);
  const large = bias.find((value) => Math.abs(value) > limit);
  if (large !== undefined) throw node.unsupported(`a bias of ${large}`);
  return { bias: data === undefined ? new Float64Array(channels) : bias, scaled: multiply64 };
}

/** sums[r] = Σ weights[first + r][i] · x[start + i] for `rows` rows, exact in double precision. */
function rowSums(
  weights: Int8Array,
  first: number,
  rows: number,
  x: Int16Array,
  start: number,
  length: number,
  sums: Float64Array,
): void {
  for (let row = 0; row < rows; row++) {
    const w = (first + row) * length;
    let sum = 0;
    for (let i = 0; i < length; i++) sum += weights[w + i]! * x[start + i]!;
    sums[row] = sum;
  }
}

/**
 * 65536/(1 + e^−t) at t = i/24: the 256 values of TFLite's sigmoid_table_uint16. Each value is shifted by half of the linear interpolation
 * error in the middle of its segment.
 */
export const sigmoidTable = (() => {
  const sigmoid = (t: number) => 65536 / (1 + Math.exp(-t));
  return Int32Array.from({ length: 256 }, (_, i) => {
    if (i === 255) return 65535;
    const [here, middle, next] = [sigmoid(i / 24), sigmoid(i / 24 + 1 / 48), sigmoid((i + 1) / 24)];
    return Math.round(here + 0.5 * (middle - 0.5 * (here + next)));
  });
})();

/** Multiplier and shift that convert the input to units of 1/(3 · 4096). */
export function inputScale(node: Node, exact: readonly number[]): { multiplier: number; shift: number } {
  const { scale } = scaleOf(node, node.input(0));
  const power = Math.round(Math.log2(scale));
  if (Math.abs(Math.log2(scale) - power) < 1e-3 && exact.includes(12 + power))
    return { multiplier: 3 * 2 ** (12 + power), shift: 0 };
  let multiplier = scale * 4096 * 3;
  let shift = 0;
  while (multiplier <= 32767 / 2 && shift <= 30) {
    multiplier *= 2;
    shift += 1;
  }
  // The product of the multiplier and the input must fit into 32 bits.
  if (multiplier >= 32768) throw node.unsupported(`an input scale of ${scale}`);
  return { multiplier: Math.trunc(multiplier), shift };
}

function interpolated(node: Node, exact: readonly number[], output: (v: number) => number): () => void {
  const { multiplier, shift } = inputScale(node, exact);
  const half = shift > 0 ? 2 ** (shift - 1) : 0;
  return perElement(node, (x) => output(Math.floor((x * multiplier + half) / 2 ** shift)));
}

/** LOGISTIC on int16; the output's scale is always 2^−15. */
export function logistic(node: Node): () => void {
  return interpolated(node, [0], logisticOf);
}

/** 1/(1 + e^−x) in Q0.15, for v = x · 3 · 4096. */
export function logisticOf(v: number): number {
  const a = Math.abs(v);
  const [u, fraction] = [a >> 9, a & 511];
  const g =
    u >= 255 ? 0x7fff * 1024 : sigmoidTable[u]! * 512 + fraction * (sigmoidTable[u + 1]! - sigmoidTable[u]!);
  return v >= 0 ? (g + 512) >> 10 : (2 ** 25 - g + 511) >> 10;
}

/** TANH on int16; the output's scale is always 2^−15. */
export function tanh(node: Node): () => void {
  return interpolated(node, [0, 1], tanhOf);
}

/** tanh(x) in Q0.15, for v = x · 3 · 4096. */
export function tanhOf(v: number): number {
  const a = Math.abs(v);
  const [u, fraction] = [a >> 8, a & 255];
  const g =
    u >= 255 ? 0xffff * 256 : sigmoidTable[u]! * 256 + fraction * (sigmoidTable[u + 1]! - sigmoidTable[u]!);
  return v >= 0 ? (g - 2 ** 23 + 128) >> 8 : (2 ** 23 - g + 127) >> 8;
}

const clamp16 = (value: number) => Math.max(-32768, Math.min(32767, value));

/**
 * 513 values of `f` from `first` to `last`. Each value is shifted to halve the largest interpolation error in its segment (TFLite's
 * LUTPopulate).
 */
function lookupTable(f: (x: number) => number, first: number, last: number): Int16Array {
  const single = Math.fround;
  const at = (x: number) => single(f(single(x)));
  const step = single((last - first) / 512);
  const scaled = (value: number) => roundHalfAway(single(value * 32768));
  const table = new Int16Array(513);
  for (let i = 0; i < 512; i++) {
    const x = single(first + single(i * step));
    const [here, middle] = [scaled(at(x)), scaled(at(single(x + single(step / 2))))];
    const next = single(at(single(first + single((i + 1) * step))) * 32768);
    const line = roundHalfAway(single(single(next + here) / 2));
    table[i] = clamp16(here - roundHalfAway(single((line - middle) / 2)));
  }
  table[512] = clamp16(scaled(at(last)));
  return table;
}

let tables: { exponentials: Int16Array; inverses: Int16Array } | undefined;

/** The tables of SOFTMAX, created on first use, because most processes do not run an int16 model. */
export function lookupTables() {
  tables ??= {
    exponentials: lookupTable(Math.exp, -10, 0),
    inverses: lookupTable((x) => 1 / (1 + x), 0, 1),
  };
  return tables;
}

function look(table: Int16Array, q: number): number {
  const index = 256 + (q >> 7);
  const base = table[index]!;
  return base + (((table[index + 1]! - base) * (q & 127) + 64) >> 7);
}

/** SOFTMAX over the last axis on int16; the output's scale is always 2^−15. */
export function softmax(node: Node<OperatorOptions['SOFTMAX']>): () => void {
  const [x, y] = [node.int16(0), node.int16Output];
  const { exponentials, inverses } = lookupTables();
  node.expectOutputSize(x.length);
  const classes = node.input(0).tensor.shape.at(-1) ?? 1;
  const { scale } = scaleOf(node, node.input(0));
  const { multiplier, shift } = quantizeMultiplier((scale * node.options.beta) / (10 / 65535));
  const terms = new Int32Array(classes);
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = -32768;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = 0; i < classes; i++) {
        const below = multiplyByQuantized(x[start + i]! - max, multiplier, shift);
        const term = look(exponentials, clamp16(below + 32767));
        terms[i] = term;
        sum += term;
      }
      const headroom = Math.clz32(sum);
      const part = Math.floor((sum * 2 ** (headroom - 1) + 2 ** 13) / 2 ** 14);
      const inverse = look(inverses, clamp16(part - 98304));
      for (let i = 0; i < classes; i++) {
        const value = Math.floor((terms[i]! * inverse + 2 ** (30 - headroom)) / 2 ** (31 - headroom));
        y[start + i] = value < 0 ? 0 : value > 32767 ? 32767 : value;
      }
    }
  };
}
