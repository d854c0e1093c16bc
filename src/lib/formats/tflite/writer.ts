import { Builder } from 'flatbuffers';
import { withConvolutionBias } from './bias.js';
import { checkGraph } from './check-graph.js';
import { checkQuantization } from './check-quantization.js';
import type { Graph, Operator, Tensor, TensorData } from './graph.js';
import { operatorRows, versionOf } from './operators.js';
import { int32Vector } from './option-fields.js';
import { fileIdentifier, largestOldCode, schemaVersion, slotCounts, slots } from './schema.js';
import { tensorTypeCode } from './tensor-types.js';

/**
 * Writes a .tflite file: equal graphs give equal bytes. Constants are aligned to 16 bytes, as the schema asks and
 * vector kernels want; one signature `serving_default` names inputs and outputs by their tensors; a convolution without
 * bias gets zeros, because LiteRT refuses it without.
 * @throws AIOT_TFLITE_MALFORMED when the graph contradicts itself, or has scales that kernels would not honour
 */
export function writeTflite(graph: Graph): Uint8Array {
  checkGraph(graph);
  checkQuantization(graph);
  const full = withConvolutionBias(graph);
  const builder = new Builder(1024);
  const codes = operatorCodes(full);
  const buffers = bufferIndices(full);
  const runtimeBuffer = buffers.size + 1;
  // Children come before parents, so data lies at the file's end and the model's table at its start.
  const bufferTables = tableVector(builder, [
    bufferTable(builder, undefined),
    ...[...buffers.keys()].map((data) => bufferTable(builder, data)),
    bufferTable(builder, runtimeVersion(full, codes)),
  ]);
  const metadata = tableVector(builder, [metadataTable(builder, 'min_runtime_version', runtimeBuffer)]);
  const signatures = tableVector(builder, [signatureTable(builder, full)]);
  const subgraphs = tableVector(builder, [subgraphTable(builder, full, codes, buffers)]);
  const codeTables = tableVector(
    builder,
    [...codes].map(([op, version]) => codeTable(builder, operatorRows[op].code, version)),
  );
  const description = builder.createString(full.description);
  builder.startObject(slotCounts.model);
  builder.addFieldInt32(slots.model.version, schemaVersion, 0);
  builder.addFieldOffset(slots.model.operatorCodes, codeTables, 0);
  builder.addFieldOffset(slots.model.subgraphs, subgraphs, 0);
  builder.addFieldOffset(slots.model.description, description, 0);
  builder.addFieldOffset(slots.model.buffers, bufferTables, 0);
  builder.addFieldOffset(slots.model.metadata, metadata, 0);
  builder.addFieldOffset(slots.model.signatures, signatures, 0);
  builder.finish(builder.endObject(), fileIdentifier);
  return builder.asUint8Array().slice();
}

/** Operators in use in order of first use, each with the highest version any use needs. */
function operatorCodes(graph: Graph): Map<Operator['op'], number> {
  const codes = new Map<Operator['op'], number>();
  for (const operator of graph.operators) {
    const version = versionOf(operator, graph.tensors);
    codes.set(operator.op, Math.max(version, codes.get(operator.op) ?? 0));
  }
  return codes;
}

/** Number of each constant's buffer. Buffer 0 is the schema's "no data"; tensors that share an array share a buffer. */
function bufferIndices(graph: Graph): Map<TensorData, number> {
  const indices = new Map<TensorData, number>();
  for (const { data } of graph.tensors)
    if (data !== undefined && !indices.has(data)) indices.set(data, indices.size + 1);
  return indices;
}

/** The lowest TensorFlow release that has every operator version in use: 16 bytes, ASCII, zero padded. */
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

function tableVector(builder: Builder, tables: readonly number[]): number {
  builder.startVector(4, tables.length, 4);
  for (let i = tables.length - 1; i >= 0; i--) builder.addOffset(tables[i]!);
  return builder.endVector();
}

