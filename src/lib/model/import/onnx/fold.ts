import { roundHalfEven } from '../../../core/numbers.js';
import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed } from '../errors.js';
import {
  arrayFor,
  type Constant,
  constantOf,
  type ElementType,
  elementTypeOf,
  integers,
  isReal,
  listIn,
  mostDimensions,
  requireShape,
} from './constants.js';
import { type Attributes, axisIn, broadcastShape, reshapeTarget, slicedAxes } from './node.js';
import { isSmall, isSmallFloat, toSmall } from './small-elements.js';

/** Counts the elements that folding creates, because a hostile file can request terabytes. */
export class FoldBudget {
  private used = 0;

  /** @param most maximum number of elements in all folded constants of the model */
  constructor(private readonly most: number) {}

  /** @throws AIOT_FILE_MALFORMED */
  spend(shape: readonly number[], where: string): void {
    requireShape(shape, where);
    this.used += Math.max(1, elementCount(shape));
    if (this.used > this.most)
      throw malformed(`${where}: its constants have more than ${this.most} elements in total`);
  }
}

/** A node whose inputs are all constants. */
export interface FoldCall {
  op: string;
  inputs: readonly (Constant | undefined)[];
  attributes: Attributes;
  outputs: number;
  opset: number;
  budget: FoldBudget;
  where: string;
}

/** Computes a node during the import. Returns undefined for operators that are in none of these tables. @throws AIOT_FILE_MALFORMED */
export function fold(call: FoldCall): Constant[] | undefined {
  const { op } = call;
  if (Object.hasOwn(unary, op)) return [mapped(call, unary[op]!)];
  if (Object.hasOwn(binary, op)) return [combined(call, binary[op]!)];
  if (Object.hasOwn(comparisons, op)) return [combined(call, comparisons[op]!, 'bool')];
  const row = Object.hasOwn(rows, op) ? rows[op] : undefined;
  return row && [row(call)].flat();
}

/** Whether an operator is in one of these tables. */
export const folds = (op: string): boolean =>
  [unary, binary, comparisons, rows].some((table) => Object.hasOwn(table, op));

/** The input at this position. @throws AIOT_FILE_MALFORMED if the input is omitted */
function input({ inputs, where }: FoldCall, place: number): Constant {
  const found = inputs[place];
  if (found === undefined) throw malformed(`${where}: input ${place + 1} is missing`);
  return found;
}

function list(call: FoldCall, place: number): number[] | undefined {
  const found = call.inputs[place];
  return found && listIn(found, call.where);
}

const unary: Readonly<Record<string, (x: number) => number>> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Erf: errorFunction,
  Exp: Math.exp,
  Floor: Math.floor,
  Log: Math.log,
  Neg: (x) => -x,
  Not: (x) => (x === 0 ? 1 : 0),
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(x, 0),
  Round: roundHalfEven,
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Sign: Math.sign,
  Sqrt: Math.sqrt,
  Tanh: Math.tanh,
};

