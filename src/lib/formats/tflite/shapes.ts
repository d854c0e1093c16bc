import { malformed, unsupported } from './errors.js';
import { elementCount, type Operator, type OperatorOptions, type Tensor, zeros } from './graph.js';
import { rowOf } from './operators.js';
import { flag, type MapField, type OptionField, optionalType } from './option-fields.js';
import { builtinName } from './schema.js';

interface Folded {
  tensors: Tensor[];
  operators: Operator[];
  /** Number of operators that became constants. */
  count: number;
  /** Number of sparse constants, which the reader stored with their zeros. */
  dense: number;
}

/**
 * Evaluates a file's shape arithmetic. A file with a dynamic batch has chains of int32 operators, such as SHAPE → STRIDED_SLICE → PACK,
 * before its RESHAPEs. With a batch of 1, the results of these chains are constants. Shapes that depend on these results are also
 * corrected.
 * @param isOpen whether a tensor has open dimensions
 * @throws AIOT_TFLITE_UNSUPPORTED for a shape operator on activations
 */
export function foldShapes(
  tensors: readonly Tensor[],
  operators: readonly (Operator | ShapeOperator)[],
  isOpen: (index: number) => boolean = () => false,
): Folded {
  const known = [...tensors];
  const left: Operator[] = [];
  let [count, dense] = [0, 0];
  operators.forEach((operator, index) => {
    const output = known[operator.outputs[0] ?? -1];
    const values = output?.type === 'int32' ? valuesOf(operator, known) : undefined;
    if (values !== undefined && output !== undefined) {
      if (values.length !== elementCount(output.shape))
        throw malformed(
          `operator ${index} (${operator.op})`,
          `it produces ${values.length} values for a shape of [${output.shape}]`,
        );
      known[operator.outputs[0]!] = { ...output, data: Int32Array.from(values) };
      count += 1;
    } else if (operator.op === 'DENSIFY') {
      known[operator.outputs[0]!] = densified(operator, known, index);
      dense += 1;
    } else if (operator.op === 'TILE' && isActivation(output)) left.push(...joined(operator, known, index));
    else if (operator.op === 'SELECT') left.push(...selected(operator, known));
    else if (operator.op === 'ADD_N' && isNumber(output)) {
      setShape(known, { ...operator, op: 'ADD', options: { activation: 'none' } }, isOpen);
      left.push(...added(operator, known));
    } else if (operator.op === 'FLOOR_DIV' && output?.type === 'float32') {
      setShape(known, { ...operator, op: 'DIV', options: { activation: 'none' } }, isOpen);
      left.push(...dividedDown(operator, known));
    } else if (operator.op === 'ZEROS_LIKE' && isNumber(output)) {
      const { shape } = known[operator.inputs[0]!] ?? output;
      known[operator.outputs[0]!] = { ...output, shape, data: zeros({ ...output, shape }) };
    } else if (isShapeOperator(operator)) throw otherOperator(index, shapeRows[operator.op].code, '');
    else {
      left.push(operator);
      setShape(known, operator, isOpen);
    }
  });
  return { tensors: known, operators: left, count, dense };
}

/** The output of a DENSIFY, whose input the reader stored with its zeros. */
function densified({ inputs, outputs }: ShapeOperator, tensors: readonly Tensor[], index: number): Tensor {
  const [input, output] = [tensors[inputs[0] ?? -1], tensors[outputs[0] ?? -1]];
  if (input?.data === undefined || output === undefined)
    throw otherOperator(index, shapeRows.DENSIFY.code, '');
  const same = input.type === output.type && input.shape.join() === output.shape.join();
  if (!same || output.data !== undefined)
    throw malformed(`operator ${index} (DENSIFY)`, `[${input.shape}] does not become [${output.shape}]`);
  return { ...output, data: input.data };
}

function isActivation(tensor: Tensor | undefined): boolean {
  return tensor?.type === 'float32' || tensor?.type === 'int8' || tensor?.type === 'int16';
}

/**
 * Converts a TILE that has constant multiples to CONCATENATIONs of a tensor with itself, one for each repeated axis, because TFLite Micro
 * has no kernel for TILE.
 */
