import { ByteBuffer } from 'flatbuffers';
import { malformed } from './errors.js';

/** Table slots, enumerations and operator codes from the public TFLite schema (tensorflow/lite/schema/schema.fbs, version 3). */
export const fileIdentifier = 'TFL3';

export const schemaVersion = 3;

/** Number of each field within its table, in the schema's order. */
export const slots = {
  model: {
    version: 0,
    operatorCodes: 1,
    subgraphs: 2,
    description: 3,
    buffers: 4,
    metadata: 6,
    signatures: 7,
  },
  operatorCode: { oldCode: 0, customCode: 1, version: 2, code: 3 },
  subgraph: { tensors: 0, inputs: 1, outputs: 2, operators: 3, name: 4 },
  tensor: {
    shape: 0,
    type: 1,
    buffer: 2,
    name: 3,
    quantization: 4,
    isVariable: 5,
    sparsity: 6,
    signature: 7,
    variants: 9,
  },
  sparsity: { traversalOrder: 0, blockMap: 1, dimensions: 2 },
  sparseDimension: { format: 0, size: 1, segmentsType: 2, indicesType: 4 },
  quantization: { scale: 2, zeroPoint: 3, detailsType: 4, axis: 6 },
  operator: { code: 0, inputs: 1, outputs: 2, optionsType: 3, options: 4, customOptions: 5 },
  buffer: { data: 0, offset: 1 },
  metadata: { name: 0, buffer: 1 },
  signature: { inputs: 0, outputs: 1, key: 2 },
  tensorMap: { name: 0, tensor: 1 },
} as const;

/** The schema's number of slots for each table that is written. */
export const slotCounts = {
  model: 8,
  operatorCode: 4,
  subgraph: 5,
  tensor: 8,
  quantization: 7,
  operator: 6,
  buffer: 1,
  metadata: 2,
  signature: 5,
  tensorMap: 2,
} as const;

export const paddings = ['same', 'valid'] as const;
export const mirrorModes = ['reflect', 'symmetric'] as const;
export const activations = ['none', 'relu', 'relu_n1_to_1', 'relu6'] as const;

/** Value of the one-byte operator code field for all codes that do not fit in one byte. Such codes are in the other field. */
export const largestOldCode = 127;

/** BuiltinOperator in the public TFLite schema: names in numerical order, from 0. */
const names =
  `ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED
HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU
RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE
MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG
PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN
FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN
FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE
MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE
RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE
BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE
REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL
GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST
BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR
STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT
STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE`.split(
    /\s+/,
  );

/** TensorType in the schema: names in numerical order, in lower case. */
const types =
  'float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64 resource variant uint32 uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2'.split(
    ' ',
  );

const typeBytes: readonly (number | null)[] = [
  4,
  2,
  4,
  1,
  8,
  null,
  1,
  2,
  8,
  1,
  8,
  16,
  8,
  null,
  null,
  4,
  2,
  0.5,
  2,
  0.25,
  0.5,
  1,
  1,
];

/** The schema's name for an operator, or the operator's number if the operator is newer than this list. */
export function builtinName(code: number): string {
  return names[code] ?? `BUILTIN_${code}`;
}

/** Name of a tensor type and the size of its elements in bytes; null if elements have no fixed size. */
export function tensorTypeName(code: number): { name: string; bytes: number | null } {
  return { name: types[code] ?? `type ${code}`, bytes: typeBytes[code] ?? null };
}

/** A FlatBuffers file. Every access is bounds-checked, because the file's counts and offsets cannot be trusted. */
export class CheckedBuffer {
  readonly data: ByteBuffer;
  /**
   * Remaining number of vector bytes that may be read. Limited, because a file could refer to one vector many times, for a total of
   * terabytes.
   */
  #budget: number;

  constructor(readonly bytes: Uint8Array) {
    this.data = new ByteBuffer(bytes);
    this.#budget = 4 * bytes.length;
  }

  spend(at: number, size: number): void {
    this.#budget -= size;
    if (this.#budget < 0) throw malformed(`byte ${at}`, 'the file refers to the same data too many times');
  }

  /** Throws unless `size` bytes from `at` are inside the file. */
  need(at: number, size: number, what: string): void {
    if (at < 0 || at + size > this.bytes.length) {
      const end = this.bytes.length;
      throw malformed(
        `byte ${at}`,
        `the file is truncated: it has ${end} bytes, but ${what} would extend to byte ${at + size}`,
      );
    }
  }

  /** The target of the offset stored at `at`. */
  follow(at: number, what: string): number {
    this.need(at, 4, `offset of ${what}`);
    const target = at + this.data.readUint32(at);
    if (target === at) throw malformed(`byte ${at}`, `offset of ${what} is 0`);
    return target;
  }

  /** The file's root table. */
  root(what: string): Table {
    return new Table(this, this.follow(0, what), what);
  }
}

/** A table. Fields are read by slot; if a field is absent, the schema's default is returned. */
export class Table {
  readonly #vtable: number;
  readonly #vtableBytes: number;
  readonly #inlineBytes: number;

