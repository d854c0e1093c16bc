import type { Graph, Operator, OperatorName, Tensor } from '../../../formats/tflite/graph.js';
import type { Seen } from './calibrate.js';

/**
 * Distance of a masked score from the smallest real one. Softmax then weights it with at most e⁻¹², which is less than half a step of an
 * int16 output.
 */
const distance = 12;

/** Operators between a mask and its Softmax that only move values. */
const moving: readonly OperatorName[] = ['RESHAPE', 'TRANSPOSE'];

/**
 * Raises the constants that hide scores from a Softmax, such as −∞ in the mask of a causal attention, to just below the scores. An integer
 * range from −∞ or −10⁹ could not tell the scores apart. Softmax gives the same result, because a hidden score still has a weight of zero.
 * @param seen statistics of the activations
 */
export function boundMasks(graph: Graph, seen: ReadonlyMap<number, Seen>): { graph: Graph; masks: number } {
  const tensors: Tensor[] = [...graph.tensors];
  let masks = 0;
  const operators = graph.operators.map((operator): Operator => {
    const place = maskOf(graph, operator);
    if (place === undefined || !onlySoftmaxReads(graph, operator.outputs[0]!)) return operator;
    const scores = seen.get(operator.inputs[operator.op === 'ADD' ? 1 - place : 3 - place]!);
    const mask = tensors[operator.inputs[place]!]!;
    if (scores === undefined || !(mask.data instanceof Float32Array)) return operator;
    // A mask is added to each score, or replaces it.
    const least = scores.low - distance - (operator.op === 'ADD' ? scores.high : 0);
    if (mask.data.every((value) => value >= least)) return operator;
    masks++;
    const data = mask.data.map((value) => Math.max(value, least));
    const inputs = operator.inputs.with(
      place,
      tensors.push({ ...mask, name: `${mask.name}/bounded`, data }) - 1,
    );
    return { ...operator, inputs };
  });
  return { graph: { ...graph, tensors, operators }, masks };
}

/** Position of the constant input of an operator that can hide scores; undefined = none. */
function maskOf({ tensors }: Graph, { op, inputs, options }: Operator): number | undefined {
  const isConstant = (place: number) => tensors[inputs[place]!]?.data !== undefined;
  if (op === 'ADD' && options.activation === 'none') return [0, 1].find(isConstant);
  if (op === 'SELECT_V2') return [1, 2].find(isConstant);
  return undefined;
}

function onlySoftmaxReads({ operators, outputs }: Graph, index: number): boolean {
  const pending = [index];
  for (const made of pending) {
    const readers = operators.filter(({ inputs }) => inputs.includes(made));
    if (readers.length === 0 || outputs.includes(made)) return false;
    for (const reader of readers) {
      if (moving.includes(reader.op)) pending.push(reader.outputs[0]!);
      else if (reader.op !== 'SOFTMAX') return false;
    }
  }
  return true;
}
