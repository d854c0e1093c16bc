import { checkGraph } from '../formats/tflite/check.js';
import {
  elementBytes,
  elementCount,
  type Graph,
  type Operator,
  type OperatorOptions,
  type Tensor,
} from '../formats/tflite/graph.js';
import { operatorRows, rowOf, statesOf } from '../formats/tflite/operators.js';

/** The parts of TFLite Micro's tensor arena, in bytes. */
interface ArenaPlan {
  /** Activations and scratch buffers, exact for the reference kernels. */
  head: number;
  /** Persistent structures for tensors, operators and multipliers. */
  tail: number;
  /** The smallest arena in which the model runs. Preparing the model needs memory that is later used for the head. */
  smallest: number;
  /** Contents of the head: tensors in index order, followed by scratch buffers. */
  pieces: ArenaPiece[];
}

/**
 * Plans the arena as TFLite Micro's 64-bit runtime does. The head is exact, and the tail is accurate to 4 %. On a 32-bit chip, the tail is
 * smaller, because structures are smaller.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function planArena(graph: Graph): ArenaPlan {
  checkGraph(graph);
  const pieces = arenaPieces(graph);
  const head = pieces.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes), 0);
  const tail = tailBytes(graph);
  const preparing = tail - endpointBytes(graph) + preparingBytes(graph, pieces);
  return { head, tail, smallest: Math.max(head + tail, preparing), pieces };
}

/**
 * Recommended size of TFLite Micro's `tensor_arena` for this model: the bytes that the 64-bit runtime needs with reference kernels, plus 3
 * %, rounded up to a multiple of 16. A test compares this size with the smallest arena in which that runtime works. On a 32-bit chip, this
 * size is more than enough, because structures are smaller. Vector libraries (ESP-NN, CMSIS-NN) need additional scratch memory. The model
 * file itself stays in flash and is not included.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function arenaBytes(graph: Graph): number {
  return Math.ceil((planArena(graph).smallest * 1.03) / 16) * 16;
}

/**
 * Memory in bytes that TFLite Micro needs temporarily, in addition to the tail, before the head is in use. TFLite Micro uses this memory to
 * prepare an operator (its tensors with their scales) and to plan the head (a request and an entry for each piece). The values are upper
 * bounds for the 64-bit Python runtime, measured with single-operator files.
 */
function preparingBytes(graph: Graph, pieces: readonly ArenaPiece[]): number {
  const scratch = pieces.filter(({ operator }) => operator !== undefined).length;
  // A variable has two tensors in the subgraph that sets initial values.
  const states = statesOf(graph);
  const initial = 2 * graph.tensors.filter(({ variable }, index) => variable && !states.has(index)).length;
  const planning = 32 * (graph.tensors.length + initial + scratch) + 40 * pieces.length + 208;
  return Math.max(planning, ...graph.operators.map((operator) => temporaryBytes(graph, operator)));
}

/** Memory that is allocated temporarily while an operator is prepared, bytes. */
function temporaryBytes({ tensors }: Graph, operator: Operator): number {
  // The kernel for PACK prepares nothing, so the number of inputs does not matter.
  if (operator.op === 'PACK') return 144;
  const used = [...operator.inputs, ...operator.outputs].filter((index) => index !== -1);
  const structures = used.map((index) => {
    const scales = tensors[index]!.quantization?.scale.length ?? 0;
    return scales === 0 ? 72 : 100 + 4 * scales;
  });
  return 128 + structures.reduce((sum, bytes) => sum + bytes, 0) + ownBytes(tensors, operator);
}

/** Operators that allocate memory for their axes during preparation. */
const reductions: readonly string[] = ['MEAN', 'SUM', 'REDUCE_MAX', 'REDUCE_MIN'];

function ownBytes(tensors: Graph['tensors'], { op, inputs }: Operator): number {
  const shape = tensors[inputs[1] ?? -1]?.shape;
  const withoutBias = inputs.length < 3 ? 140 : 0;
  if (op === 'CONV_2D') return 290 + withoutBias + 4 * (shape?.[0] ?? 0);
  if (op === 'DEPTHWISE_CONV_2D') return 290 + 4 * (shape?.[3] ?? 0);
  if (op === 'TRANSPOSE_CONV') return 240 + 4 * (shape?.[0] ?? 0);
  if (reductions.includes(op)) return 256;
  return op === 'CONCATENATION' ? 96 : 0;
}

