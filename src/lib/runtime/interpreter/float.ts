import { type Activation, elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import { float16Value } from '../../formats/tflite/real-values.js';
import { depthwiseFilter, endCell, fillPatch, firstCell, poolKernel, windowAxes } from './geometry.js';
import { broadcastPlaces, reductionPlan } from './moves.js';
import type { Node } from './node.js';

/** FULLY_CONNECTED on float32: x [rows, in] · weights [out, in]ᵀ + bias → [rows, out]. */
export function fullyConnected(node: Node<OperatorOptions['FULLY_CONNECTED']>): () => void {
  const [x, weights, y] = [node.float32(0), node.float32(1), node.float32Output];
  const [outputs, inputs] = node.shape(node.input(1), 2) as [number, number];
  const rows = elementCount(node.input(0).tensor.shape) / inputs;
  if (!Number.isInteger(rows))
    throw node.malformed(`${x.length} inputs do not divide into rows of ${inputs}`);
  node.expectRows(rows, outputs);
  const bias = node.float32Bias(2, outputs);
  const { low, high } = floatRange(node.options.activation);
  const sums = new Float64Array(outputs);
  return () => {
    for (let row = 0; row < rows; row++) {
      rowSums(weights, 0, outputs, x, row * inputs, inputs, sums);
      for (let out = 0; out < outputs; out++) {
        const value = bias[out]! + sums[out]!;
        y[row * outputs + out] = value < low ? low : value > high ? high : value;
      }
    }
  };
}

/** CONV_2D on float32: x NHWC, filter [out, kh, kw, in ÷ groups]. */
export function convolution(node: Node<OperatorOptions['CONV_2D']>): () => void {
  const [x, weights, y] = [node.float32(0), node.float32(1), node.float32Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as [number, number, number, number];
  const groups = channels / taken;
  if (!Number.isInteger(groups) || outputs % groups !== 0)
    throw node.malformed(`${channels} channels and ${outputs} outputs do not match a filter of ${taken}`);
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  const bias = node.float32Bias(2, outputs);
  const { low, high } = floatRange(node.options.activation);
  const length = filterH * filterW * taken;
  const patch = new Float32Array(length);
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
            for (let i = 0; i < perGroup; i++) {
              const value = bias[group * perGroup + i]! + sums[i]!;
              y[to++] = value < low ? low : value > high ? high : value;
            }
          }
        }
      }
    }
  };
}

/** DEPTHWISE_CONV_2D on float32: filter [1, kh, kw, out]; output channel c reads input channel c ÷ (out ÷ in). */
export function depthwise(node: Node<OperatorOptions['DEPTHWISE_CONV_2D']>): () => void {
  const [x, weights, y] = [node.float32(0), node.float32(1), node.float32Output];
  const channels = node.shape(node.input(0), 4)[3]!;
  const { filterH, filterW, outputs, multiplier } = depthwiseFilter(node, channels);
  const { batches, rows, columns } = windowAxes(node, node.options, [filterH, filterW], outputs);
  const bias = node.float32Bias(2, outputs);
  const { low, high } = floatRange(node.options.activation);
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
            const value = sums[out]!;
            y[to++] = value < low ? low : value > high ? high : value;
          }
        }
      }
    }
  };
}

/**
 * sums[r] = Σ weights[first + r][i] · x[start + i] for `rows` rows of `length` values. Sums are computed in double precision and rounded
 * once, so they are at least as accurate as a float kernel's sums. Four rows are computed at a time, as for int8.
 */
function rowSums(
  weights: Float32Array,
  first: number,
  rows: number,
  x: Float32Array,
  start: number,
  length: number,
  sums: Float64Array,
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
      s0 += weights[w0 + i]! * value;
      s1 += weights[w1 + i]! * value;
      s2 += weights[w2 + i]! * value;
      s3 += weights[w3 + i]! * value;
    }
    sums[row] = s0;
    sums[row + 1] = s1;
    sums[row + 2] = s2;
    sums[row + 3] = s3;
  }
  for (; row < rows; row++) {
    const w = (first + row) * length;
    let sum = 0;
    for (let i = 0; i < length; i++) sum += weights[w + i]! * x[start + i]!;
    sums[row] = sum;
  }
}

/** MAX_POOL_2D on float32. */
export function maxPool(node: Node<OperatorOptions['MAX_POOL_2D']>): () => void {
  const { low, high } = floatRange(node.options.activation);
  return poolKernel(node, node.float32(0), node.float32Output, {
    take: 'largest',
    start: Number.NEGATIVE_INFINITY,
    finish: (sum) => (sum < low ? low : sum > high ? high : sum),
  });
}

