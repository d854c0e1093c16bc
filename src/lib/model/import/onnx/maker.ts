import { elementCount, isEmpty, type Operator, type Tensor } from '../../../formats/tflite/graph.js';
import { operatorRows, rowOf } from '../../../formats/tflite/operators.js';
import type { Options } from '../../network/graph-builder.js';
import { malformed, unsupported } from '../errors.js';
import { GraphMaker } from '../keras/maker.js';
import { type Constant, requireShape } from './constants.js';
import { type FoldBudget, permuted, strides } from './fold.js';
import { broadcastShape } from './node.js';
import { addNarrowed, mostStored } from './ranks.js';

/**
 * A value that the network computes. ONNX stores channels first, and TFLite last, so a value's axes may be stored in a different order than
 * in the file. A Transpose then needs no computation: elements move only if an operator needs another order.
 */
export interface Activation {
  kind: 'activation';
  /** Tensor in the graph; −1 until `before` has been rearranged into this shape. */
  tensor: number;
  /** Shape in the file. */
  shape: number[];
  /** For each stored axis, its index in `shape`. */
  order: number[];
  /** Value with the same elements in the file's order. A weighted layer can reorder its weights instead of these elements. */
  before?: Activation;
  /** Element type in the file, if the values are computed as int32. */
  element?: 'int8' | 'uint8';
}

export type Value = Constant | Activation;

/** Maximum number of operators, which limits the duration of an import. Unrolled recurrent layers have many. */
export const mostOperators = 10_000;

/** Operators on int32 or bool, apart from GATHER, CAST, SELECT_V2, comparisons and logic. */
const indexOperators: readonly Operator['op'][] = [
  'ADD',
  'CONCATENATION',
  'DIV',
  'MAXIMUM',
  'MINIMUM',
  'MUL',
  'PAD',
  'PADV2',
  'RESHAPE',
  'SLICE',
  'STRIDED_SLICE',
  'SUB',
];

/** Largest number for which int64 values, which become int32, are computed exactly. */
const mostWhole = 2 ** 31 - 1;

/** Maximum number of inputs for one CONCATENATION. */
const mostJoined = 10;

/** Assembles a graph from ONNX operators. */
export class OnnxMaker extends GraphMaker {
  /** The node being converted, for messages. */
  where = '';
  /** Remarks for the user. */
  readonly notes: string[] = [];
  private numbers = 0;

  /**
   * @param mostNumbers maximum number of elements in all constants of the network
   * @param budget limits the constants that are computed during the import
   * @param keepsScales whether tensors keep a quantized file's scales
   */
  constructor(
    private readonly mostNumbers: number,
    readonly budget: FoldBudget,
    private readonly keepsScales = false,
  ) {
    super();
  }

  /**
   * Records the scale of a quantized activation as the `quantization` of its float32 tensor, if the file's scales are to be kept.
   * @throws AIOT_LAYER_UNSUPPORTED for integers other than int8 and uint8, and for an activation with two scales
   */
  noteScale(x: Activation, scale: Constant, zero: Constant | undefined): void {
    if (!this.keepsScales) return;
    if (x.before !== undefined) {
      this.noteScale(x.before, scale, zero);
      return;
    }
    const next = 'import it without --keep-scales, and quantize it with aiot model quantize';
    const type = zero?.type ?? 'uint8';
    if ((type !== 'int8' && type !== 'uint8') || scale.data.length !== 1)
      throw unsupported(this.where, `it quantizes to ${type} with ${scale.data.length} scales`, next);
    const step = Math.fround(scale.data[0]!);
    // uint8 values become int8 values that are 128 lower.
    const zeroPoint = (zero?.data[0] ?? 0) - (type === 'uint8' ? 128 : 0);
    if (!(step > 0 && Number.isFinite(step))) throw malformed(`${this.where}: its scale is ${step}`);
    const tensor = this.tensors[x.tensor]!;
    const known = tensor.quantization;
    if (known !== undefined && (known.scale[0] !== step || known.zeroPoint[0] !== zeroPoint))
      throw unsupported(this.where, 'its input is quantized with two scales', next);
    this.tensors[x.tensor] = { ...tensor, quantization: { scale: [step], zeroPoint: [zeroPoint], axis: 0 } };
  }