function joined(operator: ShapeOperator, tensors: Tensor[], index: number): Operator[] {
  const [x = -1, by = -1] = operator.inputs;
  const { data: multiples } = tensors[by] ?? {};
  const source = tensors[x];
  if (!(multiples instanceof Int32Array) || source === undefined || multiples.length !== source.shape.length)
    throw otherOperator(index, shapeRows.TILE.code, '');
  const axes = [...multiples.keys()].filter((axis) => multiples[axis] !== 1);
  // If no axis is repeated, a single CONCATENATION copies the tensor.
  const repeated = axes.length === 0 ? [0] : axes;
  let [from, shape] = [x, source.shape];
  return repeated.map((axis, at): Operator => {
    const count = multiples[axis]!;
    if (!(count >= 1 && count <= mostTiles)) throw otherOperator(index, shapeRows.TILE.code, `by ${count}`);
    shape = shape.map((size, k) => (k === axis ? size * count : size));
    const last = at === repeated.length - 1;
    const output = last
      ? operator.outputs[0]!
      : tensors.push({ ...source, shape, name: `${source.name}/tile${axis}` }) - 1;
    if (last) tensors[output] = { ...tensors[output]!, shape };
    const inputs = new Array<number>(count).fill(from);
    from = output;
    return { op: 'CONCATENATION', inputs, outputs: [output], options: { axis, activation: 'none' } };
  });
}

/**
 * Converts a SELECT to a SELECT_V2, because TFLite Micro has only the latter. SELECT does not broadcast, except for a condition with one
 * value for each row of the inputs.
 */
function selected({ inputs, outputs }: ShapeOperator, tensors: Tensor[]): Operator[] {
  const [condition = -1, x = -1, y = -1] = inputs;
  const [{ shape: given = [] } = {}, { shape = [] } = {}] = [tensors[condition], tensors[x]];
  const chosen = (by: number): Operator => ({ op: 'SELECT_V2', inputs: [by, x, y], outputs, options: {} });
  const byRow = given.length === 1 && shape.length > 1 && given[0] === shape[0];
  const known = tensors[condition];
  if (!byRow || known === undefined) return [chosen(condition)];
  const rows = [given[0]!, ...shape.slice(1).map(() => 1)];
  const reshaped = tensors.push({ ...known, name: `${known.name}/rows`, shape: rows }) - 1;
  const options = { newShape: rows };
  return known.data
    ? [chosen(reshaped)]
    : [{ op: 'RESHAPE', inputs: [condition], outputs: [reshaped], options }, chosen(reshaped)];
}

function isNumber(tensor: Tensor | undefined): tensor is Tensor {
  return tensor?.type === 'float32' || tensor?.type === 'int32';
}

/** Converts an ADD_N to ADDs in the same order, so that the sums are the same. */
function added({ inputs: [first = -1, ...others], outputs }: ShapeOperator, tensors: Tensor[]): Operator[] {
  const output = tensors[outputs[0]!]!;
  let sum = first;
  return others.map((x, at): Operator => {
    const isLast = at === others.length - 1;
    const next = isLast ? outputs[0]! : tensors.push({ ...output, name: `${output.name}/sum${at}` }) - 1;
    const inputs = [sum, x];
    sum = next;
    return { op: 'ADD', inputs, outputs: [next], options: { activation: 'none' } };
  });
}

/** Converts a FLOOR_DIV on float32 to a DIV and a FLOOR. */
function dividedDown({ inputs, outputs }: ShapeOperator, tensors: Tensor[]): Operator[] {
  const output = tensors[outputs[0]!]!;
  const quotient = tensors.push({ ...output, name: `${output.name}/quotient` }) - 1;
  return [
    { op: 'DIV', inputs, outputs: [quotient], options: { activation: 'none' } },
    { op: 'FLOOR', inputs: [quotient], outputs, options: {} },
  ];
}

/** Maximum number of inputs of an integer CONCATENATION in TFLite Micro. */
const mostTiles = 10;

function setShape(tensors: Tensor[], operator: Operator, isOpen: (index: number) => boolean): void {
  const [index = -1] = operator.outputs;
  const output = tensors[index];
  if (output === undefined || !isOpen(index)) return;
  const shape = inferredShape(operator, tensors);
  if (shape?.every((size) => Number.isInteger(size) && size > 0)) tensors[index] = { ...output, shape };
}

function isShapeOperator(operator: Operator | ShapeOperator): operator is ShapeOperator {
  return operator.op in shapeRows;
}

