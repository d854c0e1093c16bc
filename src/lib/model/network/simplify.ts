import {
  type Activation,
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  withoutUnused,
} from '../../formats/tflite/graph.js';

const isShapeOnly = ({ op }: Operator) => op === 'RESHAPE' || op === 'EXPAND_DIMS' || op === 'SQUEEZE';

const clamped: readonly Operator['op'][] = [
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'ADD',
  'SUB',
  'MUL',
];

const unary: readonly Operator['op'][] = ['RELU', 'RELU6', 'LEAKY_RELU', 'LOGISTIC', 'TANH'];
const rewrites: readonly Rewrite[] = [mergeReshapes, foldAffine, fuseActivation, sinkReshape, dropFlatten];

/**
 * The same network with fewer operators: batch norms and other constants per channel folded into the preceding linear layer, activations fused,
 * changes of shape merged or dropped. Float32 results change only by rounding; integer arithmetic is not rewritten. A standardization before the
 * first layer stays in place: otherwise inputs of different units would share one int8 scale. The given graph is left unchanged.
 */
export function simplifyGraph(graph: Graph): Graph {
  let current = graph;
  for (;;) {
    const next = rewrites.reduce<Graph | undefined>((found, rewrite) => found ?? rewrite(current), undefined);
    if (next === undefined) return withoutUnused(current);
    current = next;
  }
}

type Layer = Extract<Operator, { op: 'FULLY_CONNECTED' | 'CONV_2D' | 'DEPTHWISE_CONV_2D' }>;

type Affine = Extract<Operator, { op: 'ADD' | 'SUB' | 'MUL' }>;

/** y = factor[c] · x + offset[c] for channel c. */
interface Line {
  factor: Float64Array;
  offset: Float64Array;
}

/**
 * Folds a MUL, ADD or SUB by constants per channel into a linear layer's weights and bias if it is the only reader of the layer's float32
 * output. This removes a batch norm (γ/√(var + ε) as MUL, the rest as ADD).
 */
function foldAffine(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    if (operator.op !== 'ADD' && operator.op !== 'SUB' && operator.op !== 'MUL') continue;
    const place = operator.inputs.findIndex((index) => graph.tensors[index]?.data === undefined);
    const index = operator.inputs[place] ?? -1;
    const maker = makerOf(graph, index);
    if (maker === undefined || !isLinear(maker.operator) || usesOf(graph, index) !== 1) continue;
    const line = lineOf(graph, operator, place);
    const folded = line && foldInto(graph, maker.operator, line);
    if (folded === undefined) continue;
    const options = { ...maker.operator.options, activation: operator.options.activation };
    const layer = {
      ...maker.operator,
      inputs: folded.inputs,
      outputs: operator.outputs,
      options,
    } as Operator;
    return replaced(
      graph,
      folded.tensors,
      new Map([
        [maker.at, [layer]],
        [at, []],
      ]),
    );
  }
  return undefined;
}

function isLinear(operator: Operator): operator is Layer {
  const { op } = operator;
  if (op !== 'FULLY_CONNECTED' && op !== 'CONV_2D' && op !== 'DEPTHWISE_CONV_2D') return false;
  return operator.options.activation === 'none';
}

/** The operator as a linear function per channel of the layer; undefined if its constant is not float32 per channel. */
function lineOf({ tensors }: Graph, { op, inputs, outputs }: Affine, place: number): Line | undefined {
  const [x, constant] = [tensors[inputs[place]!]!, tensors[inputs[1 - place]!]!];
  const { data, shape } = constant;
  if (!(data instanceof Float32Array) || x.shape.join() !== tensors[outputs[0]!]!.shape.join())
    return undefined;
  const channels = x.shape.at(-1) ?? 1;
  const perChannel = shape.at(-1) === channels && elementCount(shape) === channels;
  if (!perChannel && elementCount(shape) !== 1) return undefined;
  const values = Float64Array.from({ length: channels }, (_, c) => data[perChannel ? c : 0]!);
  const all = (value: number) => new Float64Array(channels).fill(value);
  if (op === 'MUL') return { factor: values, offset: all(0) };
  if (op === 'ADD') return { factor: all(1), offset: values };
  return place === 0
    ? { factor: all(1), offset: values.map((value) => -value) }
    : { factor: all(-1), offset: values };
}

