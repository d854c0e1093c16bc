import { elementCount, type Graph } from '../../formats/index.js';

/** What a network's outputs mean. */
export type OutputKind = 'classes' | 'probability' | 'value' | 'reconstruction';
export const outputKinds = ['classes', 'probability', 'value', 'reconstruction'] as const;

/** Operators that leave the meaning of an output as it is. */
const passing: readonly string[] = ['DEQUANTIZE', 'QUANTIZE', 'RESHAPE', 'SQUEEZE', 'EXPAND_DIMS'];

/** The operator that makes the network's output, past those that only change its type or shape. */
export function lastOperator(graph: Graph): string | undefined {
  const maker = (index: number) => graph.operators.find(({ outputs }) => outputs.includes(index));
  let operator = maker(graph.outputs[0]!);
  while (operator && passing.includes(operator.op)) operator = maker(operator.inputs[0]!);
  return operator?.op;
}

/**
 * What the outputs mean, as far as the file and the labels tell: several = classes; one behind a LOGISTIC, or one beside
 * labels of exactly two kinds, = a probability; any other single one = a value. A reconstruction looks like classes: it has
 * to be said.
 * @param labels of the rows, as written; null = none
 */
export function outputKindOf(graph: Graph, labels: readonly string[] | null): OutputKind {
  const tensor = graph.tensors[graph.outputs[0]!]!;
  if (elementCount(tensor.shape) > 1) return 'classes';
  if (lastOperator(graph) === 'LOGISTIC') return 'probability';
  return labels !== null && new Set(labels).size === 2 ? 'probability' : 'value';
}
