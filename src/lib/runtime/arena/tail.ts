import type { Graph, Operator, OperatorName, Tensor } from '../../formats/index.js';

/** Sizes of TFLite Micro's structures: `tflm64` as its Python runtime has them, `device` on a 32-bit chip. */
export interface Structures {
  base: number;
  tensor: number;
  operator: number;
  /** Per model input and output, with its quantization of one scale. */
  endpoint: number;
  /** While planning: per tensor or scratch buffer. */
  planned: number;
}

export const structures = {
  tflm64: { base: 520, tensor: 24, operator: 64, endpoint: 96, planned: 32 },
  // The allocator's own objects shrink on a chip; how far is not measured, so the base stays.
  device: { base: 520, tensor: 12, operator: 32, endpoint: 60, planned: 32 },
} as const satisfies Record<string, Structures>;

/** Bytes of each operator's data and option structure (64-bit sizes; on a chip they are not larger). */
const operatorBytes: { readonly [Name in OperatorName]: { data: number; options: number } } = {
  FULLY_CONNECTED: { data: 72, options: 32 },
  CONV_2D: { data: 80, options: 28 },
  DEPTHWISE_CONV_2D: { data: 80, options: 28 },
  MAX_POOL_2D: { data: 32, options: 40 },
  AVERAGE_POOL_2D: { data: 32, options: 40 },
  MEAN: { data: 44, options: 1 },
  ADD: { data: 68, options: 8 },
  SUB: { data: 60, options: 8 },
  MUL: { data: 44, options: 4 },
  REDUCE_MAX: { data: 44, options: 1 },
  CONCATENATION: { data: 72, options: 8 },
  PAD: { data: 56, options: 0 },
  PADV2: { data: 56, options: 0 },
  TRANSPOSE: { data: 0, options: 0 },
  SPLIT: { data: 0, options: 4 },
  STRIDED_SLICE: { data: 96, options: 24 },
  LEAKY_RELU: { data: 24, options: 4 },
  RESHAPE: { data: 0, options: 36 },
  EXPAND_DIMS: { data: 0, options: 0 },
  SQUEEZE: { data: 0, options: 36 },
  SOFTMAX: { data: 80, options: 4 },
  LOGISTIC: { data: 16, options: 0 },
  TANH: { data: 16, options: 0 },
  RELU: { data: 28, options: 0 },
  RELU6: { data: 8, options: 0 },
  QUANTIZE: { data: 32, options: 0 },
  DEQUANTIZE: { data: 32, options: 0 },
};

const align = (bytes: number) => Math.ceil(bytes / 16) * 16;

/** Bytes of the arena's tail: what stays allocated for tensors, operators and their multipliers. */
export function tailBytes(graph: Graph, sizes: Structures): number {
  const operators = graph.operators.map((operator) => {
    const { data, options } = operatorBytes[operator.op];
    return sizes.operator + align(data) + options + 2 * align(4 * channelsOf(operator, graph.tensors));
  });
  const endpoints = graph.inputs.length + graph.outputs.length;
  return (
    sizes.base +
    sizes.tensor * graph.tensors.length +
    sizes.endpoint * endpoints +
    operators.reduce((sum, bytes) => sum + bytes, 0)
  );
}

/** Output channels for which a layer keeps multipliers and shifts; 0 where it keeps none. */
function channelsOf({ op, inputs }: Operator, tensors: readonly Tensor[]): number {
  const weights = tensors[inputs[1] ?? -1];
  if (op === 'CONV_2D') return weights?.shape[0] ?? 0;
  if (op === 'DEPTHWISE_CONV_2D') return weights?.shape[3] ?? 0;
  const scales = weights?.quantization?.scale.length ?? 0;
  return op === 'FULLY_CONNECTED' && scales > 1 ? scales : 0;
}
