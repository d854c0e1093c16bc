import { constants as access } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { elementCount } from '../../../formats/tflite/graph.js';
import { float16Value } from '../../../formats/tflite/real-values.js';
import { malformed, unsupported } from '../errors.js';
import type { OnnxTensor } from './file.js';
import { bitsOf, isSmall, isSmallFloat, type SmallType, smallValue } from './small-elements.js';

/** Element types by number in TensorProto.DataType. */
const elementTypes = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  16: 'bfloat16',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  21: 'uint4',
  22: 'int4',
  23: 'float4e2m1',
} as const;

export type ElementType = (typeof elementTypes)[keyof typeof elementTypes];

const otherTypes: Readonly<Record<number, string>> = {
  0: 'undefined',
  8: 'string',
  14: 'complex64',
  15: 'complex128',
};

/** The type with this number. @throws AIOT_LAYER_UNSUPPORTED */
export function elementTypeOf(code: number, where: string): ElementType {
  const type = elementTypes[code as keyof typeof elementTypes];
  if (type !== undefined) return type;
  throw unsupported(where, `elements of type ${otherTypes[code] ?? code} are not supported`, 'use float32');
}

export function isReal(type: ElementType): boolean {
  const usual = type === 'float32' || type === 'float16' || type === 'bfloat16' || type === 'float64';
  return usual || isSmallFloat(type);
}

/** A value that is known during the import. Integers and truth values are exact numbers. */
export interface Constant {
  kind: 'constant';
  type: ElementType;
  shape: number[];
  data: Float32Array | Float64Array;
}

/** An array for elements of this type. Single precision represents integers exactly only up to 24 bits. */
export function arrayFor(type: ElementType, length: number): Float32Array | Float64Array {
  const wide =
    type === 'int32' || type === 'int64' || type === 'uint32' || type === 'uint64' || type === 'float64';
  return wide ? new Float64Array(length) : new Float32Array(length);
}

export function constantOf(type: ElementType, shape: readonly number[], values: ArrayLike<number>): Constant {
  const data = arrayFor(type, values.length);
  data.set(values);
  return { kind: 'constant', type, shape: [...shape], data };
}

export function integers(values: readonly number[]): Constant {
  return constantOf('int64', [values.length], values);
}

/** Numbers in a constant that lists sizes, positions or axes. The length is limited, because many nodes may use one long constant. */
export function listIn({ data }: Constant, where: string): number[] {
  if (data.length > mostListed)
    throw malformed(`${where}: expected a list of at most ${mostListed} numbers, got ${data.length}`);
  return [...data];
}

const mostListed = 4096;

/** Maximum number of dimensions of a tensor. */
export const mostDimensions = 8;

/** Maximum number of elements in one tensor; a larger tensor would not fit on any supported device. */
const mostElements = 2 ** 26;

/** Rejects a shape that no tensor of a model can have. @throws AIOT_FILE_MALFORMED */
export function requireShape(shape: readonly number[], where: string): void {
  if (shape.length > mostDimensions)
    throw malformed(`${where}: expected at most ${mostDimensions} dimensions, got ${shape.length}`);
  if (shape.some((size) => !Number.isInteger(size) || size < 0))
    throw malformed(`${where}: expected positive dimensions, got [${shape.join(', ')}]`);
  if (elementCount(shape) > mostElements)
    throw malformed(`${where}: [${shape.join(', ')}] has more than ${mostElements} elements`);
}

/** Maximum total of external data in bytes, because many tensors may refer to the same large file. */
const mostExternalBytes = 2 ** 27;

/** Reads the data that a model stores in other files. */
export class ExternalData {
  private readonly files = new Map<string, { handle: FileHandle; bytes: number }>();
  private total = 0;

  /** @param file path of the model; data is read only from the model's folder */
  constructor(private readonly file: string) {}

