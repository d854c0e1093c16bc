import type { Graph, Operator } from '../../src/lib/formats/tflite/graph.js';
import { realTensor } from '../../src/lib/formats/tflite/real-values.js';

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
    const made = tensors.push(realTensor(tensor)) - 1;
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
