import { malformed, unsupported } from '../errors.js';

/** One operation in a graph or a function. */
export interface NodeDef {
  name: string;
  op: string;
  /**
   * `name`, or `name:2` in a graph and `name:output:0` in a function. `^name` is a control input, which defines only the order of
   * execution.
   */
  inputs: string[];
  /** AttrValue by name. */
  attributes: Map<string, Message>;
}

interface FunctionDef {
  arguments: string[];
  nodes: Map<string, NodeDef>;
  /** Names of the outputs, in the form used by inputs. */
  returns: string[];
}

/** The parts of a SavedModel needed to follow one signature. */
export interface SavedGraph {
  nodes: Map<string, NodeDef>;
  functions: Map<string, FunctionDef>;
  input: { name: string; shape: number[] };
  output: string;
}

/**
 * Reads the meta graph `serve` of saved_model.pb and its signature `serving_default`. Field numbers:
 * tensorflow/core/protobuf/saved_model.proto, meta_graph.proto, and framework/graph.proto, function.proto, node_def.proto.
 * @throws AIOT_FILE_MALFORMED, AIOT_LAYER_UNSUPPORTED for more than one input or output
 */
export function readGraphDef(bytes: Uint8Array): SavedGraph {
  const metaGraphs = new Message(bytes).messages(2);
  const meta = metaGraphs.find((each) => each.message(1)?.texts(4).includes('serve')) ?? metaGraphs[0];
  const graph = meta?.message(2);
  const signatures = meta?.map(5);
  const signature = signatures?.get('serving_default') ?? signatures?.get('serve');
  if (!graph || !signature) throw malformed('saved_model.pb has no signature serving_default');
  const [inputs, outputs] = [[...signature.map(1).values()], [...signature.map(2).values()]];
  const [input, output] = [inputs[0], outputs[0]];
  if (!input || !output || inputs.length > 1 || outputs.length > 1)
    throw unsupported(
      'the model',
      `it has ${inputs.length} inputs and ${outputs.length} outputs`,
      'export it with one of each',
    );
  const functions = (graph.message(2)?.messages(1) ?? []).map((each): [string, FunctionDef] => {
    const own = each.message(1);
    const returns = each.textMap(4);
    return [
      own?.text(1) ?? '',
      {
        arguments: own?.messages(2).map((argument) => argument.text(1)) ?? [],
        nodes: nodesOf(each.messages(3)),
        returns: own?.messages(3).map((result) => returns.get(result.text(1)) ?? '') ?? [],
      },
    ];
  });
  const shape =
    input
      .message(3)
      ?.messages(2)
      .map((dimension) => dimension.integer(1)) ?? [];
  return {
    nodes: nodesOf(graph.messages(1)),
    functions: new Map(functions),
    input: { name: input.text(1), shape },
    output: output.text(1),
  };
}

function nodesOf(list: Message[]): Map<string, NodeDef> {
  return new Map(
    list.map((node) => {
      const [name, op] = [node.text(1), node.text(2)];
      return [name, { name, op, inputs: node.texts(3), attributes: node.map(5) }];
    }),
  );
}

/** A value in a TensorFlow graph, determined by following the graph. */
export type Value =
  | { kind: 'constant'; shape: number[]; data: Float32Array | Int32Array }
  /** An activation: a tensor in our graph. */
  | { kind: 'tensor'; index: number }
  /** A variable, identified by the name of its node in the main graph. */
  | { kind: 'variable'; name: string };

export type Constant = Extract<Value, { kind: 'constant' }>;

export function constant(shape: number[], data: Float32Array | Int32Array): Constant {
  return { kind: 'constant', shape, data };
}

export function integers(...values: number[]): Constant {
  return constant([values.length], Int32Array.from(values));
}

const [float, int32, int64, bool] = [1, 3, 9, 10];

