import type { Graph, Operator, Quantization, Tensor } from '../../src/lib/formats/tflite/graph.js';

/** Operators whose output scale is fixed in the int16 kernels. */
const fixed: readonly Operator['op'][] = ['LOGISTIC', 'SOFTMAX', 'TANH'];
const layers: readonly Operator['op'][] = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];

/** Converts an int8 model to int16 activations, int8 weights and int64 biases with the same ranges. */
export function withInt16Activations(graph: Graph): Graph {
  const tensors: Tensor[] = graph.tensors.map((tensor) => ({ ...tensor }));
  const weights = new Set<number>();
  for (const { op, inputs } of graph.operators) if (layers.includes(op)) weights.add(inputs[1]!);
  graph.tensors.forEach((tensor, index) => {
    if (tensor.type === 'int8' && !weights.has(index)) tensors[index] = widened(tensor);
  });
  for (const { op, outputs } of graph.operators)
    if (fixed.includes(op))
      tensors[outputs[0]!]!.quantization = { scale: [2 ** -15], zeroPoint: [0], axis: 0 };
  const operators = graph.operators.map((operator) => {
    const { op, inputs, options } = operator;
    if (op === 'ADD' || op === 'SUB')
      return { ...operator, options: { ...options, potScaleInt16: false as const } };
    const bias = layers.includes(op) ? tensors[inputs[2]!] : undefined;
    if (bias?.data instanceof Int32Array) {
      const [scales, before] = [tensors[inputs[1]!]!.quantization!.scale, bias.quantization!.scale];
      const scale = scales.map((value) => Math.fround(value * tensors[inputs[0]!]!.quantization!.scale[0]!));
      const data = BigInt64Array.from(bias.data, (value, c) =>
        BigInt(Math.round((value * before[c]!) / scale[c]!)),
      );
      const quantization = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
      tensors[inputs[2]!] = { ...bias, type: 'int64', data, quantization };
    }
    return operator;
  });
  return { ...graph, tensors, operators };
}

function widened(tensor: Tensor): Tensor {
  const { scale, zeroPoint } = tensor.quantization as Quantization;
  const [s, z] = [scale[0]!, zeroPoint[0]!];
  const wide = Math.fround((s * Math.max(127 - z, 128 + z)) / 32767);
  const quantization = { scale: [wide], zeroPoint: [0], axis: 0 };
  const data = tensor.data as Int8Array | undefined;
  const values =
    data && Int16Array.from(data, (q) => Math.max(-32767, Math.min(32767, Math.round(((q - z) * s) / wide))));
  return { ...tensor, type: 'int16', quantization, ...(values && { data: values }) };
}
