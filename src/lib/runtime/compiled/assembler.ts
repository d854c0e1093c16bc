/**
 * A small assembler for WebAssembly: instructions are nested arrays of bytes, built by functions named after the text format. Encoding:
 * WebAssembly core specification 2.0, chapter 5 (binary format), with the vector instructions of section 5.4.8.
 */
export type Code = readonly (number | Code)[];

type Type = 'i32' | 'f32' | 'v128';

/** A local variable of a function: its index and type. */
export interface Local {
  index: number;
  type: Type;
}

const typeCode: Record<Type, number> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
    bytes.push(done ? low : low | 0x80);
    if (done) return bytes;
  }
}

const two =
  (...op: number[]) =>
  (a: Code, b: Code): Code => [a, b, ...op];

const simd = (op: number) => [0xfd, ...unsigned(op)];

/** Alignment 2² bytes (a hint that is always correct here), then an offset in bytes. */
const memory = (offset: number) => [2, ...unsigned(offset)];

export const get = (local: Local): Code => [0x20, ...unsigned(local.index)];
export const set = (local: Local, value: Code): Code => [value, 0x21, ...unsigned(local.index)];

export const when = (condition: Code, then: Code, otherwise: Code = []): Code => [
  condition,
  0x04,
  0x40,
  then,
  ...(otherwise.length > 0 ? [0x05, otherwise] : []),
  0x0b,
];

/** Repeats the body while the condition is true. */
export const loop = (condition: Code, body: Code): Code => [
  ...[0x02, 0x40, 0x03, 0x40],
  condition,
  ...[0x45, 0x0d, 1],
  body,
  ...[0x0c, 0, 0x0b, 0x0b],
];

/** Runs the body once, and repeats it while the condition, which is evaluated afterwards, is true. */
export const repeatWhile = (body: Code, condition: Code): Code => [
  ...[0x03, 0x40],
  body,
  condition,
  ...[0x0d, 0, 0x0b],
];

/** As `repeatWhile`, with a body that `exitUnless` may leave. */
export const repeatUnless = (body: Code, condition: Code): Code => [
  ...[0x02, 0x40],
  repeatWhile(body, condition),
  0x0b,
];

/** Leaves the `repeatUnless` around it if the value is 0. */
export const exitUnless = (value: Code): Code => [value, 0x45, 0x0d, 1];

/** Copies `bytes` bytes. */
export const copyBytes = (to: Code, from: Code, bytes: Code): Code => [
  to,
  from,
  bytes,
  ...[0xfc, 0x0a, 0, 0],
];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  load: (address: Code, offset = 0): Code => [address, 0x28, ...memory(offset)],
  /** An int8 as int32. */
  load8: (address: Code, offset = 0): Code => [address, 0x2c, 0, ...unsigned(offset)],
  /** Stores the low 16 bits. */
  store16: (address: Code, value: Code, offset = 0): Code => [
    address,
    value,
    ...[0x3b, 1],
    ...unsigned(offset),
  ],
  /** The smaller of two numbers. Both codes are evaluated twice. */
  least: (a: Code, b: Code): Code => [a, b, a, b, ...[0x48, 0x1b]],
  add: two(0x6a),
  sub: two(0x6b),
  mul: two(0x6c),
  and: two(0x71),
  less: two(0x48),
  lessUnsigned: two(0x49),
  greater: two(0x4a),
  notLess: two(0x4e),
};

/** Operations on one number or on four at a time, so that each kernel is written only once. */
export interface Lanes {
  type: 'f32' | 'v128';
  /** Bytes. */
  width: number;
  load(address: Code, offset?: number): Code;
  store(address: Code, value: Code, offset?: number): Code;
  /** One float32 from memory, in every lane. */
  loadSplat(address: Code, offset?: number): Code;
  /** One float32, in every lane. */
  splat(value: Code): Code;
  zero: Code;
  add(a: Code, b: Code): Code;
  sub(a: Code, b: Code): Code;
  mul(a: Code, b: Code): Code;
  div(a: Code, b: Code): Code;
  min(a: Code, b: Code): Code;
  max(a: Code, b: Code): Code;
  sqrt(a: Code): Code;
  /** `value` if low < x < high, else 0. */
  within(x: Code, low: Code, high: Code, value: Code): Code;
}

/** A constant. */
export const number = (value: number): Code => [0x43, ...new Uint8Array(new Float32Array([value]).buffer)];

export const f32: Lanes = {
  type: 'f32',
  width: 4,
  load: (address, offset = 0) => [address, 0x2a, ...memory(offset)],
  store: (address, value, offset = 0) => [address, value, 0x38, ...memory(offset)],
  loadSplat: (address, offset = 0) => [address, 0x2a, ...memory(offset)],
  splat: (value) => value,
  zero: [0x43, 0, 0, 0, 0],
  add: two(0x92),
  sub: two(0x93),
  mul: two(0x94),
  div: two(0x95),
  min: two(0x96),
  max: two(0x97),
  sqrt: (a) => [a, 0x91],
  // select takes the first value if the condition holds: low < x and x < high.
  within: (x, low, high, value) => [
    value,
    ...[0x43, 0, 0, 0, 0],
    ...[low, x, 0x5d],
    ...[x, high, 0x5d],
    ...[0x71, 0x1b],
  ],
};

