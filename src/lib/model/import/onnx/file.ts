import type protobuf from 'protobufjs';
import { malformed } from '../errors.js';

/** TensorProto. The elements are raw bytes, a list for their type, or in another file. */
export interface OnnxTensor {
  dims: readonly number[];
  type: number;
  name: string;
  floats: readonly Float32Array[];
  /** Elements of type int32 and all narrower types, and the bits of 16-bit floats. */
  int32s: readonly number[];
  int64s: readonly number[];
  uint64s: readonly number[];
  doubles: readonly Float64Array[];
  raw: Uint8Array | undefined;
  strings: readonly Uint8Array[];
  /** Entries `location`, `offset` and `length`. */
  external: readonly { key: string; value: string }[];
  location: number;
}

export interface OnnxAttribute {
  name: string;
  float: number;
  integer: number;
  bytes: Uint8Array | undefined;
  tensor: OnnxTensor | undefined;
  graph: OnnxGraph | undefined;
  floats: readonly Float32Array[];
  integers: readonly number[];
  strings: readonly Uint8Array[];
  /** Name of the enclosing function's attribute that provides this attribute's value. */
  reference: string;
}

export interface OnnxNode {
  inputs: readonly string[];
  outputs: readonly string[];
  name: string;
  op: string;
  domain: string;
  attributes: readonly OnnxAttribute[];
}

/** A size, the name of a dynamic size, or neither. */
export interface OnnxDimension {
  size: number | undefined;
  parameter: string;
}

export interface OnnxValue {
  name: string;
  type: { tensor?: { element: number; shape?: { dimensions: readonly OnnxDimension[] } } } | undefined;
}

export interface OnnxGraph {
  name: string;
  nodes: readonly OnnxNode[];
  initializers: readonly OnnxTensor[];
  sparse: readonly unknown[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
}

export interface OnnxModel {
  producer: string;
  producerVersion: string;
  graph: OnnxGraph | undefined;
  opsets: readonly { domain: string; version: number }[];
  functions: readonly OnnxFunction[];
}

export interface OnnxFunction {
  name: string;
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  nodes: readonly OnnxNode[];
}

/** `integer`, `float` and so on are scalars; any other word is a message in the schema. `[]` marks a repeated field. */
type Field = readonly [name: string, kind: string];
type Fields = Readonly<Record<number, Field>>;

/**
 * The fields that the reader uses, by message and field number (onnx/onnx.proto, version 1 of the format). Descriptions and inferred types
 * are skipped.
 */
const schema: Readonly<Record<string, Fields>> = {
  Model: {
    2: ['producer', 'text'],
    3: ['producerVersion', 'text'],
    7: ['graph', 'Graph'],
    8: ['opsets', 'Opset[]'],
    25: ['functions', 'Function[]'],
  },
  Opset: { 1: ['domain', 'text'], 2: ['version', 'integer'] },
  Function: {
    1: ['name', 'text'],
    4: ['inputs', 'text[]'],
    5: ['outputs', 'text[]'],
    7: ['nodes', 'Node[]'],
    10: ['domain', 'text'],
  },
  Graph: {
    1: ['nodes', 'Node[]'],
    2: ['name', 'text'],
    5: ['initializers', 'Tensor[]'],
    11: ['inputs', 'Value[]'],
    12: ['outputs', 'Value[]'],
    15: ['sparse', 'Skipped[]'],
  },
  Skipped: {},
  Node: {
    1: ['inputs', 'text[]'],
    2: ['outputs', 'text[]'],
    3: ['name', 'text'],
    4: ['op', 'text'],
    5: ['attributes', 'Attribute[]'],
    7: ['domain', 'text'],
  },
  Attribute: {
    1: ['name', 'text'],
    2: ['float', 'float'],
    3: ['integer', 'integer'],
    4: ['bytes', 'bytes'],
    5: ['tensor', 'Tensor'],
    6: ['graph', 'Graph'],
    7: ['floats', 'float[]'],
    8: ['integers', 'integer[]'],
    9: ['strings', 'bytes[]'],
    21: ['reference', 'text'],
  },
  Tensor: {
    1: ['dims', 'integer[]'],
    2: ['type', 'integer'],
    4: ['floats', 'float[]'],
    5: ['int32s', 'integer[]'],
    6: ['strings', 'bytes[]'],
    7: ['int64s', 'integer[]'],
    8: ['name', 'text'],
    9: ['raw', 'bytes'],
    10: ['doubles', 'double[]'],
    11: ['uint64s', 'integer[]'],
    13: ['external', 'Entry[]'],
    14: ['location', 'integer'],
  },
  Entry: { 1: ['key', 'text'], 2: ['value', 'text'] },
  Value: { 1: ['name', 'text'], 2: ['type', 'Type'] },
  Type: { 1: ['tensor', 'TensorType'] },
  TensorType: { 1: ['element', 'integer'], 2: ['shape', 'Shape'] },
  Shape: { 1: ['dimensions', 'Dimension[]'] },
  Dimension: { 1: ['size', 'integer'], 2: ['parameter', 'text'] },
};

/** Limits for one file. Without them, messages of a few bytes each could expand into gigabytes of objects. */
const most = { messages: 100_000, texts: 1_000_000, numbers: 8_000_000, depth: 48 };

const none: readonly never[] = Object.freeze([]);

/** Default values of fields that a message omits. Optional messages, bytes and sizes remain undefined. */
const defaults: Readonly<Record<string, unknown>> = { integer: 0, float: 0, text: '' };

/**
 * Reads the model in an .onnx file, without the data that the model stores in other files.
 * @throws AIOT_FILE_MALFORMED with the byte offset
 */
export async function readOnnxFile(bytes: Uint8Array): Promise<OnnxModel> {
  const { default: library } = await import('protobufjs');
  const reader = library.Reader.create(bytes);
  try {
    return new ModelReader(reader).message('Model', bytes.length, 0) as unknown as OnnxModel;
  } catch (error) {
    // The library throws RangeError for bytes past the end, and Error for invalid wire types.
    if (!(error instanceof Error) || 'code' in error) throw error;
    throw malformed(`byte ${reader.pos}: not a valid ONNX file (${error.message})`, { cause: error });
  }
}

class ModelReader {
  private messages = 0;
  private texts = 0;
  private numbers = 0;

