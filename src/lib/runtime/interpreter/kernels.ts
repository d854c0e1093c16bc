import type { OperatorName, OperatorOptions } from '../../formats/index.js';
import * as float from './float/layers.js';
import * as floats from './float/others.js';
import { binary, leakyRelu as floatLeakyRelu } from './float/sums.js';
import { convolution } from './int8/convolution.js';
import { depthwise } from './int8/depthwise.js';
import { fullyConnected } from './int8/fully-connected.js';
import { logistic, tanh } from './int8/lookup.js';
import { softmax } from './int8/softmax.js';
import * as int16 from './int16/layers.js';
import { logistic as logistic16, tanh as tanh16 } from './int16/sigmoid.js';
import { softmax as softmax16 } from './int16/softmax.js';
import { dequantize, quantize } from './integer/convert.js';
import { mean } from './integer/mean.js';
import { averagePool, maxPool } from './integer/pools.js';
import { leakyRelu, relu, relu6, requantize } from './integer/rescale.js';
import { product, sum } from './integer/sums.js';
import * as moves from './moves.js';
import type { Kernel, Node } from './node.js';
import { scaleOf } from './quantized.js';

const integer = <K>(kernel: K) => ({ 'int8 int8': kernel, 'int16 int16': kernel });
/** Elements are moved: the same for all types. */
const moving = <K>(kernel: K) => ({ ...integer(kernel), 'float32 float32': kernel });

/** Kernels by the types of the first activation and of the output. */
const kernels: {
  readonly [Name in OperatorName]: Readonly<Record<string, Kernel<OperatorOptions[Name]>>>;
} = {
  FULLY_CONNECTED: {
    'int8 int8': fullyConnected,
    'int16 int16': int16.fullyConnected,
    'float32 float32': float.fullyConnected,
  },
  CONV_2D: {
    'int8 int8': convolution,
    'int16 int16': int16.convolution,
    'float32 float32': float.convolution,
  },
  DEPTHWISE_CONV_2D: {
    'int8 int8': depthwise,
    'int16 int16': int16.depthwise,
    'float32 float32': float.depthwise,
  },
  MAX_POOL_2D: { ...integer(maxPool), 'float32 float32': floats.maxPool },
  AVERAGE_POOL_2D: { ...integer(averagePool), 'float32 float32': floats.averagePool },
  MEAN: { ...integer(mean), 'float32 float32': floats.mean },
  // TFLite Micro has none for int16.
  REDUCE_MAX: { 'int8 int8': moves.reduceMax, 'float32 float32': moves.reduceMax },
  ADD: { ...integer(sum(1)), 'float32 float32': binary((a, b) => a + b) },
  SUB: { ...integer(sum(-1)), 'float32 float32': binary((a, b) => a - b) },
  MUL: { ...integer(product), 'float32 float32': binary((a, b) => a * b) },
  CONCATENATION: moving(moves.concatenation),
  PAD: { ...integer(moves.pad(zeroOf)), 'float32 float32': moves.pad(() => 0) },
  PADV2: moving(moves.pad(moves.padValue)),
  TRANSPOSE: moving(moves.transpose),
  SPLIT: moving(moves.split),
  STRIDED_SLICE: moving(moves.stridedSlice),
  SOFTMAX: { 'int8 int8': softmax, 'int16 int16': softmax16, 'float32 float32': floats.softmax },
  LOGISTIC: {
    'int8 int8': logistic,
    'int16 int16': logistic16,
    'float32 float32': floats.elementwise((x) => 1 / (1 + Math.exp(-x))),
  },
  TANH: { 'int8 int8': tanh, 'int16 int16': tanh16, 'float32 float32': floats.elementwise(Math.tanh) },
  RELU: { ...integer(relu), 'float32 float32': floats.elementwise((x) => (x < 0 ? 0 : x)) },
  RELU6: {
    ...integer(relu6),
    'float32 float32': floats.elementwise((x) => (x < 0 ? 0 : x > 6 ? 6 : x)),
  },
  LEAKY_RELU: { ...integer(leakyRelu), 'float32 float32': floatLeakyRelu },
  QUANTIZE: {
    ...integer(requantize),
    'int8 int16': requantize,
    'int16 int8': requantize,
    'float32 int8': quantize,
    'float32 int16': quantize,
  },
  DEQUANTIZE: {
    'int8 float32': dequantize,
    'int16 float32': dequantize,
    'float16 float32': floats.fromFloat16,
  },
  // These change the shape alone; their output shares the input's memory.
  RESHAPE: {},
  EXPAND_DIMS: {},
  SQUEEZE: {},
};

/** The integer that stands for a real 0. */
function zeroOf(node: Node): number {
  return scaleOf(node, node.output).zeroPoint;
}

/** Whether the operator leaves its input's elements as and where they are. */
export function sharesMemory(op: OperatorName): boolean {
  return op === 'RESHAPE' || op === 'EXPAND_DIMS' || op === 'SQUEEZE';
}

/** The kernel for these types, or undefined. */
export function kernelOf(op: OperatorName, input: string, output: string): Kernel | undefined {
  // A node's options are those of its operator, by which the kernel was found.
  return kernels[op][`${input} ${output}`] as Kernel | undefined;
}
