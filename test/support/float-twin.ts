import type { Graph, Operator, Tensor } from '../../src/lib/formats/index.js';

/** Real values of a quantized constant: one scale, or one for each index of its axis. */
function realValues({ data, shape, quantization }: Tensor): Float32Array {
  const { scale, zeroPoint, axis } = quantization!;
  const block = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  return Float32Array.from(data as ArrayLike<number | bigint> & Iterable<number | bigint>, (q, i) => {
    const channel = scale.length === 1 ? 0 : Math.floor(i / block) % scale.length;
    return scale[channel]! * (Number(q) - zeroPoint[channel]!);
  });
}

/** A float32 tensor in the place of a quantized one; others as they are. */
function floatTwin(tensor: Tensor): Tensor {
  if (!tensor.quantization) return tensor;
  const { name, shape, data } = tensor;
  return { name, shape, type: 'float32', ...(data && { data: realValues(tensor) }) };
}

/** The network with every quantized tensor as float32. It must have no QUANTIZE of its own. */
export function asFloat(graph: Graph): Graph {
  return { ...graph, tensors: graph.tensors.map(floatTwin) };
}

/**
 * The network with operator `place` in float32 between a DEQUANTIZE and a QUANTIZE, as a quantizer leaves a layer that
 * loses too much.
 */
export function withFloatLayer(graph: Graph, place: number): Graph {
  const tensors = [...graph.tensors];
  const operator = graph.operators[place]!;
  const [before, after]: [Operator[], Operator[]] = [[], []];
  const twin = (index: number, isOutput: boolean): number => {
    const tensor = graph.tensors[index];
    if (!tensor?.quantization) return index;
    const made = tensors.push(floatTwin(tensor)) - 1;
    if (isOutput) after.push({ op: 'QUANTIZE', inputs: [made], outputs: [index], options: {} });
    else if (!tensor.data) before.push({ op: 'DEQUANTIZE', inputs: [index], outputs: [made], options: {} });
    return made;
  };
  const inputs = operator.inputs.map((index) => twin(index, false));
  const outputs = operator.outputs.map((index) => twin(index, true));
  const operators = [...graph.operators];
  operators.splice(place, 1, ...before, { ...operator, inputs, outputs } as Operator, ...after);
  return { ...graph, tensors, operators };
}
