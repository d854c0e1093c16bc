import { malformed, unsupported } from './errors.js';
import type { Quantization, Tensor, TensorData } from './graph.js';
import { tensorTypeName } from './operator-names.js';
import type { Table } from './read-table.js';
import { slots } from './schema.js';
import { elementBytes, elementCount, tensorTypeOf, typedData } from './tensor-types.js';

/** Element counts beyond this are a damaged file, not a network for a device. */
const largestTensor = 2 ** 24;
const largestRank = 8;

/** The data of buffer `index` as elements of `tensor.type`, or undefined when the buffer has none. */
export type Buffers = (index: number, tensor: Omit<Tensor, 'data'>, where: string) => TensorData | undefined;

/** Constants by buffer. One array per buffer and type, however many tensors share it. */
export function bufferReader(tables: readonly Table[]): Buffers {
  const cache = new Map<string, TensorData>();
  const bytes = tables.map((table, index) => {
    if (table.uint64(slots.buffer.offset, 0n) > 1n)
      throw unsupported(`buffer ${index}`, 'data outside the FlatBuffer (a file beyond 2 GiB)');
    return table.bytes(slots.buffer.data);
  });
  return (index, { type, shape }, where) => {
    const data = bytes[index];
    if (data === undefined) throw malformed(where, `there is no buffer ${index} (${bytes.length} buffers)`);
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

export function readTensor(table: Table, index: number, buffers: Buffers): Tensor {
  const name = table.text(slots.tensor.name);
  const where = `byte ${table.at}, tensor ${index} (${name})`;
  const typeCode = table.int8(slots.tensor.type, 0);
  const type = tensorTypeOf(typeCode);
  if (type === undefined) throw unsupported(where, `tensor type ${tensorTypeName(typeCode).name}`);
  if (table.uint8(slots.tensor.isVariable, 0) !== 0) throw unsupported(where, 'a variable tensor');
  if (table.has(slots.tensor.sparsity)) throw unsupported(where, 'a sparse tensor');
  if (table.has(slots.tensor.variants)) throw unsupported(where, 'a variant tensor');
  const shape = table.int32s(slots.tensor.shape);
  if (shape.length > largestRank) throw malformed(where, `${shape.length} dimensions`);
  if (shape.some((size) => size < 1)) throw malformed(where, `expected positive dimensions, got [${shape}]`);
  if (elementCount(shape) > largestTensor) throw malformed(where, `[${shape}] has too many elements`);
  const quantizationTable = table.table(slots.tensor.quantization, `quantization of tensor ${index}`);
  const quantization = quantizationTable && readQuantization(quantizationTable, shape, where);
  const data = buffers(table.uint32(slots.tensor.buffer, 0), { name, shape, type }, where);
  return { name, shape, type, ...(quantization && { quantization }), ...(data && { data }) };
}

/** Scales and zero points, or undefined when the table has none (= not quantized). */
function readQuantization(table: Table, shape: number[], where: string): Quantization | undefined {
  if (table.uint8(slots.quantization.detailsType, 0) !== 0) throw unsupported(where, 'custom quantization');
  const scale = table.float32s(slots.quantization.scale);
  const zeroPoint = table.int64s(slots.quantization.zeroPoint).map(Number);
  if (scale.length === 0 && zeroPoint.length === 0) return undefined;
  // A vector has one axis: TensorFlow 1 gives a bias the axis of its weights, which is 3 in a depthwise layer.
  const axis = shape.length === 1 ? 0 : table.int32(slots.quantization.axis, 0);
  if (scale.length !== zeroPoint.length)
    throw malformed(where, `${scale.length} scales but ${zeroPoint.length} zero points`);
  if (scale.length > 1 && shape[axis] !== scale.length)
    throw malformed(where, `${scale.length} scales for dimension ${axis} of [${shape}]`);
  const wrong = scale.find((value) => !(value >= 0 && value < Number.POSITIVE_INFINITY));
  if (wrong !== undefined) throw malformed(where, `expected a scale that is a number ≥ 0, got ${wrong}`);
  if (zeroPoint.some((value) => value !== (value | 0)))
    throw malformed(where, 'expected zero points that fit 32 bits');
  return { scale, zeroPoint, axis };
}
