import { scalesAlike } from '../../formats/tflite/check.js';
import {
  type Activation,
  elementCount,
  type OperatorOptions,
  type Tensor,
  type TensorType,
} from '../../formats/tflite/graph.js';
import { quantizeMultiplier, stepsOf } from '../../runtime/interpreter/fixed-point.js';
import { type Axis, axisOf } from '../../runtime/interpreter/geometry.js';
import { inputScale } from '../../runtime/interpreter/int16.js';
import { nodeAt } from '../../runtime/interpreter/interpreter.js';
import type { Node } from '../../runtime/interpreter/node.js';
import {
  cTypeOf,
  type Helper,
  indent,
  less,
  type Piece,
  pieceOf,
  rangeOf,
  type Site,
  type SiteOf,
  scaledText,
  scaleOf,
  signed,
  storedText,
  table,
  wideRatio,
} from './piece.js';

/** C code for layers on int16 with int8 weights, like the kernels in runtime/interpreter/int16.ts. Zero points of int16 are 0. */
export function fullyConnected16(site: SiteOf<'FULLY_CONNECTED'>): Piece {
  const [outputs, inputs] = site.input(1).shape as [number, number];
  const rows = elementCount(site.input(0).shape) / inputs;
  const finish = finishOf(site, outputs, (at) => Math.floor(at / inputs), site.options);
  const weights = site.own('weights');
  return pieceOf(site, {
    constants: [...finish.constants, table('int8_t', weights, site.input(1).data as Int8Array)],
    helpers: finish.helpers,
    cloned: true,
    body: `for (int row = 0; row < ${rows}; row++, x += ${inputs})
  for (int o = 0; o < ${outputs}; o++) {
    const int8_t *const w = ${weights} + o * ${inputs};
    ${finish.type} sum = 0;
    for (int i = 0; i < ${inputs}; i++) sum += w[i] * x[i];
    *y++ = ${finish.call};
  }`,
    about: `${rows === 1 ? '' : `${rows} × `}${inputs} → ${outputs}`,
  });
}

export function convolution16(site: SiteOf<'CONV_2D'>): Piece {
  const [outputs, filterH, filterW, taken] = site.input(1).shape as [number, number, number, number];
  const finish = finishOf(site, outputs, (at) => Math.floor(at / (filterH * filterW * taken)), site.options);
  const window = windowOf(site, [filterH, filterW]);
  const weights = site.own('weights');
  const each = outputs / (window.channels / taken);
  const group = each === outputs ? '' : ` + o / ${each} * ${taken}`;
  const products = `const int16_t *const from = x + (line * ${window.columns.input} + cell) * ${window.channels}${group};
const int8_t *const w = ${weights} + ((o * ${filterH} + r) * ${filterW} + c) * ${taken};
for (int i = 0; i < ${taken}; i++) sum += w[i] * from[i];`;
  return windowPiece(site, finish, window, outputs, products);
}

export function depthwise16(site: SiteOf<'DEPTHWISE_CONV_2D'>): Piece {
  const [, filterH, filterW, outputs] = site.input(1).shape as [number, number, number, number];
  const finish = finishOf(site, outputs, (at) => at % outputs, site.options);
  const window = windowOf(site, [filterH, filterW]);
  const multiplier = outputs / window.channels;
  const channel = multiplier === 1 ? 'o' : `o / ${multiplier}`;
  const products = `sum += ${site.own('weights')}[(r * ${filterW} + c) * ${outputs} + o] * x[(line * ${window.columns.input} + cell) * ${window.channels} + ${channel}];`;
  return windowPiece(site, finish, window, outputs, products);
}

interface Window {
  batches: number;
  channels: number;
  rows: Axis;
  columns: Axis;
}

function windowOf(site: SiteOf<'CONV_2D' | 'DEPTHWISE_CONV_2D'>, filter: [number, number]): Window {
  const [batches, height, width, channels] = site.input(0).shape as [number, number, number, number];
  const { padding, strideH, strideW, dilationH, dilationW } = site.options;
  return {
    batches,
    channels,
    rows: axisOf(height, filter[0], strideH, dilationH, padding),
    columns: axisOf(width, filter[1], strideW, dilationW, padding),
  };
}

