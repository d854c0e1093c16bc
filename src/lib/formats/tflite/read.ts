import { checkGraph } from './check.js';
import { controlOperatorOf, controlRows, type Subgraph, withoutControl } from './control.js';
import { foldDilation } from './dilation.js';
import { malformed, unsupported } from './errors.js';
import {
  elementBytes,
  elementCount,
  type Graph,
  isEmpty,
  type Operator,
  type Quantization,
  type Tensor,
  type TensorData,
  tensorTypeOf,
  typedData,
  withoutUnused,
  zeros,
} from './graph.js';
import { metadataName } from './metadata.js';
import { keptShapes, operatorOf, operatorRows, statesOf } from './operators.js';
import { readOptionMap } from './option-fields.js';
import { CheckedBuffer, fileIdentifier, schemaVersion, slots, type Table, tensorTypeName } from './schema.js';
import {
  foldShapes,
  otherOperator,
  type ReadRow,
  type ShapeOperator,
  shapeOperatorOf,
  shapeRows,
} from './shapes.js';
import { storedPositions } from './sparsity.js';
import {
  type FileOperator,
  resolveVariables,
  resourceOperatorOf,
  resourceRows,
  resourceType,
} from './variables.js';

/** Like importTflite, without its notes. */
export function readTflite(bytes: Uint8Array): Graph {
  return importTflite(bytes).graph;
}

/**
 * Reads a .tflite file. Open dimensions (a batch of −1) are fixed at 1, as in the stored shape. The operators that compute with open
 * dimensions become constants. `notes` describes each of these changes in a sentence. Calibration ranges are dropped. Constants are copied
 * from `bytes`. `metadata`: the file's TFLite metadata (a separate FlatBuffer), or null.
 * @throws AIOT_TFLITE_MALFORMED with the place and the reason, AIOT_TFLITE_UNSUPPORTED with the operator or tensor
 */
