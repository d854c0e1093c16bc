import { elementCount, type Graph } from '../../../formats/index.js';
import type { Pieces } from './pieces.js';

interface Block {
  bytes: number;
  first: number;
  last: number;
  offset: number;
}

export interface Memory {
  /** Of the arena. */
  bytes: number;
  /** C text of where a tensor lies. */
  place(tensor: number): string;
  /** C text of a piece's own memory. */
  patch(piece: number): string;
}

/** A word, so that copies go word by word. */
const align = (bytes: number) => Math.ceil(bytes / 4) * 4;

/**
 * Where tensors lie in the arena: the largest first, each at the lowest gap that is free over its life. The network's input
 * and output are the caller's memory.
 */
export function memoryOf(graph: Graph, { pieces, roots }: Pieces): Memory {
  const [input, output] = [roots[graph.inputs[0]!]!, roots[graph.outputs[0]!]!];
  const blocks = new Map<number, Block>();
  const patches = new Map<number, Block>();
  const use = (tensor: number, time: number) => {
    const root = roots[tensor]!;
    if (root === input || root === output || graph.tensors[root]!.data !== undefined) return;
    const bytes = align(elementCount(graph.tensors[root]!.shape));
    const block = blocks.get(root) ?? { bytes, first: time, last: time, offset: -1 };
    block.last = time;
    blocks.set(root, block);
  };
  pieces.forEach((piece, time) => {
    if (piece.output >= 0) use(piece.output, time);
    for (const tensor of piece.inputs) use(tensor, time);
    if (piece.scratch > 0)
      patches.set(time, { bytes: align(piece.scratch), first: time, last: time, offset: -1 });
  });
  const bytes = place([...blocks.values(), ...patches.values()]);
  const arena = (offset: number) => (offset === 0 ? 'arena' : `arena + ${offset}`);
  return {
    bytes,
    place: (tensor) => {
      const root = tensor < 0 ? output : roots[tensor]!;
      if (tensor < 0 || (root === output && root !== input && graph.tensors[root]!.data === undefined))
        return 'output';
      if (root === input) return 'input';
      if (graph.tensors[root]!.data !== undefined) return `constant${root}`;
      return arena(blocks.get(root)!.offset);
    },
    patch: (piece) => arena(patches.get(piece)!.offset),
  };
}

function place(blocks: Block[]): number {
  const placed: Block[] = [];
  for (const block of blocks.sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    const others = placed.filter(({ first, last }) => first <= block.last && block.first <= last);
    let offset = 0;
    for (const other of others.sort((a, b) => a.offset - b.offset)) {
      if (other.offset - offset >= block.bytes) break;
      offset = Math.max(offset, other.offset + other.bytes);
    }
    block.offset = offset;
    placed.push(block);
  }
  return placed.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes), 0);
}
