import { elementBytes, elementCount, type Graph, type Operator, type Tensor } from '../../formats/index.js';

/**
 * A piece of memory that an activation or a scratch buffer needs. Time: inputs are there at 0, operator k (from 0) runs
 * at k + 1.
 */
export interface ArenaPiece {
  /** Index of the tensor that lies in it; absent = scratch memory. */
  tensor?: number;
  /** Index of the operator whose scratch memory it is; absent = a tensor. */
  operator?: number;
  /** A multiple of 16. */
  bytes: number;
  /** First and last time at which it is in use. */
  first: number;
  last: number;
  /** From the start of the arena. */
  offset: number;
}

const align = (bytes: number) => Math.ceil(bytes / 16) * 16;

/**
 * The arena's head: where TFLite Micro's greedy planner puts the activations and scratch buffers. Exact for the
 * reference kernels (GreedyMemoryPlanner: largest first, each at the first gap that is free over its life).
 */
export function arenaPieces(graph: Graph): ArenaPiece[] {
  const placed: ArenaPiece[] = [];
  const pieces = piecesOf(graph);
  // Equal sizes: the later one first.
  const order = pieces.map((piece, index) => ({ piece, index }));
  order.sort((a, b) => b.piece.bytes - a.piece.bytes || b.index - a.index);
  for (const { piece } of order) {
    for (const other of placed) {
      if (other.last < piece.first || other.first > piece.last) continue;
      if (other.offset - piece.offset >= piece.bytes) break;
      piece.offset = Math.max(piece.offset, other.offset + other.bytes);
    }
    placed.push(piece);
    placed.sort((a, b) => a.offset - b.offset);
  }
  return pieces;
}

/** Sizes of the scratch buffers an operator asks for (reference kernels). */
function scratchBytes({ op, inputs, outputs }: Operator, tensors: readonly Tensor[]): number[] {
  if (op !== 'MEAN' && op !== 'REDUCE_MAX') return [];
  const [input, axes, output] = [tensors[inputs[0]!]!, tensors[inputs[1]!]!, tensors[outputs[0]!]!];
  const indices = [4 * input.shape.length, 4 * elementCount(axes.shape)];
  return op === 'REDUCE_MAX' || output.type === 'float32'
    ? indices
    : [4 * elementCount(output.shape), ...indices];
}

/** Tensors in their order, then scratch buffers in the order of their operators. Operator k runs at time k + 1. */
function piecesOf(graph: Graph): ArenaPiece[] {
  const lives = new Map<number, ArenaPiece>();
  const use = (index: number, time: number) => {
    const tensor = graph.tensors[index];
    if (tensor === undefined || tensor.data !== undefined) return;
    const bytes = align(elementCount(tensor.shape) * elementBytes(tensor.type));
    const piece = lives.get(index) ?? { tensor: index, bytes, first: time, last: time, offset: 0 };
    piece.last = time;
    lives.set(index, piece);
  };
  const scratch: ArenaPiece[] = [];
  for (const index of graph.inputs) use(index, 0);
  graph.operators.forEach((operator, position) => {
    const time = position + 1;
    for (const index of [...operator.outputs, ...operator.inputs]) use(index, time);
    for (const bytes of scratchBytes(operator, graph.tensors))
      scratch.push({ operator: position, bytes: align(bytes), first: time, last: time, offset: 0 });
  });
  for (const index of graph.outputs) use(index, graph.operators.length);
  const tensors = [...lives].sort(([a], [b]) => a - b).map(([, piece]) => piece);
  return [...tensors, ...scratch];
}
