import { join } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { seededRandom } from '../../core/numbers.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type OperatorName,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import { cFloat, cText } from './c-text.js';
import type { EmitOptions } from './emit.js';
import { type Helper, indent, type Piece, type Site, scaleOf, siteOf, table } from './piece.js';
import { convolution, depthwise, fullyConnected } from './weighted-layers.js';
import {
  arithmetic,
  concatenation,
  lookup,
  pad,
  pool,
  reduction,
  softmax,
  split,
  stridedSlice,
  transpose,
  whole,
} from './weightless-operators.js';

/**
 * A network as a C11 function with no dependencies: `model.c` and `model.h` in the folder `out`, and `golden.json` with inputs and exact outputs.
 * Bit-identical to TFLite's reference kernels.
 * @throws AIOT_QUANTIZE_UNFIT for anything that is not int8 throughout
 */
export function emitC(options: EmitOptions): Map<string, string> {
  const { out, graph } = options;
  const pieces = piecesOf(graph);
  const memory = memoryOf(graph, pieces);
  return new Map([
    [join(out, 'model.c'), source(options, pieces, memory)],
    [join(out, 'model.h'), header(options, pieces, memory)],
    [join(out, 'golden.json'), goldenOf(options)],
  ]);
}

function header({ graph, contents, name, classes }: EmitOptions, { pieces }: Pieces, memory: Memory): string {
  const [input, output] = endsOf(graph);
  return `/*
 * ${comment(name)}: an int8 network as C11, made by aiot model quantize --emit c; do not edit.
 *
 * Call model_run(input, output). It allocates nothing, keeps no state, and is bit-exact with TFLite's reference
 * kernels. Its weights are constants, ${memory.bytes === 0 ? 'and it needs no memory of its own' : `and its activations are in ${memory.bytes} bytes of static memory: one call at a time`}.
 */
#ifndef AIOT_GENERATED_MODEL_H
#define AIOT_GENERATED_MODEL_H

#include <stdint.h>

#define MODEL_NAME "${cText(name)}"
/* Digest of the source .tflite file. */
#define MODEL_DIGEST "${digestOf(contents)}"

${endText('INPUT', input)}
${endText('OUTPUT', output)}${classes.length === 0 ? '' : classText(classes)}
/* Static memory beside the weights. */
#define MODEL_ARENA_BYTES ${memory.bytes}
#define MODEL_LAYERS ${pieces.length}

/* input has MODEL_INPUT_COUNT values, output MODEL_OUTPUT_COUNT; they must not overlap. */
void model_run(const int8_t *input, int8_t *output);

#endif
`;
}