/** New weights and bias of the layer; undefined if they are not float32 constants. */
function foldInto(graph: Graph, { op, inputs }: Layer, { factor, offset }: Line) {
  const [x = -1, w = -1, b = -1] = inputs;
  const [weights, bias] = [graph.tensors[w], graph.tensors[b]];
  if (!(weights?.data instanceof Float32Array)) return undefined;
  if (b !== -1 && !(bias?.data instanceof Float32Array)) return undefined;
  const channels = factor.length;
  const given = bias?.data instanceof Float32Array ? bias.data : new Float32Array(channels);
  // Depthwise weights have the channel last, the others first.
  const block = op === 'DEPTHWISE_CONV_2D' ? 1 : weights.data.length / channels;
  const scaled = weights.data.map((value, i) => value * factor[Math.floor(i / block) % channels]!);
  const moved = given.map((value, c) => value * factor[c]! + offset[c]!);
  const tensors: Tensor[] = [...graph.tensors];
  const newWeights = tensors.push({ ...weights, data: scaled }) - 1;
  const name = bias?.name ?? `${weights.name}/bias`;
  const newBias = tensors.push({ name, shape: [channels], type: 'float32', data: moved }) - 1;
  return { tensors, inputs: [x, newWeights, newBias] };
}

/** Operators whose kernels end in a clamp. */
type Clamped = Extract<
  Operator,
  { op: 'FULLY_CONNECTED' | 'CONV_2D' | 'DEPTHWISE_CONV_2D' | 'ADD' | 'SUB' | 'MUL' }
>;

/** Combines a layer's own activation with a following RELU or RELU6; undefined if no single activation equals both. */
function joined(own: Activation, next: 'RELU' | 'RELU6'): Activation | undefined {
  if (own === 'relu_n1_to_1') return undefined;
  return next === 'RELU6' || own === 'relu6' ? 'relu6' : 'relu';
}

/** Fuses a RELU or RELU6 into a layer as its activation if it is the only reader of the layer's float32 output. */
function fuseActivation(graph: Graph): Graph | undefined {
  for (const [at, { op, inputs, outputs }] of graph.operators.entries()) {
    if (op !== 'RELU' && op !== 'RELU6') continue;
    const maker = makerOf(graph, inputs[0]!);
    if (maker === undefined || !clamped.includes(maker.operator.op) || usesOf(graph, inputs[0]!) !== 1)
      continue;
    if (graph.tensors[inputs[0]!]!.type !== 'float32') continue;
    const layer = maker.operator as Clamped;
    const activation = joined(layer.options.activation, op);
    if (activation === undefined) continue;
    const fused = { ...layer, outputs, options: { ...layer.options, activation } } as Operator;
    return replaced(
      graph,
      graph.tensors,
      new Map([
        [maker.at, [fused]],
        [at, []],
      ]),
    );
  }
  return undefined;
}

/** Merges two consecutive changes of shape into one, and removes one that changes nothing. */
function mergeReshapes(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    if (!isShapeOnly(operator)) continue;
    const [input, output] = [operator.inputs[0]!, operator.outputs[0]!];
    const { shape } = graph.tensors[output]!;
    if (graph.tensors[input]!.shape.join() === shape.join()) {
      // A network whose output is its input retains its operator.
      if (graph.outputs.includes(output) && !makerOf(graph, input)) continue;
      return redirected(graph, output, input);
    }
    const maker = makerOf(graph, input);
    if (maker === undefined || !isShapeOnly(maker.operator)) continue;
    const merged = reshape(maker.operator.inputs[0]!, output, shape);
    return replaced(graph, graph.tensors, new Map([[at, [merged]]]));
  }
  return undefined;
}

/** A fully connected layer flattens its input anyway. */
function dropFlatten(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    if (operator.op !== 'FULLY_CONNECTED' || operator.options.keepNumDims) continue;
    const maker = makerOf(graph, operator.inputs[0]!);
    if (maker === undefined || !isShapeOnly(maker.operator)) continue;
    const inputs = [maker.operator.inputs[0]!, ...operator.inputs.slice(1)];
    return replaced(graph, graph.tensors, new Map([[at, [{ ...operator, inputs }]]]));
  }
  return undefined;
}

/**
 * Moves a change of shape behind a following elementwise float32 operator, towards the next change of shape that undoes it, so that the preceding
 * layer can absorb the operator. (Conv1D is CONV_2D between changes of shape.)
 */
function sinkReshape(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    const output = operator.outputs[0]!;
    const { shape, type } = graph.tensors[output]!;
    if (type !== 'float32') continue;
    const moving = operator.inputs.flatMap((index, place) => {
      const maker = makerOf(graph, index);
      return maker && isShapeOnly(maker.operator) ? [{ place, index, from: maker.operator.inputs[0]! }] : [];
    });
    const [first] = moving;
    if (first === undefined || !maySink(graph, operator, moving, shape)) continue;
    const inputs = operator.inputs.map(
      (index, place) => moving.find((move) => move.place === place)?.from ?? index,
    );
    const source = graph.tensors[first.from]!;
    const inner = { name: `${graph.tensors[output]!.name}/inner`, shape: source.shape, type };
    const tensors = [...graph.tensors, inner];
    const moved = { ...operator, inputs, outputs: [graph.tensors.length] } as Operator;
    return replaced(graph, tensors, new Map([[at, [moved, reshape(graph.tensors.length, output, shape)]]]));
  }
  return undefined;
}

