import type { OperatorName, OperatorOptions } from '../../formats/index.js';
import * as float from './float/layers.js';
import * as floats from './float/others.js';
import { dequantize, quantize } from './int8/convert.js';
import { convolution } from './int8/convolution.js';
import { depthwise } from './int8/depthwise.js';
import { fullyConnected } from './int8/fully-connected.js';
import { logistic, relu, relu6, requantize, tanh } from './int8/lookup.js';
import { mean } from './int8/mean.js';
import { averagePool, maxPool } from './int8/pools.js';
import { softmax } from './int8/softmax.js';
import type { Kernel } from './node.js';

/** Kernels by the types of first input and output. */
const kernels: {
  readonly [Name in OperatorName]: Readonly<Record<string, Kernel<OperatorOptions[Name]>>>;
} = {
  FULLY_CONNECTED: { 'int8 int8': fullyConnected, 'float32 float32': float.fullyConnected },
  CONV_2D: { 'int8 int8': convolution, 'float32 float32': float.convolution },
  DEPTHWISE_CONV_2D: { 'int8 int8': depthwise, 'float32 float32': float.depthwise },
  MAX_POOL_2D: { 'int8 int8': maxPool, 'float32 float32': floats.maxPool },
  AVERAGE_POOL_2D: { 'int8 int8': averagePool, 'float32 float32': floats.averagePool },
  MEAN: { 'int8 int8': mean, 'float32 float32': floats.mean },
  SOFTMAX: { 'int8 int8': softmax, 'float32 float32': floats.softmax },
  LOGISTIC: { 'int8 int8': logistic, 'float32 float32': floats.elementwise((x) => 1 / (1 + Math.exp(-x))) },
  TANH: { 'int8 int8': tanh, 'float32 float32': floats.elementwise(Math.tanh) },
  RELU: { 'int8 int8': relu, 'float32 float32': floats.elementwise((x) => (x < 0 ? 0 : x)) },
  RELU6: {
    'int8 int8': relu6,
    'float32 float32': floats.elementwise((x) => (x < 0 ? 0 : x > 6 ? 6 : x)),
  },
  QUANTIZE: { 'int8 int8': requantize, 'float32 int8': quantize },
  DEQUANTIZE: { 'int8 float32': dequantize, 'float16 float32': floats.fromFloat16 },
  // These change the shape alone; their output shares the input's memory.
  RESHAPE: {},
  EXPAND_DIMS: {},
  SQUEEZE: {},
};

/** Whether the operator leaves its input's elements as and where they are. */
export function sharesMemory(op: OperatorName): boolean {
  return op === 'RESHAPE' || op === 'EXPAND_DIMS' || op === 'SQUEEZE';
}

/** The kernel for these types, or undefined. */
export function kernelOf(op: OperatorName, input: string, output: string): Kernel | undefined {
  // A node's options are those of its operator, by which the kernel was found.
  return kernels[op][`${input} ${output}`] as Kernel | undefined;
}