  constructor(private readonly reader: protobuf.Reader) {}

  /** Reads a message that ends at this offset. */
  message(kind: string, end: number, depth: number): Record<string, unknown> {
    const { reader } = this;
    const fields = schema[kind]!;
    if (depth > most.depth) throw this.excess(`messages are nested more than ${most.depth} deep`);
    if (++this.messages > most.messages) throw this.excess(`more than ${most.messages} messages`);
    const out: Record<string, unknown> = {};
    for (const [name, type] of Object.values(fields)) {
      const isSize = kind === 'Dimension' && type === 'integer';
      out[name] = type.endsWith('[]') ? none : isSize ? undefined : defaults[type];
    }
    while (reader.pos < end) {
      const tag = reader.uint32();
      const [number, wire] = [tag >>> 3, tag & 7];
      // Groups are rejected: the format does not use them, and no length limits their nesting.
      if (number === 0 || wire === 3 || wire === 4) throw this.excess(`an invalid field (tag ${tag})`);
      const field = fields[number];
      if (field === undefined) reader.skipType(wire);
      else this.field(out, field, wire, end, depth);
      if (reader.pos > end) throw this.excess(`a field of ${kind} extends past its end`);
    }
    return out;
  }

  private field(out: Record<string, unknown>, [name, kind]: Field, wire: number, end: number, depth: number) {
    const { reader } = this;
    const repeated = kind.endsWith('[]');
    const base = repeated ? kind.slice(0, -2) : kind;
    if (wire === 2 && (base === 'integer' || base === 'float' || base === 'double')) {
      const stop = this.stop(end);
      if (!repeated) throw this.excess(`${name} is a list`);
      if (base === 'integer') this.integers(listOf(out, name), stop);
      else listOf(out, name).push(this.reals(base, stop - reader.pos));
      return;
    }
    const expected = base === 'integer' ? 0 : base === 'float' ? 5 : base === 'double' ? 1 : 2;
    if (wire !== expected) throw this.excess(`${name} has wire type ${wire} instead of ${expected}`);
    const value = this.value(base, end, depth);
    if (repeated) listOf(out, name).push(value);
    else out[name] = value;
  }

  private value(kind: string, end: number, depth: number): unknown {
    const { reader } = this;
    switch (kind) {
      case 'integer':
        return this.integer();
      case 'float':
        return this.reals('float', 4)[0];
      case 'double':
        return this.reals('double', 8);
      case 'text':
        if (++this.texts > most.texts) throw this.excess(`more than ${most.texts} names`);
        return reader.string();
      case 'bytes':
        if (++this.texts > most.texts) throw this.excess(`more than ${most.texts} texts`);
        return reader.bytes();
      default:
        return this.message(kind, this.stop(end), depth + 1);
    }
  }

  /** Reads a field's length; returns the position of its end. */
  private stop(end: number): number {
    const length = this.reader.uint32();
    const stop = this.reader.pos + length;
    if (stop > end) throw this.excess(`a field of ${length} bytes extends past its end`);
    return stop;
  }

  private integer(): number {
    if (++this.numbers > most.numbers)
      throw this.excess(`more than ${most.numbers} separate numbers; store weights as raw_data`);
    // All integers are two's complement; the library returns a Long if the package `long` is installed.
    const value: unknown = this.reader.int64();
    return typeof value === 'number' ? value : (value as { toNumber(): number }).toNumber();
  }

  private integers(list: unknown[], stop: number): void {
    while (this.reader.pos < stop) list.push(this.integer());
  }

  private reals(kind: 'float' | 'double', length: number): Float32Array | Float64Array {
    const { reader } = this;
    const size = kind === 'float' ? 4 : 8;
    if (length % size !== 0 || reader.pos + length > reader.len)
      throw this.excess(`${length} bytes are not a list of ${kind} numbers`);
    if (++this.texts > most.texts) throw this.excess(`more than ${most.texts} lists`);
    // Copied, because a typed array needs aligned bytes.
    const bytes = new Uint8Array(reader.buf.subarray(reader.pos, reader.pos + length)).buffer;
    reader.pos += length;
    return kind === 'float' ? new Float32Array(bytes) : new Float64Array(bytes);
  }

  private excess(message: string) {
    return malformed(`byte ${this.reader.pos}: ${message}`);
  }
}

/** Returns the list in a field. Creates the list for its first element. */
function listOf(out: Record<string, unknown>, name: string): unknown[] {
  if (out[name] !== none) return out[name] as unknown[];
  const list: unknown[] = [];
  out[name] = list;
  return list;
}

/** All tensors in a graph, including those in attributes and inner graphs. */
export function tensorsIn({ initializers, nodes }: OnnxGraph): OnnxTensor[] {
  const found = [...initializers];
  for (const { attributes } of nodes) {
    for (const { tensor, graph } of attributes) {
      if (tensor !== undefined) found.push(tensor);
      for (const inner of graph === undefined ? [] : tensorsIn(graph)) found.push(inner);
    }
  }
  return found;
}