/** The int32 values in an operator's output, or undefined if they are unknown. Supports only vectors and scalars. */
export function valuesOf(
  operator: Operator | ShapeOperator,
  tensors: readonly Tensor[],
): number[] | undefined {
  if (operator.op === 'SHAPE') return tensors[operator.inputs[0]!]?.shape;
  const inputs: number[][] = [];
  for (const place of operator.inputs) {
    const tensor = tensors[place];
    if (!(tensor?.data instanceof Int32Array) || tensor.shape.length > 1) return undefined;
    inputs.push([...tensor.data]);
  }
  const [first = [], second = []] = inputs;
  switch (operator.op) {
    case 'PACK':
    case 'CONCATENATION':
      return inputs.flat();
    case 'GATHER': {
      const taken = second.map((at) => first[at]);
      return taken.includes(undefined) ? undefined : (taken as number[]);
    }
    case 'REDUCE_PROD':
      return [first.reduce((product, value) => product * value, 1)];
    case 'STRIDED_SLICE': {
      const bounds = [second, inputs[2] ?? [], inputs[3] ?? []] as const;
      const axis = sliceAxes([first.length], bounds, operator.options)?.[0];
      return axis && Array.from({ length: axis.count }, (_, i) => first[axis.first + i * axis.step]!);
    }
    case 'ADD':
      return first.map((value, i) => value + second[i % second.length]!);
    case 'MUL':
      return first.map((value, i) => value * second[i % second.length]!);
    case 'FLOOR_DIV':
    case 'FLOOR_MOD': {
      if (second.includes(0)) return undefined;
      const divisor = (i: number) => second[i % second.length]!;
      const quotients = first.map((value, i) => Math.floor(value / divisor(i)));
      return operator.op === 'FLOOR_DIV'
        ? quotients
        : first.map((value, i) => value - quotients[i]! * divisor(i));
    }
    case 'RESHAPE':
    case 'EXPAND_DIMS':
    case 'SQUEEZE':
      return first;
    default:
      return undefined;
  }
}

/**
 * The shape of an operator's output, derived from the input shapes. A file stores 1 for each dynamic dimension. This is wrong after a
 * RESHAPE that turns the steps in a dynamic batch into rows. Undefined for operators that keep a dynamic batch as the first dimension,
 * because their stored shape is correct.
 */
function inferredShape(operator: Operator, tensors: readonly Tensor[]): number[] | undefined {
  const { op, inputs, options } = operator;
  const shapes = inputs.map((index) => tensors[index]?.shape ?? []);
  const [first = [], second = []] = shapes;
  switch (op) {
    case 'RESHAPE': {
      const given = tensors[inputs[1] ?? -1]?.data;
      const wanted = given instanceof Int32Array ? [...given] : options.newShape;
      return wanted.length === 0 ? undefined : resolved(wanted, elementCount(first));
    }
    case 'FULLY_CONNECTED': {
      const [outputs = 0, columns = 1] = second;
      if (options.keepNumDims) return [...first.slice(0, -1), outputs];
      return [elementCount(first) / columns, outputs];
    }
    case 'CONV_2D':
    case 'DEPTHWISE_CONV_2D':
    case 'MAX_POOL_2D':
    case 'AVERAGE_POOL_2D':
      return windowShape(operator as Windowed, first, second, tensors[operator.outputs[0]!]!.shape);
    case 'PAD':
    case 'PADV2':
    case 'MIRROR_PAD': {
      const sizes = integersOf(tensors[inputs[1] ?? -1]);
      return sizes && first.map((size, axis) => size + (sizes[2 * axis] ?? 0) + (sizes[2 * axis + 1] ?? 0));
    }
    case 'STRIDED_SLICE': {
      const [begin, end, strides] = [1, 2, 3].map((place) => integersOf(tensors[inputs[place] ?? -1]));
      const axes = begin && end && strides && sliceAxes(first, [begin, end, strides], options);
      return axes?.filter(({ shrunk }) => !shrunk).map(({ count }) => count);
    }
    case 'CONCATENATION': {
      const axis = options.axis < 0 ? options.axis + first.length : options.axis;
      const along = shapes.reduce((sum, shape) => sum + (shape[axis] ?? 0), 0);
      return first.map((size, k) => (k === axis ? along : size));
    }
    case 'BROADCAST_TO':
      return integersOf(tensors[inputs[1] ?? -1]);
    case 'TRANSPOSE':
      return integersOf(tensors[inputs[1] ?? -1])?.map((axis) => first[axis] ?? 0);
    default: {
      const { shape } = rowOf(op);
      if (shape === 'broadcast') return broadcast(first, second);
      return shape === 'first' ? [...first] : undefined;
    }
  }
}

