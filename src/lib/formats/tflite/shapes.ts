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
  /** Tensors that only set the output shape of a TRANSPOSE_CONV, and that no operator reads any longer. */
  sizes: ReadonlySet<number>;
  /** Number of operators that computed such an output shape, and were removed. */
  unread: number;
}

/**
 * Evaluates a file's shape arithmetic. A file with a dynamic batch has chains of int32 operators, such as SHAPE → STRIDED_SLICE → PACK,
 * before its RESHAPEs. With a batch of 1, the results of these chains are constants. Shapes that depend on these results are also
 * corrected.
 * @param isOpen whether a tensor has open dimensions
 * @param outputs the model's outputs
 * @throws AIOT_TFLITE_UNSUPPORTED for a shape operator on activations
 */
export function foldShapes(
  tensors: readonly Tensor[],
  operators: readonly (Operator | ShapeOperator)[],
  isOpen: (index: number) => boolean = () => false,
  outputs: readonly number[] = [],
): Folded {
  const known = [...tensors];
  const left: Operator[] = [];
  const sizes = new Set<number>();
  // Operators without a constant result are errors, unless they only compute the output shape of a TRANSPOSE_CONV.
  const failed = new Map<Operator, Error>();
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
    } else if (isShapeOperator(operator)) {
      const made = output && rewrites[operator.op]?.(operator, known);
      left.push(...(made?.operators ?? [operator as unknown as Operator]));
      if (made === undefined) failed.set(left.at(-1)!, otherOperator(index, shapeRows[operator.op].code, ''));
      else if (isOpen(operator.outputs[0]!)) known[operator.outputs[0]!] = { ...output!, shape: made.shape };
    } else if (operator.op === 'FLOOR_MOD' && output?.type === 'int32') {
      left.push(operator);
      failed.set(operator, otherOperator(index, rowOf('FLOOR_MOD').code, ''));
    } else if (operator.op === 'TRANSPOSE_CONV' && hasComputedSize(operator, known, isOpen)) {
      sizes.add(operator.inputs[0]!);
      left.push(sized(operator, known));
    } else {
      left.push(operator);
      setShape(known, operator, isOpen);
    }
  });
  const { operators: kept, unread } = withoutSizes(left, sizes, outputs);
  for (const operator of kept) if (failed.has(operator)) throw failed.get(operator)!;
  return { tensors: known, operators: kept, count, dense, sizes: unread, unread: left.length - kept.length };
}

/**
 * Removes the operators that only compute the output shapes of TRANSPOSE_CONVs.
 * @param sizes the tensors with these shapes, which the TRANSPOSE_CONVs no longer read
 */
function withoutSizes(
  operators: readonly Operator[],
  sizes: ReadonlySet<number>,
  outputs: readonly number[],
) {
  const read = new Set(outputs);
  const unread = new Set(sizes);
  const kept = [...operators].reverse().filter((operator) => {
    const isKept =
      operator.outputs.some((index) => read.has(index)) ||
      !operator.outputs.some((index) => unread.has(index));
    for (const index of operator.inputs) (isKept ? read : unread).add(index);
    return isKept;
  });
  return { operators: kept.reverse(), unread: new Set([...unread].filter((index) => !read.has(index))) };
}

/** Whether a TRANSPOSE_CONV reads an output shape that is not constant, although the file fixes the output's shape. */
function hasComputedSize(
  { inputs, outputs }: Operator,
  tensors: readonly Tensor[],
  isOpen: (index: number) => boolean,
): boolean {
  const [size, output] = [tensors[inputs[0] ?? -1], tensors[outputs[0] ?? -1]];
  return size?.type === 'int32' && size.data === undefined && output !== undefined && !isOpen(outputs[0]!);
}

