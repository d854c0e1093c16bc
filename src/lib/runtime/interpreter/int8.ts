import { elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import {
  activationRange,
  channelMultipliers,
  doublingHighMultiply,
  exponential,
  frexp,
  logarithm,
  logistic as logisticOf,
  multiplyByQuantized,
  quantizeMultiplier,
  reciprocalOfOnePlus,
  roundingShiftRight,
  scaleOf,
  tanh as tanhOf,
  typeRange,
} from './fixed-point.js';
import { depthwiseFilter, endCell, fillPatch, firstCell, windowAxes } from './geometry.js';
import { perElement } from './integer.js';
import type { Node } from './node.js';

/** CONV_2D on int8: x NHWC, filter [out, kh, kw, in ÷ groups], output channel c in group c ÷ (out ÷ groups). */
export function convolution(node: Node<OperatorOptions['CONV_2D']>): () => void {
  const [x, weights, y] = [node.int8(0), node.int8Weights(1), node.int8Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as [number, number, number, number];
  const groups = channels / taken;
  if (!Number.isInteger(groups) || outputs % groups !== 0)
    throw node.malformed(`${channels} channels and ${outputs} outputs do not match a filter of ${taken}`);
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
            // As in the reference kernel, padding is filled with the zero point, so that the padding contributes nothing.
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

/** FULLY_CONNECTED on int8: x [rows, in] · weights [out, in]ᵀ + bias → [rows, out]. */
export function fullyConnected(node: Node<OperatorOptions['FULLY_CONNECTED']>): () => void {
  const [x, weights, y] = [node.int8(0), node.int8Weights(1), node.int8Output];
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  if (!Number.isInteger(rows))
    throw node.malformed(`${x.length} inputs do not divide into rows of ${inputs}`);
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

/**
 * bias[c] − zeroPoint · Σ weights of channel c. With this bias, Σ w·x replaces Σ w·(x − z), which yields the same int32 with fewer
 * operations. `weights` has the shape [channels][anything].
 */
function foldedBias(bias: Int32Array, weights: Int8Array, zeroPoint: number): Int32Array {
  const per = weights.length / bias.length;
  return bias.map((value, channel) => {
    let sum = 0;
    for (let i = channel * per; i < (channel + 1) * per; i++) sum += weights[i]!;
    return value - Math.imul(zeroPoint, sum);
  });
}

/**
 * sums[r] = Σ weights[first + r][i] · x[start + i] for `rows` rows of `length` int8 values, in int32. Four rows are computed at a time, so
 * that each x is loaded once for four products. This is about 1.7 times as fast as computing each row separately.
 */
function rowSums(
  weights: Int8Array,
  first: number,
  rows: number,
  x: Int8Array,
  start: number,
  length: number,
  sums: Int32Array,
): void {
  let row = 0;
  for (; row < rows - 3; row += 4) {
    const w0 = (first + row) * length;
    const w1 = w0 + length;
    const w2 = w1 + length;
    const w3 = w2 + length;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let i = 0; i < length; i++) {
      const value = x[start + i]!;
      s0 = (s0 + Math.imul(weights[w0 + i]!, value)) | 0;
      s1 = (s1 + Math.imul(weights[w1 + i]!, value)) | 0;
      s2 = (s2 + Math.imul(weights[w2 + i]!, value)) | 0;
      s3 = (s3 + Math.imul(weights[w3 + i]!, value)) | 0;
    }
    sums[row] = s0;
    sums[row + 1] = s1;
    sums[row + 2] = s2;
    sums[row + 3] = s3;
  }
  for (; row < rows; row++) {
    const w = (first + row) * length;
    let sum = 0;
    for (let i = 0; i < length; i++) sum = (sum + Math.imul(weights[w + i]!, x[start + i]!)) | 0;
    sums[row] = sum;
  }
}

/** LOGISTIC and TANH. Outside a radius, the output saturates. Inside the radius, `inner` computes the output from the input in Q4.27. */
function saturating(node: Node, inner: (v: number) => number): () => void {
  const { scale, zeroPoint } = scaleOf(node, node.input(0));
  // With a scale of 16 or more, the radius would be 0, and even an input of zero would saturate.
  if (scale >= 16) throw node.unsupported(`an input scale of ${scale} (expected less than 16)`);
  // With a scale below 2^−28, the shift would be negative. TFLite Micro does not support a negative shift.
  if (scale < 2 ** -28) throw node.unsupported(`an input scale of ${scale} (expected at least 2^−28)`);
  const { fraction, exponent } = frexp(scale * 2 ** 27);
  const multiplier = Math.round(fraction * 2 ** 31);
  const radius = Math.floor((15 * 2 ** 27) / 2 ** exponent);
  return perElement(node, (q) => {
    const d = q - zeroPoint;
    if (d <= -radius) return -128;
    if (d >= radius) return 127;
    return inner(multiplyByQuantized(d, multiplier, exponent));
  });
}

/** LOGISTIC on int8. The output always has the scale 1/256 and the zero point −128. */
export function logistic(node: Node): () => void {
  return saturating(node, (v) => roundingShiftRight(logisticOf(v), 23) - 128);
}

/** TANH on int8. The output always has the scale 1/128 and the zero point 0. */
export function tanh(node: Node): () => void {
  return saturating(node, (v) => roundingShiftRight(tanhOf(v), 24));
}

const differenceBits = 26;
const accumulationShift = 12;

/**
 * SOFTMAX over the last axis from int8 to int8 (scale 1/256, zero point −128) or int16 (scale 2^−16, zero point −32768). Input differences
 * are in Q5.26, sums in Q12.19.
 */
export function softmax(node: Node<OperatorOptions['SOFTMAX']>): () => void {
  const [x, y] = [node.int8(0), node.integerOutput];
  const { low, high } = typeRange(node);
  const bits = y instanceof Int16Array ? 16 : 8;
  node.expectOutputSize(x.length);
  const classes = node.input(0).tensor.shape.at(-1);
  if (classes === undefined) throw node.malformed('expected an input of at least one dimension');
  // With 512 or more nearly equal inputs, the sum overflows, and TFLite Micro aborts on the device.
  if (classes > 511) throw node.unsupported(`a softmax over ${classes} classes (at most 511)`);
  const real = Math.min(
    node.options.beta * scaleOf(node, node.input(0)).scale * 2 ** differenceBits,
    2 ** 31 - 1,
  );
  if (!(real > 1)) throw node.malformed(`its input scale × beta is too small (${real} · 2^−26)`);
  const { multiplier, shift } = quantizeMultiplier(real);
  const least = -Math.floor((31 * 2 ** differenceBits) / 2 ** shift);
  // e^(x − max) depends only on the difference, which has 256 possible values. An entry of 0 means that x is too far below the maximum.
  const exponentials = new Int32Array(256);
  for (let below = 0; below < 256 && -below >= least; below++)
    exponentials[below] = exponential(doublingHighMultiply((-below << shift) | 0, multiplier), 5);
  const terms = exponentials.map((value) => roundingShiftRight(value, accumulationShift));
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = -128;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = start; i < start + classes; i++) sum += terms[max - x[i]!]!;
      const headroom = Math.clz32(sum);
      const inverse = reciprocalOfOnePlus(sum * 2 ** headroom - 2 ** 31);
      const exponent = accumulationShift - headroom + 31 - bits;
      for (let i = start; i < start + classes; i++) {
        const below = max - x[i]!;
        const value = roundingShiftRight(doublingHighMultiply(exponentials[below]!, inverse), exponent) + low;
        y[i] = -below < least || value < low ? low : value > high ? high : value;
      }
    }
  };
}

