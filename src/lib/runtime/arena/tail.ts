import type { Graph, Operator, OperatorName, Tensor } from '../../formats/index.js';

/** Bytes of TFLite Micro's own structures, as its 64-bit Python runtime reports them. */
const structures = {
  base: 520,
  tensor: 24,
  operator: 64,
  /** Per model input and output, and more for the scale of a quantized one. */
  endpoint: 64,
  endpointScale: 32,
} as const;

/** Bytes of each operator's data and option structure. */
const operatorBytes: { readonly [Name in OperatorName]: { data: number; options: number } } = {
  FULLY_CONNECTED: { data: 72, options: 32 },
  CONV_2D: { data: 80, options: 40 },
  DEPTHWISE_CONV_2D: { data: 80, options: 40 },
  MAX_POOL_2D: { data: 32, options: 40 },
  AVERAGE_POOL_2D: { data: 32, options: 40 },
  MEAN: { data: 44, options: 16 },
  ADD: { data: 68, options: 8 },
  SUB: { data: 60, options: 16 },
  MUL: { data: 44, options: 16 },
  REDUCE_MAX: { data: 44, options: 16 },
  CONCATENATION: { data: 72, options: 16 },
  PAD: { data: 56, options: 0 },
  PADV2: { data: 56, options: 0 },
  TRANSPOSE: { data: 0, options: 0 },
  SPLIT: { data: 0, options: 8 },
  STRIDED_SLICE: { data: 96, options: 24 },
  LEAKY_RELU: { data: 24, options: 8 },
  RESHAPE: { data: 0, options: 40 },
  EXPAND_DIMS: { data: 0, options: 0 },
  SQUEEZE: { data: 0, options: 40 },
  SOFTMAX: { data: 80, options: 8 },
  LOGISTIC: { data: 16, options: 8 },
  TANH: { data: 16, options: 8 },
  RELU: { data: 28, options: 8 },
  RELU6: { data: 8, options: 0 },
  QUANTIZE: { data: 32, options: 8 },
  DEQUANTIZE: { data: 32, options: 8 },
};

const align = (bytes: number) => Math.ceil(bytes / 16) * 16;

/** Bytes of the arena's tail: what stays allocated for tensors, operators and their multipliers. */
export function tailBytes(graph: Graph): number {
  const operators = graph.operators.map((operator) => {
    const { data, options } = operatorBytes[operator.op];
    const channels = 2 * align(4 * channelsOf(operator, graph.tensors));
    return structures.operator + align(data) + options + channels + otherBytes(operator, graph.tensors);
  });
  return (
    structures.base +
    structures.tensor * graph.tensors.length +
    endpointBytes(graph) +
    operators.reduce((sum, bytes) => sum + bytes, 0)
  );
}

/** The part of the tail that belongs to the network's inputs and outputs, and is allocated last. */
export function endpointBytes({ inputs, outputs, tensors }: Graph): number {
  const ends = [...inputs, ...outputs];
  const quantized = ends.filter((index) => (tensors[index]!.quantization?.scale.length ?? 0) > 0);
  return structures.endpoint * ends.length + structures.endpointScale * quantized.length;
}

/** Output channels for which a layer keeps multipliers and shifts; 0 where it keeps none. */
function channelsOf({ op, inputs }: Operator, tensors: readonly Tensor[]): number {
  const weights = tensors[inputs[1] ?? -1];
  if (op === 'CONV_2D') return weights?.shape[0] ?? 0;
  if (op === 'DEPTHWISE_CONV_2D') return weights?.shape[3] ?? 0;
  const scales = weights?.quantization?.scale.length ?? 0;
  return op === 'FULLY_CONNECTED' && scales > 1 ? scales : 0;
}

/** What some uses need beyond: the tables of an int16 softmax, the zero bias of a convolution without one. */
function otherBytes({ op, inputs }: Operator, tensors: readonly Tensor[]): number {
  if (op === 'SOFTMAX') return tensors[inputs[0]!]!.type === 'int16' ? 2 * align(2 * 513) : 0;
  return op === 'CONV_2D' && inputs.length < 3 ? 24 : 0;
}