export function importTflite(bytes: Uint8Array): {
  graph: Graph;
  notes: string[];
  metadata: Uint8Array | null;
} {
  const file = new CheckedBuffer(bytes);
  file.need(0, 8, 'header');
  const identifier = String.fromCharCode(...bytes.subarray(4, 8));
  if (identifier !== fileIdentifier)
    throw malformed(
      'byte 4',
      `expected a .tflite file (${fileIdentifier}), got ${JSON.stringify(identifier)}`,
    );
  const model = file.root('the model');
  const version = model.uint32(slots.model.version, 0);
  if (version !== schemaVersion)
    throw unsupported(`byte ${model.at}`, `schema version ${version} is not supported`);
  const subgraphs = model.tables(slots.model.subgraphs, 'subgraph');
  const [main, init] = subgraphs;
  if (main === undefined) throw malformed(`byte ${model.at}`, 'the model has no subgraph');
  const codes = model.tables(slots.model.operatorCodes, 'operator code');
  // Unsupported operators are reported before their consequences, such as the variables of an LSTM.
  const names = main
    .tables(slots.subgraph.operators, 'operator')
    .map((table, index) => operatorName(codeOf(table, index, codes), index));
  const hasControl = names.some((op) => op === 'WHILE' || op === 'IF');
  if (subgraphs.length > 2 && !hasControl)
    throw unsupported(
      `byte ${model.at}`,
      `${subgraphs.length} subgraphs are not supported without control flow`,
    );
  const buffers = bufferReader(model.tables(slots.model.buffers, 'buffer'));
  const tensorTables = main.tables(slots.subgraph.tensors, 'tensor');
  const initialization = hasControl ? undefined : init && readSubgraph(init, codes, buffers);
  if (initialization?.tensors.some((tensor) => tensor?.variable))
    throw unsupported('subgraph 1', 'variable tensors are not supported here');
  const { main: subgraph, steps } = withoutControl(
    (hasControl ? subgraphs : [main]).map((table, number) => readSubgraph(table, codes, buffers, number)),
  );
  const resolved = resolveVariables(subgraph, initialization);
  const narrow = narrowTensors(resolved.tensors, resolved.operators);
  const { tensors: stored, changed: unsigned } = signedTensors(narrow.tensors, narrow.operators);
  const variables = stored.filter(({ variable }) => variable).length;
  const shaped = foldShapes(
    stored,
    narrow.operators,
    (index) => tensorTables[index]?.int32s(slots.tensor.signature).includes(-1) ?? false,
    subgraph.outputs,
  );
  const { count, dense, sizes } = shaped;
  const ends = { inputs: subgraph.inputs, outputs: subgraph.outputs };
  const unread = ends.inputs.filter((index) => sizes.has(index));
  ends.inputs = ends.inputs.filter((index) => !unread.includes(index));
  const folded = foldDilation(shaped.tensors, shaped.operators, ends.outputs);
  const { tensors, count: dilated } = folded;
  const { operators, outputs, positions } = withoutPositions(folded.operators, ends);
  const { signature, metadata } = readAnnotations(model, stored, {
    ...endsOf(main),
    inputs: endsOf(main).inputs.filter((index) => !unread.includes(index)),
  });
  const graph: Graph = {
    name: main.text(slots.subgraph.name),
    description: model.text(slots.model.description),
    tensors,
    operators,
    inputs: ends.inputs,
    outputs,
    ...(signature && { signature }),
  };
  checkGraph(graph);
  const states = statesOf(graph);
  const stray = subgraph.tensors.findIndex((tensor, index) => tensor?.variable && !states.has(index));
  if (stray >= 0) throw unsupported(`tensor ${stray}`, 'it is variable, but not the state of an operator');
  const notes = graph.inputs.flatMap((index) => openDimensions(tensorTables[index]!, tensors[index]!));
  if (steps > 0) notes.push(`${steps} steps of loops are unrolled`);
  if (count > 0) notes.push(`${count} operators that only computed shapes became constants`);
  if (dense > 0) notes.push(`${dense} sparse constants are stored with their zeros`);
  if (dilated > 0)
    notes.push(
      `${dilated} dilated ${dilated === 1 ? 'convolution, written' : 'convolutions, each written'} with SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, became one operator`,
    );
  for (const index of unread)
    notes.push(
      `${tensors[index]!.name} is no longer an input: it only sets the output shape of a TRANSPOSE_CONV, which the file fixes`,
    );
  if (shaped.unread > 0)
    notes.push(
      `${shaped.unread} ${shaped.unread === 1 ? 'operator that only computed the output shape of a TRANSPOSE_CONV is' : 'operators that only computed the output shape of a TRANSPOSE_CONV are'} removed`,
    );
  for (const index of positions)
    notes.push(
      `the output ${tensors[index]!.name} has the values, not the position of the largest one (ARG_MAX)`,
    );
  for (const index of unsigned)
    notes.push(`tensor ${tensors[index]!.name} is uint8 in the file, and int8 here: each value is 128 lower`);
  for (const index of [...ends.inputs, ...outputs])
    if (narrow.changed.has(index))
      notes.push(`tensor ${tensors[index]!.name} is int64 in the file, and int32 here`);
  return {
    graph:
      hasControl || count + dense + dilated + variables + positions.length + sizes.size > 0
        ? withoutUnused(graph)
        : graph,
    notes,
    metadata,
  };
}

/**
 * Removes each ARG_MAX whose result is an output and nothing else. Its input becomes the output, because class names, thresholds and
 * probabilities need the values.
 */
function withoutPositions(
  operators: readonly Operator[],
  { inputs: given, outputs }: Pick<Graph, 'inputs' | 'outputs'>,
) {
  const final = operators.filter(
    ({ op, inputs: [values], outputs: [position] }) =>
      op === 'ARG_MAX' &&
      !given.includes(values!) &&
      outputs.includes(position!) &&
      !operators.some(({ inputs }) => inputs.includes(position!)),
  );
  const valuesOf = new Map(final.map(({ inputs, outputs: [position] }) => [position!, inputs[0]!]));
  return {
    operators: operators.filter((operator) => !final.includes(operator)),
    outputs: outputs.map((index) => valuesOf.get(index) ?? index),
    positions: [...valuesOf.values()],
  };
}

