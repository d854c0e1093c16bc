import type { Graph } from './graph.js';

/** The graph without the tensors that nothing refers to; the others keep their order. */
export function withoutUnused(graph: Graph): Graph {
  const used = new Set([
    ...graph.inputs,
    ...graph.outputs,
    ...graph.operators.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]),
  ]);
  const kept = graph.tensors.flatMap((_, index) => (used.has(index) ? [index] : []));
  const places = new Map(kept.map((index, place) => [index, place]));
  const moved = (indices: readonly number[]) => indices.map((index) => places.get(index) ?? -1);
  return {
    ...graph,
    tensors: kept.map((index) => graph.tensors[index]!),
    operators: graph.operators.map((operator) => ({
      ...operator,
      inputs: moved(operator.inputs),
      outputs: moved(operator.outputs),
    })),
    inputs: moved(graph.inputs),
    outputs: moved(graph.outputs),
  };
}
