import type { Graph, Operator, Tensor } from '../../formats/index.js';

/** One small change of a graph, or undefined where there is nothing to change. */
export type Rewrite = (graph: Graph) => Graph | undefined;

/** The operator that makes a tensor, and its place. */
export function makerOf({ operators }: Graph, index: number): { operator: Operator; at: number } | undefined {
  const at = operators.findIndex(({ outputs }) => outputs.includes(index));
  return at === -1 ? undefined : { operator: operators[at]!, at };
}

/** How often a tensor is read, by operators and as an output of the network. */
export function usesOf({ operators, outputs }: Graph, index: number): number {
  const read = [...outputs, ...operators.flatMap(({ inputs }) => inputs)];
  return read.filter((other) => other === index).length;
}

/** The graph with some operators replaced, by their places; what nobody reads any more is dropped. */
export function replaced(graph: Graph, tensors: Tensor[], changes: ReadonlyMap<number, Operator[]>): Graph {
  const operators = graph.operators.flatMap((operator, at) => changes.get(at) ?? [operator]);
  return withoutDead({ ...graph, tensors, operators });
}

/** Every reading of tensor `from` becomes one of tensor `to`, which takes over the name where it is an output. */
export function redirected(graph: Graph, from: number, to: number): Graph {
  const moved = (indices: readonly number[]) => indices.map((index) => (index === from ? to : index));
  const named = graph.outputs.includes(from);
  return withoutDead({
    ...graph,
    tensors: graph.tensors.map((tensor, index) =>
      named && index === to ? { ...tensor, name: graph.tensors[from]!.name } : tensor,
    ),
    operators: graph.operators.map((operator) => ({ ...operator, inputs: moved(operator.inputs) })),
    outputs: moved(graph.outputs),
  });
}

function withoutDead(graph: Graph): Graph {
  const used = new Set(graph.outputs);
  const alive = [...graph.operators].reverse().filter(({ inputs, outputs }) => {
    if (!outputs.some((index) => used.has(index))) return false;
    for (const index of inputs) used.add(index);
    return true;
  });
  return { ...graph, operators: alive.reverse() };
}
