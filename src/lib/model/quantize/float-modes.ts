import { float16Words, type Graph, largestFloat16, type Operator, type Tensor } from '../../formats/index.js';
import { channelAxis, isWeighted } from './rules.js';
import { channelScales, quantizeWeights } from './weights.js';

/** Fewer weights than these stay float32: the scales would cost more than they save (TensorFlow's converter has the same). */
const fewestDynamic = 1024;

/**
 * float16: each constant of float32 is kept as float16 in front of a DEQUANTIZE, which LiteRT runs once; arithmetic stays
 * float32. A constant with a value that float16 cannot hold stays as it is and is named in `kept`.
 */
export function toFloat16(graph: Graph): { graph: Graph; kept: string[] } {
  const tensors: Tensor[] = [...graph.tensors];
  const before: Operator[] = [];
  const kept: string[] = [];
  const twins = new Map<number, number>();
  graph.tensors.forEach((tensor, index) => {
    if (!(tensor.data instanceof Float32Array)) return;
    if (tensor.data.some((value) => !(Math.abs(value) <= largestFloat16))) {
      kept.push(tensor.name);
      return;
    }
    const { data: _, ...wide } = tensor;
    tensors[index] = { ...tensor, type: 'float16', data: float16Words(tensor.data) };
    const twin = tensors.push({ ...wide, name: `${tensor.name}/float32` }) - 1;
    twins.set(index, twin);
    before.push({ op: 'DEQUANTIZE', inputs: [index], outputs: [twin], options: {} });
  });
  const operators = graph.operators.map((operator) => ({
    ...operator,
    inputs: operator.inputs.map((index) => twins.get(index) ?? index),
  }));
  return { graph: { ...graph, tensors, operators: [...before, ...operators] }, kept };
}

/** Whether dynamic range takes this operator's weights. */
export function isDynamic(graph: Graph, operator: Operator): boolean {
  const { data } = graph.tensors[operator.inputs[1] ?? -1] ?? {};
  return isWeighted(operator) && data instanceof Float32Array && data.length >= fewestDynamic;
}

/**
 * Dynamic range: weights of 1,024 and more elements become int8 per output channel; biases and activations stay float32,
 * which the kernel quantizes as it runs. Indices of tensors stay.
 * @param taken which operators
 */
export function toDynamic(graph: Graph, taken: (operator: Operator, at: number) => boolean): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const readers = (index: number) => graph.operators.filter(({ inputs }) => inputs.includes(index)).length;
  const operators = graph.operators.map((operator, at): Operator => {
    if (!taken(operator, at)) return operator;
    const [x = -1, w = -1, ...rest] = operator.inputs;
    const weights = graph.tensors[w]!;
    if (!(weights.data instanceof Float32Array)) return operator;
    const axis = channelAxis(operator.op);
    const channels = weights.shape[axis]!;
    const block = axis === 3 ? 1 : weights.data.length / channels;
    const scale = channelScales(weights.data, channels, block);
    const data = quantizeWeights(weights.data, scale, block);
    const rounded: Tensor = {
      ...weights,
      type: 'int8',
      data,
      quantization: { scale, zeroPoint: scale.map(() => 0), axis },
    };
    // Weights that another operator reads as well stay for it.
    const place = readers(w) === 1 ? w : tensors.push(rounded) - 1;
    tensors[place] = rounded;
    const inputs = [x, place, ...rest];
    return operator.op === 'FULLY_CONNECTED'
      ? { ...operator, inputs, options: { ...operator.options, asymmetricQuantizeInputs: true } }
      : ({ ...operator, inputs } as Operator);
  });
  return { ...graph, tensors, operators };
}