/** AVERAGE_POOL_2D on float32, over the cells that are inside the image. */
export function averagePool(node: Node<OperatorOptions['AVERAGE_POOL_2D']>): () => void {
  const { low, high } = floatRange(node.options.activation);
  return poolKernel(node, node.float32(0), node.float32Output, {
    take: 'sum',
    start: 0,
    finish: (sum, count) => Math.min(Math.max(sum / count, low), high),
  });
}

/** MEAN on float32. */
export function mean(node: Node<OperatorOptions['MEAN']>): () => void {
  const [x, y] = [node.float32(0), node.float32Output];
  const { target, count } = reductionPlan(node);
  const sums = new Float64Array(y.length);
  return () => {
    sums.fill(0);
    for (let i = 0; i < x.length; i++) sums[target[i]!]! += x[i]!;
    for (let i = 0; i < y.length; i++) y[i] = sums[i]! / count;
  };
}

/** SUM on float32, in element order, with each partial sum in single precision. */
export function sum(node: Node<OperatorOptions['SUM']>): () => void {
  const [x, y] = [node.float32(0), node.float32Output];
  const { target } = reductionPlan(node);
  return () => {
    y.fill(0);
    for (let i = 0; i < x.length; i++) y[target[i]!] = y[target[i]!]! + x[i]!;
  };
}

/** SOFTMAX over the last axis on float32. */
export function softmax(node: Node<OperatorOptions['SOFTMAX']>): () => void {
  const [x, y] = [node.float32(0), node.float32Output];
  node.expectOutputSize(x.length);
  const classes = node.input(0).tensor.shape.at(-1) ?? 1;
  const { beta } = node.options;
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = Number.NEGATIVE_INFINITY;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = start; i < start + classes; i++) {
        const value = Math.exp((x[i]! - max) * beta);
        sum += value;
        y[i] = value;
      }
      for (let i = start; i < start + classes; i++) y[i] = y[i]! / sum;
    }
  };
}

/** LOG_SOFTMAX over the last axis on float32. */
export function logSoftmax(node: Node): () => void {
  const [x, y] = [node.float32(0), node.float32Output];
  node.expectOutputSize(x.length);
  const classes = node.input(0).tensor.shape.at(-1) ?? 1;
  return () => {
    for (let start = 0; start < x.length; start += classes) {
      let max = Number.NEGATIVE_INFINITY;
      for (let i = start; i < start + classes; i++) if (x[i]! > max) max = x[i]!;
      let sum = 0;
      for (let i = start; i < start + classes; i++) sum += Math.exp(x[i]! - max);
      const whole = Math.log(sum);
      for (let i = start; i < start + classes; i++) y[i] = x[i]! - max - whole;
    }
  };
}

/** A float32 operator that processes one element at a time. */
export function elementwise(output: (x: number) => number): (node: Node) => () => void {
  return (node) => {
    const [x, y] = [node.float32(0), node.float32Output];
    node.expectOutputSize(x.length);
    return () => {
      for (let i = 0; i < x.length; i++) y[i] = output(x[i]!);
    };
  };
}

/** DEQUANTIZE of a float16 constant (raw 16-bit words) to float32. */
export function fromFloat16(node: Node): () => void {
  const { data } = node.input(0).tensor;
  if (!(data instanceof Uint16Array)) throw node.unsupported('float16 that is not constant');
  const y = node.float32Output;
  node.expectOutputSize(data.length);
  return () => {
    for (let i = 0; i < data.length; i++) y[i] = float16Value(data[i]!);
  };
}

/** Operators with two float32 inputs, with or without a fused activation. */
export function binary(
  compute: (a: number, b: number) => number,
): (node: Node<OperatorOptions['MUL']>) => () => void {
  return (node) => {
    const [x0, x1, y] = [node.float32(0), node.float32(1), node.float32Output];
    const { low, high } = floatRange(node.options.activation ?? 'none');
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

/** Range of a fused activation on float32. */
export function floatRange(activation: Activation): { low: number; high: number } {
  const [low, high] = {
    none: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    relu: [0, Number.POSITIVE_INFINITY],
    relu6: [0, 6],
    relu_n1_to_1: [-1, 1],
  }[activation] as [number, number];
  return { low, high };
}