/** 2/√π · e^(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·5·…·(2n + 1)); all terms have one sign. Beyond 6, the result is ±1 in double precision. */
function errorFunction(x: number): number {
  if (!(Math.abs(x) < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

type Two = (a: number, b: number, whole: boolean) => number;

const binary: Readonly<Record<string, Two>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b, whole) => (whole ? Math.trunc(a / b) : a / b),
  Pow: (a, b) => a ** b,
  Min: (a, b) => Math.min(a, b),
  Max: (a, b) => Math.max(a, b),
  And: (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
  Or: (a, b) => (a !== 0 || b !== 0 ? 1 : 0),
  Xor: (a, b) => ((a !== 0) !== (b !== 0) ? 1 : 0),
};

const comparisons: Readonly<Record<string, Two>> = {
  Equal: (a, b) => (a === b ? 1 : 0),
  Less: (a, b) => (a < b ? 1 : 0),
  LessOrEqual: (a, b) => (a <= b ? 1 : 0),
  Greater: (a, b) => (a > b ? 1 : 0),
  GreaterOrEqual: (a, b) => (a >= b ? 1 : 0),
};

function mapped(call: FoldCall, f: (x: number) => number): Constant {
  const x = input(call, 0);
  call.budget.spend(x.shape, call.where);
  return { ...x, data: x.data.map(f) };
}

function combined(call: FoldCall, f: Two, type?: ElementType): Constant {
  const { inputs, where, budget } = call;
  return inputs.slice(1).reduce<Constant>(
    (a, _, k) => {
      const b = input(call, k + 1);
      const shape = broadcastShape(a.shape, b.shape, where);
      budget.spend(shape, where);
      const [left, right] = [broadcastPlaces(a.shape, shape), broadcastPlaces(b.shape, shape)];
      const made = type ?? a.type;
      const data = arrayFor(made, elementCount(shape));
      const whole = !isReal(a.type);
      for (let i = 0; i < data.length; i++) data[i] = f(a.data[left(i)]!, b.data[right(i)]!, whole);
      return { kind: 'constant', type: made, shape, data };
    },
    input(call, 0),
  );
}

/** For each element of the result, the index of the element that is read from a broadcast tensor. */
function broadcastPlaces(from: readonly number[], to: readonly number[]): (i: number) => number {
  if (from.join() === to.join()) return (i) => i;
  const count = elementCount(from);
  if (count === 1) return () => 0;
  const skip = to.length - from.length;
  const steps = strides(from).map((step, k) => (from[k] === 1 ? 0 : step));
  const outer = strides(to);
  return (i) =>
    from.reduce((place, _, k) => place + (Math.floor(i / outer[k + skip]!) % to[k + skip]!) * steps[k]!, 0);
}

export function strides(shape: readonly number[]): number[] {
  const out = new Array<number>(shape.length).fill(1);
  for (let k = shape.length - 2; k >= 0; k--) out[k] = out[k + 1]! * shape[k + 1]!;
  return out;
}

/** A constant of this shape whose elements are taken from x; `placeOf` maps the index along each axis to a position in x. */
function gathered(
  { budget, where }: FoldCall,
  x: Constant,
  shape: readonly number[],
  placeOf: (index: readonly number[]) => number,
): Constant {
  budget.spend(shape, where);
  const data = arrayFor(x.type, elementCount(shape));
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < data.length; i++) {
    data[i] = x.data[placeOf(index)] ?? 0;
    for (let k = shape.length - 1; k >= 0 && ++index[k]! >= shape[k]!; k--) index[k] = 0;
  }
  return { kind: 'constant', type: x.type, shape: [...shape], data };
}

/** The constant with its axes in another order: axis k of the result is axis order[k] of x. */
export function permuted(x: Constant, order: readonly number[]): Constant {
  if (order.every((axis, k) => axis === k)) return x;
  const steps = strides(x.shape);
  const shape = order.map((axis) => x.shape[axis]!);
  const data = arrayFor(x.type, x.data.length);
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < data.length; i++) {
    data[i] = x.data[index.reduce((place, at, k) => place + at * steps[order[k]!]!, 0)]!;
    for (let k = shape.length - 1; k >= 0 && ++index[k]! >= shape[k]!; k--) index[k] = 0;
  }
  return { kind: 'constant', type: x.type, shape, data };
}

type Row = (call: FoldCall) => Constant | Constant[];

const withShape = (x: Constant, shape: number[]): Constant => ({ ...x, shape });

const reduction =
  (start: number, f: (a: number, b: number) => number, mean = false): Row =>
  (call) => {
    const x = input(call, 0);
    const rank = x.shape.length;
    const given = call.attributes.integers('axes') ?? list(call, 1) ?? [];
    const axes = new Set(
      given.length > 0
        ? given.map((axis) => axisIn(axis, rank, call.where))
        : call.attributes.integer('noop_with_empty_axes', 0) === 1
          ? []
          : x.shape.keys(),
    );
    const kept = x.shape.map((size, k) => (axes.has(k) ? 1 : size));
    call.budget.spend(x.shape, call.where);
    // An input without elements can still yield many results.
    call.budget.spend(kept, call.where);
    const sums = new Float64Array(elementCount(kept)).fill(start);
    const place = broadcastPlaces(kept, x.shape);
    x.data.forEach((value, i) => {
      sums[place(i)] = f(sums[place(i)]!, value);
    });
    const count = elementCount(x.shape) / sums.length;
    const shape =
      call.attributes.integer('keepdims', 1) === 1 ? kept : x.shape.filter((_, k) => !axes.has(k));
    return constantOf(x.type, shape, mean ? sums.map((sum) => sum / count) : sums);
  };