/** A layer whose sums add the products of each cell of a window; cells outside the image add nothing. */
function windowPiece(
  site: SiteOf<'CONV_2D' | 'DEPTHWISE_CONV_2D'>,
  finish: Finish,
  { batches, channels, rows, columns }: Window,
  outputs: number,
  products: string,
): Piece {
  const place = ({ stride, before, dilation }: Axis, position: string, filter: string) =>
    `${position} * ${stride}${before === 0 ? '' : ` - ${before}`} + ${filter}${dilation === 1 ? '' : ` * ${dilation}`}`;
  const image = rows.input * columns.input * channels;
  const body = `for (int row = 0; row < ${rows.output}; row++)
  for (int column = 0; column < ${columns.output}; column++)
    for (int o = 0; o < ${outputs}; o++) {
      ${finish.type} sum = 0;
      for (int r = 0; r < ${rows.filter}; r++) {
        const int line = ${place(rows, 'row', 'r')};
        if (line < 0 || line >= ${rows.input}) continue;
        for (int c = 0; c < ${columns.filter}; c++) {
          const int cell = ${place(columns, 'column', 'c')};
          if (cell < 0 || cell >= ${columns.input}) continue;
${indent(products, 5)}
        }
      }
      *y++ = ${finish.call};
    }`;
  return pieceOf(site, {
    constants: [...finish.constants, table('int8_t', site.own('weights'), site.input(1).data as Int8Array)],
    helpers: finish.helpers,
    cloned: true,
    body:
      batches === 1
        ? body
        : `for (int image = 0; image < ${batches}; image++, x += ${image})\n${indent(body)}`,
    about: `${rows.input} × ${columns.input} × ${channels} → ${rows.output} × ${columns.output} × ${outputs}, filter ${rows.filter} × ${columns.filter}`,
  });
}

/** Converts the sums of a layer into its outputs. */
interface Finish {
  /** Tables, and the function that computes one output. */
  constants: string[];
  helpers: Helper[];
  /** C type in which all products of an output can be added. */
  type: 'int32_t' | 'int64_t';
  /** The output of channel `o` from `sum`. */
  call: string;
}

/**
 * Sums have 64 bits, and multipliers 15. If the bias is int32 (or there is none and the options say so), sums wrap at 32 bits, and multipliers
 * have as many bits as for int8.
 * @param channelOf the output channel of each weight
 */
function finishOf(
  site: Site,
  channels: number,
  channelOf: (weight: number) => number,
  { activation, quantizedBiasType }: { activation: Activation; quantizedBiasType?: TensorType | undefined },
): Finish {
  const bias = site.graph.tensors[site.operator.inputs[2] ?? -1]?.data as
    | BigInt64Array
    | Int32Array
    | undefined;
  const wraps = bias instanceof Int32Array || (bias === undefined && quantizedBiasType === 'int32');
  const scales = site.input(1).quantization!.scale;
  const [input, output] = [scaleOf(site.input(0)).scale, scaleOf(site.output).scale];
  const ratios = Array.from({ length: channels }, (_, channel) => {
    const ratio = (input * scales[scales.length === 1 ? 0 : channel]!) / output;
    return wraps ? quantizeMultiplier(ratio) : wideRatio(site, ratio);
  });
  const constants: string[] = [];
  const listed = (type: string, name: string, values: number[]) => {
    if (values.every((value) => value === values[0])) return signed(values[0]!);
    constants.push(table(type, site.own(name), values));
    return `${site.own(name)}[o]`;
  };
  const biases = Array.from({ length: channels }, (_, channel) => Number(bias?.[channel] ?? 0));
  const large = biases.some((value) => Math.abs(value) > 2147483647);
  const added = listed(large ? 'int64_t' : 'int32_t', 'bias', biases);
  const multiplier = listed(
    wraps ? 'int32_t' : 'int16_t',
    'multiplier',
    ratios.map((own) => own.multiplier),
  );
  const shift = listed(
    'int8_t',
    'shift',
    ratios.map((own) => own.shift),
  );
  const sum = wraps
    ? `scaled((int32_t)((uint32_t)sum + (uint32_t)${added}), ${multiplier}, ${shift})`
    : `scaled_wide(sum + ${added}, ${multiplier}, ${shift})`;
  const listing = constants.length > 0;
  const { low, high } = rangeOf(site.output, activation);
  constants.push(`static inline int16_t ${site.own('output')}(int64_t sum${listing ? ', int o' : ''}) {
  return (int16_t)clamped(${sum}, ${low}, ${high});
}`);
  return {
    constants,
    helpers: ['wide', 'clamped', wraps ? 'scaled' : 'scaledWide'],
    type: largestSum(site, channels, channelOf) <= 2147483647 ? 'int32_t' : 'int64_t',
    call: `${site.own('output')}(sum${listing ? ', o' : ''})`,
  };
}