/** Reads a subgraph's tensors and operators. Handles of variables have no tensor. */
function readSubgraph(subgraph: Table, codes: readonly Table[], buffers: Buffers, number = 0): Subgraph {
  const operators = subgraph.tables(slots.subgraph.operators, 'operator');
  const handles = new Set(
    operators.flatMap((table, index) =>
      operatorName(codeOf(table, index, codes), index, number) === 'VAR_HANDLE'
        ? table.int32s(slots.operator.outputs)
        : [],
    ),
  );
  const tables = subgraph.tables(slots.subgraph.tensors, 'tensor');
  const found = operators.map((table, index) => readOperator(table, index, codes, tables.length));
  const ends = endsOf(subgraph);
  const used = new Set([
    ...[...ends.inputs, ...ends.outputs],
    ...found.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]),
  ]);
  const computing = new Set(found.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]));
  let variables = 0;
  const tensors = tables.map((table, index) => {
    // The file contains no data for variables, so the file's size does not limit the size of variables.
    if (table.uint8(slots.tensor.isVariable, 0) !== 0)
      variables += elementCount(table.int32s(slots.tensor.shape));
    if (variables > largestTensor)
      throw malformed(`byte ${table.at}, tensor ${index}`, 'the variables are too large');
    if (!handles.has(index) || table.int8(slots.tensor.type, 0) !== resourceType) {
      if (!used.has(index)) return readUnused(table, index, buffers);
      const isFinal = !computing.has(index) && !ends.inputs.includes(index);
      return readTensor(table, index, buffers, isFinal ? 0 : 1);
    }
    const shape = table.int32s(slots.tensor.shape);
    if (shape.length > 1 || (shape[0] ?? 1) !== 1)
      throw malformed(
        `byte ${table.at}, tensor ${index}`,
        `the handle of a variable has the shape [${shape}]`,
      );
    return undefined;
  });
  for (const operator of found) {
    const input = tensors[operator.inputs[0] ?? -1];
    const where = `the state of ${operator.op}`;
    if (!(operator.op in operatorRows) || input === undefined) continue;
    for (const { type, shape } of keptShapes(operator as Operator, input)) {
      variables += elementCount(shape);
      if (!(variables <= largestTensor)) throw malformed(where, 'the variables are too large');
      operator.inputs.push(tensors.length);
      const tensor = { name: `${operator.op} ${tensors.length}`, type, shape };
      tensors.push({ ...tensor, variable: zeros(tensor) });
    }
  }
  return { tensors, operators: found, ...ends };
}

function endsOf(subgraph: Table): { inputs: number[]; outputs: number[] } {
  return { inputs: subgraph.int32s(slots.subgraph.inputs), outputs: subgraph.int32s(slots.subgraph.outputs) };
}

/**
 * Reads int64 indices as int32, because TFLite Micro supports only int32 indices. Biases of int16 layers stay int64.
 * @throws AIOT_TFLITE_UNSUPPORTED for a constant beyond int32
 */
function narrowTensors(
  tensors: readonly Tensor[],
  operators: readonly (Operator | ShapeOperator)[],
): { tensors: Tensor[]; operators: (Operator | ShapeOperator)[]; changed: ReadonlySet<number> } {
  const biases = new Set(
    operators.flatMap(({ op, inputs }) => (withBias.includes(op) ? inputs.slice(1) : [])),
  );
  const changed = new Set<number>();
  const narrow = tensors.map((tensor, index): Tensor => {
    if (tensor.type !== 'int64' || biases.has(index)) return tensor;
    changed.add(index);
    const { data, variable, ...rest } = tensor;
    const values = data ?? variable;
    if (!(values instanceof BigInt64Array)) return { ...rest, type: 'int32' };
    const wrong = values.find((value) => value !== BigInt.asIntN(32, value));
    if (wrong !== undefined)
      throw unsupported(`tensor ${index} (${tensor.name})`, `the index ${wrong} needs 64 bits`);
    const whole = Int32Array.from(values, Number);
    return { ...rest, type: 'int32', ...(data ? { data: whole } : { variable: whole }) };
  });
  if (changed.size === 0) return { tensors: narrow, operators: [...operators], changed };
  const named = (options: object) =>
    Object.fromEntries(
      Object.entries(options).map(([key, value]) => [key, value === 'int64' ? 'int32' : value]),
    );
  return {
    tensors: narrow,
    operators: operators.map((operator) =>
      operator.op === 'CAST' || operator.op === 'ARG_MAX' || operator.op === 'ARG_MIN'
        ? ({ ...operator, options: named(operator.options) } as Operator)
        : operator,
    ),
    changed,
  };
}