/** A constant with elements of another type. @param saturates whether a number beyond a range of 8 bits becomes the largest one */
export function constantAs(
  type: ElementType,
  x: Constant,
  where: string,
  budget: FoldBudget,
  saturates = true,
): Constant {
  budget.spend(x.shape, where);
  if (isSmall(type))
    return constantOf(
      type,
      x.shape,
      x.data.map((value) => toSmall(type, value, saturates)),
    );
  const truth = type === 'bool' ? (value: number) => (value === 0 ? 0 : 1) : undefined;
  const whole = !isReal(type) && isReal(x.type) ? Math.trunc : undefined;
  const f = truth ?? whole;
  return constantOf(type, x.shape, f ? x.data.map(f) : x.data);
}

const saturates = (call: FoldCall) => call.attributes.integer('saturate', 1) !== 0;

/** Operators that exporters use to compute shapes, indices and weights. */
const rows: Readonly<Record<string, Row>> = {
  Identity: (call) => input(call, 0),
  Dropout: (call) => input(call, 0),
  Cast: (call) => {
    const type = elementTypeOf(call.attributes.integer('to', 1), call.where);
    return constantAs(type, input(call, 0), call.where, call.budget, saturates(call));
  },
  CastLike: (call) =>
    constantAs(input(call, 1).type, input(call, 0), call.where, call.budget, saturates(call)),
  Shape: (call) => {
    const { shape } = input(call, 0);
    return integers(shapeSlice(shape, call.attributes));
  },
  Size: (call) => constantOf('int64', [], [elementCount(input(call, 0).shape)]),
  ConstantOfShape: (call) => {
    const shape = list(call, 0) ?? [];
    const value = call.attributes.tensor('value') ?? constantOf('float32', [1], [0]);
    call.budget.spend(shape, call.where);
    return {
      ...constantOf(value.type, shape, arrayFor(value.type, elementCount(shape)).fill(value.data[0] ?? 0)),
    };
  },
  Range: (call) => {
    const [start, limit, delta] = [0, 1, 2].map((place) => input(call, place).data[0] ?? 0) as [
      number,
      number,
      number,
    ];
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    call.budget.spend([count], call.where);
    return constantOf(
      input(call, 0).type,
      [count],
      Array.from({ length: count }, (_, i) => start + i * delta),
    );
  },
  Concat: (call) => {
    const parts = call.inputs.map((_, place) => input(call, place));
    const first = input(call, 0);
    const axis = axisIn(call.attributes.integer('axis', 0), first.shape.length, call.where);
    const shape = [...first.shape];
    shape[axis] = parts.reduce((sum, part) => sum + (part.shape[axis] ?? 0), 0);
    if (parts.some((part) => part.shape.some((size, k) => k !== axis && size !== shape[k])))
      throw malformed(`${call.where}: its inputs have different shapes`);
    call.budget.spend(shape, call.where);
    const data = arrayFor(first.type, elementCount(shape));
    const outer = data.length === 0 ? 0 : elementCount(shape.slice(0, axis));
    let at = 0;
    for (let row = 0; row < outer; row++) {
      for (const part of parts) {
        const size = part.data.length / outer;
        data.set(part.data.subarray(row * size, (row + 1) * size), at);
        at += size;
      }
    }
    return { kind: 'constant', type: first.type, shape, data };
  },
  Gather: (call) => {
    const [x, indices] = [input(call, 0), input(call, 1)];
    const axis = axisIn(call.attributes.integer('axis', 0), x.shape.length, call.where);
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
    const [steps, inner] = [strides(x.shape), strides(indices.shape)];
    const size = x.shape[axis]!;
    const rank = indices.shape.length;
    const wrapped = indices.data.map((at) => (at < 0 ? at + size : at));
    if (wrapped.some((at) => at < 0 || at >= size))
      throw malformed(`${call.where}: an index is out of range`);
    return gathered(call, x, shape, (index) => {
      let which = 0;
      for (let k = 0; k < rank; k++) which += index[axis + k]! * inner[k]!;
      let place = wrapped[which]! * steps[axis]!;
      for (let k = 0; k < axis; k++) place += index[k]! * steps[k]!;
      for (let k = axis + 1; k < x.shape.length; k++) place += index[k + rank - 1]! * steps[k]!;
      return place;
    });
  },
  Unsqueeze: (call) => {
    const x = input(call, 0);
    const given = call.attributes.integers('axes') ?? list(call, 1) ?? [];
    return withShape(x, unsqueezed(x.shape, given, call.where));
  },
  Squeeze: (call) => {
    const x = input(call, 0);
    return withShape(x, squeezed(x.shape, call.attributes.integers('axes') ?? list(call, 1), call.where));
  },
  Reshape: (call) => {
    const x = input(call, 0);
    const allowZero = call.attributes.integer('allowzero', 0) === 1;
    return withShape(x, reshapeTarget(x.shape, list(call, 1) ?? [], allowZero, call.where));
  },
  Flatten: (call) => {
    const x = input(call, 0);
    return withShape(x, flattened(x.shape, call.attributes.integer('axis', 1), call.where));
  },
  Transpose: (call) => {
    const x = input(call, 0);
    call.budget.spend(x.shape, call.where);
    return permuted(x, permutationOf(x.shape.length, call.attributes.integers('perm'), call.where));
  },
  Slice: (call) => {
    const x = input(call, 0);
    const axes = slicedAxes(
      x.shape,
      list(call, 1) ?? [],
      list(call, 2) ?? [],
      list(call, 3),
      list(call, 4),
      call.where,
    );
    const steps = strides(x.shape);
    return gathered(
      call,
      x,
      axes.map(({ count }) => count),
      (index) => index.reduce((place, at, k) => place + (axes[k]!.first + at * axes[k]!.step) * steps[k]!, 0),
    );
  },
  Split: (call) => {
    const x = input(call, 0);
    const axis = axisIn(call.attributes.integer('axis', 0), x.shape.length, call.where);
    const sizes = splitSizes(
      x.shape[axis]!,
      call.attributes.integers('split') ?? list(call, 1),
      call.outputs,
      call.where,
    );
    const steps = strides(x.shape);
    let first = 0;
    return sizes.map((size) => {
      const start = first;
      first += size;
      const shape = x.shape.map((old, k) => (k === axis ? size : old));
      return gathered(call, x, shape, (index) =>
        index.reduce((place, at, k) => place + (k === axis ? start + at : at) * steps[k]!, 0),
      );
    });
  },
  Expand: (call) => {
    const x = input(call, 0);
    return expanded(call, x, broadcastShape(x.shape, list(call, 1) ?? [], call.where));
  },
  Tile: (call) => {
    const x = input(call, 0);
    const repeats = list(call, 1) ?? [];
    const shape = x.shape.map((size, k) => size * (repeats[k] ?? 1));
    const steps = strides(x.shape);
    return gathered(call, x, shape, (index) =>
      index.reduce((place, at, k) => place + (at % x.shape[k]!) * steps[k]!, 0),
    );
  },
  Where: (call) => {
    const [test, yes, no] = [input(call, 0), input(call, 1), input(call, 2)];
    const shape = broadcastShape(broadcastShape(test.shape, yes.shape, call.where), no.shape, call.where);
    call.budget.spend(shape, call.where);
    const [t, y, n] = [test, yes, no].map((each) => broadcastPlaces(each.shape, shape));
    const data = arrayFor(yes.type, elementCount(shape));
    for (let i = 0; i < data.length; i++)
      data[i] = test.data[t!(i)] === 0 ? no.data[n!(i)]! : yes.data[y!(i)]!;
    return { kind: 'constant', type: yes.type, shape, data };
  },
  Trilu: (call) => {
    const x = input(call, 0);
    const isKept = triangle(x.shape, call.attributes, list(call, 1)?.[0], call.where);
    call.budget.spend(x.shape, call.where);
    return { ...x, data: x.data.map((value, at) => (isKept(at) ? value : 0)) };
  },
  MatMul: (call) => {
    const [a, b] = [input(call, 0), input(call, 1)];
    const [rows = 0, inside = 0] = a.shape;
    const columns = b.shape[1] ?? 0;
    if (a.shape.length !== 2 || b.shape.length !== 2 || b.shape[0] !== inside)
      throw malformed(
        `${call.where}: [${a.shape.join(', ')}] cannot be multiplied by [${b.shape.join(', ')}]`,
      );
    // Counts multiplications, because their number determines the duration.
    call.budget.spend([rows, inside, columns], call.where);
    const data = arrayFor(a.type, rows * columns);
    for (let i = 0; i < data.length; i++) {
      let sum = 0;
      for (let k = 0; k < inside; k++)
        sum += a.data[Math.floor(i / columns) * inside + k]! * b.data[k * columns + (i % columns)]!;
      data[i] = sum;
    }
    return { kind: 'constant', type: a.type, shape: [rows, columns], data };
  },
  Gemm: (call) => {
    const { attributes, where, opset, budget } = call;
    const side = (place: number, flag: string) =>
      attributes.integer(flag, 0) === 1 ? permuted(input(call, place), [1, 0]) : input(call, place);
    const step = (op: string, ...inputs: Constant[]): Constant =>
      fold({ op, inputs, attributes, outputs: 1, opset, budget, where })![0]!;
    const scaled = (x: Constant, name: string) =>
      step('Mul', x, constantOf('float32', [], [attributes.float(name, 1)]));
    const y = scaled(step('MatMul', side(0, 'transA'), side(1, 'transB')), 'alpha');
    return call.inputs[2] === undefined ? y : step('Add', y, scaled(input(call, 2), 'beta'));
  },
  Clip: (call) => {
    const [low, high] = [1, 2].map((place) => call.inputs[place]?.data[0]);
    return mapped(call, (x) =>
      Math.min(Math.max(x, low ?? Number.NEGATIVE_INFINITY), high ?? Number.POSITIVE_INFINITY),
    );
  },
  ReduceMax: reduction(Number.NEGATIVE_INFINITY, Math.max),
  ReduceMin: reduction(Number.POSITIVE_INFINITY, Math.min),
  ReduceMean: reduction(0, (a, b) => a + b, true),
  ReduceProd: reduction(1, (a, b) => a * b),
  ReduceSum: reduction(0, (a, b) => a + b),
  Mod: (call) =>
    call.attributes.integer('fmod', 0) === 1
      ? combined(call, (a, b) => a % b)
      : combined(call, (a, b) => a - Math.floor(a / b) * b),
  DequantizeLinear: (call) => dequantized(call),
  QuantizeLinear: (call) => quantized(call),
};

