import { AiotError } from '../../core/errors.js';
import { roundHalfAway } from '../../core/numbers.js';
import {
  type Activation,
  elementCount,
  type Graph,
  type Operator,
  type OperatorOptions,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { quantizeMultiplier } from '../../runtime/interpreter/fixed-point.js';
import { cFloat } from './c-text.js';

/** Functions shared by several layers, each emitted on first use. */
export type Helper =
  | 'clamped'
  | 'scaled'
  | 'scaledDown'
  | 'scaledWide'
  | 'product'
  | 'saturated'
  | 'inverse'
  | 'quotient'
  | 'naturalLog'
  | 'inverseRoot'
  | 'sigmoid'
  | 'shares'
  | 'nearest'
  | 'truncated'
  | 'unfused'
  | 'realGates'
  | 'wide'
  | 'wrapped'
  | 'bitsOf'
  | 'origin'
  | 'fourier'
  | 'steps15'
  | 'steps31'
  | 'stepsReal'
  | 'inverse15'
  | 'inverse31'
  | 'inverseReal'
  | 'forward31'
  | 'forwardReal'
  | 'weightedSum'
  | 'root'
  | 'gain'
  | 'logarithm';

/** C code for files that compute with floating point. */
export const unfused = `/* Products on float32 are rounded before they are added, also across layers. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif`;

/** One generated function: its computation and its tensors. */
export interface Piece {
  /** Index of the operator in the network. */
  at: number;
  op: string;
  /** Tensors that the function reads as `x`, `x2` and `x3`. */
  inputs: number[];
  /** The tensor that the function writes as `y`; −1 − k for a copy to output k of the network. */
  output: number;
  /** Bytes that the function needs as `patch` while it runs. */
  scratch: number;
  /** Tables, as C definitions. */
  constants: string[];
  /** C statements. */
  body: string;
  helpers: readonly Helper[];
  /** Whether the function is compiled for several vector widths, so that the loader can choose. */
  cloned: boolean;
  /** Comment above the function in the generated source. */
  about: string;
}

/** One network operator, with everything needed to generate its pieces. */
export interface Site<Options = unknown> {
  graph: Graph;
  at: number;
  operator: Operator;
  options: Options;
  input(place: number): Tensor;
  output: Tensor;
  /** A table name specific to this layer: `weights` becomes `weights3`. */
  own(name: string): string;
  /** The 256 outputs of a following operator that depends on a single value; the generated code then covers both operators. */
  table: Int8Array | null;
}

export function siteOf(graph: Graph, at: number, table: Int8Array | null): Site {
  const operator = graph.operators[at]!;
  return {
    graph,
    at,
    operator,
    options: operator.options,
    input: (place) => graph.tensors[operator.inputs[place]!]!,
    // ASSIGN_VARIABLE writes to its first input.
    output: graph.tensors[operator.outputs[0] ?? operator.inputs[0]!]!,
    own: (name) => `${name}${at}`,
    table,
  };
}

/** A piece with one input and one output. It has no memory or tables except those in `part`. */
export function pieceOf(site: Site, part: Pick<Piece, 'body'> & Partial<Piece>): Piece {
  return {
    at: site.at,
    op: site.operator.op,
    inputs: [site.operator.inputs[0]!],
    output: site.operator.outputs[0] ?? site.operator.inputs[0]!,
    scratch: 0,
    constants: [],
    helpers: [],
    cloned: false,
    about: `${elementCount(site.output.shape)} values`,
    ...part,
  };
}

/** C type of a tensor's elements. bool values are bytes of 0 and 1. */
export function cTypeOf({ type }: Pick<Tensor, 'type'>): CType {
  if (type === 'float32') return 'float';
  return type === 'int16' || type === 'int32' || type === 'uint32' || type === 'uint64'
    ? `${type}_t`
    : 'int8_t';
}

type CType = 'float' | 'int8_t' | 'int16_t' | 'int32_t' | 'uint32_t' | 'uint64_t';

export type SiteOf<Name extends keyof OperatorOptions> = Site<OperatorOptions[Name]>;

export function scaleOf({ quantization }: Tensor): { scale: number; zeroPoint: number } {
  return { scale: quantization!.scale[0]!, zeroPoint: quantization!.zeroPoint[0]! };
}

/** Smallest and largest value of an output with a fused activation, computed in single precision like the reference kernels. */
export function rangeOf(output: Tensor, activation: Activation = 'none'): { low: number; high: number } {
  const { scale, zeroPoint } = scaleOf(output);
  const quantized = (real: number) => zeroPoint + roundHalfAway(Math.fround(real / scale));
  const [least, most] = output.type === 'int16' ? [-32768, 32767] : [-128, 127];
  const [low, high] = {
    none: [least, most],
    relu: [quantized(0), most],
    relu6: [quantized(0), quantized(6)],
    relu_n1_to_1: [quantized(-1), quantized(1)],
  }[activation] as [number, number];
  return { low: Math.max(least, low), high: Math.min(most, high) };
}

/** C expression for a value as an element of the output: with the zero point added, within the range of its type and activation. */
export function storedText(output: Tensor, value: string, activation: Activation = 'none'): string {
  const { low, high } = rangeOf(output, activation);
  const { zeroPoint } = scaleOf(output);
  return `(${cTypeOf(output)})clamped(${value}${zeroPoint === 0 ? '' : ` + ${signed(zeroPoint)}`}, ${low}, ${high})`;
}

/** C expression for a value minus its zero point. */
export function less(text: string, zero: number): string {
  return zero === 0 ? text : `(${text} - ${signed(zero)})`;
}

/** C expression for x times a ratio of scales, and the helper that the expression calls. */
export function scaledText(x: string, ratio: number): { text: string; helper: Helper } {
  const { multiplier, shift } = quantizeMultiplier(Math.abs(ratio));
  const factor = ratio < 0 ? -multiplier : multiplier;
  return shift < 0
    ? { text: `scaled_down(${x}, ${factor}, ${-shift - 1})`, helper: 'scaledDown' }
    : { text: `scaled(${x}, ${factor}, ${shift})`, helper: 'scaled' };
}

/**
 * A ratio of scales for 64-bit sums: a multiplier of 15 bits, and the number of bits by which the product is shifted right.
 * @throws AIOT_QUANTIZE_UNFIT if the product would have to be shifted left
 */
export function wideRatio({ at, operator }: Site, ratio: number): { multiplier: number; shift: number } {
  const { multiplier, shift } = quantizeMultiplier(ratio);
  if (shift > 14)
    throw new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      `operator ${at} (${operator.op}): the scale of its output is too small for its input`,
      { next: 'Such scales indicate a broken model. Quantize it again with `aiot model quantize`.' },
    );
  return { multiplier: multiplier < 0x7fff0000 ? (multiplier + 32768) >> 16 : 0x7fff, shift: 15 - shift };
}