/** Operators whose bias may be int64. */
const withBias: readonly string[] = [
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'TRANSPOSE_CONV',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
];

/**
 * Reads uint8 activations as int8 activations, with a zero point that is 128 lower. In TFLite Micro, only QUANTIZE supports uint8, from and
 * to int8, and the results are the same with either type.
 */
function signedTensors(
  tensors: Tensor[],
  operators: readonly (Operator | ShapeOperator)[],
): { tensors: Tensor[]; changed: number[] } {
  const changed = tensors.flatMap(({ type, data, quantization }, index) => {
    if (type !== 'uint8' || data !== undefined || quantization?.zeroPoint.length !== 1) return [];
    const users = operators.filter(
      ({ inputs, outputs }) => inputs.includes(index) || outputs.includes(index),
    );
    const converted = users.every(({ op, inputs, outputs }) => {
      const [other = -1] = inputs.includes(index) ? outputs : inputs;
      return op === 'QUANTIZE' && tensors[other]?.type === 'int8';
    });
    return converted && users.length > 0 ? [index] : [];
  });
  const signed = tensors.map((tensor, index): Tensor => {
    if (!changed.includes(index)) return tensor;
    const quantization = tensor.quantization!;
    const zeroPoint = quantization.zeroPoint.map((zero) => zero - 128);
    return { ...tensor, type: 'int8', quantization: { ...quantization, zeroPoint } };
  });
  return { tensors: signed, changed };
}

/** Describes an input's dynamic dimensions in a sentence; empty if the input has none. */
function openDimensions(table: Table, { name, shape }: Tensor): string[] {
  const signature = table.int32s(slots.tensor.signature);
  const open = signature.flatMap((size, axis) => (size === -1 ? [axis] : []));
  if (open.length === 0) return [];
  const what = open.length === 1 && open[0] === 0 ? 'its batch is fixed to 1' : `it is fixed to [${shape}]`;
  return [`input ${name} has the dynamic shape [${signature}]: ${what}`];
}

function readOperator(table: Table, index: number, codes: readonly Table[], tensors: number): FileOperator {
  const op = operatorName(codeOf(table, index, codes), index);
  const row: ReadRow = { ...operatorRows, ...shapeRows, ...resourceRows, ...controlRows }[op];
  const where = `byte ${table.at}, operator ${index} (${op})`;
  const inputs = indices(table, slots.operator.inputs, tensors, -1, where);
  const outputs = indices(table, slots.operator.outputs, tensors, 0, where);
  const none = outputs.length === 0 && row.outputs === undefined;
  const kept = row.kept === undefined ? 0 : (row.states ?? []).length;
  if (inputs.length < row.inputs[0] - kept || inputs.length > row.inputs[1] - kept || none)
    throw malformed(where, `${inputs.length} inputs and ${outputs.length} outputs`);
  const optionsType = table.uint8(slots.operator.optionsType, 0);
  if (optionsType !== 0 && optionsType !== row.optionsType)
    throw malformed(where, `expected options of type ${row.optionsType}, got ${optionsType}`);
  const options: Record<string, unknown> =
    row.map === undefined ? {} : readOptionMap(table.bytes(slots.operator.customOptions), row.map, where);
  const stored = optionsType === 0 ? undefined : table.table(slots.operator.options, `options of ${where}`);
  // Without an options table, as with an empty table, all options have their default values.
  for (const field of row.fields) {
    const value = field.read(stored ?? emptyTable, where);
    if (field.name !== null && value !== undefined) options[field.name] = value;
  }
  return { op, inputs, outputs, options } as FileOperator;
}

function codeOf(table: Table, index: number, codes: readonly Table[]): Table {
  const code = codes[table.uint32(slots.operator.code, 0)];
  if (code === undefined)
    throw malformed(`byte ${table.at}, operator ${index}`, 'its operator code is missing');
  return code;
}

/** A 4-byte vtable, and a table without fields. */
const emptyTable = new CheckedBuffer(Uint8Array.of(8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0)).root(
  'absent options',
);