/** The largest magnitude that the sum of an output's products can have. */
function largestSum(site: Site, channels: number, channelOf: (weight: number) => number): number {
  const sums = new Float64Array(channels);
  (site.input(1).data as Int8Array).forEach((weight, at) => {
    sums[channelOf(at)]! += Math.abs(weight) * 32768;
  });
  return sums.reduce((most, sum) => Math.max(most, sum), 0);
}

/** Operators on int16 that compute each value from one value. */
export const elementwise16 = {
  RELU: rectified,
  RELU6: rectified,
  LEAKY_RELU: leaky,
  ABS: absolute,
  RSQRT: inverseRoots,
  LOGISTIC: sigmoid,
  TANH: sigmoid,
};

function eachValue(site: Site, value: string, helpers: Helper[]): Piece {
  return pieceOf(site, {
    body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) y[i] = ${value};`,
    helpers: ['clamped', ...helpers],
  });
}

const scales = (site: Site) => [scaleOf(site.input(0)).scale, scaleOf(site.output).scale] as [number, number];

/** RELU and RELU6, which also rescale. For RELU6, the ratio is in single precision, as in LiteRT. */
function rectified(site: Site): Piece {
  const [input, output] = scales(site);
  if (site.operator.op === 'RELU') {
    const { text, helper } = scaledText('x[i]', input / output);
    return eachValue(site, `(int16_t)clamped(${text}, 0, 32767)`, [helper]);
  }
  const isSame = scalesAlike(site.input(0), site.output);
  const { text, helper } = scaledText('x[i]', isSame ? 1 : Math.fround(input / output));
  const six = stepsOf(nodeAt(site.graph, site.at) as Node, 6, isSame ? input : output);
  return eachValue(site, `(int16_t)clamped(${text}, 0, ${Math.min(six, 32767)})`, [helper]);
}

function leaky(site: Site<OperatorOptions['LEAKY_RELU']>): Piece {
  const [input, output] = scales(site);
  const { alpha } = site.options;
  const above = scaledText('x[i]', input / output);
  const below = scaledText('x[i]', (Math.sign(alpha) * (input * Math.abs(alpha))) / output);
  const value = storedText(site.output, `(x[i] >= 0 ? ${above.text} : ${below.text})`);
  return eachValue(site, value, [above.helper, below.helper]);
}

function absolute(site: Site): Piece {
  const [input, output] = scales(site);
  const distance = '(x[i] < 0 ? -x[i] : x[i])';
  if (input === output) return eachValue(site, storedText(site.output, distance), []);
  const { text, helper } = scaledText(distance, input / output);
  return eachValue(site, storedText(site.output, text), [helper]);
}

/** RSQRT, whose intermediate value has 20 bits of fraction. */
function inverseRoots(site: Site): Piece {
  const [input, output] = scales(site);
  const ratio = 1 / (Math.sqrt(input) * output);
  const { multiplier, shift } = quantizeMultiplier(ratio);
  return pieceOf(site, {
    helpers: ['clamped', 'scaled', 'inverseRoot'],
    body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) {
  int shift = 0;
  const int32_t multiplier = inverse_root(x[i], &shift);
  const int32_t root = scaled(1, multiplier, shift + 20);
  y[i] = x[i] <= 0 ? 32767 : ${storedText(site.output, `scaled(root, ${multiplier}, ${shift - 20})`)};
}`,
  });
}

