import type { Graph, Tensor } from './graph.js';
import { metadataName } from './metadata.js';
import type { Table } from './read-table.js';
import { slots } from './schema.js';

/**
 * What a file says beside its network: names of inputs and outputs, where its first signature gives all of them and not just the
 * tensors' own, and the TFLite metadata.
 */
export function readAnnotations(
  model: Table,
  tensors: readonly Tensor[],
  ends: { inputs: number[]; outputs: number[] },
): { signature: Graph['signature']; metadata: Uint8Array | null } {
  const [first] = model.tables(slots.model.signatures, 'signature');
  const named = (slot: number, indices: readonly number[], what: string): string[] | undefined => {
    const maps = first?.tables(slot, what) ?? [];
    const names = new Map(
      maps.map((map) => [map.uint32(slots.tensorMap.tensor, 0), map.text(slots.tensorMap.name)]),
    );
    const found = indices.flatMap((index) => names.get(index) ?? []);
    return found.length === indices.length ? found : undefined;
  };
  const inputs = named(slots.signature.inputs, ends.inputs, 'signature input');
  const outputs = named(slots.signature.outputs, ends.outputs, 'signature output');
  const own = (names: readonly string[], indices: readonly number[]) =>
    names.every((name, at) => name === tensors[indices[at]!]?.name);
  const plain = !inputs || !outputs || (own(inputs, ends.inputs) && own(outputs, ends.outputs));
  return { signature: plain ? undefined : { inputs, outputs }, metadata: metadataOf(model) };
}

function metadataOf(model: Table): Uint8Array | null {
  const entry = model
    .tables(slots.model.metadata, 'metadata')
    .find((table) => table.text(slots.metadata.name) === metadataName);
  if (entry === undefined) return null;
  const buffers = model.tables(slots.model.buffers, 'buffer');
  const bytes = buffers[entry.uint32(slots.metadata.buffer, 0)]?.bytes(slots.buffer.data);
  return bytes && bytes.length > 0 ? bytes.slice() : null;
}