const comment = (text: string) => cText(text).replace(/\*\//g, '* /').replace(/\/\*/g, '/ *');

function endText(what: 'INPUT' | 'OUTPUT', { name, shape, quantization }: Tensor): string {
  return `/* ${comment(name === '' ? what.toLowerCase() : name)}, int8 [${shape.join(', ')}]; real = scale * (q - zero point). */
#define MODEL_${what}_COUNT ${elementCount(shape)}
#define MODEL_${what}_SCALE ${cFloat(quantization!.scale[0]!)}
#define MODEL_${what}_ZERO_POINT (${quantization!.zeroPoint[0]!})
`;
}

function classText(classes: readonly string[]): string {
  return `
/* Classes in the order of the outputs. */
#define MODEL_CLASS_COUNT ${classes.length}
extern const char *const model_class_names[MODEL_CLASS_COUNT];
`;
}

function endsOf({ tensors, inputs, outputs }: Graph): [Tensor, Tensor] {
  return [tensors[inputs[0]!]!, tensors[outputs[0]!]!];
}

function source({ graph, name, classes }: EmitOptions, { pieces, roots }: Pieces, memory: Memory): string {
  const constants = [
    ...new Set(pieces.flatMap(({ inputs }) => inputs.map((input) => roots[input]!))),
  ].flatMap((root) => {
    const { data } = graph.tensors[root]!;
    return data === undefined ? [] : [table('int8_t', `constant${root}`, data as Int8Array)];
  });
  const usesMemory = pieces.some(({ body }) => /\bmem(cpy|set)\(/.test(body));
  const names =
    classes.length === 0
      ? []
      : [
          `const char *const model_class_names[MODEL_CLASS_COUNT] = {\n${classes.map((text) => `    "${cText(text)}",`).join('\n')}\n};`,
        ];
  const parts = [
    `/* ${comment(name)}. Made by aiot model quantize --emit c; do not edit. */\n#include "model.h"${usesMemory ? '\n\n#include <string.h>' : ''}`,
    ...helperTexts(new Set(pieces.flatMap(({ helpers }) => helpers))),
    ...(memory.bytes === 0
      ? []
      : [
          `/* Activations, at offsets planned when this file was generated. */\nstatic int8_t arena[MODEL_ARENA_BYTES];`,
        ]),
    ...constants,
    ...names,
    ...pieces.map((piece, index) => functionText(piece, index)),
    `/* Called after each layer, for example to count; empty by default. */
#ifndef MODEL_LAYER_DONE
#define MODEL_LAYER_DONE(index, name) ((void)0)
#endif`,
    `void model_run(const int8_t *input, int8_t *output) {\n${pieces.map((piece, index) => indent(callText(piece, index, memory))).join('\n')}\n}`,
  ];
  return `${parts.join('\n\n')}\n`;
}

function functionText({ op, about, constants, body, inputs, scratch, cloned }: Piece, index: number): string {
  const parameters = [
    'const int8_t *restrict x',
    ...(inputs.length > 1 ? ['const int8_t *restrict x2'] : []),
    'int8_t *restrict y',
    ...(scratch > 0 ? ['int8_t *restrict patch'] : []),
  ];
  const tables = constants.map((text) => `${text}\n`).join('');
  return `/* ${op}: ${about} */\n${tables}${cloned ? 'MODEL_CLONES ' : ''}static void layer${index}(${parameters.join(', ')}) {\n${indent(body)}\n}`;
}

function callText({ inputs, output, scratch, op }: Piece, index: number, memory: Memory): string {
  const given = [
    ...inputs.map(memory.place),
    memory.place(output),
    ...(scratch > 0 ? [memory.patch(index)] : []),
  ];
  return `layer${index}(${given.join(', ')});\nMODEL_LAYER_DONE(${index}, "${op}");`;
}

/** Golden inputs: typical rows first, then both ends of the range and the zero point, then random values. */
const counts = { rows: 16, chance: 8 } as const;

/** Inputs and the exact outputs of any correct implementation, as JSON (format: see docs/reference/quantization.md). */
function goldenOf({ graph, contents, name, classes, rows }: EmitOptions): string {
  const interpreter = createInterpreter(graph);
  const { inputTensor, outputTensor } = interpreter;
  const vectors = inputsOf(inputTensor, rows ?? []).map((input) => ({
    input: [...input],
    output: [...interpreter.invoke(input)],
  }));
  const about = {
    spec: 'aiot-golden/1',
    model: name,
    digest: digestOf(contents),
    input: endOf(inputTensor),
    output: endOf(outputTensor),
    classes,
  };
  // One vector per line: readable for people, and with small diffs when the network changes.
  const lines = vectors.map((vector) => `    ${JSON.stringify(vector)}`).join(',\n');
  return `${JSON.stringify(about, null, 2).slice(0, -2)},\n  "vectors": [\n${lines}\n  ]\n}\n`;
}

function endOf(tensor: Tensor) {
  return { count: elementCount(tensor.shape), shape: tensor.shape, ...scaleOf(tensor) };
}

function inputsOf(tensor: Tensor, rows: readonly ArrayLike<number>[]): Int8Array[] {
  const length = elementCount(tensor.shape);
  const { scale, zeroPoint } = scaleOf(tensor);
  const random = seededRandom(1);
  const filled = (value: number) => new Int8Array(length).fill(value);
  const stride = Math.max(1, Math.floor(rows.length / counts.rows));
  const taken = rows.filter((_, at) => at % stride === 0).slice(0, counts.rows);
  const quantized = taken.map((row) =>
    Int8Array.from({ length }, (_, i) =>
      Math.max(-128, Math.min(127, Math.round(row[i]! / scale) + zeroPoint)),
    ),
  );
  const chance = Array.from({ length: counts.chance }, () =>
    Int8Array.from({ length }, () => Math.floor(random() * 256) - 128),
  );
  return [...quantized, filled(-128), filled(127), filled(zeroPoint), ...chance];
}

interface Block {
  bytes: number;
  first: number;
  last: number;
  offset: number;
}

interface Memory {
  /** Bytes of the arena. */
  bytes: number;
  /** C expression for a tensor's location. */
  place(tensor: number): string;
  /** C expression for a piece's own memory. */
  patch(piece: number): string;
}

/** Rounds up to whole words of four bytes, so that copies proceed word by word. */
const align = (bytes: number) => Math.ceil(bytes / 4) * 4;

/**
 * Places tensors in the arena: the largest first, each in the lowest gap that is free during its lifetime. The network's input and output are the
 * caller's memory.
 */
function memoryOf(graph: Graph, { pieces, roots }: Pieces): Memory {
  const [input, output] = [roots[graph.inputs[0]!]!, roots[graph.outputs[0]!]!];
  const blocks = new Map<number, Block>();
  const patches = new Map<number, Block>();
  const use = (tensor: number, time: number) => {
    const root = roots[tensor]!;
    if (root === input || root === output || graph.tensors[root]!.data !== undefined) return;
    const bytes = align(elementCount(graph.tensors[root]!.shape));
    const block = blocks.get(root) ?? { bytes, first: time, last: time, offset: -1 };
    block.last = time;
    blocks.set(root, block);
  };
  pieces.forEach((piece, time) => {
    if (piece.output >= 0) use(piece.output, time);
    for (const tensor of piece.inputs) use(tensor, time);
    if (piece.scratch > 0)
      patches.set(time, { bytes: align(piece.scratch), first: time, last: time, offset: -1 });
  });
  const bytes = place([...blocks.values(), ...patches.values()]);
  const arena = (offset: number) => (offset === 0 ? 'arena' : `arena + ${offset}`);
  return {
    bytes,
    place: (tensor) => {
      const root = tensor < 0 ? output : roots[tensor]!;
      if (tensor < 0 || (root === output && root !== input && graph.tensors[root]!.data === undefined))
        return 'output';
      if (root === input) return 'input';
      if (graph.tensors[root]!.data !== undefined) return `constant${root}`;
      return arena(blocks.get(root)!.offset);
    },
    patch: (piece) => arena(patches.get(piece)!.offset),
  };
}

function place(blocks: Block[]): number {
  const placed: Block[] = [];
  for (const block of blocks.sort((a, b) => b.bytes - a.bytes || a.first - b.first)) {
    const others = placed.filter(({ first, last }) => first <= block.last && block.first <= last);
    let offset = 0;
    for (const other of others.sort((a, b) => a.offset - b.offset)) {
      if (other.offset - offset >= block.bytes) break;
      offset = Math.max(offset, other.offset + other.bytes);
    }
    block.offset = offset;
    placed.push(block);
  }
  return placed.reduce((most, { offset, bytes }) => Math.max(most, offset + bytes), 0);
}

const texts: Readonly<Record<Helper, string>> = {
  wide: `/*
 * On machines with vector instructions, weights are 16-bit numbers and rows are padded with zeros. Elsewhere a weight is one byte
 * of flash, rows are not padded, and a few products that fit 16 bits are added at a time.
 */
#ifndef MODEL_WIDE
#if defined(__SSE2__) || defined(__ARM_NEON)
#define MODEL_WIDE 1
#else
#define MODEL_WIDE 0
#endif
#endif
#if MODEL_WIDE
typedef int16_t wide, few;
#define WHOLE(count, whole) (whole)
#else
typedef int8_t wide;
typedef int32_t few;
#define WHOLE(count, whole) (count)
#endif

/* If the loader can select a variant, layers are also compiled for wider vectors. */
#ifndef MODEL_CLONES
#if MODEL_WIDE && defined(__x86_64__) && !defined(__AVX2__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \\
    defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define MODEL_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define MODEL_CLONES
#endif
#endif`,
  clamped: `static inline int32_t clamped(int32_t value, int32_t low, int32_t high) {
  const int32_t least = value < low ? low : value;
  return least > high ? high : least;
}`,
  scaledDown: `/*
 * x * multiplier / 2^(32 + less), rounded twice: first halves up at 2^31, then halves away from zero. Right shifts of negative
 * numbers are arithmetic in every supported compiler.
 */
static inline int32_t scaled_down(int32_t x, int32_t multiplier, int less) {
  const int32_t high = (int32_t)((uint64_t)((int64_t)x * multiplier + 1073741824) >> 31);
  return (((high + (high >> 31)) >> less) + 1) >> 1;
}`,
  scaled: `/* x * multiplier * 2^(shift - 31), rounded as TFLite's reference kernels do. */
static inline int32_t scaled(int32_t x, int32_t multiplier, int shift) {
  const int32_t more = shift > 0 ? (int32_t)((uint32_t)x << shift) : x;
  const int32_t high = (int32_t)((uint64_t)((int64_t)more * multiplier + 1073741824) >> 31);
  return shift < 0 ? (((high + (high >> 31)) >> (-shift - 1)) + 1) >> 1 : high;
}`,
  inverse: `/* a * b / 2^31 */
static inline int32_t product(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + 1073741824) >> 31);
}

static inline int32_t times_saturated(int32_t x, int32_t factor) {
  const int64_t full = (int64_t)x * factor;
  return full > INT32_MAX ? INT32_MAX : full < INT32_MIN ? INT32_MIN : (int32_t)full;
}

/* 1/(1 + a) of a in [0, 1) with 31 bits of fraction: three steps of Newton's method, as gemmlowp takes them. */
static inline int32_t inverse(int32_t a) {
  const int32_t half = (int32_t)(((int64_t)a + 2147483648) / 2);
  int32_t x = 1515870810 + product(half, -1010580540);
  for (int step = 0; step < 3; step++) x += times_saturated(product(x, 536870912 - product(half, x)), 4);
  return times_saturated(x, 2);
}`,
};

/** The helpers' functions, ordered so that each precedes its callers. */
function helperTexts(used: ReadonlySet<Helper>): string[] {
  const order: Helper[] = ['wide', 'clamped', 'scaledDown', 'scaled', 'inverse'];
  return order.filter((helper) => used.has(helper)).map((helper) => texts[helper]);
}

/** Operators whose output depends on a single input value: 256 results define them completely. */
const lookups: ReadonlySet<OperatorName> = new Set([
  'LOGISTIC',
  'TANH',
  'RELU',
  'RELU6',
  'LEAKY_RELU',
  'QUANTIZE',
]);

const weighted: ReadonlySet<OperatorName> = new Set(['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D']);

const makers: { readonly [Name in OperatorName]?: (site: Site<never>) => Piece | Piece[] } = {
  FULLY_CONNECTED: fullyConnected,
  CONV_2D: convolution,
  DEPTHWISE_CONV_2D: depthwise,
  MAX_POOL_2D: pool,
  AVERAGE_POOL_2D: pool,
  MEAN: reduction,
  REDUCE_MAX: reduction,
  ADD: arithmetic,
  SUB: arithmetic,
  MUL: arithmetic,
  SOFTMAX: softmax,
  CONCATENATION: concatenation,
  PAD: pad,
  PADV2: pad,
  TRANSPOSE: transpose,
  SPLIT: split,
  STRIDED_SLICE: stridedSlice,
};

/** A network as functions to be called in sequence. */
interface Pieces {
  pieces: Piece[];
  /** The tensor whose memory each tensor uses: a change of shape moves nothing. */
  roots: readonly number[];
}

/** @throws AIOT_QUANTIZE_UNFIT for anything that is not int8 throughout; AIOT_TFLITE_* for networks that no interpreter runs */
function piecesOf(graph: Graph): Pieces {
  refuseOthers(graph);
  // If the interpreter can prepare it, shapes, scales and types are consistent: the code below relies on that.
  createInterpreter(graph);
  const roots = graph.tensors.map((_, index) => index);
  const done = new Set<number>();
  const pieces: Piece[] = [];
  graph.operators.forEach((operator, at) => {
    if (done.has(at)) return;
    if (operator.op === 'RESHAPE' || operator.op === 'EXPAND_DIMS' || operator.op === 'SQUEEZE') {
      roots[operator.outputs[0]!] = roots[operator.inputs[0]!]!;
      return;
    }
    if (lookups.has(operator.op)) {
      pieces.push(lookup(siteOf(graph, at, null), answersOf(graph, operator)));
      return;
    }
    const follower = weighted.has(operator.op) ? lookupAfter(graph, operator) : undefined;
    const table = follower === undefined ? null : answersOf(graph, graph.operators[follower]!);
    const made = [makers[operator.op]!(siteOf(graph, at, table) as Site<never>)].flat();
    if (follower !== undefined) {
      done.add(follower);
      const { op, outputs } = graph.operators[follower]!;
      for (const piece of made) Object.assign(piece, { output: outputs[0]!, op: `${piece.op} and ${op}` });
    }
    pieces.push(...made);
  });
  const [input = 0] = graph.inputs;
  const [output = 0] = graph.outputs;
  const root = roots[output]!;
  // The output is the input or a constant, which no operator computes, so it is copied.
  if (root === roots[input] || graph.tensors[root]!.data !== undefined) {
    const last = { ...siteOf(graph, graph.operators.length - 1, null) };
    const copied = { ...graph.tensors[root]! };
    pieces.push({ ...whole({ ...last, output: copied }), op: 'copy', inputs: [root], output: -1 });
  }
  return { pieces, roots };
}

function refuseOthers({ tensors, inputs, outputs, operators }: Graph): void {
  const next = 'Use --mode int8 with --io int8.';
  const refuse = (what: string) =>
    new AiotError('AIOT_QUANTIZE_UNFIT', `--emit c supports fully int8 models only, got ${what}`, {
      next,
    });
  const typeOf = (index: number): Tensor['type'] => tensors[index]!.type;
  for (const index of [...inputs, ...outputs])
    if (typeOf(index) !== 'int8') throw refuse(`an input or output of ${typeOf(index)}`);
  operators.forEach(({ op, outputs: made }, at) => {
    const other = made.map(typeOf).find((type) => type !== 'int8');
    if (other !== undefined) throw refuse(`operator ${at} (${op}) of ${other}`);
  });
}

/** Index of the only operator that reads this operator's output; undefined unless each of its results depends on a single value. */
function lookupAfter(graph: Graph, { outputs }: Operator): number | undefined {
  const [made] = outputs;
  if (graph.outputs.includes(made!)) return undefined;
  const users = graph.operators.flatMap(({ inputs }, at) => (inputs.includes(made!) ? [at] : []));
  const [user] = users;
  return users.length === 1 && lookups.has(graph.operators[user!]!.op) ? user : undefined;
}

/** Results of an operator for each int8 input from −128 to 127. */
function answersOf(graph: Graph, operator: Operator): Int8Array {
  const [x, y] = [graph.tensors[operator.inputs[0]!]!, graph.tensors[operator.outputs[0]!]!];
  const alone: Graph = {
    name: 'main',
    description: '',
    tensors: [
      { ...x, shape: [1, 256] },
      { ...y, shape: [1, 256] },
    ].map(({ data: _, ...tensor }) => tensor),
    operators: [{ ...operator, inputs: [0], outputs: [1] }],
    inputs: [0],
    outputs: [1],
  };
  const all = Int8Array.from({ length: 256 }, (_, index) => index - 128);
  return Int8Array.from(createInterpreter(alone).invoke(all));
}
