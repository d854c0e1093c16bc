import { Builder } from 'flatbuffers';
import { checkGraph, checkQuantization } from './check.js';
import { type Graph, type Operator, type Tensor, type TensorData, withoutUnused } from './graph.js';
import { metadataName } from './metadata.js';
import { operatorRows, rowOf, statesOf, versionOf } from './operators.js';
import { int32Vector } from './option-fields.js';
import { fileIdentifier, schemaVersion, slotCounts, slots } from './schema.js';
import { type FileOperator, type WrittenGraph, withHandles } from './variables.js';
import {
  bufferTable,
  codeTable,
  fileRowOf,
  handleTable,
  metadataTable,
  operatorTable,
  signatureTable,
  tableVector,
  tensorTable,
} from './write-tables.js';

export interface WriteOptions {
  /** The bytes of the TFLITE_METADATA entry (`writeMetadata`). */
  metadata?: Uint8Array | undefined;
}

/**
 * Writes a .tflite file. Equal graphs yield equal bytes. Constants are aligned to 16 bytes, as the schema and vector kernels require. The
 * only signature, `serving_default`, contains the names of inputs and outputs. A convolution without a bias gets a zero bias, because
 * LiteRT would otherwise reject the convolution.
 * @throws AIOT_TFLITE_MALFORMED if the graph is inconsistent, or has scales that kernels would ignore
 */
export function writeTflite(graph: Graph, { metadata }: WriteOptions = {}): Uint8Array {
  checkGraph(graph);
  checkQuantization(graph);
  const full = withoutKept(withConvolutionBias(graph));
  const builder = new Builder(1024);
  const written = withHandles(full);
  const codes = operatorVersions(full);
  const order = [...new Set(written.flatMap(({ operators }) => operators.map(({ op }) => op)))];
  const buffers = bufferIndices(full);
  const runtimeBuffer = buffers.size + 1;
  // Children are written before their parents, so the data is at the end of the file, and the model's table is at the start.
  const bufferTables = tableVector(builder, [
    bufferTable(builder, undefined),
    ...[...buffers.keys()].map((data) => bufferTable(builder, data)),
    bufferTable(builder, runtimeVersion(full, codes)),
    ...(metadata ? [bufferTable(builder, metadata)] : []),
  ]);
  const entries = tableVector(builder, [
    metadataTable(builder, 'min_runtime_version', runtimeBuffer),
    ...(metadata ? [metadataTable(builder, metadataName, runtimeBuffer + 1)] : []),
  ]);
  const signatures = tableVector(builder, [signatureTable(builder, full)]);
  const subgraphs = tableVector(
    builder,
    written.map((subgraph) => subgraphTable(builder, subgraph, order, buffers)),
  );
  const codeTables = tableVector(
    builder,
    order.map((op) => codeTable(builder, fileRowOf(op), codes.get(op as Operator['op']) ?? 1)),
  );
  const description = builder.createString(full.description);
  builder.startObject(slotCounts.model);
  builder.addFieldInt32(slots.model.version, schemaVersion, 0);
  builder.addFieldOffset(slots.model.operatorCodes, codeTables, 0);
  builder.addFieldOffset(slots.model.subgraphs, subgraphs, 0);
  builder.addFieldOffset(slots.model.description, description, 0);
  builder.addFieldOffset(slots.model.buffers, bufferTables, 0);
  builder.addFieldOffset(slots.model.metadata, entries, 0);
  builder.addFieldOffset(slots.model.signatures, signatures, 0);
  builder.finish(builder.endObject(), fileIdentifier);
  return builder.asUint8Array().slice();
}

/** Operators in order of first use, each with the version to write: the highest version that any use needs. */
export function operatorVersions(graph: Graph): Map<Operator['op'], number> {
  const codes = new Map<Operator['op'], number>();
  for (const operator of graph.operators) {
    const version = versionOf(operator, graph.tensors);
    codes.set(operator.op, Math.max(version, codes.get(operator.op) ?? 0));
  }
  return codes;
}

/** Each constant's buffer number. Buffer 0 is the schema's empty buffer. Tensors that share an array share a buffer. */
function bufferIndices(graph: Graph): Map<TensorData, number> {
  const indices = new Map<TensorData, number>();
  const states = statesOf(graph);
  for (const [index, { data: constant, variable }] of graph.tensors.entries()) {
    // Files store no values for an operator's state.
    const data = constant ?? (states.has(index) ? undefined : variable);
    if (data !== undefined && data.length > 0 && !indices.has(data)) indices.set(data, indices.size + 1);
  }
  return indices;
}