/**
 * Whether Trilu keeps an element: those on one side of a diagonal of the last two axes.
 * @param diagonal 0 = the main one, positive = above
 */
export function triangle(
  shape: readonly number[],
  attributes: Attributes,
  diagonal: number | undefined,
  where: string,
): (at: number) => boolean {
  const [rows, columns] = shape.slice(-2);
  if (rows === undefined || columns === undefined)
    throw malformed(`${where}: expected at least two dimensions, got ${shape.length}`);
  const isUpper = attributes.integer('upper', 1) === 1;
  return (at) => {
    const above = (at % columns) - (Math.floor(at / columns) % rows) - (diagonal ?? 0);
    return isUpper ? above >= 0 : above <= 0;
  };
}

/** (q − zero point) · scale, per tensor, along one axis, or for each block of elements along it. */
function dequantized(call: FoldCall): Constant {
  const [x, scale, zero] = [input(call, 0), input(call, 1), call.inputs[2]];
  const place = scalePlaces(call, x, scale);
  call.budget.spend(x.shape, call.where);
  const data = new Float32Array(x.data.length);
  for (let i = 0; i < data.length; i++)
    data[i] = (x.data[i]! - (zero?.data[place(i)] ?? 0)) * scale.data[place(i)]!;
  return { kind: 'constant', type: 'float32', shape: x.shape, data };
}

