import type { Graph } from '../../formats/index.js';
import { simplifyGraph } from '../network/simplify.js';
import type { Trainable } from '../train/engine/types.js';

/**
 * The graph to write of a graph that was trained: batch norms folded into the layers before them, activations fused, changes of
 * shape merged, and the ending that the loss stood for. Dropout left no operator. A reconstruction stays what it is: its
 * distance from the input is computed by whoever runs the network.
 * @param graph what `engine.graph()` gave
 * @param description goes into the file
 */
export function finishGraph(graph: Graph, { ending }: Pick<Trainable, 'ending'>, description = ''): Graph {
  return simplifyGraph({ ...withEnding(graph, ending), description });
}

function withEnding(graph: Graph, ending: Trainable['ending']): Graph {
  if (ending === 'none') return graph;
  const { tensors, operators, outputs } = graph;
  const [z = -1] = outputs;
  const { shape } = tensors[z]!;
  const y = tensors.length;
  const last = { inputs: [z], outputs: [y] };
  return {
    ...graph,
    tensors: [...tensors, { name: 'scores', shape, type: 'float32' }],
    operators: [
      ...operators,
      ending === 'SOFTMAX'
        ? { op: 'SOFTMAX', ...last, options: { beta: 1 } }
        : { op: 'LOGISTIC', ...last, options: {} },
    ],
    outputs: [y],
  };
}