export const f32x4: Lanes = {
  type: 'v128',
  width: 16,
  load: (address, offset = 0) => [address, ...simd(0x00), ...memory(offset)],
  store: (address, value, offset = 0) => [address, value, ...simd(0x0b), ...memory(offset)],
  loadSplat: (address, offset = 0) => [address, ...simd(0x09), ...memory(offset)],
  splat: (value) => [value, ...simd(0x13)],
  zero: [...simd(0x0c), ...new Array<number>(16).fill(0)],
  add: two(...simd(0xe4)),
  sub: two(...simd(0xe5)),
  mul: two(...simd(0xe6)),
  div: two(...simd(0xe7)),
  min: two(...simd(0xe8)),
  max: two(...simd(0xe9)),
  sqrt: (a) => [a, ...simd(0xe3)],
  within: (x, low, high, value) => [
    value,
    ...[low, x, ...simd(0x43)],
    ...[x, high, ...simd(0x43)],
    ...simd(0x4e),
    ...simd(0x4e),
  ],
};

/** Stores one lane of a vector, `offset` bytes after the place of the vector's first lane. */
export const storeLane = (lane: number, address: Code, value: Code, offset = 0): Code => [
  address,
  value,
  ...simd(0x5a),
  ...memory(4 * lane + offset),
  lane,
];

/** Stores the first two lanes of a vector. */
export const storeHalf = (address: Code, value: Code, offset = 0): Code => [
  address,
  value,
  ...simd(0x5b),
  ...memory(offset),
  0,
];

/**
 * a · b + sum in each lane. Where WebAssembly has relaxed vectors (V8 since 11.4, so Node since 22), it is one instruction, and processors
 * that fuse it round only the sum. Otherwise the product is rounded, too.
 */
export const multiplyAddFour = (sum: Code, a: Code, b: Code): Code =>
  hasFusedProducts() ? [a, b, sum, ...simd(0x105)] : f32x4.add(sum, f32x4.mul(a, b));

/** min(max(x, low), high) without special cases for signed zeros. Limits of ±∞ are omitted. If x is NaN, the result is NaN. */
export const clampFour = (x: Code, low: number, high: number): Code => {
  const above = low === Number.NEGATIVE_INFINITY ? x : [x, ...splatOf(low), ...simd(0xeb)];
  return high === Number.POSITIVE_INFINITY ? above : [above, ...splatOf(high), ...simd(0xea)];
};

/** The larger of two numbers, in each lane, without special cases for signed zeros. */
export const largerOfFour: (a: Code, b: Code) => Code = two(...simd(0xeb));

const splatOf = (value: number): Code => f32x4.splat(number(value));

/** Vectors of integers. Sums and products wrap. */
export const i32x4 = {
  splat: (value: number): Code => [...i32.const(value), ...simd(0x11)],
  /** Four int16 of a vector, from its first or its fifth. */
  lowShorts: (a: Code): Code => [a, ...simd(0xa7)],
  highShorts: (a: Code): Code => [a, ...simd(0xa8)],
  abs: (a: Code): Code => [a, ...simd(0xa0)],
  shl: (a: Code, by: number): Code => [a, ...i32.const(by), ...simd(0xab)],
  /** −1 for negative numbers, else 0. */
  sign: (a: Code): Code => [a, ...i32.const(31), ...simd(0xac)],
  add: two(...simd(0xae)),
  sub: two(...simd(0xb1)),
  mul: two(...simd(0xb5)),
  min: two(...simd(0xb6)),
  max: two(...simd(0xb8)),
  xor: two(...simd(0x51)),
  /** Sums of the products of two adjacent int16 each. */
  dotShorts: two(...simd(0xba)),
  toFloats: (a: Code): Code => [a, ...simd(0xfa)],
  /** Integer parts, saturated; 0 of NaN. */
  ofFloats: (a: Code): Code => [a, ...simd(0xf8)],
};

/** Vectors of eight int16. */
export const i16x8 = {
  load: f32x4.load,
  store: f32x4.store,
  splat: (value: number): Code => [...i32.const(value), ...simd(0x10)],
  /** Eight int8 from memory. */
  loadBytes: (address: Code, offset = 0): Code => [address, ...simd(0x01), ...memory(offset)],
  /** Eight int32, saturated. */
  narrow: two(...simd(0x85)),
  add: two(...simd(0x8e)),
  sub: two(...simd(0x91)),
  /** The elements of two vectors by turns, from their first or their fifth. */
  interleaveLow: (a: Code, b: Code): Code => shuffle(a, b, 2, [0, 8, 1, 9, 2, 10, 3, 11]),
  interleaveHigh: (a: Code, b: Code): Code => shuffle(a, b, 2, [4, 12, 5, 13, 6, 14, 7, 15]),
};