/** C expression for a 64-bit x times a ratio of scales, as layers on int16 compute it. */
export function wideScaledText(site: Site, x: string, ratio: number): { text: string; helper: Helper } {
  const { multiplier, shift } = wideRatio(site, ratio);
  return { text: `scaled_wide(${x}, ${multiplier}, ${shift})`, helper: 'scaledWide' };
}

/** An integer as C text, in parentheses if negative, because the text may follow a minus sign. */
export function signed(value: number): string {
  return value < 0 ? `(${value})` : String(value);
}

/** A table of numbers, sixteen per line. */
export function table(type: string, name: string, values: ArrayLike<number>, whole = values.length): string {
  return `static const ${type} ${name}[${wholeText(values.length, whole)}] = {\n${numberLines(values, type === 'float' ? cFloat : literal).join('\n')}\n};`;
}

/** Rows of numbers, padded with zeros to `whole` on machines that process rows in whole vectors. */
export function rowTable(type: string, name: string, rows: ArrayLike<number>[], whole: number): string {
  const length = rows[0]?.length ?? 0;
  const lines = rows.map((row) => `    {\n${numberLines(row).join('\n')}\n    },`);
  return `static const ${type} ${name}[${rows.length}][${wholeText(length, whole)}] = {\n${lines.join('\n')}\n};`;
}

/** C expression for a count, which machines with vectors round up to `whole`. */
export function wholeText(count: number, whole: number): string {
  return count === whole ? String(count) : `WHOLE(${count}, ${whole})`;
}

/** Numbers as C, sixteen per line. */
function numberLines(values: ArrayLike<number>, written = literal): string[] {
  const lines: string[] = [];
  for (let at = 0; at < values.length; at += 16)
    lines.push(
      `    ${Array.from({ length: Math.min(16, values.length - at) }, (_, i) => written(values[at + i]!)).join(', ')},`,
    );
  return lines;
}

/** In C, −2147483648 is the negation of a number that does not fit in int32. */
function literal(value: number): string {
  return value === -2147483648 ? '(-2147483647 - 1)' : String(value);
}

/** Lines indented by two spaces per level. */
export function indent(text: string, levels = 1): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? line : '  '.repeat(levels) + line))
    .join('\n');
}

/** Converts the sums of a weighted layer into its outputs. */
export interface Finish {
  /** Tables, and the function that computes one output. */
  constants: string[];
  helpers: Helper[];
  /** Number of sums, as a C expression. On machines with vectors, slightly greater than the number of outputs. */
  sums: string;
  /** The output of channel `o` from its sum. */
  text(sum: string, o: string): string;
  /** Statements that convert all sums into outputs on machines with vectors. */
  all: string;
}