/** A TRANSPOSE_CONV with the output's shape as a constant. TFLite Micro's kernel reads no other shape. */
function sized(operator: Operator, tensors: Tensor[]): Operator {
  const { name, shape } = tensors[operator.outputs[0]!]!;
  const size: Tensor = {
    name: `${name}/shape`,
    type: 'int32',
    shape: [shape.length],
    data: Int32Array.from(shape),
  };
  return { ...operator, inputs: [tensors.push(size) - 1, ...operator.inputs.slice(1)] };
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

/** Operators in place of another one, and the shape of their output. */
interface Rewritten {
  operators: Operator[];
  shape: number[];
}

/** Operators that are written with others. A function returns undefined for a use that is not supported. */
const rewrites: {
  [Name in ShapeOperatorName]?: (operator: ShapeOperator, tensors: Tensor[]) => Rewritten | undefined;
} = {
  CUMSUM: summedUp,
  EMBEDDING_LOOKUP: lookedUp,
  GATHER_ND: gatheredByPosition,
  L2_POOL_2D: pooledSquares,
};

/** Adds a tensor like the given one, with another name and other fields. */
function derived(tensors: Tensor[], from: Tensor, suffix: string, fields: Partial<Tensor>): number {
  const { data: _, ...rest } = from;
  return tensors.push({ ...rest, ...fields, name: `${from.name}/${suffix}` }) - 1;
}

const reshape = (x: number, y: number, newShape: number[]): Operator => ({
  op: 'RESHAPE',
  inputs: [x],
  outputs: [y],
  options: { newShape },
});

const plain = { activation: 'none' } as const;

/** Converts an EMBEDDING_LOOKUP to a GATHER, whose inputs have the opposite order. */
function lookedUp({ inputs, outputs }: ShapeOperator, tensors: Tensor[]): Rewritten | undefined {
  const [rows, table] = [tensors[inputs[0]!], tensors[inputs[1]!]];
  if (rows === undefined || table?.type !== tensors[outputs[0]!]!.type) return undefined;
  const gather: Operator = {
    op: 'GATHER',
    inputs: [inputs[1]!, inputs[0]!],
    outputs,
    options: { axis: 0, batchDims: 0 },
  };
  return { operators: [gather], shape: [...rows.shape, ...table.shape.slice(1)] };
}

/**
 * Converts a GATHER_ND to a GATHER from a table with one axis in place of those that are indexed. Like TFLite Micro, the kernel checks the
 * position in this table, not the index on each axis.
 */
function gatheredByPosition({ inputs, outputs }: ShapeOperator, tensors: Tensor[]): Rewritten | undefined {
  const [x, indices] = [tensors[inputs[0]!], tensors[inputs[1]!]];
  const depth = indices?.shape.at(-1) ?? 0;
  if (x === undefined || indices?.type !== 'int32' || depth < 1 || depth > x.shape.length) return undefined;
  const [indexed, rest] = [x.shape.slice(0, depth), x.shape.slice(depth)];
  const steps = indexed.map((_, k) => elementCount(indexed.slice(k + 1)));
  const count = elementCount(indices.shape) / depth;
  const operators: Operator[] = [];
  const table = derived(tensors, x, 'rows', { shape: [elementCount(indexed), ...rest] });
  if (x.data) tensors[table] = { ...tensors[table]!, data: x.data };
  else operators.push(reshape(inputs[0]!, table, tensors[table]!.shape));
  const places = placesOf(inputs[1]!, steps, count, tensors, operators);
  const chosen = derived(tensors, x, 'chosen', { shape: [count, ...rest] });
  const shape = [...indices.shape.slice(0, -1), ...rest];
  operators.push(
    { op: 'GATHER', inputs: [table, places], outputs: [chosen], options: { axis: 0, batchDims: 0 } },
    reshape(chosen, outputs[0]!, shape),
  );
  return { operators, shape };
}

/** The tensor with the position of each index: the sum of its parts, each times its step. */
function placesOf(
  index: number,
  steps: readonly number[],
  count: number,
  tensors: Tensor[],
  operators: Operator[],
): number {
  const indices = tensors[index]!;
  const depth = steps.length;
  const places = derived(tensors, indices, 'places', { shape: [count] });
  const { data } = indices;
  if (data !== undefined) {
    const sums = Int32Array.from({ length: count }, (_, i) =>
      steps.reduce((sum, step, k) => sum + Number(data[i * depth + k]!) * step, 0),
    );
    tensors[places] = { ...tensors[places]!, data: sums };
    return places;
  }
  if (depth === 1) {
    operators.push(reshape(index, places, [count]));
    return places;
  }
  const constant = (values: readonly number[], suffix: string) => {
    const made = derived(tensors, indices, suffix, { shape: [values.length] });
    tensors[made] = { ...tensors[made]!, data: Int32Array.from(values) };
    return made;
  };
  const [flat, scaled] = ['flat', 'scaled'].map((suffix) =>
    derived(tensors, indices, suffix, { shape: [count, depth] }),
  ) as [number, number];
  const parts = steps.map((_, k) => derived(tensors, indices, `part${k}`, { shape: [count, 1] }));
  operators.push(reshape(index, flat, [count, depth]), {
    op: 'MUL',
    inputs: [flat, constant(steps, 'steps')],
    outputs: [scaled],
    options: plain,
  });
  operators.push({
    op: 'SPLIT',
    inputs: [constant([1], 'axis'), scaled],
    outputs: parts,
    options: { numSplits: depth },
  });
  const total = parts.slice(1).reduce((sum, part, k) => {
    const next = derived(tensors, indices, `sum${k}`, { shape: [count, 1] });
    operators.push({ op: 'ADD', inputs: [sum, part], outputs: [next], options: plain });
    return next;
  }, parts[0]!);
  operators.push(reshape(total, places, [count]));
  return places;
}

/** Converts an L2_POOL_2D on float32 to an AVERAGE_POOL_2D of squares, and a SQRT. */
function pooledSquares(
  { inputs, outputs, options }: ShapeOperator,
  tensors: Tensor[],
): Rewritten | undefined {
  const [x, y] = [tensors[inputs[0]!], tensors[outputs[0]!]!];
  if (x?.type !== 'float32' || (options.activation !== 'none' && options.activation !== 'relu'))
    return undefined;
  const pooling = { ...(options as unknown as OperatorOptions['AVERAGE_POOL_2D']), ...plain };
  const pool: Operator = { op: 'AVERAGE_POOL_2D', inputs, outputs, options: pooling };
  const shape = windowShape(pool as Windowed, x.shape, [], [0, 0, 0, x.shape[3] ?? 1]);
  const squares = derived(tensors, x, 'squares', {});
  const means = derived(tensors, y, 'means', { shape });
  const operators: Operator[] = [
    { op: 'SQUARE', inputs, outputs: [squares], options: {} },
    { ...pool, inputs: [squares], outputs: [means] } as Operator,
    { op: 'SQRT', inputs: [means], outputs, options: {} },
  ];
  return { operators, shape };
}

/** Converts a CUMSUM on float32 to ADDs in the same order, so that the sums are the same. */
function summedUp({ inputs, outputs, options }: ShapeOperator, tensors: Tensor[]): Rewritten | undefined {
  const [x, along] = [tensors[inputs[0]!], tensors[inputs[1]!]?.data];
  if (x?.type !== 'float32' || !(along instanceof Int32Array) || along.length !== 1) return undefined;
  const axis = along[0]! < 0 ? along[0]! + x.shape.length : along[0]!;
  const count = x.shape[axis] ?? 0;
  if (count < 1 || count > mostSummed) return undefined;
  // A vector gets a second axis, so that its parts are not single numbers.
  const wide = x.shape.length === 1 ? [count, 1] : x.shape;
  const shape = wide.filter((_, k) => k !== axis);
  const own = (suffix: string, of: number[]) => derived(tensors, x, suffix, { shape: of });
  const [spread, joined] = [own('spread', wide), own('joined', wide)];
  const parts = Array.from({ length: count }, (_, k) => own(`part${k}`, shape));
  const operators: Operator[] = [
    reshape(inputs[0]!, spread, wide),
    { op: 'UNPACK', inputs: [spread], outputs: parts, options: { num: count, axis } },
  ];
  const ordered = options.reverse ? [...parts].reverse() : parts;
  let sum = ordered[0]!;
  const sums = ordered.map((part, k) => {
    if (k === 0) return sum;
    const next = own(`sum${k}`, shape);
    operators.push({ op: 'ADD', inputs: [sum, part], outputs: [next], options: plain });
    sum = next;
    return next;
  });
  if (options.exclusive) {
    const none = own('none', shape);
    tensors[none] = { ...tensors[none]!, data: new Float32Array(elementCount(shape)) };
    sums.unshift(none);
    sums.pop();
  }
  if (options.reverse) sums.reverse();
  operators.push(
    { op: 'PACK', inputs: sums, outputs: [joined], options: { valuesCount: count, axis } },
    reshape(joined, outputs[0]!, x.shape),
  );
  return { operators, shape: x.shape };
}

/** Maximum number of inputs of a PACK. */
const mostSummed = 64;

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
    case 'BROADCAST_ARGS':
      return inputs.length === 2 ? broadcast(first, second) : undefined;
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
 * CONCATENATIONs, a SELECT becomes a SELECT_V2, an ADD_N becomes ADDs, a FLOOR_DIV a DIV and a FLOOR, and a ZEROS_LIKE a constant. See
 * also `rewrites`.
 */
export type ShapeOperatorName =
  | 'SHAPE'
  | 'REDUCE_PROD'
  | 'TILE'
  | 'SELECT'
  | 'DENSIFY'
  | 'ADD_N'
  | 'FLOOR_DIV'
  | 'ZEROS_LIKE'
  | 'BROADCAST_ARGS'
  | 'CUMSUM'
  | 'EMBEDDING_LOOKUP'
  | 'GATHER_ND'
  | 'L2_POOL_2D';

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
  ZEROS_LIKE: { code: 93, optionsType: 67, fields: [], inputs: [1, 1] },
  BROADCAST_ARGS: { code: 145, optionsType: 0, fields: [], inputs: [2, 2] },
  CUMSUM: { code: 128, optionsType: 102, fields: [flag(0, 'exclusive'), flag(1, 'reverse')], inputs: [2, 2] },
  EMBEDDING_LOOKUP: { code: 7, optionsType: 0, fields: [], inputs: [2, 2] },
  GATHER_ND: { code: 107, optionsType: 83, fields: [], inputs: [2, 2] },
  L2_POOL_2D: { code: 12, optionsType: 5, fields: rowOf('AVERAGE_POOL_2D').fields, inputs: [1, 1] },
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
  16: { instead: recurrent }, // LSTM
  20: { instead: 'fuse it into the layer before, or use TANH' }, // RELU_N1_TO_1
  24: { instead: recurrent }, // RNN
  32: { instead: 'convert without custom and Flex operators' }, // CUSTOM
  77: { instead: fixedBatch }, // SHAPE
  78: { instead: 'use MUL' }, // POW
  81: { instead: fixedBatch }, // REDUCE_PROD
  128: { instead: 'use at most 64 values, on float32' }, // CUMSUM
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
