import { checkGraph } from './check-graph.js';
import { malformed, unsupported } from './errors.js';
import { foldShapes } from './fold-shapes.js';
import type { Graph, Operator, OperatorName, Tensor } from './graph.js';
import { operatorOf, operatorRows } from './operators.js';
import { otherOperator } from './other-operators.js';
import { readAnnotations } from './read-annotations.js';
import { CheckedBuffer, type Table } from './read-table.js';
import { bufferReader, readTensor } from './read-tensor.js';
import { fileIdentifier, schemaVersion, slots } from './schema.js';
import {
  type ReadRow,
  type ShapeOperator,
  type ShapeOperatorName,
  shapeOperatorOf,
  shapeRows,
} from './shape-operators.js';
import { withoutUnused } from './unused.js';

/** Reads a .tflite file as importTflite does, without its notes. */
export function readTflite(bytes: Uint8Array): Graph {
  return importTflite(bytes).graph;
}

/**
 * Reads a .tflite file. Dimensions that the file leaves open (a batch of −1) are those of its stored shape, 1, and the
 * operators that compute with them become constants; `notes` says so, one sentence each. Calibration ranges are left
 * behind; constants are copied out of `bytes`. `metadata`: the file's TFLite metadata (a FlatBuffer of its own), or null.
 * @throws AIOT_TFLITE_MALFORMED with the place and the reason, AIOT_TFLITE_UNSUPPORTED naming operator or tensor
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
  if (version !== schemaVersion) throw unsupported(`byte ${model.at}`, `schema version ${version}`);
  const subgraphs = model.tables(slots.model.subgraphs, 'subgraph');
  const [main] = subgraphs;
  if (main === undefined) throw malformed(`byte ${model.at}`, 'the model has no subgraph');
  const codes = model.tables(slots.model.operatorCodes, 'operator code');
  const operatorTables = main.tables(slots.subgraph.operators, 'operator');
  // Names what cannot be used before anything that comes with it: variables of an LSTM, the subgraphs of a loop.
  operatorTables.forEach((table, index) => {
    operatorName(codeOf(table, index, codes), index);
  });
  if (subgraphs.length > 1)
    throw unsupported(`byte ${model.at}`, `${subgraphs.length} subgraphs (control flow)`);
  const buffers = bufferReader(model.tables(slots.model.buffers, 'buffer'));
  const tensorTables = main.tables(slots.subgraph.tensors, 'tensor');
  const stored = tensorTables.map((table, index) => readTensor(table, index, buffers));
  const { tensors, operators, count } = foldShapes(
    stored,
    operatorTables.map((table, index) => readOperator(table, index, codes, stored)),
    (index) => tensorTables[index]?.int32s(slots.tensor.signature).includes(-1) ?? false,
  );
  const ends = { inputs: main.int32s(slots.subgraph.inputs), outputs: main.int32s(slots.subgraph.outputs) };
  const { signature, metadata } = readAnnotations(model, stored, ends);
  const graph: Graph = {
    name: main.text(slots.subgraph.name),
    description: model.text(slots.model.description),
    tensors,
    operators,
    ...ends,
    ...(signature && { signature }),
  };
  checkGraph(graph);
  const notes = graph.inputs.flatMap((index) => openDimensions(tensorTables[index]!, tensors[index]!));
  if (count > 0) notes.push(`${count} operators that only computed shapes became constants`);
  return { graph: count > 0 ? withoutUnused(graph) : graph, notes, metadata };
}

/** A sentence when the file leaves dimensions of an input open. */
function openDimensions(table: Table, { name, shape }: Tensor): string[] {
  const signature = table.int32s(slots.tensor.signature);
  const open = signature.flatMap((size, axis) => (size === -1 ? [axis] : []));
  if (open.length === 0) return [];
  const what = open.length === 1 && open[0] === 0 ? 'its batch is fixed to 1' : `it is fixed to [${shape}]`;
  return [`input ${name} has the open shape [${signature}]: ${what}`];
}

function readOperator(
  table: Table,
  index: number,
  codes: readonly Table[],
  tensors: readonly Tensor[],
): Operator | ShapeOperator {
  const op = operatorName(codeOf(table, index, codes), index);
  const row: ReadRow = { ...operatorRows, ...shapeRows }[op];
  const where = `byte ${table.at}, operator ${index} (${op})`;
  const inputs = indices(table, slots.operator.inputs, tensors.length, -1, where);
  const outputs = indices(table, slots.operator.outputs, tensors.length, 0, where);
  if (inputs.length < row.inputs[0] || inputs.length > row.inputs[1] || outputs.length === 0)
    throw malformed(where, `${inputs.length} inputs and ${outputs.length} outputs`);
  const optionsType = table.uint8(slots.operator.optionsType, 0);
  if (optionsType !== 0 && optionsType !== row.optionsType)
    throw malformed(where, `expected options of type ${row.optionsType}, got ${optionsType}`);
  const options: Record<string, unknown> = {};
  const stored = optionsType === 0 ? undefined : table.table(slots.operator.options, `options of ${where}`);
  // Without its table an operator has every option's default. An empty table reads just so.
  for (const field of row.fields) {
    const value = field.read(stored ?? emptyTable, where);
    if (field.name !== null && value !== undefined) options[field.name] = value;
  }
  return { op, inputs, outputs, options } as Operator | ShapeOperator;
}

function codeOf(table: Table, index: number, codes: readonly Table[]): Table {
  const code = codes[table.uint32(slots.operator.code, 0)];
  if (code === undefined)
    throw malformed(`byte ${table.at}, operator ${index}`, 'its operator code is missing');
  return code;
}

/** Vtable of 4 bytes, then a table without fields. */
const emptyTable = new CheckedBuffer(Uint8Array.of(8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0)).root(
  'absent options',
);

function operatorName(table: Table, index: number): OperatorName | ShapeOperatorName {
  const code = Math.max(table.int8(slots.operatorCode.oldCode, 0), table.int32(slots.operatorCode.code, 0));
  const op = operatorOf(code) ?? shapeOperatorOf(code);
  if (op === undefined) throw otherOperator(index, code, table.text(slots.operatorCode.customCode));
  return op;
}

function indices(table: Table, slot: number, tensors: number, least: number, where: string): number[] {
  const list = table.int32s(slot);
  const wrong = list.find((index) => index < least || index >= tensors);
  if (wrong !== undefined) throw malformed(where, `there is no tensor ${wrong} (${tensors} tensors)`);
  return list;
}
