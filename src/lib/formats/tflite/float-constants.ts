import { float16Values } from './float16.js';
import type { Graph, Tensor } from './graph.js';
import { withoutUnused } from './unused.js';

/**
 * The graph with float32 constants where it has float16 ones and a DEQUANTIZE for each, as files of float16 weights
 * have. Nothing else changes; a graph without them is given back as it is.
 */
export function withFloatConstants(graph: Graph): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const operators = graph.operators.filter(({ op, inputs, outputs }) => {
    const { data, type } = graph.tensors[inputs[0] ?? -1] ?? {};
    if (op !== 'DEQUANTIZE' || type !== 'float16' || !(data instanceof Uint16Array)) return true;
    const output = outputs[0]!;
    tensors[output] = { ...tensors[output]!, data: float16Values(data) };
    return false;
  });
  return operators.length === graph.operators.length
    ? graph
    : withoutUnused({ ...graph, tensors, operators });
}