function bufferTable(builder: Builder, data: TensorData | undefined): number {
  let vector = 0;
  if (data !== undefined) {
    builder.prep(16, data.byteLength);
    vector = builder.createByteVector(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  builder.startObject(slotCounts.buffer);
  builder.addFieldOffset(slots.buffer.data, vector, 0);
  return builder.endObject();
}

function metadataTable(builder: Builder, key: string, buffer: number): number {
  const name = builder.createString(key);
  builder.startObject(slotCounts.metadata);
  builder.addFieldOffset(slots.metadata.name, name, 0);
  builder.addFieldInt32(slots.metadata.buffer, buffer, 0);
  return builder.endObject();
}

function signatureTable(builder: Builder, graph: Graph): number {
  const maps = (indices: readonly number[]) =>
    tableVector(
      builder,
      indices.map((index) => {
        const name = builder.createString(graph.tensors[index]!.name);
        builder.startObject(slotCounts.tensorMap);
        builder.addFieldOffset(slots.tensorMap.name, name, 0);
        builder.addFieldInt32(slots.tensorMap.tensor, index, 0);
        return builder.endObject();
      }),
    );
  const inputs = maps(graph.inputs);
  const outputs = maps(graph.outputs);
  const key = builder.createString('serving_default');
  builder.startObject(slotCounts.signature);
  builder.addFieldOffset(slots.signature.inputs, inputs, 0);
  builder.addFieldOffset(slots.signature.outputs, outputs, 0);
  builder.addFieldOffset(slots.signature.key, key, 0);
  return builder.endObject();
}

function codeTable(builder: Builder, code: number, version: number): number {
  builder.startObject(slotCounts.operatorCode);
  builder.addFieldInt8(slots.operatorCode.oldCode, Math.min(code, largestOldCode), 0);
  builder.addFieldInt32(slots.operatorCode.version, version, 1);
  builder.addFieldInt32(slots.operatorCode.code, code, 0);
  return builder.endObject();
}

function subgraphTable(
  builder: Builder,
  graph: Graph,
  codes: Map<Operator['op'], number>,
  buffers: Map<TensorData, number>,
): number {
  const order = [...codes.keys()];
  const tensors = graph.tensors.map((tensor) => tensorTable(builder, tensor, buffers));
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

function tensorTable(builder: Builder, tensor: Tensor, buffers: Map<TensorData, number>): number {
  const shape = int32Vector(builder, tensor.shape);
  const name = builder.createString(tensor.name);
  const quantization = tensor.quantization ? quantizationTable(builder, tensor.quantization) : 0;
  builder.startObject(slotCounts.tensor);
  builder.addFieldOffset(slots.tensor.shape, shape, 0);
  builder.addFieldInt8(slots.tensor.type, tensorTypeCode(tensor.type), 0);
  builder.addFieldInt32(slots.tensor.buffer, tensor.data ? buffers.get(tensor.data)! : 0, 0);
  builder.addFieldOffset(slots.tensor.name, name, 0);
  builder.addFieldOffset(slots.tensor.quantization, quantization, 0);
  return builder.endObject();
}

function quantizationTable(
  builder: Builder,
  { scale, zeroPoint, axis }: NonNullable<Tensor['quantization']>,
) {
  builder.startVector(4, scale.length, 4);
  for (let i = scale.length - 1; i >= 0; i--) builder.addFloat32(scale[i]!);
  const scales = builder.endVector();
  builder.startVector(8, zeroPoint.length, 8);
  for (let i = zeroPoint.length - 1; i >= 0; i--) builder.addInt64(BigInt(zeroPoint[i]!));
  const zeroPoints = builder.endVector();
  builder.startObject(slotCounts.quantization);
  builder.addFieldOffset(slots.quantization.scale, scales, 0);
  builder.addFieldOffset(slots.quantization.zeroPoint, zeroPoints, 0);
  builder.addFieldInt32(slots.quantization.axis, axis, 0);
  return builder.endObject();
}

function operatorTable(builder: Builder, operator: Operator, code: number): number {
  const row = operatorRows[operator.op];
  const padded = [...operator.inputs, ...new Array(3).fill(-1)];
  // A fully connected layer without bias is written with three inputs, the last −1, as the converter does.
  const inputs = int32Vector(
    builder,
    operator.op === 'FULLY_CONNECTED' ? padded.slice(0, 3) : operator.inputs,
  );
  const outputs = int32Vector(builder, operator.outputs);
  let options = 0;
  if (row.optionsType !== 0) {
    const values = operator.options as Record<string, unknown>;
    const value = (name: string | null) => (name === null ? undefined : values[name]);
    const prepared = row.fields.map((field) => field.prepare?.(builder, value(field.name)) ?? 0);
    builder.startObject(row.fields.length);
    for (const [index, field] of row.fields.entries())
      field.write(builder, value(field.name), prepared[index]!);
    options = builder.endObject();
  }
  builder.startObject(slotCounts.operator);
  builder.addFieldInt32(slots.operator.code, code, 0);
  builder.addFieldOffset(slots.operator.inputs, inputs, 0);
  builder.addFieldOffset(slots.operator.outputs, outputs, 0);
  builder.addFieldInt8(slots.operator.optionsType, row.optionsType, 0);
  builder.addFieldOffset(slots.operator.options, options, 0);
  return builder.endObject();
}