function integersOf(tensor: Tensor | undefined): number[] | undefined {
  return tensor?.data instanceof Int32Array ? [...tensor.data] : undefined;
}

type Windowed = Extract<
  Operator,
  { op: 'CONV_2D' | 'DEPTHWISE_CONV_2D' | 'MAX_POOL_2D' | 'AVERAGE_POOL_2D' }
>;

/** Output shape of a window that moves over an image. The number of channels is taken from the stored shape. */
function windowShape(
  { op, options }: Windowed,
  [batch = 1, height = 0, width = 0]: readonly number[],
  filter: readonly number[],
  stored: readonly number[],
): number[] {
  const pool = op === 'MAX_POOL_2D' || op === 'AVERAGE_POOL_2D';
  const [filterH, filterW] = pool ? [options.filterH, options.filterW] : [filter[1] ?? 1, filter[2] ?? 1];
  const [dilationH, dilationW] = pool ? [1, 1] : [options.dilationH, options.dilationW];
  const steps = (size: number, span: number, stride: number) =>
    Math.ceil((options.padding === 'same' ? size : size - span + 1) / stride);
  return [
    batch,
    steps(height, (filterH - 1) * dilationH + 1, options.strideH),
    steps(width, (filterW - 1) * dilationW + 1, options.strideW),
    stored[3] ?? 1,
  ];
}

/** The shape with the actual size in place of −1, if present. */
function resolved(shape: readonly number[], count: number): number[] | undefined {
  const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  return shape.map((size) => (size === -1 ? count / known : size));
}

/** The shape to which NumPy broadcasts the two shapes; undefined if they cannot be broadcast. */
function broadcast(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly number[], axis: number) => shape[axis - rank + shape.length] ?? 1;
  const sizes = Array.from({ length: rank }, (_, axis) => [at(a, axis), at(b, axis)] as const);
  return sizes.every(([x, y]) => x === y || x === 1 || y === 1)
    ? sizes.map(([x, y]) => Math.max(x, y))
    : undefined;
}

/** One axis of a slice: the elements `first`, `first + step`, …, `count` in total. */
export interface SliceAxis {
  first: number;
  step: number;
  count: number;
  /** Whether the axis is removed from the output's shape. */
  shrunk: boolean;
}

/**
 * The elements that a STRIDED_SLICE selects from a tensor with this shape, per axis: Python's x[begin:end:stride], where a mask bit omits a
 * bound (TensorFlow's documentation for tf.strided_slice). Axes beyond the vectors' length are selected completely.
 * @returns undefined if a stride is 0 or beyond ±2^30, or if a shrunk axis has a negative stride or no element at `begin`; in these cases,
 * TensorFlow selects no element
 */
export function sliceAxes(
  shape: readonly number[],
  [begin, end, strides]: readonly [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>],
  { beginMask, endMask, shrinkAxisMask }: OperatorOptions['STRIDED_SLICE'],
): SliceAxis[] | undefined {
  const axes: SliceAxis[] = [];
  for (const [axis, size] of shape.entries()) {
    const step = strides[axis] ?? 1;
    // A larger step would overflow TFLite Micro's 32-bit counter and cause reads outside the tensor.
    if (step === 0 || Math.abs(step) > 2 ** 30) return undefined;
    const wrapped = (value: number) => (value < 0 ? value + size : value);
    if ((shrinkAxisMask >> axis) & 1) {
      const first = (beginMask >> axis) & 1 ? 0 : wrapped(begin[axis] ?? 0);
      if (step < 0 || first < 0 || first >= size) return undefined;
      axes.push({ first, step: 1, count: 1, shrunk: true });
      continue;
    }
    // With a negative step, both bounds are one lower. For example, x[::-1] ends before element −1.
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const bound = (value: number | undefined, mask: number, open: number) =>
      value === undefined || (mask >> axis) & 1 ? open : Math.min(Math.max(wrapped(value), low), high);
    const first = bound(begin[axis], beginMask, step > 0 ? low : high);
    const stop = bound(end[axis], endMask, step > 0 ? high : low);
    axes.push({ first, step, count: Math.max(0, Math.ceil((stop - first) / step)), shrunk: false });
  }
  return axes;
}