/** LOGISTIC and TANH, by interpolation. */
function sigmoid(site: Site): Piece {
  const isTanh = site.operator.op === 'TANH';
  const { multiplier, shift } = inputScale(nodeAt(site.graph, site.at) as Node, isTanh ? [0, 1] : [0]);
  const steps =
    shift === 0 ? `x[i] * ${multiplier}` : `(x[i] * ${multiplier} + ${2 ** (shift - 1)}) >> ${shift}`;
  const value = storedText(site.output, `${isTanh ? 'hyperbolic' : 'logistic'}(${steps})`);
  return eachValue(site, value, ['sigmoid']);
}

/** SOFTMAX over the last axis on int16. y first holds e^(x − max), in steps of 2^−15. */
export function softmax16(site: SiteOf<'SOFTMAX'>): Piece {
  const { shape } = site.input(0);
  const classes = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / classes;
  const below = scaledText('x[i] - most', (scaleOf(site.input(0)).scale * site.options.beta) / (10 / 65535));
  const row = `int32_t most = -32768, sum = 0;
for (int i = 0; i < ${classes}; i++)
  if (x[i] > most) most = x[i];
for (int i = 0; i < ${classes}; i++) {
  y[i] = (int16_t)looked_up(exponentials, clamped(${below.text}, -65535, 0) + 32767);
  sum += y[i];
}
int headroom = 0;
while (((uint32_t)sum << headroom & 2147483648u) == 0) headroom++;
const int32_t part = (int32_t)((((uint32_t)sum << (headroom - 1)) + 8192) >> 14);
const int32_t share = looked_up(inverses, clamped(part - 98304, -32768, 32767));
for (int i = 0; i < ${classes}; i++)
  y[i] = (int16_t)clamped((y[i] * share + (1 << (30 - headroom))) >> (31 - headroom), 0, 32767);`;
  return pieceOf(site, {
    body:
      rows === 1
        ? row
        : `for (int row = 0; row < ${rows}; row++, x += ${classes}, y += ${classes}) {\n${indent(row)}\n}`,
    helpers: ['clamped', below.helper, 'shares'],
    about: `${rows === 1 ? '' : `${rows} × `}${classes} classes`,
  });
}

/** QUANTIZE between int8, int16 and int32, or to another scale of int16. Sums of int32 wrap. */
export function requantize(site: Site): Piece {
  const [input, output]: [Tensor, Tensor] = [site.input(0), site.output];
  if (input.type === 'int32' || output.type === 'int32') return requantizeWide(site);
  const { text, helper } = scaledText(
    less('x[i]', scaleOf(input).zeroPoint),
    scaleOf(input).scale / scaleOf(output).scale,
  );
  return eachValue(site, storedText(output, text), [helper]);
}

function requantizeWide(site: Site): Piece {
  const [from, to] = [scaleOf(site.input(0)), scaleOf(site.output)];
  const sum = (text: string, sign: '+' | '-', zero: number) =>
    zero === 0 ? text : `(int32_t)((uint32_t)${text} ${sign} ${zero >>> 0}u)`;
  const { text, helper } = scaledText(sum('x[i]', '-', from.zeroPoint), from.scale / to.scale);
  const value = sum(text, '+', to.zeroPoint);
  const { low, high } = rangeOf(site.output);
  const stored = `(${cTypeOf(site.output)})clamped(${value}, ${low}, ${high})`;
  return eachValue(site, site.output.type === 'int32' ? value : stored, [helper]);
}
