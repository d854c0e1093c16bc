import type { Graph, Operator, Tensor } from '../formats/index.js';

/**
 * The same network with float32 inputs and outputs: a QUANTIZE after each integer input, a DEQUANTIZE before
 * each integer output. What is float32 already stays; indices of tensors stay.
 */
export function floatView(graph: Graph): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const before: Operator[] = [];
  const after: Operator[] = [];
  const floatTwin = (index: number): number => {
    const { name, shape } = graph.tensors[index]!;
    tensors.push({ name: `${name}/float`, shape, type: 'float32' });
    return tensors.length - 1;
  };
  const inputs = graph.inputs.map((index) => {
    if (!isQuantized(graph.tensors[index])) return index;
    const twin = floatTwin(index);
    before.push({ op: 'QUANTIZE', inputs: [twin], outputs: [index], options: {} });
    return twin;
  });
  const outputs = graph.outputs.map((index) => {
    if (!isQuantized(graph.tensors[index])) return index;
    const twin = floatTwin(index);
    after.push({ op: 'DEQUANTIZE', inputs: [index], outputs: [twin], options: {} });
    return twin;
  });
  return { ...graph, tensors, operators: [...before, ...graph.operators, ...after], inputs, outputs };
}

function isQuantized(tensor: Tensor | undefined): boolean {
  return tensor?.type === 'int8' || tensor?.type === 'int16';
}