  /** Reads the bytes of these tensors from their files. @throws AIOT_FILE_MALFORMED */
  async load(tensors: Iterable<OnnxTensor>): Promise<void> {
    try {
      for (const tensor of tensors) {
        if (tensor.location !== 1) continue;
        tensor.raw = await this.external(tensor, `the constant ${tensor.name || '(without a name)'}`);
      }
    } finally {
      await Promise.all([...this.files.values()].map(({ handle }) => handle.close()));
    }
  }

  private async external({ external }: OnnxTensor, where: string): Promise<Uint8Array> {
    const entry = (key: string) => external.find((each) => each.key === key)?.value;
    const location = entry('location') ?? '';
    const [offset, length] = ['offset', 'length'].map((key) =>
      Number(entry(key) ?? (key === 'offset' ? 0 : -1)),
    );
    const { handle, bytes } = await this.opened(location, where);
    const count = length === -1 ? bytes - offset! : length!;
    if (
      !Number.isInteger(offset) ||
      !Number.isInteger(count) ||
      offset! < 0 ||
      count < 0 ||
      offset! + count > bytes
    )
      throw malformed(`${where}: ${location} has ${bytes} bytes, not ${count} from byte ${offset}`);
    this.total += count;
    if (this.total > mostExternalBytes)
      throw malformed(`${where}: the external data exceeds ${mostExternalBytes} bytes`);
    const buffer = Buffer.alloc(count);
    const { bytesRead } = await handle.read(buffer, 0, count, offset);
    if (bytesRead !== count) throw malformed(`${where}: ${location} ended early`);
    return buffer;
  }

  private async opened(location: string, where: string) {
    const known = this.files.get(location);
    if (known) return known;
    const path = await this.inside(location, where);
    // Opens the file without blocking, because it may be a pipe.
    const handle = await open(path, access.O_RDONLY | access.O_NONBLOCK).catch((cause: unknown) => {
      throw malformed(`${where}: cannot read its data file ${location}`, { cause });
    });
    const found = await handle.stat();
    const file = { handle, bytes: found.size };
    this.files.set(location, file);
    if (!found.isFile()) throw malformed(`${where}: its data file ${location} is not a regular file`);
    return file;
  }

  /** A data file's path, with links resolved. @throws AIOT_FILE_MALFORMED if the file is not in the model's folder */
  private async inside(location: string, where: string): Promise<string> {
    const parts = location.split(/[\\/]/);
    if (location === '' || location.includes('\0') || isAbsolute(location) || parts.includes('..'))
      throw malformed(`${where}: its data file ${JSON.stringify(location)} is outside the model's folder`);
    const folder = await realpath(dirname(this.file));
    const path = await realpath(join(folder, location)).catch((cause: unknown) => {
      throw malformed(`${where}: its data file ${location} does not exist beside the model`, { cause });
    });
    const prefix = folder.endsWith(sep) ? folder : folder + sep;
    if (!path.startsWith(prefix))
      throw malformed(`${where}: its data file ${location} is outside the model's folder`);
    return path;
  }
}

/** Number of bytes, or of numbers, that the file stores for a tensor. */
export function sizeOfTensor({ raw, floats, int32s, int64s, uint64s, doubles }: OnnxTensor): number {
  const lists = [...floats, ...doubles, int32s, int64s, uint64s];
  return lists.reduce((sum, { length }) => sum + length, raw?.length ?? 0);
}

/** A tensor's elements; external data must already be loaded. @throws AIOT_FILE_MALFORMED, AIOT_LAYER_UNSUPPORTED */
export function constantIn(tensor: OnnxTensor): Constant {
  const where = `the constant ${tensor.name || '(without a name)'}`;
  const type = elementTypeOf(tensor.type, where);
  const shape = [...tensor.dims];
  requireShape(shape, where);
  return {
    kind: 'constant',
    type,
    shape,
    data: elementsOf(tensor, type, tensor.raw, elementCount(shape), where),
  };
}

/** Size of one element in bytes, and a function that reads it (little-endian). */
const rawElements: Readonly<
  Record<Exclude<ElementType, SmallType>, [number, (view: DataView, at: number) => number]>