/** A TensorProto (framework/tensor.proto): raw bytes, or values, the last of which is repeated as needed. */
export function tensorProto(tensor: Message, where: string): Constant {
  const type = tensor.integer(1);
  const shape =
    tensor
      .message(2)
      ?.messages(2)
      .map((dimension) => dimension.integer(1)) ?? [];
  const count = shape.reduce((a, b) => a * b, 1);
  const raw = tensor.bytes(4)[0];
  if (raw && raw.length > 0) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const all = <T>(read: (i: number) => T) => Array.from({ length: count }, (_, i) => read(i));
    if (raw.length < count * (type === int64 ? 8 : type === bool ? 1 : 4))
      throw malformed(`${where}: its constant is truncated`);
    if (type === float) return constant(shape, Float32Array.from(all((i) => view.getFloat32(i * 4, true))));
    if (type === int32) return constant(shape, Int32Array.from(all((i) => view.getInt32(i * 4, true))));
    if (type === int64)
      return constant(shape, Int32Array.from(all((i) => Number(view.getBigInt64(i * 8, true)))));
  }
  const values =
    type === float
      ? tensor.floats(5)
      : type === int32
        ? tensor.integers(7)
        : type === int64
          ? tensor.integers(10)
          : [];
  const filled = Array.from({ length: count }, (_, i) => values[Math.min(i, values.length - 1)] ?? 0);
  return constant(shape, type === float ? Float32Array.from(filled) : Int32Array.from(filled));
}

/**
 * One message of Protocol Buffers, by field number (protobuf.dev, "Encoding"). There is no schema: callers read each field with the method
 * for the field's type.
 */
export class Message {
  private readonly fields = new Map<number, (Uint8Array | bigint)[]>();

  /** @throws AIOT_FILE_MALFORMED with the byte offset */
  constructor(bytes: Uint8Array) {
    let at = 0;
    const varint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; shift < 70n; shift += 7n) {
        const byte = bytes[at++];
        if (byte === undefined) break;
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return BigInt.asIntN(64, value);
      }
      throw malformed(`byte ${at} of a message: a number is not terminated`);
    };
    while (at < bytes.length) {
      const tag = Number(varint());
      const wire = tag & 7;
      let value: Uint8Array | bigint;
      if (wire === 0) value = varint();
      else {
        const length = wire === 2 ? Number(varint()) : wire === 5 ? 4 : wire === 1 ? 8 : -1;
        if (length < 0 || at + length > bytes.length)
          throw malformed(`byte ${at} of a message: field ${tag >> 3} extends past the end`);
        value = bytes.subarray(at, at + length);
        at += length;
      }
      const field = tag >> 3;
      const values = this.fields.get(field);
      if (values) values.push(value);
      else this.fields.set(field, [value]);
    }
  }

  has(field: number): boolean {
    return this.fields.has(field);
  }

  bytes(field: number): Uint8Array[] {
    return (this.fields.get(field) ?? []).filter((value) => value instanceof Uint8Array);
  }

  messages(field: number): Message[] {
    return this.bytes(field).map((bytes) => new Message(bytes));
  }

  message(field: number): Message | undefined {
    return this.messages(field)[0];
  }

  texts(field: number): string[] {
    return this.bytes(field).map((bytes) => new TextDecoder().decode(bytes));
  }

  text(field: number): string {
    return this.texts(field).at(-1) ?? '';
  }

  /** Whole numbers, packed or individual. */
  integers(field: number): number[] {
    return (this.fields.get(field) ?? []).flatMap((value) =>
      value instanceof Uint8Array ? packed(value) : [Number(value)],
    );
  }

  integer(field: number): number {
    return this.integers(field).at(-1) ?? 0;
  }

  /** Single-precision numbers, packed or individual. */
  floats(field: number): number[] {
    return this.bytes(field).flatMap((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getFloat32(i * 4, true));
    });
  }

  /** A map field: entries of key (1) and value (2). */
  map(field: number): Map<string, Message> {
    return new Map(
      this.messages(field).map((entry) => [entry.text(1), entry.message(2) ?? new Message(new Uint8Array())]),
    );
  }

  /** A map field with text values. */
  textMap(field: number): Map<string, string> {
    return new Map(this.messages(field).map((entry) => [entry.text(1), entry.text(2)]));
  }
}

function packed(bytes: Uint8Array): number[] {
  const values: number[] = [];
  let [value, shift] = [0n, 0n];
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80) continue;
    values.push(Number(BigInt.asIntN(64, value)));
    [value, shift] = [0n, 0n];
  }
  return values;
}