/** Vectors of sixteen int8. */
export const i8x16 = {
  load: f32x4.load,
  splat: (value: number): Code => [...i32.const(value), ...simd(0x0f)],
  /** Sixteen int16, saturated. */
  narrow: two(...simd(0x65)),
  min: two(...simd(0x76)),
  max: two(...simd(0x78)),
};

/** Vectors of two int64. */
export const i64x2 = {
  splat: (value: bigint): Code => [...simd(0x0c), ...int64Bytes(value), ...int64Bytes(value)],
  shl: (a: Code, by: number): Code => [a, ...i32.const(by), ...simd(0xcb)],
  add: two(...simd(0xce)),
  /** Products of two int32 or uint32 each, from the first or the third. */
  lowProducts: two(...simd(0xdc)),
  highProducts: two(...simd(0xdd)),
  lowUnsignedProducts: two(...simd(0xde)),
  highUnsignedProducts: two(...simd(0xdf)),
  /** The high halves of the four numbers of two vectors. */
  highHalves: (a: Code, b: Code): Code => shuffle(a, b, 4, [1, 3, 5, 7]),
};

function int64Bytes(value: bigint): number[] {
  return [...new Uint8Array(new BigInt64Array([value]).buffer)];
}

/** Elements of `bytes` bytes of two vectors, by their position in both. */
function shuffle(a: Code, b: Code, bytes: number, order: readonly number[]): Code {
  const lanes = order.flatMap((from) => Array.from({ length: bytes }, (_, i) => from * bytes + i));
  return [a, b, ...simd(0x0d), ...lanes];
}

/** Stores the first `bytes` bytes of a vector, of which there are at most 16. */
export function storeBytes(address: Code, value: Code, bytes: number, offset = 0): Code {
  const code: Code[] = [];
  for (let at = 0; at < bytes; ) {
    const power = Math.min(3, 31 - Math.clz32(bytes - at));
    const lane = at >> power;
    code.push([address, value, ...simd(0x58 + power), power, ...unsigned(offset + at), lane]);
    at += 1 << power;
  }
  return bytes === 16 ? f32x4.store(address, value, offset) : code.flat();
}

/** A function without a result, under construction. */
export class Kernel {
  private readonly locals: Type[] = [];
  private readonly body: Code[] = [];

  constructor(
    readonly name: string,
    readonly parameters: readonly Type[],
  ) {}

  parameter(index: number): Local {
    return { index, type: this.parameters[index]! };
  }

  local(type: Type): Local {
    return { index: this.parameters.length + this.locals.push(type) - 1, type };
  }

  write(...code: Code[]): void {
    this.body.push(code);
  }

  encode(): number[] {
    const locals = this.locals.flatMap((type) => [1, typeCode[type]]);
    const code = [...unsigned(this.locals.length), ...locals];
    appendBytes(this.body, code);
    code.push(0x0b);
    return unsigned(code.length).concat(code);
  }

  signature(): number[] {
    return [0x60, ...vector(this.parameters.map((type) => [typeCode[type]])), 0];
  }
}

function appendBytes(code: Code, bytes: number[]): void {
  for (const part of code) {
    if (typeof part === 'number') bytes.push(part);
    else appendBytes(part, bytes);
  }
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...unsigned(bytes.length), ...bytes];
}

/** The part of WebAssembly's JavaScript API that is used here: TypeScript only provides its types together with the browser's. */
export interface Memory {
  readonly buffer: ArrayBuffer;
}

interface WebAssemblyApi {
  Memory: new (size: { initial: number }) => Memory;
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  validate: (bytes: Uint8Array<ArrayBuffer>) => boolean;
  Instance: new (module: object, imports: { env: { memory: Memory } }) => { exports: unknown };
}

export const webAssembly = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

/** Whether this machine's processor and Node support WebAssembly with vectors. Some older ARM processors do not. */
export function hasVectors(): boolean {
  const kernel = new Kernel('f', []);
  kernel.write(set(kernel.local('v128'), f32x4.zero));
  return webAssembly?.validate(moduleOf([kernel])) ?? false;
}

let fusedProducts: boolean | undefined;

/** Whether `multiplyAddFour` is one instruction. */
export function hasFusedProducts(): boolean {
  if (fusedProducts === undefined) {
    const kernel = new Kernel('f', []);
    const vector = kernel.local('v128');
    kernel.write(set(vector, [f32x4.zero, f32x4.zero, f32x4.zero, ...simd(0x105)]));
    fusedProducts = webAssembly?.validate(moduleOf([kernel])) ?? false;
  }
  return fusedProducts;
}

/** A module that imports the memory `env.memory` and exports every kernel by its name. */
export function moduleOf(kernels: readonly Kernel[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(kernels.map((kernel) => kernel.signature()))),
    ...section(2, vector([[...text('env'), ...text('memory'), 0x02, 0x00, 1]])),
    ...section(3, vector(kernels.map((_, index) => unsigned(index)))),
    ...section(7, vector(kernels.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]))),
    ...section(10, vector(kernels.map((kernel) => kernel.encode()))),
  ]);
}