/** Multipliers and limits that LOG_SOFTMAX on int8 needs before it runs. Differences from the largest input, and logarithms, are in Q5.26. */
export interface LogSoftmaxPlan {
  classes: number;
  /** Converts a difference of inputs to Q5.26. */
  multiplier: number;
  shift: number;
  /** Inputs that are further below the largest input do not count. */
  furthest: number;
  /** Converts Q5.26 to a difference of inputs. */
  back: { multiplier: number; shift: number };
}

export function logSoftmaxPlan(node: Node): LogSoftmaxPlan {
  const classes = node.input(0).tensor.shape.at(-1);
  if (classes === undefined) throw node.malformed('expected an input of at least one dimension');
  if (classes > 4094) throw node.unsupported(`a log softmax over ${classes} classes (at most 4094)`);
  const real = Math.min(scaleOf(node, node.input(0)).scale * 2 ** differenceBits, 2 ** 31 - 1);
  if (!(real > 1)) throw node.malformed(`its input scale is too small (${real} · 2^−26)`);
  const { multiplier, shift } = quantizeMultiplier(real);
  if (shift > 30) throw node.unsupported(`an input scale of ${real / 2 ** differenceBits}`);
  const back = quantizeMultiplier(2 ** (31 - shift) / multiplier);
  return { classes, multiplier, shift, furthest: Math.floor((31 * 2 ** differenceBits) / 2 ** shift), back };
}

/** LOG_SOFTMAX over the last axis on int8. The output always has the scale 1/16 and the zero point 127. */
export function logSoftmax(node: Node): () => void {
  const [x, y] = [node.int8(0), node.int8Output];
  node.expectOutputSize(x.length);
  const { classes, multiplier, shift, furthest, back } = logSoftmaxPlan(node);
  const differences = Int32Array.from({ length: 256 }, (_, below) =>
    multiplyByQuantized(-below, multiplier, shift),
  );
  const terms = differences.map((difference, below) =>
    below > furthest ? 0 : roundingShiftRight(exponential(difference, 5), accumulationShift),
  );
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = -128;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = start; i < start + classes; i++) sum += terms[max - x[i]!]!;
      const whole = logarithm(sum);
      const least = multiplyByQuantized(whole - 2 ** 31, back.multiplier, back.shift);
      const lowest = Math.max(-furthest - 1, least);
      for (let i = start; i < start + classes; i++) {
        const below = max - x[i]!;
        const value = roundingShiftRight((differences[below]! - whole) | 0, 22) + 127;
        y[i] = -below <= lowest || value < -128 ? -128 : value > 127 ? 127 : value;
      }
    }
  };
}