  /** Counts elements before their creation, because one constant in the file can expand into many others. @throws AIOT_LAYER_UNSUPPORTED */
  reserve(count: number): void {
    this.numbers += count;
    if (this.numbers > this.mostNumbers)
      throw unsupported(this.where, `the model needs more than ${this.mostNumbers} numbers as weights`);
  }

  override floats(data: Float32Array, shape: number[], name?: string): number {
    this.reserve(data.length);
    return super.floats(data, shape, name);
  }

  override operator<Op extends Operator['op']>(
    op: Op,
    inputs: number[],
    name: string,
    shape: number[],
    options: Options<Op>,
  ): number {
    if (this.operators.length >= mostOperators)
      throw unsupported(
        this.where,
        `the model needs more than ${mostOperators} operators`,
        'use fewer time steps or layers',
      );
    requireShape(shape, this.where);
    if (isEmpty({ shape }))
      throw unsupported(
        this.where,
        `it computes [${shape.join(', ')}], which has no elements`,
        'export the model without this node',
      );
    const isWide = [shape, ...inputs.map((index) => this.tensors[index]?.shape ?? [])].some(
      ({ length }) => length > mostStored,
    );
    if (isWide && op !== 'RESHAPE') return addNarrowed(this, op, inputs, shape, options as object);
    const type = this.yielded(op, inputs, options);
    const made = super.operator(op, inputs, name, shape, options as never);
    this.setType(made, type);
    if (shape.length > mostStored) this.sources.set(made, inputs[0]!);
    return made;
  }

  /** Tensors of more than six dimensions, which only a RESHAPE makes, with the tensors of the same elements. The file has no such tensors. */
  private readonly sources = new Map<number, number>();

  /** Type of a value, even if it has not been rearranged yet. */
  typeOfValue({ tensor, before }: Activation): Tensor['type'] {
    return before ? this.typeOfValue(before) : this.typeOf(tensor);
  }

  /** Type of a computed tensor; int32 for a model's indices, and bool for comparisons. */
  typeOf(tensor: number): Tensor['type'] {
    return this.tensors[tensor]!.type;
  }

  setType(tensor: number, type: Tensor['type']): void {
    this.tensors[tensor] = { ...this.tensors[tensor]!, type };
  }

  /** The type of an operator's output. @throws AIOT_LAYER_UNSUPPORTED if it does not compute with indices */
  private yielded(op: Operator['op'], inputs: readonly number[], options: unknown): Tensor['type'] {
    const { yields } = rowOf(op);
    const taken = inputs.flatMap((index): Tensor['type'][] => {
      const tensor = this.tensors[index];
      return tensor === undefined || (tensor.data && tensor.type === 'int32') ? [] : [tensor.type];
    });
    if (op === 'CAST') return (options as { outDataType?: Tensor['type'] }).outDataType ?? 'float32';
    if (op === 'GATHER') return this.typeOf(inputs[0]!);
    if (op === 'SELECT_V2') return this.typeOf(inputs[1]!);
    if (!taken.some((type) => type === 'int32' || type === 'bool')) return yields ?? 'float32';
    if (yields !== undefined) return yields;
    if (indexOperators.includes(op) && !taken.includes('float32')) return taken[0]!;
    throw unsupported(
      this.where,
      'it calculates with an integer input',
      'convert them with Cast, or look them up with Gather',
    );
  }

  /** Whether a value consists of indices. */
  isWhole(x: Activation): boolean {
    return this.typeOfValue(x) === 'int32';
  }

  /** A constant of the type of the values that it is combined with. */
  constantFor(x: number, c: Constant): number {
    return this.typeOf(x) === 'int32' ? this.wholes(c) : this.weights(c);
  }

  /** Adds a constant of indices. @throws AIOT_LAYER_UNSUPPORTED for numbers that int32 cannot contain */
  wholes(c: Constant): number {
    if (!c.data.every((value) => Number.isInteger(value) && Math.abs(value) <= mostWhole))
      throw unsupported(this.where, 'it combines an integer input with numbers that int32 cannot contain');
    this.reserve(c.data.length);
    return this.integers([...c.data], c.shape.length === 0 ? [1] : [...c.shape]);
  }