function operatorName(table: Table, index: number, subgraph = 0): FileOperator['op'] {
  const code = Math.max(table.int8(slots.operatorCode.oldCode, 0), table.int32(slots.operatorCode.code, 0));
  const custom = table.text(slots.operatorCode.customCode);
  const op =
    operatorOf(code, custom) ?? shapeOperatorOf(code) ?? resourceOperatorOf(code) ?? controlOperatorOf(code);
  if (op === undefined) throw otherOperator(index, code, custom, subgraph);
  return op;
}

function indices(table: Table, slot: number, tensors: number, least: number, where: string): number[] {
  const list = table.int32s(slot);
  const wrong = list.find((index) => index < least || index >= tensors);
  if (wrong !== undefined) throw malformed(where, `tensor ${wrong} does not exist (${tensors} tensors)`);
  return list;
}

/** Maximum number of elements in a tensor. More elements indicate a damaged file, not a model for a device. */
const largestTensor = 2 ** 24;

const largestRank = 8;

/** Returns the data of buffer `index` as elements of `tensor.type`, or undefined if the buffer is empty. */
type Buffers = (index: number, tensor: Omit<Tensor, 'data'>, where: string) => TensorData | undefined;

/** Reads constants by buffer. Tensors with the same buffer and type share one array. */
function bufferReader(tables: readonly Table[]): Buffers {
  const cache = new Map<string, TensorData>();
  const bytes = tables.map((table, index) => {
    if (table.uint64(slots.buffer.offset, 0n) > 1n)
      throw unsupported(
        `buffer ${index}`,
        'data outside the FlatBuffer (in files larger than 2 GiB) is not supported',
      );
    return table.bytes(slots.buffer.data);
  });
  return (index, { type, shape }, where) => {
    const data = bytes[index];
    if (data === undefined)
      throw malformed(where, `buffer ${index} does not exist (${bytes.length} buffers)`);
    if (data.length === 0) return undefined;
    const wanted = elementCount(shape) * elementBytes(type);
    if (data.length !== wanted)
      throw malformed(where, `expected ${wanted} bytes of ${type} [${shape}], got ${data.length}`);
    const key = `${index} ${type}`;
    const known = cache.get(key) ?? typedData(type, data);
    cache.set(key, known);
    return known;
  };
}

/** @param least minimum size of each dimension: 0 for an output that no operator computes, otherwise 1 */
function readTensor(table: Table, index: number, buffers: Buffers, least = 1): Tensor {
  const name = table.text(slots.tensor.name);
  const where = `byte ${table.at}, tensor ${index} (${name})`;
  const typeCode = table.int8(slots.tensor.type, 0);
  const type = tensorTypeOf(typeCode);
  if (type === undefined)
    throw unsupported(where, `tensor type ${tensorTypeName(typeCode).name} is not supported`);
  if (table.has(slots.tensor.variants)) throw unsupported(where, 'variant tensors are not supported');
  const shape = table.int32s(slots.tensor.shape);
  if (shape.length > largestRank)
    throw malformed(where, `expected at most ${largestRank} dimensions, got ${shape.length}`);
  if (shape.some((size) => size < least))
    throw malformed(where, `expected positive dimensions, got [${shape}]`);
  if (elementCount(shape) > largestTensor) throw malformed(where, `[${shape}] has too many elements`);
  const quantizationTable = table.table(slots.tensor.quantization, `quantization of tensor ${index}`);
  const quantization = quantizationTable && readQuantization(quantizationTable, shape, where);
  const sparsity = table.table(slots.tensor.sparsity, `sparsity of tensor ${index}`);
  const buffer = table.uint32(slots.tensor.buffer, 0);
  const data = sparsity
    ? denseData(sparsity, buffer, { name, shape, type }, buffers, where)
    : buffers(buffer, { name, shape, type }, where);
  const tensor = { name, shape, type, ...(quantization && { quantization }) };
  if (isEmpty(tensor)) return { ...tensor, data: zeros(tensor) };
  if (table.uint8(slots.tensor.isVariable, 0) === 0) return { ...tensor, ...(data && { data }) };
  if (data) throw malformed(where, 'it is a constant and a variable');
  return { ...tensor, variable: zeros(tensor) };
}

