import { forestIn, keyOfBits, sumLeaves } from '../../formats/tflite/forest.js';
import type { Graph } from '../../formats/tflite/graph.js';
import type { Node } from './node.js';

/**
 * FOREST: adds integers as described in formats/tflite/forest.ts. Each sum is then multiplied by a power of two. This is exact in float32.
 * x has one row.
 */
export function forest(node: Node): () => void {
  const tensors: Graph['tensors'] = node.inputs.map((operand) => operand!.tensor);
  const own = { ...node.operator, inputs: tensors.map((_, place) => place), outputs: [tensors.length] };
  const tables = forestIn({ tensors: [...tensors, node.output.tensor] }, own);
  const [x, y] = [node.float32(0), node.float32Output];
  const words = new Int32Array(x.buffer, x.byteOffset, x.length);
  const keys = new Int32Array(x.length);
  const sums = new Int32Array(tables.outputs);
  return () => {
    for (let i = 0; i < keys.length; i++) keys[i] = keyOfBits(words[i]!);
    sumLeaves(tables, keys, sums);
    for (let o = 0; o < sums.length; o++) y[o] = sums[o]! * tables.scale;
  };
}
