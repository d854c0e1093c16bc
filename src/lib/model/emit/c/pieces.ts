import { AiotError } from '../../../core/index.js';
import type { Graph, Operator, OperatorName, Tensor } from '../../../formats/index.js';
import { createInterpreter } from '../../../runtime/index.js';
import { convolution, depthwise, fullyConnected } from './layers.js';
import { concatenation, pad, split, stridedSlice, transpose, whole } from './moves.js';
import { arithmetic, lookup, pool, reduction, softmax } from './others.js';
import { type Piece, type Site, siteOf } from './piece.js';

/** Operators whose output depends on one input value: 256 answers say it all. */
const lookups: ReadonlySet<OperatorName> = new Set([
  'LOGISTIC',
  'TANH',
  'RELU',
  'RELU6',
  'LEAKY_RELU',
  'QUANTIZE',
]);
const weighted: ReadonlySet<OperatorName> = new Set(['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D']);

const makers: { readonly [Name in OperatorName]?: (site: Site<never>) => Piece | Piece[] } = {
  FULLY_CONNECTED: fullyConnected,
  CONV_2D: convolution,
  DEPTHWISE_CONV_2D: depthwise,
  MAX_POOL_2D: pool,
  AVERAGE_POOL_2D: pool,
  MEAN: reduction,
  REDUCE_MAX: reduction,
  ADD: arithmetic,
  SUB: arithmetic,
  MUL: arithmetic,
  SOFTMAX: softmax,
  CONCATENATION: concatenation,
  PAD: pad,
  PADV2: pad,
  TRANSPOSE: transpose,
  SPLIT: split,
  STRIDED_SLICE: stridedSlice,
};

/** A network as functions to call one after another. */
export interface Pieces {
  pieces: Piece[];
  /** The tensor whose memory each tensor has: a change of shape moves nothing. */
  roots: readonly number[];
}

/**
 * @throws AIOT_QUANTIZE_UNFIT for what is not int8 throughout; AIOT_TFLITE_* for what no interpreter runs
 */
export function piecesOf(graph: Graph): Pieces {
  refuseOthers(graph);
  // Shapes, scales and types agree where it can be prepared: what follows relies on it.
  createInterpreter(graph);
  const roots = graph.tensors.map((_, index) => index);
  const done = new Set<number>();
  const pieces: Piece[] = [];
  graph.operators.forEach((operator, at) => {
    if (done.has(at)) return;
    if (operator.op === 'RESHAPE' || operator.op === 'EXPAND_DIMS' || operator.op === 'SQUEEZE') {
      roots[operator.outputs[0]!] = roots[operator.inputs[0]!]!;
      return;
    }
    if (lookups.has(operator.op)) {
      pieces.push(lookup(siteOf(graph, at, null), answersOf(graph, operator)));
      return;
    }
    const follower = weighted.has(operator.op) ? lookupAfter(graph, operator) : undefined;
    const table = follower === undefined ? null : answersOf(graph, graph.operators[follower]!);
    const made = [makers[operator.op]!(siteOf(graph, at, table) as Site<never>)].flat();
    if (follower !== undefined) {
      done.add(follower);
      const { op, outputs } = graph.operators[follower]!;
      for (const piece of made) Object.assign(piece, { output: outputs[0]!, op: `${piece.op} and ${op}` });
    }
    pieces.push(...made);
  });
  const [input = 0] = graph.inputs;
  const [output = 0] = graph.outputs;
  const root = roots[output]!;
  // Nothing computes it: it is copied.
  if (root === roots[input] || graph.tensors[root]!.data !== undefined) {
    const last = { ...siteOf(graph, graph.operators.length - 1, null) };
    const copied = { ...graph.tensors[root]! };
    pieces.push({ ...whole({ ...last, output: copied }), op: 'copy', inputs: [root], output: -1 });
  }
  return { pieces, roots };
}

function refuseOthers({ tensors, inputs, outputs, operators }: Graph): void {
  const next = 'Choose --mode int8 with --io int8.';
  const refuse = (what: string) =>
    new AiotError('AIOT_QUANTIZE_UNFIT', `--emit c writes networks that are int8 throughout, got ${what}`, {
      next,
    });
  const typeOf = (index: number): Tensor['type'] => tensors[index]!.type;
  for (const index of [...inputs, ...outputs])
    if (typeOf(index) !== 'int8') throw refuse(`an input or output of ${typeOf(index)}`);
  operators.forEach(({ op, outputs: made }, at) => {
    const other = made.map(typeOf).find((type) => type !== 'int8');
    if (other !== undefined) throw refuse(`operator ${at} (${op}) of ${other}`);
  });
}

/** The operator that alone takes an operator's output and depends on one value of it. */
function lookupAfter(graph: Graph, { outputs }: Operator): number | undefined {
  const [made] = outputs;
  if (graph.outputs.includes(made!)) return undefined;
  const users = graph.operators.flatMap(({ inputs }, at) => (inputs.includes(made!) ? [at] : []));
  const [user] = users;
  return users.length === 1 && lookups.has(graph.operators[user!]!.op) ? user : undefined;
}

/** What an operator makes of −128 … 127. */
function answersOf(graph: Graph, operator: Operator): Int8Array {
  const [x, y] = [graph.tensors[operator.inputs[0]!]!, graph.tensors[operator.outputs[0]!]!];
  const alone: Graph = {
    name: 'main',
    description: '',
    tensors: [
      { ...x, shape: [1, 256] },
      { ...y, shape: [1, 256] },
    ].map(({ data: _, ...tensor }) => tensor),
    operators: [{ ...operator, inputs: [0], outputs: [1] }],
    inputs: [0],
    outputs: [1],
  };
  const all = Int8Array.from({ length: 256 }, (_, index) => index - 128);
  return Int8Array.from(createInterpreter(alone).invoke(all));
}
