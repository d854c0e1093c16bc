import { elementBytes, elementCount, type Graph, type Operator, type Tensor } from '../../formats/index.js';

/** A piece of memory that an activation needs from one operator's time to another's. */
interface Piece {
  bytes: number;
  first: number;
  last: number;
  offset: number;
}

const align = (bytes: number) => Math.ceil(bytes / 16) * 16;

/**
 * Bytes of the arena's head: where TFLite Micro's greedy planner puts the activations and scratch buffers. Exact for
 * the reference kernels (GreedyMemoryPlanner: largest first, each at the first gap that is free over its life).
 */
export function headBytes(graph: Graph): number {
  const placed: Piece[] = [];
  // Equal sizes: the later one first.
  const pieces = piecesOf(graph).map((piece, index) => ({ piece, index }));
  pieces.sort((a, b) => b.piece.bytes - a.piece.bytes || b.index - a.index);
  let head = 0;
  for (const { piece } of pieces) {
    for (const other of placed) {
      if (other.last < piece.first || other.first > piece.last) continue;
      if (other.offset - piece.offset >= piece.bytes) break;
      piece.offset = Math.max(piece.offset, other.offset + other.bytes);
    }
    placed.push(piece);
    placed.sort((a, b) => a.offset - b.offset);
    head = Math.max(head, piece.offset + piece.bytes);
  }
  return head;
}

/** How many pieces of memory the planner plans. */
export function plannedPieces(graph: Graph): number {
  return piecesOf(graph).length;
}

/** Sizes of the scratch buffers an operator asks for (reference kernels). */
export function scratchBytes({ op, inputs, outputs }: Operator, tensors: readonly Tensor[]): number[] {
  if (op !== 'MEAN' && op !== 'REDUCE_MAX') return [];
  const [input, axes, output] = [tensors[inputs[0]!]!, tensors[inputs[1]!]!, tensors[outputs[0]!]!];
  const indices = [4 * input.shape.length, 4 * elementCount(axes.shape)];
  return op === 'REDUCE_MAX' || output.type === 'float32'
    ? indices
    : [4 * elementCount(output.shape), ...indices];
}

/** Tensors in their order, then scratch buffers in the order of their operators. Operator k runs at time k + 1. */
function piecesOf(graph: Graph): Piece[] {
  const lives = new Map<number, Piece>();
  const use = (index: number, time: number) => {
    const tensor = graph.tensors[index];
    if (tensor === undefined || tensor.data !== undefined) return;
    const bytes = align(elementCount(tensor.shape) * elementBytes(tensor.type));
    const piece = lives.get(index) ?? { bytes, first: time, last: time, offset: 0 };
    piece.last = time;
    lives.set(index, piece);
  };
  const scratch: Piece[] = [];
  for (const index of graph.inputs) use(index, 0);
  graph.operators.forEach((operator, position) => {
    const time = position + 1;
    for (const index of [...operator.outputs, ...operator.inputs]) use(index, time);
    for (const bytes of scratchBytes(operator, graph.tensors))
      scratch.push({ bytes: align(bytes), first: time, last: time, offset: 0 });
  });
  for (const index of graph.outputs) use(index, graph.operators.length);
  const tensors = [...lives].sort(([a], [b]) => a - b).map(([, piece]) => piece);
  return [...tensors, ...scratch];
}