  /** Whether the runtime supports this operator. */
  has(op: string): boolean {
    return Object.hasOwn(operatorRows, op);
  }

  private readonly known = new Map<Constant['data'], Map<string, number>>();

  /** Adds a constant as a float32 tensor in its own order; all nodes that read it share one tensor. */
  weights({ data, shape }: Constant): number {
    const made = this.known.get(data) ?? new Map<string, number>();
    this.known.set(data, made);
    const found = made.get(shape.join());
    if (found !== undefined) return found;
    // A single number gets the shape [1], because some kernels reject an empty shape.
    const own = shape.length === 0 ? [1] : [...shape];
    const index = this.floats(data instanceof Float32Array ? data : Float32Array.from(data), own);
    made.set(shape.join(), index);
    return index;
  }

  /** Adds a constant of truth values. */
  truths({ data, shape }: Constant): number {
    this.reserve(data.length);
    const index = this.integers([], [0]);
    const bytes = Uint8Array.from(data, (value) => (value === 0 ? 0 : 1));
    const own = shape.length === 0 ? [1] : [...shape];
    this.tensors[index] = { ...this.tensors[index]!, shape: own, type: 'bool', data: bytes };
    return index;
  }

  /** A single number gets the shape [1]. */
  override reshape(x: number, shape: number[]): number {
    const tensor = this.tensors[x]!;
    if (tensor.data && tensor.shape.length > mostStored) return this.tensors.push({ ...tensor, shape }) - 1;
    return super.reshape(this.sources.get(x) ?? x, shape.length === 0 ? [1] : shape);
  }

  /** Joins any number of tensors in several steps, because kernels for microcontrollers accept at most 10 inputs. */
  concatenated(parts: readonly number[], axis: number): number {
    const [first] = parts;
    if (first === undefined || parts.length === 1) return first ?? -1;
    if (parts.length > mostJoined) {
      const groups = Math.ceil(parts.length / mostJoined);
      const size = Math.ceil(parts.length / groups);
      const joined = Array.from({ length: groups }, (_, k) =>
        this.concatenated(parts.slice(k * size, (k + 1) * size), axis),
      );
      return this.concatenated(joined, axis);
    }
    const shape = [...this.shape(first)];
    shape[axis] = parts.reduce((sum, part) => sum + this.shape(part)[axis]!, 0);
    return this.op('CONCATENATION', [...parts], shape, { axis, activation: 'none' });
  }

  stored(tensor: number, shape: readonly number[], order: readonly number[]): Activation {
    return { kind: 'activation', tensor, shape: [...shape], order: [...order] };
  }

  /** A tensor whose axes are stored as in the file. */
  plain(tensor: number, shape: readonly number[] = this.shape(tensor)): Activation {
    return this.stored(tensor, shape, identity(shape.length));
  }

  storedShape({ shape, order }: Pick<Activation, 'shape' | 'order'>): number[] {
    return order.map((axis) => shape[axis]!);
  }

  /** The value with this order of stored axes. Elements move only if an axis longer than 1 changes position. */
  arranged(x: Activation, order: readonly number[]): Activation {
    const y = this.settled(x);
    if (y.order.join() === order.join()) return y;
    const shape = this.storedShape({ shape: y.shape, order: [...order] });
    const longer = (axes: readonly number[]) => axes.filter((axis) => y.shape[axis] !== 1);
    const [from, to] = [longer(y.order), longer(order)];
    if (from.join() === to.join()) return this.stored(this.reshape(y.tensor, shape), y.shape, order);
    // Axes of length 1 are dropped, so that the rank exceeds the kernels' limit less often.
    const compact = y.order.length > 4 ? from : y.order;
    const target = y.order.length > 4 ? to : [...order];
    const x1 = this.reshape(
      y.tensor,
      compact.map((axis) => y.shape[axis]!),
    );
    const places = target.map((axis) => compact.indexOf(axis));
    const moved = target.map((axis) => y.shape[axis]!);
    const t = this.op('TRANSPOSE', [x1, this.integers(places)], moved, {});
    return this.stored(this.reshape(t, shape), y.shape, order);
  }

