/** Writes small ONNX files message by message. The numbers of the fields are from onnx/onnx.proto. */

type Attribute =
  | number
  | string
  | number[]
  | Uint8Array
  | { float: number }
  | { floats: number[] }
  | { strings: string[] }
  | { graph: Uint8Array };

export interface OnnxNodeText {
  op: string;
  inputs: string[];
  outputs: string[];
  name?: string;
  domain?: string;
  attributes?: Record<string, Attribute>;
}

export interface OnnxText {
  nodes: OnnxNodeText[];
  /** Shapes by name; a string is the name of a dynamic dimension. */
  inputs: Record<string, (number | string)[]>;
  outputs: string[];
  /** Shapes of outputs by name, if the file states them. */
  outputShapes?: Record<string, number[]>;
  /** Types of outputs by name; others are float. */
  outputTypes?: Record<string, keyof typeof types>;
  constants?: Record<string, { shape: number[]; values: number[]; type?: 'float' | 'int64' | 'int8' }>;
  /** Additional initializers, as messages. */
  tensors?: Uint8Array[];
  opset?: number;
  producer?: string;
}

export function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Uint8Array.of(...bytes, Number(rest));
}

export function joinBytes(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export function integerField(field: number, value: number | bigint): Uint8Array {
  return joinBytes(varint(field << 3), varint(value));
}

export function bytesField(field: number, bytes: Uint8Array | string): Uint8Array {
  const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
  return joinBytes(varint((field << 3) | 2), varint(data.length), data);
}

function floatField(field: number, value: number): Uint8Array {
  return joinBytes(varint((field << 3) | 5), new Uint8Array(Float32Array.of(value).buffer));
}

const types = { float: 1, int64: 7, int8: 3 };

export function tensorMessage(
  name: string,
  shape: readonly number[],
  values: readonly number[],
  type: keyof typeof types = 'float',
): Uint8Array {
  const data =
    type === 'float'
      ? Float32Array.from(values)
      : type === 'int8'
        ? Int8Array.from(values)
        : BigInt64Array.from(values, (value) => BigInt(value));
  return joinBytes(
    ...shape.map((size) => integerField(1, size)),
    integerField(2, types[type]),
    bytesField(8, name),
    bytesField(9, new Uint8Array(data.buffer)),
  );
}

/** A tensor whose data is in another file. */
export function externalTensor(
  name: string,
  shape: readonly number[],
  entries: Record<string, string>,
): Uint8Array {
  return joinBytes(
    ...shape.map((size) => integerField(1, size)),
    integerField(2, 1),
    bytesField(8, name),
    ...Object.entries(entries).map(([key, value]) =>
      bytesField(13, joinBytes(bytesField(1, key), bytesField(2, value))),
    ),
    integerField(14, 1),
  );
}

function attributeMessage(name: string, value: Attribute): Uint8Array {
  const own = bytesField(1, name);
  if (typeof value === 'number') return joinBytes(own, integerField(3, value));
  if (typeof value === 'string') return joinBytes(own, bytesField(4, value));
  if (value instanceof Uint8Array) return joinBytes(own, bytesField(5, value));
  if (Array.isArray(value)) return joinBytes(own, ...value.map((each) => integerField(8, each)));
  if ('float' in value) return joinBytes(own, floatField(2, value.float));
  if ('floats' in value) return joinBytes(own, ...value.floats.map((each) => floatField(7, each)));
  if ('strings' in value) return joinBytes(own, ...value.strings.map((each) => bytesField(9, each)));
  return joinBytes(own, bytesField(6, value.graph));
}

export function nodeMessage({
  op,
  inputs,
  outputs,
  name = '',
  domain = '',
  attributes = {},
}: OnnxNodeText): Uint8Array {
  return joinBytes(
    // Not passed as arguments, because one test has more inputs than a call can have arguments.
    Buffer.concat(inputs.map((each) => bytesField(1, each))),
    ...outputs.map((each) => bytesField(2, each)),
    bytesField(3, name),
    bytesField(4, op),
    ...Object.entries(attributes).map(([key, value]) => bytesField(5, attributeMessage(key, value))),
    bytesField(7, domain),
  );
}

function valueMessage(
  name: string,
  shape: readonly (number | string)[] | undefined,
  type: keyof typeof types = 'float',
): Uint8Array {
  const sizes = (shape ?? []).map((size) =>
    bytesField(1, typeof size === 'number' ? integerField(1, size) : bytesField(2, size)),
  );
  const tensor = joinBytes(
    integerField(1, types[type]),
    ...(shape ? [bytesField(2, joinBytes(...sizes))] : []),
  );
  return joinBytes(bytesField(1, name), bytesField(2, bytesField(1, tensor)));
}

export function graphMessage({
  nodes,
  inputs,
  outputs,
  outputShapes = {},
  outputTypes = {},
  constants = {},
  tensors = [],
}: OnnxText): Uint8Array {
  const stored = Object.entries(constants).map(([name, { shape, values, type }]) =>
    tensorMessage(name, shape, values, type),
  );
  return joinBytes(
    ...nodes.map((node) => bytesField(1, nodeMessage(node))),
    bytesField(2, 'graph'),
    ...[...stored, ...tensors].map((tensor) => bytesField(5, tensor)),
    ...Object.entries(inputs).map(([name, shape]) => bytesField(11, valueMessage(name, shape))),
    ...outputs.map((name) => bytesField(12, valueMessage(name, outputShapes[name], outputTypes[name]))),
  );
}

/** The bytes of a whole file. */
export function onnxFile(model: OnnxText): Uint8Array {
  return joinBytes(
    integerField(1, 8),
    bytesField(2, model.producer ?? 'test'),
    bytesField(7, graphMessage(model)),
    bytesField(8, joinBytes(bytesField(1, ''), integerField(2, model.opset ?? 17))),
  );
}

/** A model with `depth` functions, each of which calls the next one `calls` times in succession. */
export function onnxFunctions(depth: number, calls: number): Uint8Array {
  const body = (next: string, domain: string) =>
    Array.from({ length: calls }, (_, k) =>
      nodeMessage({
        op: next,
        domain,
        inputs: [k === 0 ? 'a' : `v${k}`],
        outputs: [k === calls - 1 ? 'b' : `v${k + 1}`],
      }),
    );
  const functions = Array.from({ length: depth }, (_, k) =>
    bytesField(
      25,
      joinBytes(
        bytesField(1, `f${k}`),
        bytesField(4, 'a'),
        bytesField(5, 'b'),
        ...(k === depth - 1 ? body('Identity', '') : body(`f${k + 1}`, 'own')).map((each) =>
          bytesField(7, each),
        ),
        bytesField(10, 'own'),
      ),
    ),
  );
  const nodes = [
    { op: 'f0', domain: 'own', inputs: ['x'], outputs: ['h'] },
    { op: 'Relu', inputs: ['h'], outputs: ['y'] },
  ];
  return joinBytes(onnxFile({ inputs: { x: [1, 2] }, outputs: ['y'], nodes }), ...functions);
}