/**
 * Operators that are replaced while a file is read. Operators that compute shapes for a dynamic batch become constants. A TILE becomes
 * CONCATENATIONs, a SELECT becomes a SELECT_V2, an ADD_N becomes ADDs, a FLOOR_DIV a DIV and a FLOOR, and a ZEROS_LIKE a constant.
 */
export type ShapeOperatorName =
  | 'SHAPE'
  | 'REDUCE_PROD'
  | 'TILE'
  | 'SELECT'
  | 'DENSIFY'
  | 'ADD_N'
  | 'FLOOR_DIV'
  | 'FLOOR_MOD'
  | 'ZEROS_LIKE';

export interface ShapeOperator {
  op: ShapeOperatorName;
  inputs: number[];
  outputs: number[];
  options: Record<string, unknown>;
}

/** The part of an operator's row that the reader needs. */
export interface ReadRow {
  code: number;
  custom?: string;
  optionsType: number;
  fields: OptionField[];
  map?: readonly MapField[];
  inputs: [least: number, most: number];
  states?: readonly number[];
  kept?: (options: never, input: Tensor) => Pick<Tensor, 'type' | 'shape'>[];
  outputs?: (options: never) => number;
}

export const shapeRows: Readonly<Record<ShapeOperatorName, ReadRow>> = {
  SHAPE: { code: 77, optionsType: 55, fields: [optionalType(0, 'outType')], inputs: [1, 1] },
  TILE: { code: 69, optionsType: 51, fields: [], inputs: [2, 2] },
  SELECT: { code: 64, optionsType: 47, fields: [], inputs: [3, 3] },
  DENSIFY: { code: 124, optionsType: 99, fields: [], inputs: [1, 1] },
  REDUCE_PROD: { code: 81, optionsType: 27, fields: [flag(0, 'keepDims')], inputs: [2, 2] },
  ADD_N: { code: 106, optionsType: 82, fields: [], inputs: [2, 1024] },
  FLOOR_DIV: { code: 90, optionsType: 65, fields: [], inputs: [2, 2] },
  FLOOR_MOD: { code: 95, optionsType: 72, fields: [], inputs: [2, 2] },
  ZEROS_LIKE: { code: 93, optionsType: 67, fields: [], inputs: [1, 1] },
};

const byCode = new Map((Object.keys(shapeRows) as ShapeOperatorName[]).map((op) => [shapeRows[op].code, op]));

/** The shape operator with this builtin code, or undefined. */
export function shapeOperatorOf(code: number): ShapeOperatorName | undefined {
  return byCode.get(code);
}

interface Other {
  /** A supported alternative. */
  instead: string;
  /** The operator's origin, if the name does not show it. */
  origin?: string;
}

const fixedBatch = 'convert with a batch of 1 fixed in the input';
const recurrent = 'use convolutions over time (CONV_2D of height 1)';

/** For a recurrent layer that cannot be written as one operator, TensorFlow's converter writes FlexTensorList operators. */
const recurrentPart: Other = { instead: recurrent, origin: 'part of an LSTM or GRU' };

/** Unsupported operators in the schema, by code. Supported operators have a row in operators.ts. */
const others: Readonly<Record<number, Other>> = {
  7: { instead: 'use FULLY_CONNECTED on a one-hot input' }, // EMBEDDING_LOOKUP
  16: { instead: recurrent }, // LSTM
  20: { instead: 'fuse it into the layer before, or use TANH' }, // RELU_N1_TO_1
  24: { instead: recurrent }, // RNN
  32: { instead: 'convert without custom and Flex operators' }, // CUSTOM
  77: { instead: fixedBatch }, // SHAPE
  78: { instead: 'use MUL' }, // POW
  81: { instead: fixedBatch }, // REDUCE_PROD
  150: { instead: 'use RELU or LEAKY_RELU' }, // GELU
};

/** The error for an unsupported operator: its index, its name in the schema, and an alternative if there is one. */
export function otherOperator(index: number, code: number, custom: string, subgraph = 0) {
  const { instead, origin } = custom.startsWith('FlexTensorList') ? recurrentPart : (others[code] ?? {});
  const title = [builtinName(code), origin && `(${origin})`, custom].filter(Boolean).join(' ');
  const where = subgraph === 0 ? '' : `subgraph ${subgraph}, `;
  return unsupported(
    `${where}operator ${index}`,
    `${title} is not supported${instead ? `: ${instead}` : ''}`,
  );
}
