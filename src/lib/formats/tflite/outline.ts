import { malformed } from './errors.js';
import { isEmpty, type Quantization } from './graph.js';
import { operatorOf } from './operators.js';
import {
  builtinName,
  CheckedBuffer,
  fileIdentifier,
  schemaVersion,
  slots,
  type Table,
  tensorTypeName,
} from './schema.js';
import { resourceOperatorOf } from './variables.js';

export interface OutlinedTensor {
  name: string;
  type: string;
  shape: number[];
  /** The shape signature, with −1 for each dynamic dimension; null if the file has no shape signature. */
  signature: number[] | null;
  /** Size of the tensor's elements, bytes; null if the size is not fixed. */
  bytes: number | null;
  /** Whether the tensor's data is in the file. */
  constant: boolean;
  quantization: Quantization | null;
  /** Whether the tensor keeps its value between runs. */
  variable: boolean;
}

export interface OutlinedOperator {
  /** The schema's name for the operator, or `CUSTOM NAME`. */
  op: string;
  version: number;
  /** Whether aiot can read, run and write the operator. */
  known: boolean;
  inputs: number[];
  outputs: number[];
  /** File offset of the operator's table. */
  at: number;
}

/** Description of any .tflite file, including unknown operators. */
export interface Outline {
  description: string;
  /** Number of subgraphs. A file with control flow has several subgraphs; all other members of the outline describe the first. */
  subgraphs: number;
  tensors: OutlinedTensor[];
  operators: OutlinedOperator[];
  inputs: number[];
  outputs: number[];
  /** Names of the file's signatures. */
  signatures: string[];
  /** Names of the file's metadata entries. */
  metadata: string[];
}

/**
 * Reads the outline of a .tflite file. Checks every offset, count and index, and runs nothing.
 * @throws AIOT_TFLITE_MALFORMED with the byte offset
 */
export function outlineTflite(bytes: Uint8Array): Outline {
  const file = new CheckedBuffer(bytes);
  file.need(0, 8, 'header');
  const identifier = String.fromCharCode(...bytes.subarray(4, 8));
  if (identifier !== fileIdentifier) {
    const got = JSON.stringify(identifier);
    throw malformed('byte 4', `expected a .tflite file (${fileIdentifier}), got ${got}`);
  }
  const model = file.root('the model');
  const version = model.uint32(slots.model.version, 0);
  if (version !== schemaVersion)
    throw malformed(`byte ${model.at}`, `expected schema version ${schemaVersion}, got ${version}`);
  const subgraphs = model.tables(slots.model.subgraphs, 'subgraph');
  const [main] = subgraphs;
  if (main === undefined) throw malformed(`byte ${model.at}`, 'the model has no subgraph');
  const codes = model.tables(slots.model.operatorCodes, 'operator code');
  const buffers = model.tables(slots.model.buffers, 'buffer');
  const filled = buffers.map((buffer) => buffer.bytes(slots.buffer.data).length);
  const tensors = main.tables(slots.subgraph.tensors, 'tensor').map((table, i) => tensorOf(table, i, filled));
  const outline: Outline = {
    description: model.text(slots.model.description),
    subgraphs: subgraphs.length,
    tensors,
    operators: main
      .tables(slots.subgraph.operators, 'operator')
      .map((table, index) => operatorIn(table, index, codes, tensors.length)),
    inputs: indices(main, slots.subgraph.inputs, tensors.length, 0, 'inputs'),
    outputs: indices(main, slots.subgraph.outputs, tensors.length, 0, 'outputs'),
    signatures: model
      .tables(slots.model.signatures, 'signature')
      .map((table) => table.text(slots.signature.key)),
    metadata: model.tables(slots.model.metadata, 'metadata').map((table) => table.text(slots.metadata.name)),
  };
  checkOrder(outline, main.at);
  return outline;
}

