import type { Graph, Operator, Tensor } from '../../formats/index.js';

/** How a network's numbers are kept; `none` where it has no weights. */
export type Precision = 'float32' | 'float16' | 'dynamic' | 'int8' | 'int16x8' | 'mixed' | 'none';

const weighted: readonly string[] = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];

/** An operator with int8 weights under float32 activations (dynamic range), and where it stands; or undefined. */
export function dynamicOperator(graph: Graph): { index: number; operator: Operator } | undefined {
  const index = graph.operators.findIndex((operator) => precisionAt(graph, operator) === 'dynamic');
  return index < 0 ? undefined : { index, operator: graph.operators[index]! };
}

/** A DEQUANTIZE of float16 weights, and where it stands; or undefined. */
export function float16Operator(graph: Graph): { index: number; operator: Operator } | undefined {
  const index = graph.operators.findIndex(
    ({ op, inputs }) => op === 'DEQUANTIZE' && graph.tensors[inputs[0]!]?.type === 'float16',
  );
  return index < 0 ? undefined : { index, operator: graph.operators[index]! };
}

/** The kind of quantization of a whole network, as `model quantize --mode` names it. */
export function precisionOf(graph: Graph): Precision {
  if (float16Operator(graph)) return 'float16';
  const found = new Set(
    graph.operators.filter(({ op }) => weighted.includes(op)).map((operator) => precisionAt(graph, operator)),
  );
  // Small tensors of a dynamic-range file stay float32.
  if (found.has('dynamic') && !found.has('int8') && !found.has('int16x8')) return 'dynamic';
  const [first] = found;
  if (first === undefined) return 'none';
  return found.size === 1 ? first : 'mixed';
}

/** How one operator computes; of those without weights by its first activation. */
export function precisionAt({ tensors }: Pick<Graph, 'tensors'>, { op, inputs }: Operator): Precision {
  const typeOf = (index = -1): Tensor['type'] | undefined => tensors[index]?.type;
  const activation = typeOf(op === 'SPLIT' ? inputs[1] : inputs[0]);
  if (activation === 'float32')
    return weighted.includes(op) && typeOf(inputs[1]) === 'int8' ? 'dynamic' : 'float32';
  if (activation === 'int8') return 'int8';
  if (activation === 'int16') return 'int16x8';
  return activation === 'float16' ? 'float16' : 'none';
}