/** A tensor that no operator reads or computes: converters give the intermediate values of an LSTM the shape [0]. */
function readUnused(table: Table, index: number, buffers: Buffers): Tensor {
  if (!table.int32s(slots.tensor.shape).includes(0)) return readTensor(table, index, buffers);
  return { name: table.text(slots.tensor.name), shape: [1], type: 'float32' };
}

/** A sparse constant with its zeros. */
function denseData(
  sparsity: Table,
  buffer: number,
  tensor: Omit<Tensor, 'data'>,
  buffers: Buffers,
  where: string,
): TensorData {
  const positions = storedPositions(sparsity, tensor.shape, where);
  const stored = buffers(buffer, { ...tensor, shape: [positions.length] }, where);
  const dense = typedData(
    tensor.type,
    new Uint8Array(elementCount(tensor.shape) * elementBytes(tensor.type)),
  );
  if (stored) for (const [i, at] of positions.entries()) dense.fill(stored[i] as never, at, at + 1);
  return dense;
}

/** Reads scales and zero points. Returns undefined if the table has no scales, because the tensor is then not quantized. */
function readQuantization(table: Table, shape: number[], where: string): Quantization | undefined {
  if (table.uint8(slots.quantization.detailsType, 0) !== 0)
    throw unsupported(where, 'custom quantization is not supported');
  const scale = table.float32s(slots.quantization.scale);
  const zeroPoint = table.int64s(slots.quantization.zeroPoint).map(Number);
  if (scale.length === 0 && zeroPoint.length === 0) return undefined;
  // A vector's axis is 0. For a bias, however, TensorFlow 1 writes the weights' axis, which is 3 in a depthwise layer.
  const axis = shape.length === 1 ? 0 : table.int32(slots.quantization.axis, 0);
  if (scale.length !== zeroPoint.length)
    throw malformed(where, `${scale.length} scales but ${zeroPoint.length} zero points`);
  if (scale.length > 1 && shape[axis] !== scale.length)
    throw malformed(where, `${scale.length} scales for dimension ${axis} of [${shape}]`);
  const wrong = scale.find((value) => !(value >= 0 && value < Number.POSITIVE_INFINITY));
  if (wrong !== undefined) throw malformed(where, `expected a scale of at least 0, got ${wrong}`);
  if (zeroPoint.some((value) => value !== (value | 0)))
    throw malformed(where, 'expected zero points that fit 32 bits');
  return { scale, zeroPoint, axis };
}

/**
 * Reads annotations of the model: its TFLite metadata, and the names of inputs and outputs. The names are used if the first signature
 * contains all of them, and if they differ from the tensors' names.
 */
function readAnnotations(
  model: Table,
  tensors: readonly Tensor[],
  ends: { inputs: number[]; outputs: number[] },
): { signature: Graph['signature']; metadata: Uint8Array | null } {
  const [first] = model.tables(slots.model.signatures, 'signature');
  const named = (slot: number, indices: readonly number[], what: string): string[] | undefined => {
    const maps = first?.tables(slot, what) ?? [];
    const names = new Map(
      maps.map((map) => [map.uint32(slots.tensorMap.tensor, 0), map.text(slots.tensorMap.name)]),
    );
    const found = indices.flatMap((index) => names.get(index) ?? []);
    return found.length === indices.length ? found : undefined;
  };
  const inputs = named(slots.signature.inputs, ends.inputs, 'signature input');
  const outputs = named(slots.signature.outputs, ends.outputs, 'signature output');
  const own = (names: readonly string[], indices: readonly number[]) =>
    names.every((name, at) => name === tensors[indices[at]!]?.name);
  const plain = !inputs || !outputs || (own(inputs, ends.inputs) && own(outputs, ends.outputs));
  return { signature: plain ? undefined : { inputs, outputs }, metadata: metadataOf(model) };
}

function metadataOf(model: Table): Uint8Array | null {
  const entry = model
    .tables(slots.model.metadata, 'metadata')
    .find((table) => table.text(slots.metadata.name) === metadataName);
  if (entry === undefined) return null;
  const buffers = model.tables(slots.model.buffers, 'buffer');
  const bytes = buffers[entry.uint32(slots.metadata.buffer, 0)]?.bytes(slots.buffer.data);
  return bytes && bytes.length > 0 ? bytes.slice() : null;
}
