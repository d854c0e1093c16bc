import { createHash } from 'node:crypto';
import { type Graph, type Tensor, withoutUnused } from '../../formats/tflite/graph.js';

/**
 * The same network without unused tensors, and with equal constants as one tensor: the steps of an unrolled recurrent layer then share their
 * weights, also after quantization. The given graph is not modified.
 * @returns the graph, and each used tensor's new index, which equal constants share
 */
export function shareConstants(graph: Graph): { graph: Graph; places: ReadonlyMap<number, number> } {
  const ends = new Set([...graph.inputs, ...graph.outputs]);
  const alike = new Map<string, number[]>();
  for (const [index, tensor] of graph.tensors.entries()) {
    if (tensor.data === undefined || ends.has(index) || isBlank(tensor)) continue;
    const form = formOf(tensor);
    const indices = alike.get(form);
    if (indices) indices.push(index);
    else alike.set(form, [index]);
  }
  const first = new Map<number, number>();
  for (const indices of alike.values()) {
    if (indices.length === 1) continue;
    const seen = new Map<string, number>();
    for (const index of indices) {
      const digest = digestOf(graph.tensors[index]!);
      const earlier = seen.get(digest);
      if (earlier === undefined) seen.set(digest, index);
      else first.set(index, earlier);
    }
  }
  const merged = {
    ...graph,
    operators: graph.operators.map((operator) => ({
      ...operator,
      inputs: operator.inputs.map((index) => first.get(index) ?? index),
    })),
  };
  const used = new Set([
    ...ends,
    ...merged.operators.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]),
  ]);
  const places = new Map<number, number>();
  for (const index of graph.tensors.keys()) if (used.has(index)) places.set(index, places.size);
  for (const [index, earlier] of first) {
    const place = places.get(earlier);
    if (place !== undefined) places.set(index, place);
  }
  return { graph: withoutUnused(merged), places };
}

/** Everything that equal constants have in common besides their values and names. */
function formOf({ type, shape, quantization }: Tensor): string {
  return JSON.stringify([type, shape, quantization?.scale, quantization?.zeroPoint, quantization?.axis]);
}

/** Whether a constant has only zeros in float32. Such biases are not shared, because fine-tuning must be able to change each one. */
function isBlank({ type, data }: Tensor): boolean {
  return type === 'float32' && (data as Float32Array).every((value) => value === 0);
}

function digestOf({ data }: Tensor): string {
  return createHash('sha256')
    .update(new Uint8Array(data!.buffer, data!.byteOffset, data!.byteLength))
    .digest('base64');
}