function tensorOf(table: Table, index: number, filled: readonly number[]): OutlinedTensor {
  const name = table.text(slots.tensor.name);
  const where = `byte ${table.at}, tensor ${index} (${name})`;
  const { name: type, bytes } = tensorTypeName(table.int8(slots.tensor.type, 0));
  const shape = table.int32s(slots.tensor.shape);
  if (shape.some((size) => size < -1))
    throw malformed(where, `expected dimensions of at least −1, got [${shape}]`);
  const elements = shape.reduce((product, size) => product * Math.max(0, size), 1);
  if (!Number.isSafeInteger(elements)) throw malformed(where, `[${shape}] has too many elements`);
  const buffer = table.uint32(slots.tensor.buffer, 0);
  const stored = filled[buffer];
  if (stored === undefined)
    throw malformed(where, `buffer ${buffer} does not exist (${filled.length} buffers)`);
  const wanted = bytes === null ? null : Math.ceil(elements * bytes);
  const sparse = table.has(slots.tensor.sparsity);
  if (stored > 0 && wanted !== null && !sparse && stored !== wanted)
    throw malformed(where, `expected ${wanted} bytes of ${type} [${shape}], got ${stored}`);
  const signature = table.int32s(slots.tensor.signature);
  return {
    name,
    type,
    shape,
    signature: signature.length > 0 ? signature : null,
    bytes: stored > 0 ? stored : wanted,
    constant: stored > 0,
    quantization: quantizationOf(table, index, where),
    variable: table.uint8(slots.tensor.isVariable, 0) !== 0,
  };
}

function quantizationOf(table: Table, index: number, where: string): Quantization | null {
  const stored = table.table(slots.tensor.quantization, `quantization of tensor ${index}`);
  const scale = stored?.float32s(slots.quantization.scale) ?? [];
  if (stored === undefined || scale.length === 0) return null;
  const zeroPoint = stored.int64s(slots.quantization.zeroPoint).map(Number);
  const wrong = scale.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw malformed(where, `expected a numeric scale, got ${wrong}`);
  return { scale, zeroPoint, axis: stored.int32(slots.quantization.axis, 0) };
}

function operatorIn(table: Table, index: number, codes: readonly Table[], tensors: number): OutlinedOperator {
  const where = `byte ${table.at}, operator ${index}`;
  const number = table.uint32(slots.operator.code, 0);
  const code = codes[number];
  if (code === undefined)
    throw malformed(where, `operator code ${number} does not exist (${codes.length} codes)`);
  // Files from before 2020 have only the one-byte field. In newer files, the other field contains the larger codes.
  const builtin = Math.max(code.int8(slots.operatorCode.oldCode, 0), code.int32(slots.operatorCode.code, 0));
  const custom = code.text(slots.operatorCode.customCode);
  return {
    op: custom === '' ? builtinName(builtin) : `${builtinName(builtin)} ${custom}`,
    version: code.int32(slots.operatorCode.version, 1),
    known: (operatorOf(builtin, custom) ?? resourceOperatorOf(builtin)) !== undefined,
    inputs: indices(table, slots.operator.inputs, tensors, -1, where),
    outputs: indices(table, slots.operator.outputs, tensors, -1, where),
    at: table.at,
  };
}

function indices(table: Table, slot: number, tensors: number, least: number, what: string): number[] {
  const list = table.int32s(slot);
  const wrong = list.find((index) => index < least || index >= tensors);
  const where = what.startsWith('byte') ? what : `byte ${table.at}, ${what}`;
  if (wrong !== undefined) throw malformed(where, `tensor ${wrong} does not exist (${tensors} tensors)`);
  return list;
}

/** Checks that operators come after the producers of their inputs, and that the outputs are produced. */
function checkOrder({ tensors, operators, inputs, outputs }: Outline, at: number): void {
  const made = new Set(inputs);
  const there = (index: number) =>
    index === -1 || made.has(index) || tensors[index]!.constant || tensors[index]!.variable;
  const makers = new Set(operators.flatMap((operator) => operator.outputs));
  operators.forEach((operator, index) => {
    const where = `byte ${operator.at}, operator ${index} (${operator.op})`;
    for (const input of operator.inputs)
      if (!there(input) && makers.has(input))
        throw malformed(where, `its input, tensor ${input}, is not produced by an earlier operator`);
    for (const output of operator.outputs) made.add(output);
  });
  const missing = outputs.find((index) => !there(index) && !isEmpty(tensors[index]!));
  if (missing !== undefined)
    throw malformed(`byte ${at}, outputs`, `tensor ${missing} is not produced by any operator`);
}