/** A piece of memory for an activation or a scratch buffer. Inputs exist at time 0, and operator k (from 0) runs at time k + 1. */
interface ArenaPiece {
  /** Index of the tensor in this piece; absent = scratch memory. */
  tensor?: number;
  /** Index of the operator that uses this piece as scratch memory; absent = a tensor. */
  operator?: number;
  /** Size in bytes, a multiple of 16. */
  bytes: number;
  /** First time at which the piece is in use. */
  first: number;
  /** Last time at which the piece is in use. */
  last: number;
  /** Offset from the start of the arena, bytes. */
  offset: number;
}

const align = (bytes: number) => Math.ceil(bytes / 16) * 16;

/**
 * The arena's head: the positions of activations and scratch buffers according to TFLite Micro's greedy planner. The result is exact for
 * the reference kernels (GreedyMemoryPlanner: largest pieces first, each in the first gap that is free during the piece's lifetime).
 */
function arenaPieces(graph: Graph): ArenaPiece[] {
  const placed: ArenaPiece[] = [];
  const pieces = piecesOf(graph);
  // Among pieces of equal size, the later piece comes first.
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

/** Sizes of the scratch buffers that an operator requests (reference kernels), bytes. */
function scratchBytes({ op, inputs, outputs, options }: Operator, tensors: readonly Tensor[]): number[] {
  if (op === 'SIGNAL_RFFT') return [elementBytes(tensors[inputs[0]!]!.type) * options.fftLength];
  if (op === 'MIRROR_PAD') return [inputs, outputs].map(([index]) => 4 * tensors[index!]!.shape.length);
  if (op === 'TRANSPOSE_CONV') {
    const { type, shape } = tensors[outputs[0]!]!;
    return type === 'float32' ? [] : [(type === 'int16' ? 8 : 4) * elementCount(shape)];
  }
  if (op === 'UNIDIRECTIONAL_SEQUENCE_LSTM') {
    const { type, shape } = tensors[inputs[19]!]!;
    return new Array<number>(4).fill(elementCount(shape) * elementBytes(type));
  }
  if (op === 'SVDF') {
    const [[batches = 0], [filters = 0]] = [tensors[inputs[0]!]!.shape, tensors[inputs[1]!]!.shape];
    const { type, shape } = tensors[outputs[0]!]!;
    const sums = [4 * batches * filters];
    return type === 'float32' ? sums : [...sums, 4 * elementCount(shape)];
  }
  if (!reductions.includes(op)) return [];
  const [input, axes, output] = [tensors[inputs[0]!]!, tensors[inputs[1]!]!, tensors[outputs[0]!]!];
  const indices = [4 * input.shape.length, 4 * elementCount(axes.shape)];
  return op === 'REDUCE_MAX' || op === 'REDUCE_MIN' || output.type === 'float32'
    ? indices
    : [4 * elementCount(output.shape), ...indices];
}

/** Tensors in index order, followed by scratch buffers in operator order. */
function piecesOf(graph: Graph): ArenaPiece[] {
  const lives = new Map<number, ArenaPiece>();
  const use = (index: number, time: number) => {
    const tensor = graph.tensors[index];
    if (tensor === undefined || tensor.data !== undefined || tensor.variable !== undefined) return;
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

/** Sizes of TFLite Micro's own structures in bytes, as measured with its 64-bit Python runtime. */
const structures = {
  base: 520,
  tensor: 24,
  operator: 64,
  /** A variable's entry, with the names and numbers of its handles. */
  variable: 128,
  /** For each of the model's inputs and outputs. If an input or output is quantized, the second value is added for its scale. */
  endpoint: 64,
  endpointScale: 32,
} as const;

/** Size of the arena's tail, bytes: persistent allocations for tensors, operators and multipliers. */
function tailBytes(graph: Graph): number {
  const operators = graph.operators.map((operator) => {
    const { data, options } = rowOf(operator.op).micro;
    const channels = 2 * align(4 * channelsOf(operator, graph.tensors));
    return structures.operator + align(data) + options + channels + otherBytes(operator, graph.tensors);
  });
  return (
    structures.base +
    structures.tensor * (graph.tensors.length - keptStates(graph).size) +
    endpointBytes(graph) +
    operators.reduce((sum, bytes) => sum + bytes, 0) +
    variableBytes(graph)
  );
}

/** States that are not tensors in TFLite Micro, but memory of their operators (`otherBytes`). */
function keptStates({ operators }: Graph): ReadonlySet<number> {
  return new Set(
    operators.flatMap(({ op, inputs }) =>
      operatorRows[op].kept === undefined ? [] : (rowOf(op).states ?? []).map((place) => inputs[place]!),
    ),
  );
}

/** Memory of an operator of the audio front end, in addition to its options, bytes. Buffers of samples store each sample twice. */
function frontEndBytes({ op, inputs, options }: Operator, tensors: readonly Tensor[]): number {
  const [rows = 1, capacity = rows] = tensors[inputs[1] ?? -1]?.shape ?? [];
  switch (op) {
    case 'SIGNAL_FRAMER':
      return 2 * align(8 * rows) + rows * align(48 + 4 * capacity);
    case 'SIGNAL_STACKER':
      return align(48 + 4 * capacity);
    case 'SIGNAL_RFFT':
    case 'SIGNAL_IRFFT':
      return align(344 + 2.5 * elementBytes(tensors[inputs[0]!]!.type) * options.fftLength);
    case 'SIGNAL_DELAY':
      return (
        2 * align(8 * rows) + rows * align(48 + 4 * (capacity + (tensors[inputs[0]!]!.shape.at(-1) ?? 1)))
      );
    case 'SIGNAL_OVERLAP_ADD':
      return align(8 * rows) + rows * align(elementBytes(tensors[inputs[0]!]!.type) * capacity);
    case 'SIGNAL_FILTER_BANK':
      return align(8 * (options.numChannels + 1));
    case 'SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION':
      return align(4 * options.numChannels);
    default:
      return 0;
  }
}

/** The part of the tail for variables, bytes: their values, their handles in both subgraphs, and the operators that access them. */
function variableBytes(graph: Graph): number {
  const bytesOf = (state: boolean) =>
    graph.tensors.flatMap(({ variable }, index) =>
      variable && states.has(index) === state && !kept.has(index) ? [align(variable.byteLength)] : [],
    );
  const states = statesOf(graph);
  const kept = keptStates(graph);
  const state = bytesOf(true).reduce((sum, bytes) => sum + bytes, 0);
  const values = bytesOf(false);
  if (values.length === 0) return state;
  const each = structures.variable + 2 * structures.tensor + 3 * structures.operator;
  return values.reduce((sum, bytes) => sum + bytes + each, state + 2 * structures.operator);
}

/** The part of the tail for the network's inputs and outputs, bytes. This part is allocated last. */
function endpointBytes({ inputs, outputs, tensors }: Graph): number {
  const ends = [...inputs, ...outputs];
  const quantized = ends.filter((index) => (tensors[index]!.quantization?.scale.length ?? 0) > 0);
  return structures.endpoint * ends.length + structures.endpointScale * quantized.length;
}

/** Number of output channels for which a layer stores multipliers and shifts; 0 if it stores none. */
function channelsOf({ op, inputs }: Operator, tensors: readonly Tensor[]): number {
  const weights = tensors[inputs[1] ?? -1];
  if (op === 'CONV_2D') return weights?.shape[0] ?? 0;
  if (op === 'TRANSPOSE_CONV') return weights?.shape[0] ?? 0;
  if (op === 'DEPTHWISE_CONV_2D') return weights?.shape[3] ?? 0;
  const scales = weights?.quantization?.scale.length ?? 0;
  return op === 'FULLY_CONNECTED' && scales > 1 ? scales : 0;
}

/** Size of the transposed copies of a BATCH_MATMUL's inputs, and of its multiplier, bytes. */
function transposedBytes(operator: Operator, tensors: readonly Tensor[]): number {
  const { adjX, adjY } = operator.options as OperatorOptions['BATCH_MATMUL'];
  const copied = [...(adjX ? [0] : []), ...(adjY ? [] : [1])].map(
    (place) => tensors[operator.inputs[place]!]!,
  );
  const quantized = tensors[operator.inputs[0]!]!.type === 'float32' ? 0 : align(32);
  return copied.reduce(
    (sum, { shape, type }) =>
      sum + align(24) + align(4 + 4 * shape.length) + align(elementCount(shape) * elementBytes(type)),
    quantized,
  );
}

/** Additional bytes for some operators, such as the tables for an int16 softmax, or the zero bias for a convolution without a bias. */
function otherBytes(operator: Operator, tensors: readonly Tensor[]): number {
  const { op, inputs } = operator;
  if (op === 'BATCH_MATMUL') return transposedBytes(operator, tensors);
  if (op.startsWith('SIGNAL_')) return frontEndBytes(operator, tensors);
  if (op === 'SOFTMAX') return tensors[inputs[0]!]!.type === 'int16' ? 2 * align(2 * 513) : 0;
  return op === 'CONV_2D' && inputs.length < 3 ? 24 : 0;
}