  /** Stores the value in the file's order, and returns its tensor. */
  inFileOrder(x: Activation): number {
    return this.arranged(x, identity(x.shape.length)).tensor;
  }

  /** The value with this axis stored last. */
  withLast(x: Activation, axis: number): Activation {
    const y = this.settled(x);
    if (y.order.at(-1) === axis) return y;
    return this.arranged(y, [...y.order.filter((each) => each !== axis), axis]);
  }

  /** A value of shape [batch, channels, …], stored with channels last. */
  channelsLast(x: Activation): Activation {
    return this.arranged(x, [0, ...identity(x.shape.length).slice(2), 1]);
  }

  /** The value, stored in its own shape. Rearranges `before` if necessary. */
  settled(x: Activation): Activation {
    if (x.before === undefined) return x;
    return this.plain(this.reshape(this.inFileOrder(x.before), x.shape));
  }

  /** Applies an elementwise operator without moving elements. */
  each(x: Activation, f: (tensor: number) => number): Activation {
    if (x.before !== undefined) return this.reshaped(this.each(x.before, f), x.shape);
    return this.stored(f(x.tensor), x.shape, x.order);
  }

  /** The elements of x in the file's order, with another shape. */
  reshaped(x: Activation, shape: readonly number[]): Activation {
    if (x.shape.join() === shape.join()) return x;
    if (x.before !== undefined) return withElement(this.reshaped(x.before, shape), x.element);
    const order = shape.length > mostStored ? undefined : orderAfter(x, shape);
    if (order === undefined) {
      const made = this.stored(-1, shape, identity(shape.length));
      return withElement({ ...made, before: x }, x.element);
    }
    const tensor = this.reshape(x.tensor, this.storedShape({ shape: [...shape], order }));
    return withElement(this.stored(tensor, shape, order), x.element);
  }

  /** Permutes the axes without moving elements: axis k of the result is axis order[k] of x. */
  transposedValue(x: Activation, order: readonly number[]): Activation {
    const y = this.settled(x);
    const shape = order.map((axis) => y.shape[axis]!);
    const stored = y.order.map((axis) => order.indexOf(axis));
    return withElement(this.stored(y.tensor, shape, stored), x.element);
  }

  /** Applies an arithmetic operator with broadcasting; either input may be a constant. */
  two(op: 'ADD' | 'SUB' | 'MUL', a: Value, b: Value): Activation {
    return this.elementwise(a, b, (x, y) => this.binary(op, x, y));
  }

  /** Broadcasts two inputs for an operator. @param f makes the result from the stored tensors */
  elementwise(a: Value, b: Value, f: (x: number, y: number) => number): Activation {
    const shape = broadcastShape(a.shape, b.shape, this.where);
    if (a.kind === 'constant') {
      if (b.kind === 'constant') throw unsupported(this.where, 'both inputs are constants');
      return this.withConstant(b, a, shape, (x, c) => f(c, x));
    }
    if (b.kind === 'constant') return this.withConstant(a, b, shape, f);
    const [left, right] = [a, b].map((each) => this.ranked(each, shape.length)) as [Activation, Activation];
    const leads = elementCount(left.shape) >= elementCount(right.shape);
    const { order } = this.settled(leads ? left : right);
    const y = f(this.arranged(left, order).tensor, this.arranged(right, order).tensor);
    return this.stored(y, shape, order);
  }

  private withConstant(
    x: Activation,
    c: Constant,
    shape: readonly number[],
    f: (x: number, constant: number) => number,
  ): Activation {
    const same = elementCount(x.shape) === elementCount(shape);
    if (same && c.data.length === 1) {
      const y = this.each(x, (tensor) => f(tensor, this.constantFor(tensor, { ...c, shape: [1] })));
      return this.reshaped(y, shape);
    }
    const wide = this.ranked(x, shape.length);
    if (wide.before !== undefined && c.data.length === elementCount(wide.shape)) {
      const inner = wide.before;
      const y = this.withConstant(inner, { ...c, shape: inner.shape }, inner.shape, f);
      return this.reshaped(y, shape);
    }
    const { tensor, order } = this.settled(wide);
    const full = [...new Array<number>(shape.length - c.shape.length).fill(1), ...c.shape];
    const moved = permuted({ ...c, shape: full }, order);
    const lead = moved.shape.findIndex((size) => size !== 1);
    const weights = this.constantFor(tensor, {
      ...moved,
      shape: lead === -1 ? [1] : moved.shape.slice(lead),
    });
    return this.stored(f(tensor, weights), shape, order);
  }

