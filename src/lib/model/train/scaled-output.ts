import type { Graph, Tensor } from '../../formats/index.js';

/**
 * The graph with its one output times `deviation` plus `mean`: two operators that `finishGraph` folds into the last dense layer. A
 * network that learned standardized values answers in their own unit then.
 */
export function scaledOutput(graph: Graph, { mean, deviation }: { mean: number; deviation: number }): Graph {
  const [x = -1] = graph.outputs;
  const { shape } = graph.tensors[x]!;
  const tensors: Tensor[] = [...graph.tensors];
  const constant = (name: string, value: number) =>
    tensors.push({ name, shape: [1], type: 'float32', data: Float32Array.of(value) }) - 1;
  const activation = (name: string) => tensors.push({ name, shape, type: 'float32' }) - 1;
  const factor = constant('unit/factor', deviation);
  const offset = constant('unit/offset', mean);
  const scaled = activation('unit/scaled');
  const y = activation('value');
  return {
    ...graph,
    tensors,
    operators: [
      ...graph.operators,
      { op: 'MUL', inputs: [x, factor], outputs: [scaled], options: { activation: 'none' } },
      { op: 'ADD', inputs: [scaled, offset], outputs: [y], options: { activation: 'none' } },
    ],
    outputs: [y],
  };
}
