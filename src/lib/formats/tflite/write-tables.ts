import type { Builder } from 'flatbuffers';
import { controlRows } from './control.js';
import { type Graph, type Tensor, type TensorData, tensorTypeCode } from './graph.js';
import { operatorRows } from './operators.js';
import { int32Vector, writeOptionMap } from './option-fields.js';
import { largestOldCode, slotCounts, slots } from './schema.js';
import { type ReadRow, shapeRows } from './shapes.js';
import { type FileOperator, resourceRows, resourceType } from './variables.js';

/** A vector of offsets to tables. */
export function tableVector(builder: Builder, tables: readonly number[]): number {
  builder.startVector(4, tables.length, 4);
  for (let i = tables.length - 1; i >= 0; i--) builder.addOffset(tables[i]!);
  return builder.endVector();
}

/** A buffer with its data aligned to 16 bytes, or the schema's empty buffer if there is no data. */
export function bufferTable(builder: Builder, data: TensorData | undefined): number {
  let vector = 0;
  if (data !== undefined) {
    builder.prep(16, data.byteLength);
    vector = builder.createByteVector(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  builder.startObject(slotCounts.buffer);
  builder.addFieldOffset(slots.buffer.data, vector, 0);
  return builder.endObject();
}

/** An entry that refers to a buffer by name. */
export function metadataTable(builder: Builder, key: string, buffer: number): number {
  const name = builder.createString(key);
  builder.startObject(slotCounts.metadata);
  builder.addFieldOffset(slots.metadata.name, name, 0);
  builder.addFieldInt32(slots.metadata.buffer, buffer, 0);
  return builder.endObject();
}

/** The signature `serving_default`, with the external names of inputs and outputs or, without external names, the tensors' names. */
export function signatureTable(builder: Builder, graph: Graph): number {
  const maps = (indices: readonly number[], names: readonly string[] = []) =>
    tableVector(
      builder,
      indices.map((index, at) => {
        const own = graph.tensors[index]!.name;
        const name = builder.createString(names.length === indices.length ? names[at]! : own);
        builder.startObject(slotCounts.tensorMap);
        builder.addFieldOffset(slots.tensorMap.name, name, 0);
        builder.addFieldInt32(slots.tensorMap.tensor, index, 0);
        return builder.endObject();
      }),
    );
  const inputs = maps(graph.inputs, graph.signature?.inputs);
  const outputs = maps(graph.outputs, graph.signature?.outputs);
  const key = builder.createString('serving_default');
  builder.startObject(slotCounts.signature);
  builder.addFieldOffset(slots.signature.inputs, inputs, 0);
  builder.addFieldOffset(slots.signature.outputs, outputs, 0);
  builder.addFieldOffset(slots.signature.key, key, 0);
  return builder.endObject();
}

/**
 * Writes an operator code to both fields, because readers before TensorFlow 2.4 read only the one-byte field. Custom operators also have a
 * name.
 */
export function codeTable(
  builder: Builder,
  { code, custom }: Pick<ReadRow, 'code' | 'custom'>,
  version: number,
): number {
  const name = custom === undefined ? 0 : builder.createString(custom);
  builder.startObject(slotCounts.operatorCode);
  builder.addFieldInt8(slots.operatorCode.oldCode, Math.min(code, largestOldCode), 0);
  builder.addFieldOffset(slots.operatorCode.customCode, name, 0);
  builder.addFieldInt32(slots.operatorCode.version, version, 1);
  builder.addFieldInt32(slots.operatorCode.code, code, 0);
  return builder.endObject();
}

/** The handle of a variable: a scalar of type `resource`. */
export function handleTable(builder: Builder, { name: title }: Tensor): number {
  const shape = int32Vector(builder, []);
  const name = builder.createString(title);
  builder.startObject(slotCounts.tensor);
  builder.addFieldOffset(slots.tensor.shape, shape, 0);
  builder.addFieldInt8(slots.tensor.type, resourceType, 0);
  builder.addFieldOffset(slots.tensor.name, name, 0);
  return builder.endObject();
}

/** A tensor. `buffers` contains the buffer number of each constant. */
export function tensorTable(builder: Builder, tensor: Tensor, buffers: Map<TensorData, number>): number {
  const shape = int32Vector(builder, tensor.shape);
  const name = builder.createString(tensor.name);
  const quantization = tensor.quantization ? quantizationTable(builder, tensor.quantization) : 0;
  builder.startObject(slotCounts.tensor);
  builder.addFieldOffset(slots.tensor.shape, shape, 0);
  builder.addFieldInt8(slots.tensor.type, tensorTypeCode(tensor.type), 0);
  builder.addFieldInt32(slots.tensor.buffer, (tensor.data && buffers.get(tensor.data)) ?? 0, 0);
  builder.addFieldOffset(slots.tensor.name, name, 0);
  builder.addFieldOffset(slots.tensor.quantization, quantization, 0);
  builder.addFieldInt8(slots.tensor.isVariable, tensor.variable ? 1 : 0, 0);
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

/** The part of an operator's row that a file needs. */
export function fileRowOf(op: FileOperator['op']): ReadRow {
  return { ...operatorRows, ...shapeRows, ...resourceRows, ...controlRows }[op];
}

/** An operator. `code` is its index in the list of operator codes. */
export function operatorTable(builder: Builder, operator: FileOperator, code: number): number {
  const row = fileRowOf(operator.op);
  const padded = [...operator.inputs, ...new Array(3).fill(-1)];
  // As in the converter, a fully connected layer without a bias has three inputs, the last of which is −1.
  const inputs = int32Vector(
    builder,
    operator.op === 'FULLY_CONNECTED' ? padded.slice(0, 3) : operator.inputs,
  );
  const outputs = int32Vector(builder, operator.outputs);
  const map = row.map && writeOptionMap(row.map, operator.options as Record<string, unknown>);
  const custom = map ? builder.createByteVector(map) : 0;
  let options = 0;
  if (row.optionsType !== 0) {
    const values = operator.options as Record<string, unknown>;
    const value = (name: string | null) => (name === null ? undefined : values[name]);
    const prepared = row.fields.map((field) => field.prepare?.(builder, value(field.name)) ?? 0);
    builder.startObject(Math.max(0, ...row.fields.map(({ slot }) => slot + 1)));
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
  builder.addFieldOffset(slots.operator.customOptions, custom, 0);
  return builder.endObject();
}