/** The lowest TensorFlow release that supports all operator versions in use, as 16 bytes of ASCII, padded with zeros. */
function runtimeVersion(graph: Graph, codes: Map<Operator['op'], number>): Uint8Array {
  let newest = '1.5.0';
  for (const { op } of graph.operators) {
    const since = operatorRows[op].since[codes.get(op)!];
    if (since !== undefined && since.localeCompare(newest, 'en', { numeric: true }) > 0) newest = since;
  }
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(newest));
  return bytes;
}

function subgraphTable(
  builder: Builder,
  graph: WrittenGraph,
  order: readonly FileOperator['op'][],
  buffers: Map<TensorData, number>,
): number {
  const tensors = graph.tensors.map((tensor, index) =>
    graph.handles.has(index) ? handleTable(builder, tensor) : tensorTable(builder, tensor, buffers),
  );
  const operators = graph.operators.map((operator) =>
    operatorTable(builder, operator, order.indexOf(operator.op)),
  );
  const vectors = [tableVector(builder, tensors), int32Vector(builder, graph.inputs)] as const;
  const outputs = int32Vector(builder, graph.outputs);
  const operatorVector = tableVector(builder, operators);
  const name = builder.createString(graph.name);
  builder.startObject(slotCounts.subgraph);
  builder.addFieldOffset(slots.subgraph.tensors, vectors[0], 0);
  builder.addFieldOffset(slots.subgraph.inputs, vectors[1], 0);
  builder.addFieldOffset(slots.subgraph.outputs, outputs, 0);
  builder.addFieldOffset(slots.subgraph.operators, operatorVector, 0);
  builder.addFieldOffset(slots.subgraph.name, name, 0);
  return builder.endObject();
}

/** The graph without the states that files do not contain. */
function withoutKept(graph: Graph): Graph {
  const keeps = (op: Operator['op']) => operatorRows[op].kept !== undefined;
  if (!graph.operators.some(({ op }) => keeps(op))) return graph;
  const operators = graph.operators.map((operator) => {
    const { states = [] } = rowOf(operator.op);
    if (!keeps(operator.op)) return operator;
    return { ...operator, inputs: operator.inputs.slice(0, operator.inputs.length - states.length) };
  });
  return withoutUnused({ ...graph, operators });
}

/**
 * The graph with a zero bias added to each convolution that has no bias, because LiteRT does not load a convolution with two inputs. As for
 * every bias, the scales are input scale × weight scale (TFLite's quantization specification).
 */
function withConvolutionBias(graph: Graph): Graph {
  const bare = ({ op, inputs }: Operator) =>
    (op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D') && (inputs[2] ?? -1) === -1;
  if (!graph.operators.some(bare)) return graph;
  const tensors = [...graph.tensors];
  const operators = graph.operators.map((operator) => {
    if (!bare(operator)) return operator;
    tensors.push(zeroBias(operator, graph.tensors));
    const [input = 0, weights = 0] = operator.inputs;
    return { ...operator, inputs: [input, weights, tensors.length - 1] };
  });
  return { ...graph, tensors, operators };
}

function zeroBias({ inputs, outputs, op }: Operator, tensors: readonly Tensor[]): Tensor {
  const [input, weights, output] = [tensors[inputs[0]!]!, tensors[inputs[1]!]!, tensors[outputs[0]!]!];
  const channels = weights.shape[op === 'CONV_2D' ? 0 : 3] ?? 1;
  const tensor = { name: `${output.name}/bias`, shape: [channels] };
  const [inputScale, weightScales] = [input.quantization?.scale[0], weights.quantization?.scale];
  // The bias is float for float weights and for dynamic-range weights.
  if (input.type === 'float32' || inputScale === undefined || weightScales === undefined)
    return { ...tensor, type: 'float32', data: new Float32Array(channels) };
  const scale = weightScales.map((value) => Math.fround(inputScale * value));
  const quantization = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  if (input.type === 'int16')
    return { ...tensor, type: 'int64', data: new BigInt64Array(channels), quantization };
  return { ...tensor, type: 'int32', data: new Int32Array(channels), quantization };
}