/** Outputs are processed in groups of eight, because a vector holds four or eight 32-bit numbers. */
export const wholeOutputs = (count: number) => (count <= 4 ? count : Math.ceil(count / 8) * 8);

/**
 * The output channels' scale ratios: as tables, or as literals if all are equal. The input's zero point is folded into the bias, so that
 * Σ w·(x − z) becomes Σ w·x.
 * @param channelOf the output channel of each weight
 * @throws AIOT_QUANTIZE_UNFIT if a sum could exceed int32
 */
export function finishOf(
  site: Site,
  channels: number,
  channelOf: (weight: number) => number,
  activation: Activation,
): Finish {
  const x = site.input(0);
  const { low, high } = rangeOf(site.output, activation);
  const { zeroPoint } = scaleOf(site.output);
  const [multipliers, shifts] = ratiosOf(site, channels);
  const down = shifts.every((shift) => shift < 0);
  const given = down ? shifts.map((shift) => -shift - 1) : shifts;
  const whole = wholeOutputs(channels);
  const constants = [
    table('int32_t', site.own('bias'), foldedBias(site, channels, channelOf, scaleOf(x).zeroPoint), whole),
  ];
  let listing = false;
  const listed = (type: string, name: string, values: number[]) => {
    if (values.every((value) => value === values[0])) return signed(values[0]!);
    listing = true;
    constants.push(table(type, site.own(name), values, whole));
    return `${site.own(name)}[o]`;
  };
  const multiplier = listed('int32_t', 'multiplier', multipliers);
  const shift = listed('int8_t', 'shift', given);
  if (site.table !== null) constants.push(table('int8_t', site.own('table'), byByte(site.table)));
  const scaled = `${down ? 'scaled_down' : 'scaled'}(sum, ${multiplier}, ${shift})`;
  const name = site.own('output');
  constants.push(`static inline int32_t ${name}(int32_t sum${listing ? ', int o' : ''}) {
  return clamped(${scaled} + ${signed(zeroPoint)}, ${low}, ${high});
}`);
  const one = (sum: string, o: string) => `${name}(${sum}${listing ? `, ${o}` : ''})`;
  const last = (value: string) =>
    site.table === null ? `(int8_t)${value}` : `${site.own('table')}[(uint8_t)${value}]`;
  const sums = wholeText(channels, whole);
  return {
    constants,
    helpers: ['wide', down ? 'scaledDown' : 'scaled', 'clamped'],
    sums,
    text: (sum, o) => last(one(sum, o)),
    all: `if (MODEL_WIDE) {
${indent(`for (int o = 0; o < ${sums}; o++) sums[o] = ${one('sums[o]', 'o')};
for (int o = 0; o < ${channels}; o++) y[o] = ${last('sums[o]')};`)}
}`,
  };
}

/** Reorders a table for −128 … 127 by unsigned byte: 0 … 127, then −128 … −1. */
export function byByte(values: Int8Array): Int8Array {
  return Int8Array.from(values, (_, byte) => values[(byte + 128) % 256]!);
}

function ratiosOf(site: Site, channels: number): [multipliers: number[], shifts: number[]] {
  const scales = site.input(1).quantization!.scale;
  const [input, output] = [scaleOf(site.input(0)).scale, scaleOf(site.output).scale];
  const ratios = Array.from({ length: channels }, (_, channel) =>
    quantizeMultiplier((input * scales[scales.length === 1 ? 0 : channel]!) / output),
  );
  return [ratios.map(({ multiplier }) => multiplier), ratios.map(({ shift }) => shift)];
}

function foldedBias(
  site: Site,
  channels: number,
  channelOf: (weight: number) => number,
  zeroPoint: number,
): Int32Array {
  const bias = site.graph.tensors[site.operator.inputs[2] ?? -1]?.data as Int32Array | undefined;
  const weights = site.input(1).data as Int8Array;
  const sums = new Float64Array(channels);
  const most = new Float64Array(channels);
  weights.forEach((weight, at) => {
    sums[channelOf(at)]! += weight;
    most[channelOf(at)]! += Math.abs(weight) * 128;
  });
  return Int32Array.from({ length: channels }, (_, channel) => {
    const value = (bias?.[channel] ?? 0) - zeroPoint * sums[channel]!;
    // Signed overflow is undefined in C (C11, 6.5).
    if (Math.abs(value) + most[channel]! > 2147483647)
      throw new AiotError(
        'AIOT_QUANTIZE_UNFIT',
        `operator ${site.at} (${site.operator.op}): sums of output channel ${channel} could overflow int32`,
        { next: 'Such a large bias indicates a broken model. Quantize it again with `aiot model quantize`.' },
      );
    return value;
  });
}
