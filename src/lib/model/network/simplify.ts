import {
  type Activation,
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { shareConstants } from './share-constants.js';

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
const binary: readonly Operator['op'][] = ['ADD', 'SUB', 'MUL'];
const rewrites: readonly Rewrite[] = [mergeReshapes, foldAffine, fuseActivation, sinkReshape, dropFlatten];

/**
 * The same network with fewer operators: batch norms and other per-channel constants are folded into the preceding linear layer,
 * activations fused, shape changes merged or dropped, and equal constants shared. Float32 results change only by rounding; integer arithmetic
 * is not rewritten. A standardization before the first layer is not folded, because inputs in different units would then share one int8
 * scale. The given graph is not modified. The time grows in proportion to the graph, because a rewrite is retried only where neighbors have
 * changed.
 */
export function simplifyGraph(graph: Graph): Graph {
  const draft = new Draft(graph);
  for (;;) {
    const next = draft.next();
    if (next === undefined) return shareConstants({ ...graph, ...draft.result() }).graph;
    if (next.node.live && next.rewrite(draft, next.node)) draft.sweep();
  }
}

/** An operator, in execution order. */
interface Node {
  operator: Operator;
  next: Node | undefined;
  live: boolean;
  /** For each rewrite, whether the operator is queued for it. */
  waits: boolean[];
}

/** A graph that is changed in place, with each tensor's maker and readers. */
class Draft {
  readonly tensors: Tensor[];
  /**
   * For each rewrite, the operators on which to try it. The last operator is next, so that a change's surroundings are tried before the
   * rest of the graph.
   */
  private readonly waiting = rewrites.map(() => [] as Node[]);
  /**
   * Number of values that may still be computed to fold constants. A hostile file with a long chain of factors behind one large layer would
   * take hours; in real networks, only a few factors follow each layer.
   */
  private foldable: number;
  private readonly first: Node = { operator: undefined as never, next: undefined, live: false, waits: [] };
  private readonly outputs: number[];
  private readonly makers = new Map<number, Node>();
  /** Number of times that each operator reads a tensor. */
  private readonly readers = new Map<number, Map<Node, number>>();
  /** Number of times that a tensor is read. If it is an output of the network, that counts as a read. */
  private readonly uses: number[];
  /** Tensors that may have lost their last reader. */
  private readonly released: number[];

  constructor(graph: Graph) {
    this.tensors = [...graph.tensors];
    this.outputs = [...graph.outputs];
    this.uses = graph.tensors.map(() => 0);
    for (const index of this.outputs) this.uses[index]!++;
    let last = this.first;
    for (const operator of graph.operators) last = this.insertAfter(last, operator);
    for (const nodes of this.waiting) nodes.reverse();
    this.released = graph.operators.flatMap(({ outputs }) => outputs);
    this.sweep();
    const sizes = graph.tensors.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
    this.foldable = 2 ** 24 + 8 * sizes;
  }

  /** The next rewrite to try, and where. A rewrite runs only when all earlier rewrites in the list have nothing left to try. */
  next(): { rewrite: Rewrite; node: Node } | undefined {
    const turn = this.waiting.findIndex(({ length }) => length > 0);
    const node = this.waiting[turn]?.pop();
    if (node === undefined) return undefined;
    node.waits[turn] = false;
    return { rewrite: rewrites[turn]!, node };
  }

  result(): Pick<Graph, 'tensors' | 'operators' | 'outputs'> {
    const operators: Operator[] = [];
    for (let node = this.first.next; node; node = node.next) if (node.live) operators.push(node.operator);
    return { tensors: this.tensors, operators, outputs: this.outputs };
  }

  /** The operator that computes a tensor; undefined if none does. */
  makerOf(index: number | undefined): Node | undefined {
    return this.makers.get(index ?? -1);
  }

  usesOf(index: number): number {
    return this.uses[index] ?? 0;
  }

  isOutput(index: number): boolean {
    return this.outputs.includes(index);
  }

  /** Adds a tensor, and returns its index. */
  tensor(tensor: Tensor): number {
    this.uses.push(0);
    return this.tensors.push(tensor) - 1;
  }

  /** Whether this many values may still be computed. If so, subtracts them from the budget. */
  affords(numbers: number): boolean {
    if (numbers > this.foldable) return false;
    this.foldable -= numbers;
    return true;
  }

  insertAfter(before: Node, operator: Operator): Node {
    const node: Node = { operator, next: before.next, live: true, waits: [] };
    before.next = node;
    this.attach(node);
    return node;
  }

  replace(node: Node, operator: Operator): void {
    const old = node.operator;
    node.operator = operator;
    this.attach(node);
    this.detach(node, old);
  }

  /** Removes an operator whose outputs another operator now computes. */
  remove(node: Node): void {
    node.live = false;
    this.detach(node, node.operator);
  }

  /** Replaces every use of tensor `from` by tensor `to`. If `from` is an output, `to` takes over its name. */
  redirect(from: number, to: number): void {
    const moved = (indices: readonly number[]) => indices.map((index) => (index === from ? to : index));
    if (this.isOutput(from)) {
      this.tensors[to] = { ...this.tensors[to]!, name: this.tensors[from]!.name };
      for (const [place, index] of this.outputs.entries()) {
        if (index !== from) continue;
        this.outputs[place] = to;
        this.uses[to]!++;
        this.release(from);
      }
    }
    for (const node of [...(this.readers.get(from)?.keys() ?? [])])
      this.replace(node, { ...node.operator, inputs: moved(node.operator.inputs) });
  }

  /** Removes operators whose outputs have no readers. ASSIGN_VARIABLE has no output and is not among the makers. */
  sweep(): void {
    for (let index = this.released.pop(); index !== undefined; index = this.released.pop()) {
      const node = this.makers.get(index);
      if (node?.live && node.operator.outputs.every((output) => this.usesOf(output) === 0)) this.remove(node);
    }
  }

  private attach(node: Node): void {
    for (const index of node.operator.inputs) {
      if (index < 0) continue;
      const readers = this.readers.get(index) ?? new Map<Node, number>();
      this.readers.set(index, readers.set(node, (readers.get(node) ?? 0) + 1));
      this.uses[index]!++;
    }
    for (const index of node.operator.outputs) {
      this.makers.set(index, node);
      for (const reader of this.readers.get(index)?.keys() ?? []) this.touch(reader);
    }
    this.touch(node);
  }

  private detach(node: Node, { inputs, outputs }: Operator): void {
    for (const index of inputs) {
      if (index < 0) continue;
      const readers = this.readers.get(index)!;
      const times = readers.get(node)! - 1;
      if (times > 0) readers.set(node, times);
      else readers.delete(node);
      this.release(index);
    }
    for (const index of outputs) {
      if (this.makers.get(index) !== node || (node.live && node.operator.outputs.includes(index))) continue;
      this.makers.delete(index);
    }
  }

  private release(index: number): void {
    const uses = --this.uses[index]!;
    if (uses === 0) this.released.push(index);
    // Rewrites of the last reader, or of a reader that uses a tensor twice, may now apply.
    if (uses <= 2) for (const reader of this.readers.get(index)?.keys() ?? []) this.touch(reader);
  }

  private touch(node: Node): void {
    for (const [turn, nodes] of this.waiting.entries()) {
      if (!node.waits[turn]) nodes.push(node);
      node.waits[turn] = true;
    }
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
 * Folds a MUL, ADD or SUB by per-channel constants into a linear layer's weights and bias, if the operator is the only reader of the
 * layer's float32 output. This removes a batch norm (γ/√(var + ε) as MUL, the rest as ADD).
 */
function foldAffine(draft: Draft, node: Node): boolean {
  const { operator } = node;
  if (operator.op !== 'ADD' && operator.op !== 'SUB' && operator.op !== 'MUL') return false;
  const place = operator.inputs.findIndex((index) => draft.tensors[index]?.data === undefined);
  const index = operator.inputs[place] ?? -1;
  const maker = draft.makerOf(index);
  if (maker === undefined || !isLinear(maker.operator) || draft.usesOf(index) !== 1) return false;
  const inputs = foldedInputs(draft, maker.operator, operator, place);
  if (inputs === undefined) return false;
  const options = { ...maker.operator.options, activation: operator.options.activation };
  const layer = { ...maker.operator, inputs, outputs: operator.outputs, options } as Operator;
  draft.remove(node);
  draft.replace(maker, layer);
  return true;
}

function isLinear(operator: Operator): operator is Layer {
  const { op } = operator;
  if (op !== 'FULLY_CONNECTED' && op !== 'CONV_2D' && op !== 'DEPTHWISE_CONV_2D') return false;
  return operator.options.activation === 'none';
}

/**
 * The operator as a linear function for each of the layer's channels; undefined if the constant is not one float32 per channel. @param cost
 * number of values that must be computed to fold the operator
 */
function lineOf(draft: Draft, affine: Affine, place: number, cost: number): Line | undefined {
  const { op, inputs, outputs } = affine;
  const { tensors } = draft;
  const [x, constant] = [tensors[inputs[place]!]!, tensors[inputs[1 - place]!]!];
  const { data, shape } = constant;
  if (!(data instanceof Float32Array) || x.shape.join() !== tensors[outputs[0]!]!.shape.join())
    return undefined;
  const channels = x.shape.at(-1) ?? 1;
  const perChannel = shape.at(-1) === channels && elementCount(shape) === channels;
  if ((!perChannel && elementCount(shape) !== 1) || !draft.affords(cost)) return undefined;
  const values = Float64Array.from({ length: channels }, (_, c) => data[perChannel ? c : 0]!);
  const all = (value: number) => new Float64Array(channels).fill(value);
  if (op === 'MUL') return { factor: values, offset: all(0) };
  if (op === 'ADD') return { factor: all(1), offset: values };
  return place === 0
    ? { factor: all(1), offset: values.map((value) => -value) }
    : { factor: all(-1), offset: values };
}

/** The layer's inputs with new weights and a new bias; undefined if these are not float32 constants, or if folding would take too long. */
function foldedInputs(draft: Draft, layer: Layer, affine: Affine, place: number): number[] | undefined {
  const { op, inputs } = layer;
  const [x = -1, w = -1, b = -1] = inputs;
  const [weights, bias] = [draft.tensors[w], draft.tensors[b]];
  if (!(weights?.data instanceof Float32Array)) return undefined;
  if (b !== -1 && !(bias?.data instanceof Float32Array)) return undefined;
  const channels = draft.tensors[layer.outputs[0]!]!.shape.at(-1) ?? 1;
  const line = lineOf(draft, affine, place, weights.data.length + 4 * channels);
  if (line === undefined) return undefined;
  const { factor, offset } = line;
  const given = bias?.data instanceof Float32Array ? bias.data : new Float32Array(channels);
  // Depthwise weights have the channel last; other weights have it first.
  const block = op === 'DEPTHWISE_CONV_2D' ? 1 : weights.data.length / channels;
  const scaled = weights.data.map((value, i) => value * factor[Math.floor(i / block) % channels]!);
  const moved = given.map((value, c) => value * factor[c]! + offset[c]!);
  const name = bias?.name ?? `${weights.name}/bias`;
  const newWeights = draft.tensor({ ...weights, data: scaled });
  const newBias = draft.tensor({ name, shape: [channels], type: 'float32', data: moved });
  return [x, newWeights, newBias];
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

/** Fuses a RELU or RELU6 into a layer as the activation, if it is the only reader of the layer's float32 output. */
function fuseActivation(draft: Draft, node: Node): boolean {
  const { op, inputs, outputs } = node.operator;
  if (op !== 'RELU' && op !== 'RELU6') return false;
  const maker = draft.makerOf(inputs[0]);
  if (maker === undefined || !clamped.includes(maker.operator.op) || draft.usesOf(inputs[0]!) !== 1)
    return false;
  if (draft.tensors[inputs[0]!]!.type !== 'float32') return false;
  const layer = maker.operator as Clamped;
  const activation = joined(layer.options.activation, op);
  if (activation === undefined) return false;
  draft.remove(node);
  draft.replace(maker, { ...layer, outputs, options: { ...layer.options, activation } } as Operator);
  return true;
}

/** Merges two consecutive shape changes, and removes a shape change that has no effect. */
function mergeReshapes(draft: Draft, node: Node): boolean {
  if (!isShapeOnly(node.operator)) return false;
  const [input, output] = [node.operator.inputs[0]!, node.operator.outputs[0]!];
  const { shape } = draft.tensors[output]!;
  const maker = draft.makerOf(input);
  if (draft.tensors[input]!.shape.join() === shape.join()) {
    // The operator is kept if a network's output is its input, or equals another output.
    if (draft.isOutput(output) && (!maker || draft.isOutput(input))) return false;
    draft.redirect(output, input);
    return true;
  }
  if (maker === undefined || !isShapeOnly(maker.operator)) return false;
  draft.replace(node, reshape(maker.operator.inputs[0]!, output, shape));
  return true;
}

/** Removes a flatten before a fully connected layer, which flattens its input anyway. */
function dropFlatten(draft: Draft, node: Node): boolean {
  const { operator } = node;
  if (operator.op !== 'FULLY_CONNECTED' || operator.options.keepNumDims) return false;
  const maker = draft.makerOf(operator.inputs[0]);
  if (maker === undefined || !isShapeOnly(maker.operator)) return false;
  draft.replace(node, { ...operator, inputs: [maker.operator.inputs[0]!, ...operator.inputs.slice(1)] });
  return true;
}

/**
 * Moves a shape change behind a following elementwise float32 operator, so that the preceding layer can absorb the operator. The shape
 * change moves toward the next one, which undoes it. (Conv1D is CONV_2D between shape changes.)
 */
function sinkReshape(draft: Draft, node: Node): boolean {
  const { operator } = node;
  if (!unary.includes(operator.op) && !binary.includes(operator.op)) return false;
  const output = operator.outputs[0]!;
  const tensor = draft.tensors[output]!;
  const { name, shape } = tensor;
  if (tensor.type !== 'float32') return false;
  const moving = operator.inputs.flatMap((index, place) => {
    const maker = draft.makerOf(index)?.operator;
    return maker && isShapeOnly(maker) ? [{ place, index, from: maker.inputs[0]! }] : [];
  });
  const [first] = moving;
  if (first === undefined || !maySink(draft, operator, moving, shape)) return false;
  const inputs = operator.inputs.map(
    (index, place) => moving.find((move) => move.place === place)?.from ?? index,
  );
  const inner = draft.tensor({ ...tensor, name: `${name}/inner`, shape: draft.tensors[first.from]!.shape });
  draft.replace(node, { ...operator, inputs, outputs: [inner] } as Operator);
  draft.insertAfter(node, reshape(inner, output, shape));
  return true;
}

interface Move {
  index: number;
  from: number;
}

function maySink(draft: Draft, { op, inputs }: Operator, moving: Move[], shape: number[]): boolean {
  const { tensors } = draft;
  if (unary.includes(op)) return draft.usesOf(moving[0]!.index) === 1;
  const shapes = moving.map(({ from }) => tensors[from]!.shape);
  // All variable inputs must come from identical shape changes, whose results only this operator reads.
  const times = new Set(inputs).size === 1 ? 2 : 1;
  if (moving.some(({ index }) => draft.usesOf(index) !== times)) return false;
  if (shapes.some((other) => other.join() !== shapes[0]!.join())) return false;
  if (moving.some(({ index }) => tensors[index]!.shape.join() !== shape.join())) return false;
  return inputs.every((index) => {
    if (moving.some((move) => move.index === index)) return true;
    const { data, shape: own } = tensors[index]!;
    if (data === undefined) return false;
    // The move does not affect a constant that is a single value, or one value per element of the last axis.
    const [last, before] = [shape.at(-1), shapes[0]!.at(-1)];
    const perChannel = own.length <= 1 || own.slice(0, -1).every((size) => size === 1);
    const fits = own.length <= shapes[0]!.length && own.length <= shape.length;
    return fits && (elementCount(own) === 1 || (perChannel && own.at(-1) === last && last === before));
  });
}

function reshape(input: number, output: number, shape: number[]): Operator {
  return { op: 'RESHAPE', inputs: [input], outputs: [output], options: { newShape: [...shape] } };
}

/** One small change to a graph at an operator; returns whether anything changed. */
type Rewrite = (draft: Draft, node: Node) => boolean;

/** Describes the first constant with a value that is not finite; otherwise undefined. Such a network yields no predictions. */
export function brokenConstant({ tensors }: Graph): string | undefined {
  for (const { name, data } of tensors) {
    if (!(data instanceof Float32Array)) continue;
    // A sum of finite float32 numbers stays finite in float64, so one check of the sum covers all numbers.
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i]!;
    if (Number.isFinite(sum)) continue;
    const at = data.findIndex((value) => !Number.isFinite(value));
    return `${name} contains ${data[at]} (number ${at + 1} of ${data.length})`;
  }
  return undefined;
}