const quantizedRanges: Readonly<Partial<Record<ElementType, [number, number]>>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int4: [-8, 7],
  uint4: [0, 15],
  int16: [-32_768, 32_767],
  uint16: [0, 65_535],
};

function quantized(call: FoldCall): Constant {
  const [x, scale, zero] = [input(call, 0), input(call, 1), call.inputs[2]];
  const place = scalePlaces(call, x, scale);
  const stated = call.attributes.integer('output_dtype', 0);
  const type = zero?.type ?? (stated === 0 ? 'uint8' : elementTypeOf(stated, call.where));
  const [low, high] = quantizedRanges[type] ?? [0, 255];
  call.budget.spend(x.shape, call.where);
  const data = arrayFor(type, x.data.length);
  for (let i = 0; i < data.length; i++) {
    const steps = Math.fround(x.data[i]! / scale.data[place(i)]!);
    const offset = zero?.data[place(i)] ?? 0;
    data[i] = isSmallFloat(type)
      ? toSmall(type, steps + offset, saturates(call))
      : Math.min(Math.max(roundHalfEven(steps) + offset, low), high);
  }
  return { kind: 'constant', type, shape: x.shape, data };
}

/** For each element, the index of the corresponding scale. */
function scalePlaces(call: FoldCall, x: Constant, scale: Constant): (i: number) => number {
  if (scale.data.length === 1) return () => 0;
  const axis = axisIn(call.attributes.integer('axis', 1), x.shape.length, call.where);
  const block = call.attributes.integer('block_size', 0);
  if (block > 0) return blockPlaces(call, x, scale, axis, block);
  if (scale.shape.length !== 1 || scale.data.length !== x.shape[axis])
    throw malformed(
      `${call.where}: ${scale.data.length} scales do not match axis ${axis} of [${x.shape.join(', ')}]`,
    );
  const step = strides(x.shape)[axis]!;
  return (i) => Math.floor(i / step) % x.shape[axis]!;
}

