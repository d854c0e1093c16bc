import type { Graph, Operator } from '../../formats/index.js';
import type { ArenaPiece } from './head.js';

/**
 * Bytes that TFLite Micro needs for a while beside the tail, before the head is in use: while an operator is prepared
 * (its tensors in full, with their scales), and while the plan is made (a request and an entry for each piece).
 * Upper bounds of what its 64-bit Python runtime was seen to need in one-operator files.
 */
export function preparingBytes(graph: Graph, pieces: readonly ArenaPiece[]): number {
  const scratch = pieces.filter(({ operator }) => operator !== undefined).length;
  const planning = 32 * (graph.tensors.length + scratch) + 40 * pieces.length + 208;
  return Math.max(planning, ...graph.operators.map((operator) => temporaryBytes(graph, operator)));
}

/** Bytes of what is allocated while an operator is prepared. */
function temporaryBytes({ tensors }: Graph, operator: Operator): number {
  const used = [...operator.inputs, ...operator.outputs].filter((index) => index !== -1);
  const structures = used.map((index) => {
    const scales = tensors[index]!.quantization?.scale.length ?? 0;
    return scales === 0 ? 72 : 100 + 4 * scales;
  });
  return 128 + structures.reduce((sum, bytes) => sum + bytes, 0) + ownBytes(tensors, operator);
}

function ownBytes(tensors: Graph['tensors'], { op, inputs }: Operator): number {
  const shape = tensors[inputs[1] ?? -1]?.shape;
  const withoutBias = inputs.length < 3 ? 140 : 0;
  if (op === 'CONV_2D') return 290 + withoutBias + 4 * (shape?.[0] ?? 0);
  if (op === 'DEPTHWISE_CONV_2D') return 290 + 4 * (shape?.[3] ?? 0);
  if (op === 'MEAN' || op === 'REDUCE_MAX') return 256;
  return op === 'CONCATENATION' ? 96 : 0;
}