  /** `at`: start of the table. `what`: the table's name in messages. */
  constructor(
    readonly file: CheckedBuffer,
    readonly at: number,
    readonly what: string,
  ) {
    file.need(at, 4, what);
    this.#vtable = at - file.data.readInt32(at);
    if (this.#vtable < 0) throw malformed(`byte ${at}`, `the vtable of ${what} starts before the file`);
    file.need(this.#vtable, 4, `vtable of ${what}`);
    this.#vtableBytes = file.data.readUint16(this.#vtable);
    this.#inlineBytes = file.data.readUint16(this.#vtable + 2);
    file.need(this.#vtable, this.#vtableBytes, `vtable of ${what}`);
    file.need(at, this.#inlineBytes, what);
  }

  /** Position of a field with `size` bytes, or 0 if the field is absent. */
  #field(slot: number, size: number): number {
    const entry = 4 + 2 * slot;
    if (entry + 2 > this.#vtableBytes) return 0;
    const distance = this.file.data.readUint16(this.#vtable + entry);
    if (distance === 0) return 0;
    if (distance < 4 || distance + size > this.#inlineBytes)
      throw malformed(`byte ${this.at + distance}`, `field ${slot} of ${this.what} is outside its table`);
    return this.at + distance;
  }

  has(slot: number): boolean {
    return this.#field(slot, 1) !== 0;
  }
  int8(slot: number, absent: number): number {
    const at = this.#field(slot, 1);
    return at === 0 ? absent : this.file.data.readInt8(at);
  }
  uint8(slot: number, absent: number): number {
    const at = this.#field(slot, 1);
    return at === 0 ? absent : this.file.data.readUint8(at);
  }
  int32(slot: number, absent: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? absent : this.file.data.readInt32(at);
  }
  uint32(slot: number, absent: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? absent : this.file.data.readUint32(at);
  }
  uint64(slot: number, absent: bigint): bigint {
    const at = this.#field(slot, 8);
    return at === 0 ? absent : this.file.data.readUint64(at);
  }
  float32(slot: number, absent: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? absent : this.file.data.readFloat32(at);
  }

  /** The table that the field refers to, or undefined. */
  table(slot: number, what: string): Table | undefined {
    const at = this.#field(slot, 4);
    return at === 0 ? undefined : new Table(this.file, this.file.follow(at, what), what);
  }

  /** A vector's start and its number of elements, of `size` bytes each, all inside the file. The number is 0 if the field is absent. */
  #vector(slot: number, size: number): { start: number; count: number } {
    const at = this.#field(slot, 4);
    if (at === 0) return { start: 0, count: 0 };
    const what = `vector ${slot} of ${this.what}`;
    const vector = this.file.follow(at, what);
    this.file.need(vector, 4, what);
    const count = this.file.data.readUint32(vector);
    this.file.need(vector + 4, count * size, `${what} with ${count} elements`);
    this.file.spend(vector, count * size);
    return { start: vector + 4, count };
  }

  #list<T>(slot: number, size: number, element: (at: number, index: number) => T): T[] {
    const { start, count } = this.#vector(slot, size);
    return Array.from({ length: count }, (_, index) => element(start + index * size, index));
  }

  int32s(slot: number): number[] {
    return this.#list(slot, 4, (at) => this.file.data.readInt32(at));
  }
  uint16s(slot: number): number[] {
    return this.#list(slot, 2, (at) => this.file.data.readUint16(at));
  }
  int64s(slot: number): bigint[] {
    return this.#list(slot, 8, (at) => this.file.data.readInt64(at));
  }
  float32s(slot: number): number[] {
    return this.#list(slot, 4, (at) => this.file.data.readFloat32(at));
  }
  /** Returns a view of the file's bytes, not a copy. */
  bytes(slot: number): Uint8Array {
    const { start, count } = this.#vector(slot, 1);
    return this.file.bytes.subarray(start, start + count);
  }
  text(slot: number): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.bytes(slot));
  }
  /** A string that C code can also read: a NUL follows the string, and the string contains no NUL. Undefined if the field is absent. */
  cString(slot: number): string | undefined {
    if (!this.has(slot)) return undefined;
    const { start, count } = this.#vector(slot, 1);
    const what = `string ${slot} of ${this.what}`;
    this.file.need(start + count, 1, what);
    if (this.file.bytes[start + count] !== 0 || this.bytes(slot).includes(0))
      throw malformed(`byte ${start}`, `${what} does not end with its first NUL`);
    return this.text(slot);
  }
  tables(slot: number, what: string): Table[] {
    return this.#list(slot, 4, (at, index) => {
      const name = `${what} ${index}`;
      return new Table(this.file, this.file.follow(at, name), name);
    });
  }
}