interface Move {
  index: number;
  from: number;
}

function maySink(graph: Graph, { op, inputs }: Operator, moving: Move[], shape: number[]): boolean {
  if (unary.includes(op)) return usesOf(graph, moving[0]!.index) === 1;
  if (op !== 'ADD' && op !== 'SUB' && op !== 'MUL') return false;
  const shapes = moving.map(({ from }) => graph.tensors[from]!.shape);
  // All variable inputs come from changes of one shape that only this operator reads.
  const times = new Set(inputs).size === 1 ? 2 : 1;
  if (moving.some(({ index }) => usesOf(graph, index) !== times)) return false;
  if (shapes.some((other) => other.join() !== shapes[0]!.join())) return false;
  if (moving.some(({ index }) => graph.tensors[index]!.shape.join() !== shape.join())) return false;
  return inputs.every((index) => {
    if (moving.some((move) => move.index === index)) return true;
    const { data, shape: own } = graph.tensors[index]!;
    if (data === undefined) return false;
    // A constant is unaffected by the move if it is one value, or one per element of the last axis.
    const [last, before] = [shape.at(-1), shapes[0]!.at(-1)];
    const perChannel = own.length <= 1 || own.slice(0, -1).every((size) => size === 1);
    const fits = own.length <= shapes[0]!.length && own.length <= shape.length;
    return fits && (elementCount(own) === 1 || (perChannel && own.at(-1) === last && last === before));
  });
}

function reshape(input: number, output: number, shape: number[]): Operator {
  return { op: 'RESHAPE', inputs: [input], outputs: [output], options: { newShape: [...shape] } };
}

/** One small change of a graph, or undefined if there is nothing to change. */
type Rewrite = (graph: Graph) => Graph | undefined;

/** The operator that computes a tensor, and its index; undefined if none does. */
function makerOf({ operators }: Graph, index: number): { operator: Operator; at: number } | undefined {
  const at = operators.findIndex(({ outputs }) => outputs.includes(index));
  return at === -1 ? undefined : { operator: operators[at]!, at };
}

/** Number of times that a tensor is read; an output of the network counts as a read. */
function usesOf({ operators, outputs }: Graph, index: number): number {
  const read = [...outputs, ...operators.flatMap(({ inputs }) => inputs)];
  return read.filter((other) => other === index).length;
}

/** The graph with some operators replaced, by index; everything without a reader is dropped. */
function replaced(graph: Graph, tensors: Tensor[], changes: ReadonlyMap<number, Operator[]>): Graph {
  const operators = graph.operators.flatMap((operator, at) => changes.get(at) ?? [operator]);
  return withoutDead({ ...graph, tensors, operators });
}

/** Replaces every use of tensor `from` by tensor `to`, which takes over the name of an output. */
function redirected(graph: Graph, from: number, to: number): Graph {
  const moved = (indices: readonly number[]) => indices.map((index) => (index === from ? to : index));
  const named = graph.outputs.includes(from);
  return withoutDead({
    ...graph,
    tensors: graph.tensors.map((tensor, index) =>
      named && index === to ? { ...tensor, name: graph.tensors[from]!.name } : tensor,
    ),
    operators: graph.operators.map((operator) => ({ ...operator, inputs: moved(operator.inputs) })),
    outputs: moved(graph.outputs),
  });
}

function withoutDead(graph: Graph): Graph {
  const used = new Set(graph.outputs);
  const alive = [...graph.operators].reverse().filter(({ inputs, outputs }) => {
    if (!outputs.some((index) => used.has(index))) return false;
    for (const index of inputs) used.add(index);
    return true;
  });
  return { ...graph, operators: alive.reverse() };
}

/** A description of the first constant with a value that is not finite, or undefined: such a network yields no predictions. */
export function brokenConstant({ tensors }: Graph): string | undefined {
  for (const { name, data } of tensors) {
    if (!(data instanceof Float32Array)) continue;
    // A sum of finite float32 numbers stays finite in float64; one pass without a call per number.
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i]!;
    if (Number.isFinite(sum)) continue;
    const at = data.findIndex((value) => !Number.isFinite(value));
    return `${name} holds ${data[at]} (number ${at + 1} of ${data.length})`;
  }
  return undefined;
}
