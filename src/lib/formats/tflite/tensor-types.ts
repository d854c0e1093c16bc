import type { TensorData, TensorType } from './graph.js';

interface TypeRow {
  /** Number in the schema's TensorType. */
  code: number;
  bytes: number;
  /** Views `buffer` (whole elements, from its start) as elements of the type. */
  view: (buffer: ArrayBuffer) => TensorData;
}

const rows: Record<TensorType, TypeRow> = {
  float32: { code: 0, bytes: 4, view: (buffer) => new Float32Array(buffer) },
  float16: { code: 1, bytes: 2, view: (buffer) => new Uint16Array(buffer) },
  int32: { code: 2, bytes: 4, view: (buffer) => new Int32Array(buffer) },
  uint8: { code: 3, bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  int64: { code: 4, bytes: 8, view: (buffer) => new BigInt64Array(buffer) },
  bool: { code: 6, bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  int16: { code: 7, bytes: 2, view: (buffer) => new Int16Array(buffer) },
  int8: { code: 9, bytes: 1, view: (buffer) => new Int8Array(buffer) },
};
const byCode = new Map((Object.keys(rows) as TensorType[]).map((type) => [rows[type].code, type]));

/** The type with this number in the schema, or undefined when it is none of ours. */
export function tensorTypeOf(code: number): TensorType | undefined {
  return byCode.get(code);
}

export function tensorTypeCode(type: TensorType): number {
  return rows[type].code;
}

/** Bytes of one element. */
export function elementBytes(type: TensorType): number {
  return rows[type].bytes;
}

/** Elements of a tensor of this shape; 1 for a scalar ([]). */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}

/** Little-endian bytes as elements. The length of `bytes` must be a multiple of the element's; the data is copied. */
export function typedData(type: TensorType, bytes: Uint8Array): TensorData {
  // Not bytes.slice(): a Buffer's slice shares its memory.
  return rows[type].view(new Uint8Array(bytes).buffer);
}

/** Whether the array is of the class that holds this type's elements. */
export function isDataOf(type: TensorType, data: TensorData): boolean {
  return Object.getPrototypeOf(data) === Object.getPrototypeOf(rows[type].view(new ArrayBuffer(0)));
}