/** For each element, the index of its block's scale. */
function blockPlaces(
  call: FoldCall,
  x: Constant,
  scale: Constant,
  axis: number,
  block: number,
): (i: number) => number {
  const expected = x.shape.map((size, k) => (k === axis ? Math.ceil(size / block) : size));
  if (expected.join() !== scale.shape.join())
    throw malformed(
      `${call.where}: scales of [${scale.shape.join(', ')}] do not match blocks of ${block} along axis ${axis} of [${x.shape.join(', ')}]`,
    );
  const step = strides(x.shape)[axis]!;
  const [size, blocks] = [x.shape[axis]!, expected[axis]!];
  return (i) => {
    const outer = Math.floor(i / (step * size));
    const at = Math.floor((Math.floor(i / step) % size) / block);
    return (outer * blocks + at) * step + (i % step);
  };
}

function expanded(call: FoldCall, x: Constant, shape: readonly number[]): Constant {
  call.budget.spend(shape, call.where);
  const place = broadcastPlaces(x.shape, shape);
  const data = arrayFor(x.type, elementCount(shape));
  for (let i = 0; i < data.length; i++) data[i] = x.data[place(i)]!;
  return { kind: 'constant', type: x.type, shape: [...shape], data };
}

/** The sizes that Shape reports: from `start` to `end`, if given. */
export function shapeSlice(shape: readonly number[], attributes: Attributes): number[] {
  return shape.slice(
    attributes.integer('start', 0),
    attributes.has('end') ? attributes.integer('end', 0) : undefined,
  );
}

export function unsqueezed(shape: readonly number[], axes: readonly number[], where: string): number[] {
  const rank = shape.length + axes.length;
  if (rank > mostDimensions)
    throw malformed(`${where}: expected at most ${mostDimensions} dimensions, got ${rank}`);
  const added = new Set(axes.map((axis) => axisIn(axis, rank, where)));
  if (added.size !== axes.length) throw malformed(`${where}: an axis is repeated`);
  const rest = [...shape];
  return Array.from({ length: rank }, (_, k) => (added.has(k) ? 1 : rest.shift()!));
}

export function squeezed(
  shape: readonly number[],
  axes: readonly number[] | undefined,
  where: string,
): number[] {
  if (axes === undefined) return shape.filter((size) => size !== 1);
  const removed = new Set(axes.map((axis) => axisIn(axis, shape.length, where)));
  if ([...removed].some((axis) => shape[axis] !== 1))
    throw malformed(`${where}: the axes ${axes.join(', ')} of [${shape.join(', ')}] are not all 1`);
  return shape.filter((_, k) => !removed.has(k));
}

export function flattened(shape: readonly number[], axis: number, where: string): number[] {
  const at = axis === shape.length ? axis : axisIn(axis, Math.max(1, shape.length), where);
  return [elementCount(shape.slice(0, at)), elementCount(shape.slice(at))];
}

/** A permutation of the axes. Default: reversed. @throws AIOT_FILE_MALFORMED */
export function permutationOf(rank: number, given: readonly number[] | undefined, where: string): number[] {
  const order = given ?? Array.from({ length: rank }, (_, k) => rank - 1 - k);
  const valid = order.length === rank && new Set(order).size === rank;
  if (!valid || order.some((axis) => !Number.isInteger(axis) || axis < 0 || axis >= rank))
    throw malformed(`${where}: [${order.join(', ')}] is not an order of ${rank} axes`);
  return [...order];
}

/** Sizes of a Split's parts. @throws AIOT_FILE_MALFORMED */
export function splitSizes(
  size: number,
  given: readonly number[] | undefined,
  parts: number,
  where: string,
): number[] {
  const each = Math.ceil(size / parts);
  const sizes =
    given ?? Array.from({ length: parts }, (_, k) => Math.min(each, Math.max(0, size - k * each)));
  const valid = sizes.length === parts && sizes.every((part) => Number.isInteger(part) && part >= 0);
  if (!valid || sizes.reduce((a, b) => a + b, 0) !== size)
    throw malformed(`${where}: the parts [${sizes.join(', ')}] do not add up to ${size}`);
  return [...sizes];
}