  /** The value with the leading axes of length 1 that broadcasting adds. */
  ranked(x: Activation, rank: number): Activation {
    if (x.shape.length === rank) return x;
    return this.reshaped(x, [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape]);
  }
}

/** The value with this element type in the file, or without one. */
export function withElement(
  { element: _, ...value }: Activation,
  element: Activation['element'],
): Activation {
  return element === undefined ? value : { ...value, element };
}

/** Operators whose results are never negative; surrounding zeros do not change their maximum. */
const nonNegative = new Set(['RELU', 'RELU6', 'LOGISTIC', 'SOFTMAX']);

/** Operators whose results are not negative if their input is not. */
const passing = new Set(['MAX_POOL_2D', 'AVERAGE_POOL_2D', 'RESHAPE', 'TRANSPOSE']);

/** Maximum number of operators to look through, because few operators separate a Relu from a quantization. */
const mostPassed = 4;

/** Whether an operator ensures that no element is negative. */
export function isNonNegative(maker: OnnxMaker, { tensor, before }: Activation): boolean {
  if (before !== undefined) return isNonNegative(maker, before);
  let at = tensor;
  for (let passed = 0; passed <= mostPassed; passed++) {
    const source = maker.operators.findLast(({ outputs }) => outputs.includes(at));
    if (source === undefined || !passing.has(source.op))
      return source !== undefined && nonNegative.has(source.op);
    at = source.inputs[0]!;
  }
  return false;
}

export function identity(rank: number): number[] {
  return Array.from({ length: rank }, (_, k) => k);
}

/** For each element in its stored order, its index in the file's order. */
export function fileIndexes({ shape, order }: Activation): Int32Array {
  const steps = strides(shape);
  const out = new Int32Array(elementCount(shape));
  const index = new Array<number>(order.length).fill(0);
  for (let i = 0; i < out.length; i++) {
    let place = 0;
    for (let k = 0; k < order.length; k++) place += index[k]! * steps[order[k]!]!;
    out[i] = place;
    for (let k = order.length - 1; k >= 0 && ++index[k]! >= shape[order[k]!]!; k--) index[k] = 0;
  }
  return out;
}

/**
 * The order of the stored axes after a change of shape that moves no element, or undefined if elements must move. Axes are matched in
 * groups with equal products, such as [6, 4] with [2, 3, 4]; each group must be stored contiguously.
 */
function orderAfter({ shape: from, order }: Activation, to: readonly number[]): number[] | undefined {
  const groups: { old: number[]; made: number[] }[] = [];
  const longer = (shape: readonly number[]) => identity(shape.length).filter((k) => shape[k] !== 1);
  const [olds, news] = [longer(from), longer(to)];
  let [i, k] = [0, 0];
  while (i < olds.length && k < news.length) {
    const [old, made] = [[olds[i++]!], [news[k++]!]];
    let [left, right] = [from[old[0]!]!, to[made[0]!]!];
    while (left !== right) {
      if (left < right && i < olds.length) {
        left *= from[olds[i]!]!;
        old.push(olds[i++]!);
      } else if (right < left && k < news.length) {
        right *= to[news[k]!]!;
        made.push(news[k++]!);
      } else return undefined;
    }
    groups.push({ old, made });
  }
  const storedAxes = order.filter((axis) => from[axis] !== 1);
  const out: number[] = [];
  for (let at = 0; at < storedAxes.length; ) {
    const group = groups.find(({ old }) => old[0] === storedAxes[at]);
    if (group === undefined || group.old.some((axis, step) => storedAxes[at + step] !== axis))
      return undefined;
    out.push(...group.made);
    at += group.old.length;
  }
  // An axis of length 1 is stored before the axis that follows it in the file.
  for (let axis = to.length - 1; axis >= 0; axis--) {
    if (to[axis] !== 1) continue;
    const next = out.indexOf(axis + 1);
    out.splice(next === -1 ? out.length : next, 0, axis);
  }
  return out;
}