> = {
  float32: [4, (view, at) => view.getFloat32(at, true)],
  float64: [8, (view, at) => view.getFloat64(at, true)],
  float16: [2, (view, at) => float16Value(view.getUint16(at, true))],
  bfloat16: [2, (view, at) => bfloat16Value(view.getUint16(at, true))],
  int8: [1, (view, at) => view.getInt8(at)],
  uint8: [1, (view, at) => view.getUint8(at)],
  bool: [1, (view, at) => (view.getUint8(at) === 0 ? 0 : 1)],
  int16: [2, (view, at) => view.getInt16(at, true)],
  uint16: [2, (view, at) => view.getUint16(at, true)],
  int32: [4, (view, at) => view.getInt32(at, true)],
  uint32: [4, (view, at) => view.getUint32(at, true)],
  int64: [8, (view, at) => Number(view.getBigInt64(at, true))],
  uint64: [8, (view, at) => Number(view.getBigUint64(at, true))],
};

function bfloat16Value(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

function elementsOf(
  tensor: OnnxTensor,
  type: ElementType,
  raw: Uint8Array | undefined,
  count: number,
  where: string,
): Float32Array | Float64Array {
  if (isSmall(type)) return smallElements(raw?.length ? raw : tensor.int32s, type, count, where);
  if (raw !== undefined && raw.length > 0) {
    const [size, read] = rawElements[type];
    if (raw.length !== count * size)
      throw malformed(`${where}: expected ${count * size} bytes of ${type}, got ${raw.length}`);
    const data = arrayFor(type, count);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    for (let i = 0; i < count; i++) data[i] = read(view, i * size);
    return data;
  }
  const listed = listedElements(tensor, type);
  if (listed.length !== count) throw malformed(`${where}: expected ${count} elements, got ${listed.length}`);
  const data = arrayFor(type, count);
  data.set(listed);
  return data;
}

/** Elements of at most 8 bits. Two of 4 bits share a byte, the first one in its lower half. @param stored a byte in each number */
function smallElements(
  stored: ArrayLike<number>,
  type: SmallType,
  count: number,
  where: string,
): Float32Array {
  const perByte = 8 / bitsOf(type);
  const bytes = Math.ceil(count / perByte);
  if (stored.length !== bytes)
    throw malformed(`${where}: expected ${bytes} bytes of ${type}, got ${stored.length}`);
  const codes = (at: number) => {
    const byte = stored[Math.floor(at / perByte)]! & 0xff;
    return perByte === 1 ? byte : at % 2 === 0 ? byte & 0xf : byte >> 4;
  };
  return Float32Array.from({ length: count }, (_, at) => smallValue(type, codes(at)));
}

function listedElements(tensor: OnnxTensor, type: ElementType): ArrayLike<number> {
  switch (type) {
    case 'float32':
      return joined(tensor.floats);
    case 'float64':
      return joined(tensor.doubles);
    case 'int64':
      return tensor.int64s;
    case 'uint32':
    case 'uint64':
      return tensor.uint64s;
    case 'float16':
      return tensor.int32s.map((bits) => float16Value(bits & 0xffff));
    case 'bfloat16':
      return tensor.int32s.map((bits) => bfloat16Value(bits & 0xffff));
    default:
      return tensor.int32s;
  }
}

function joined(parts: readonly (Float32Array | Float64Array)[]): ArrayLike<number> {
  const [first] = parts;
  if (parts.length <= 1) return first ?? [];
  const out = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The largest single-precision number. */
const largest = (2 - 2 ** -23) * 2 ** 127;

/** Infinities, such as those that hide scores from a Softmax, become the nearest numbers, which files can contain. */
export function finite(constant: Constant): Constant {
  if (constant.data.every(Number.isFinite)) return constant;
  return { ...constant, data: constant.data.map((value) => Math.max(-largest, Math.min(largest, value))) };
}
