import { elementCount, type Graph, type Operator } from '../../formats/index.js';

/** Multiply-adds of one run of an operator; 0 where there are none to speak of. */
export function multiplyAdds(graph: Graph, { op, inputs, outputs }: Operator): number {
  const outputsCount = elementCount(graph.tensors[outputs[0] ?? -1]?.shape ?? [0]);
  const [first = 0, height = 1, width = 1, channels = 1] = graph.tensors[inputs[1] ?? -1]?.shape ?? [];
  if (op === 'FULLY_CONNECTED') return outputsCount * height;
  if (op === 'CONV_2D') return outputsCount * height * width * channels;
  return op === 'DEPTHWISE_CONV_2D' ? outputsCount * first * height * width : 0;
}

/** Trained values: constants of operators that have weights, each counted once. */
export function parameterCount(graph: Graph): number {
  const weights = new Set(
    graph.operators
      .filter(({ op }) => op === 'FULLY_CONNECTED' || op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D')
      .flatMap(({ inputs }) => inputs.slice(1)),
  );
  return graph.tensors.reduce(
    (sum, { data, shape }, i) => (data && weights.has(i) ? sum + elementCount(shape) : sum),
    0,
  );
}
