import { float16Value, type OperatorOptions } from '../../../formats/index.js';
import type { Node } from '../node.js';
import { poolKernel } from '../pool.js';
import { reductionPlan } from '../reduction.js';
import { floatRange } from './float-range.js';

/** MAX_POOL_2D on float32. */
export function maxPool(node: Node<OperatorOptions['MAX_POOL_2D']>): () => void {
  const { low, high } = floatRange(node.options.activation);
  return poolKernel(node, node.float32(0), node.float32Output, {
    take: 'largest',
    start: Number.NEGATIVE_INFINITY,
    finish: (sum) => (sum < low ? low : sum > high ? high : sum),
  });
}

/** AVERAGE_POOL_2D on float32: over the cells inside the image. */
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

/** A float32 operator on one element at a time. */
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
