import type { Graph, Tensor } from '../../src/lib/formats/tflite/graph.js';

/**
 * An int8 classifier with a state before its last layer, whose inputs become their largest values since the last reset. The scales do not
 * change, so the first window of a recording has the outputs of the original.
 */
export function peaking(graph: Graph): Graph {
  const at = graph.operators.findLastIndex(({ op }) => op === 'FULLY_CONNECTED');
  const last = graph.operators[at]!;
  const [hidden = -1, ...constants] = last.inputs;
  const { shape, type, quantization } = graph.tensors[hidden]!;
  const zero = quantization!.zeroPoint[0]!;
  const size = shape.reduce((a, b) => a * b, 1);
  const place = graph.tensors.length;
  const [variable, before, peak] = [place, place + 1, place + 2];
  const own = ['largest', 'before', 'peak'].map((name): Tensor => ({ name, shape, type, quantization }));
  return {
    ...graph,
    tensors: [...graph.tensors, { ...own[0]!, variable: new Int8Array(size).fill(zero) }, ...own.slice(1)],
    operators: [
      ...graph.operators.slice(0, at),
      { op: 'READ_VARIABLE', inputs: [variable], outputs: [before], options: {} },
      { op: 'MAXIMUM', inputs: [before, hidden], outputs: [peak], options: {} },
      { op: 'ASSIGN_VARIABLE', inputs: [variable, peak], outputs: [], options: {} },
      { ...last, inputs: [peak, ...constants] },
      ...graph.operators.slice(at + 1),
    ] as Graph['operators'],
  };
}
