import { elementBytes, elementCount, type Tensor } from '../../formats/tflite/graph.js';
import { sliceAxes } from '../../formats/tflite/shapes.js';
import { gatherPlan, type Moves, movesOf } from '../../runtime/interpreter/copies.js';
import {
  doublingHighMultiply,
  exponential,
  multiplyByQuantized,
  quantizeMultiplier,
  roundingShiftRight,
} from '../../runtime/interpreter/fixed-point.js';
import { axisOf } from '../../runtime/interpreter/geometry.js';
import {
  batchMatmulOf,
  bilinearPlaces,
  nearestPlaces,
  resizeOf,
  transposeConvOf,
} from '../../runtime/interpreter/images.js';
import { logSoftmaxPlan } from '../../runtime/interpreter/int8.js';
import { nodeAt } from '../../runtime/interpreter/interpreter.js';
import type { Node } from '../../runtime/interpreter/node.js';
import { cFloat } from './c-text.js';
import {
  byByte,
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
  wideScaledText,
} from './piece.js';

/** An operator that depends on a single value, as a table of 256 results. */
export function lookup(site: Site, values: Int8Array): Piece {
  const name = site.own('table');
  return pieceOf(site, {
    constants: [table('int8_t', name, byByte(values))],
    body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) y[i] = ${name}[(uint8_t)x[i]];`,
  });
}

export function pool(site: SiteOf<'MAX_POOL_2D'>): Piece {
  const [batches, height, width, channels] = site.input(0).shape as [number, number, number, number];
  const { padding, strideH, strideW, filterH, filterW, activation } = site.options;
  const rows = axisOf(height, filterH, strideH, 1, padding);
  const columns = axisOf(width, filterW, strideW, 1, padding);
  const average = site.operator.op === 'AVERAGE_POOL_2D';
  const bounds = (
    name: string,
    { before, stride, filter, input }: typeof rows,
  ) => `const int ${name} = ${name === 'top' ? 'row' : 'column'} * ${stride} - ${before};
const int ${name}_first = ${name} < 0 ? 0 : ${name}, ${name}_end = ${name} + ${filter} > ${input} ? ${input} : ${name} + ${filter};`;
  const take = average ? 'taken += value;' : 'if (value > taken) taken = value;';
  // The zero point is part of the values.
  const { low, high } = rangeOf(site.output, activation);
  const limited = (value: string) => `(${cTypeOf(site.output)})clamped(${value}, ${low}, ${high})`;
  const half = '(int32_t)((bottom - top_first) * (left_end - left_first))';
  const give = average
    ? `const int32_t count = ${half.replace('bottom', 'top_end')}, half = count / 2;
y[channel] = ${limited('(taken > 0 ? taken + half : taken - half) / count')};`
    : `y[channel] = ${limited('taken')};`;
  const position = `${bounds('top', rows)}
${bounds('left', columns)}
for (int channel = 0; channel < ${channels}; channel++) {
  int32_t taken = ${average ? 0 : rangeOf(site.output).low};
  for (int r = top_first; r < top_end; r++)
    for (int c = left_first; c < left_end; c++) {
      const int32_t value = x[(r * ${width} + c) * ${channels} + channel];
      ${take}
    }
${indent(give)}
}`;
  const all = `for (int row = 0; row < ${rows.output}; row++)
  for (int column = 0; column < ${columns.output}; column++, y += ${channels}) {
${indent(position, 2)}
  }`;
  const body =
    batches === 1
      ? all
      : `for (int image = 0; image < ${batches}; image++, x += ${height * width * channels}) {\n${indent(all)}\n}`;
  return pieceOf(site, {
    body,
    helpers: ['clamped'],
    about: `${height} × ${width} → ${rows.output} × ${columns.output}, ${channels} channels`,
  });
}

/** MEAN, SUM, REDUCE_MAX and REDUCE_MIN over constant axes. */
export function reduction(site: SiteOf<'MEAN'>): Piece {
  const { shape } = site.input(0);
  const axes = new Set(
    [...(site.input(1).data as Int32Array)].map((axis) => (axis < 0 ? axis + shape.length : axis)),
  );
  const strides = stridesOf(shape);
  const kept = shape.map((size, axis) => ({ size: axes.has(axis) ? 1 : size, x: strides[axis]! }));
  const reduced = shape.map((size, axis) => ({ size: axes.has(axis) ? size : 1, x: strides[axis]! }));
  const count = reduced.reduce((product, { size }) => product * size, 1);
  const { op } = site.operator;
  const added = op === 'MEAN' || op === 'SUM';
  const take = (place: string) =>
    added
      ? `taken += from[${place}];`
      : `if (from[${place}] ${op === 'REDUCE_MIN' ? '<' : '>'} taken) taken = from[${place}];`;
  const [input, output] = [scaleOf(site.input(0)), scaleOf(site.output)];
  // The division of a mean is folded into the multiplier, with as many bits as fit (TFLite's QuantizedMeanOrSum).
  const ratio = quantizeMultiplier(input.scale / output.scale);
  const bits = op === 'MEAN' ? Math.min(31 - Math.clz32(count), 32, 31 + ratio.shift) : 0;
  const multiplier =
    op === 'MEAN' ? Number((BigInt(ratio.multiplier) << BigInt(bits)) / BigInt(count)) : ratio.multiplier;
  const shift = ratio.shift - bits;
  const from = `taken - ${signed(input.zeroPoint * count)}`;
  const scaled =
    shift < 0
      ? `scaled_down(${from}, ${multiplier}, ${-shift - 1})`
      : `scaled(${from}, ${multiplier}, ${shift})`;
  const type = cTypeOf(site.output);
  const { low, high } = rangeOf(site.output);
  const give = added ? storedText(site.output, scaled) : `(${type})taken`;
  const body = loops(
    'k',
    kept,
    ({ x }) => `const ${type} *from = x + ${x};
int32_t taken = ${added ? 0 : op === 'REDUCE_MIN' ? high : low};
${loops('r', reduced, (place) => take(place.x))}
*y++ = ${give};`,
  );
  return pieceOf(site, {
    body: `{\n${indent(body)}\n}`,
    helpers: added ? ['clamped', shift < 0 ? 'scaledDown' : 'scaled'] : [],
    about: `[${shape}] over [${[...axes]}]`,
  });
}

/** Distance, along each axis, between the input elements from which neighboring outputs are computed; 0 along a repeated axis. */
function broadcastSteps(own: readonly number[], shape: readonly number[]): number[] {
  const strides = stridesOf(own);
  const missing = shape.length - own.length;
  return shape.map((_, axis) => (axis < missing || own[axis - missing] === 1 ? 0 : strides[axis - missing]!));
}

/** A tensor's shape; a scalar has one axis of one element. */
const axesOf = ({ shape }: Tensor): readonly number[] => (shape.length === 0 ? [1] : shape);

/** The axes of two inputs that are broadcast together. */
function broadcastAxes(site: Site): { size: number; x: number; x2: number }[] {
  const shape = axesOf(site.output);
  const [x, x2] = [broadcastSteps(site.input(0).shape, shape), broadcastSteps(site.input(1).shape, shape)];
  return shape.map((size, axis) => ({ size, x: x[axis]!, x2: x2[axis]! }));
}

/** A piece that computes each element from `a` and `b`, the elements of two inputs that are broadcast. */
export function pairwise(site: Site, text: string, helpers: Helper[]): Piece {
  const type = site.input(0).type === 'float32' ? 'float' : 'int32_t';
  const body = loops(
    'i',
    broadcastAxes(site),
    ({ x, x2 }) => `const ${type} a = x[${x}], b = x2[${x2}];\n${text}`,
  );
  return pieceOf(site, { inputs: site.operator.inputs, body: `{\n${indent(body)}\n}`, helpers });
}

/** MAXIMUM and MINIMUM of values with the same scale. */
export function choice(site: Site): Piece {
  const sign = site.operator.op === 'MAXIMUM' ? '>' : '<';
  return pairwise(site, `*y++ = (${cTypeOf(site.output)})(a ${sign} b ? a : b);`, []);
}

const signs = {
  EQUAL: '==',
  NOT_EQUAL: '!=',
  GREATER: '>',
  GREATER_EQUAL: '>=',
  LESS: '<',
  LESS_EQUAL: '<=',
} as const;

/** A comparison, which yields 1 or 0. For int8, the multipliers of both sides are the scales. */
export function comparison(site: Site): Piece {
  if (site.input(0).type === 'int32' || site.input(0).type === 'bool')
    return pairwise(site, `*y++ = (int8_t)(a ${signs[site.operator.op as keyof typeof signs]} b);`, []);
  const sides = (['a', 'b'] as const).map((name, place) => {
    const { scale, zeroPoint } = scaleOf(site.input(place));
    return scaledText(`${less(name, zeroPoint)} * 256`, scale);
  });
  const [a, b] = sides as [(typeof sides)[0], (typeof sides)[0]];
  const sign = signs[site.operator.op as keyof typeof signs];
  return pairwise(site, `*y++ = (int8_t)(${a.text} ${sign} ${b.text});`, [a.helper, b.helper]);
}

/** SELECT_V2: x is the condition, x2 and x3 the values. */
export function select(site: Site): Piece {
  const shape = axesOf(site.output);
  const [x, x2, x3] = [0, 1, 2].map((place) => broadcastSteps(site.input(place).shape, shape));
  const axes = shape.map((size, axis) => ({ size, x: x![axis]!, x2: x2![axis]!, x3: x3![axis]! }));
  const body = loops('i', axes, (place) => `*y++ = x[${place.x}] ? x2[${place.x2}] : x3[${place.x3}];`);
  return pieceOf(site, { inputs: site.operator.inputs, body: `{\n${indent(body)}\n}` });
}

/** PRELU with constant slopes. */
export function prelu(site: Site): Piece {
  const [x, slope, output] = [scaleOf(site.input(0)), scaleOf(site.input(1)), scaleOf(site.output)];
  const above = scaledText(less('a', x.zeroPoint), x.scale / output.scale);
  const below = scaledText(
    `${less('a', x.zeroPoint)} * ${less('b', slope.zeroPoint)}`,
    (x.scale * slope.scale) / output.scale,
  );
  const text = `const int32_t value = a >= ${signed(x.zeroPoint)} ? ${above.text} : ${below.text};
*y++ = ${storedText(site.output, 'value')};`;
  return pairwise(site, text, ['clamped', above.helper, below.helper]);
}

/** ADD, SUB, MUL, DIV and SQUARED_DIFFERENCE of int32, which wrap. A division by 0 yields 0. */
function wide(site: Site): Piece {
  const text = {
    ADD: '(uint32_t)a + (uint32_t)b',
    SUB: '(uint32_t)a - (uint32_t)b',
    MUL: '(uint32_t)a * (uint32_t)b',
    // The 64-bit quotient of the lowest number and −1 fits.
    DIV: 'b == 0 ? 0 : (uint32_t)((int64_t)a / b)',
    SQUARED_DIFFERENCE: '((uint32_t)a - (uint32_t)b) * ((uint32_t)a - (uint32_t)b)',
  }[site.operator.op as 'ADD'];
  return pairwise(site, `*y++ = (int32_t)(${text});`, []);
}

/** LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT of bytes, which are true unless they are 0. */
export function logical(site: Site): Piece {
  const { op } = site.operator;
  if (op !== 'LOGICAL_NOT')
    return pairwise(site, `*y++ = (int8_t)(a ${op === 'LOGICAL_AND' ? '&&' : '||'} b);`, []);
  return pieceOf(site, {
    body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) y[i] = !x[i];`,
  });
}

/** CAST of stored values. Values that do not fit wrap. */
export function cast(site: Site): Piece {
  const { type, shape } = site.output;
  const isReal = site.input(0).type === 'float32';
  const x = isReal && type !== 'float32' && type !== 'bool' ? 'truncated(x[i])' : 'x[i]';
  const values: { readonly [Type in typeof type]?: string } = {
    bool: `${x} != 0`,
    int8: `(int8_t)(uint8_t)${x}`,
    int16: `(int16_t)(uint16_t)${x}`,
    int32: `(int32_t)${x}`,
    uint32: `(uint32_t)${x}`,
    float32: `(float)${x}`,
  };
  const value = values[type]!;
  return pieceOf(site, {
    body: `for (int i = 0; i < ${elementCount(shape)}; i++) y[i] = ${value};`,
    helpers: x === 'x[i]' ? [] : ['truncated'],
  });
}

/** QUANTIZE of float32. */
export function quantize(site: Site): Piece {
  const { scale, zeroPoint } = scaleOf(site.output);
  const { low, high } = rangeOf(site.output);
  const value = `nearest(x[i] / ${cFloat(scale)}, ${low - zeroPoint}, ${high - zeroPoint})`;
  const shown = zeroPoint === 0 ? value : `${value} + ${signed(zeroPoint)}`;
  return pieceOf(site, {
    body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) y[i] = (${cTypeOf(site.output)})(${shown});`,
    helpers: ['nearest'],
  });
}

/** DEQUANTIZE of int8 or int16. The difference is exact in float, so the product is rounded once. */
export function dequantize(site: Site): Piece {
  const { scale, zeroPoint } = scaleOf(site.input(0));
  return pieceOf(site, {
    body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) y[i] = ${cFloat(scale)} * (float)${less('x[i]', zeroPoint)};`,
  });
}

/** ARG_MAX and ARG_MIN: the first position of the largest or smallest value along an axis. */
export function position(site: Site): Piece {
  const { shape } = site.input(0);
  const axis = positive((site.input(1).data as Int32Array)[0]!, shape.length);
  const [size, inner] = [shape[axis]!, elementCount(shape.slice(axis + 1))];
  const outer = elementCount(shape.slice(0, axis));
  return pieceOf(site, {
    body: `for (int o = 0; o < ${outer}; o++, x += ${(size - 1) * inner})
  for (int i = 0; i < ${inner}; i++, x++) {
    int best = 0;
    for (int k = 1; k < ${size}; k++)
      if (x[k * ${inner}] ${site.operator.op === 'ARG_MAX' ? '>' : '<'} x[best * ${inner}]) best = k;
    *y++ = best;
  }`,
    about: `[${shape}] along axis ${axis}`,
  });
}

/** GATHER. A computed index that does not exist is replaced by the nearest valid one, so that nothing outside the table is read. */
export function gather(site: SiteOf<'GATHER'>): Piece {
  const { batches, outer, size, count, inner } = gatherPlan(nodeAt(site.graph, site.at));
  const isConstant = site.input(1).data !== undefined;
  const index = `x2[n * ${count} + i]`;
  return pieceOf(site, {
    inputs: site.operator.inputs,
    helpers: isConstant ? [] : ['clamped'],
    body: `for (int n = 0; n < ${batches}; n++)
  for (int o = 0; o < ${outer}; o++, x += ${size * inner})
    for (int i = 0; i < ${count}; i++, y += ${inner})
      memcpy(y, x + ${isConstant ? index : `clamped(${index}, 0, ${size - 1})`} * ${inner}, ${inner * elementBytes(site.output.type)});`,
    about: `${count} of ${size}`,
  });
}

/** SQUARED_DIFFERENCE: rescales both sides to twice the larger scale; for int8, with 7 bits of fraction. */
export function squaredDifference(site: Site): Piece {
  if (site.output.type === 'int32') return wide(site);
  const [a, b, output] = [scaleOf(site.input(0)), scaleOf(site.input(1)), scaleOf(site.output)];
  const twice = 2 * Math.max(a.scale, b.scale);
  const bits = site.output.type === 'int16' ? 0 : 7;
  const u = scaledText(`${less('a', a.zeroPoint)} * ${2 ** bits}`, a.scale / twice);
  const v = scaledText(`${less('b', b.zeroPoint)} * ${2 ** bits}`, b.scale / twice);
  const square = scaledText('d * d', (twice * twice) / (2 ** (2 * bits) * output.scale));
  const text = `const int32_t d = ${u.text} - ${v.text};
*y++ = ${storedText(site.output, square.text)};`;
  return pairwise(site, text, ['clamped', u.helper, v.helper, square.helper]);
}

/** ADD, SUB and MUL with NumPy's broadcasting. */
export function arithmetic(site: SiteOf<'ADD'>): Piece {
  if (site.output.type === 'int32') return wide(site);
  const [a, b, output] = [scaleOf(site.input(0)), scaleOf(site.input(1)), scaleOf(site.output)];
  const stored = (value: string) => `*y++ = ${storedText(site.output, value, site.options.activation)};`;
  const { op } = site.operator;
  if (op === 'MUL') {
    const { text, helper } = scaledText(
      `${less('a', a.zeroPoint)} * ${less('b', b.zeroPoint)}`,
      (a.scale * b.scale) / output.scale,
    );
    return pairwise(site, stored(text), ['clamped', helper]);
  }
  if (op === 'DIV') {
    const { multiplier, shift } = quantizeMultiplier(a.scale / (b.scale * output.scale));
    const sides = `${less('a', a.zeroPoint)}, ${less('b', b.zeroPoint)}`;
    return pairwise(site, stored(`quotient(${sides}, ${multiplier}, ${shift})`), ['clamped', 'quotient']);
  }
  const twice = 2 * Math.max(a.scale, b.scale);
  const one = 2 ** (site.output.type === 'int16' ? 15 : 20);
  const u = scaledText(`${less('a', a.zeroPoint)} * ${one}`, a.scale / twice);
  const v = scaledText(`${less('b', b.zeroPoint)} * ${one}`, b.scale / twice);
  const sum = scaledText(`u ${op === 'SUB' ? '-' : '+'} v`, twice / (one * output.scale));
  return pairwise(site, `const int32_t u = ${u.text}, v = ${v.text};\n${stored(sum.text)}`, [
    'clamped',
    u.helper,
    v.helper,
    sum.helper,
  ]);
}

/** SOFTMAX of int8 over the last axis: e^(x − max) depends only on the difference, so a table is enough. */
export function softmax(site: SiteOf<'SOFTMAX'>): Piece {
  const { shape } = site.input(0);
  const { low, high } = rangeOf(site.output);
  const bits = site.output.type === 'int16' ? 16 : 8;
  const classes = shape.at(-1) ?? 1;
  const rows = elementCount(shape) / classes;
  const real = Math.min(site.options.beta * scaleOf(site.input(0)).scale * 2 ** 26, 2 ** 31 - 1);
  const { multiplier, shift } = quantizeMultiplier(real);
  const furthest = Math.min(255, Math.floor((31 * 2 ** 26) / 2 ** shift));
  const shares = Array.from({ length: furthest + 1 }, (_, below) =>
    exponential(doublingHighMultiply((-below << shift) | 0, multiplier), 5),
  );
  const name = site.own('shares');
  const near = furthest < 255;
  const skip = near ? `if (below > ${furthest}) continue;` : '';
  const row = `int most = -128;
for (int i = 0; i < ${classes}; i++)
  if (x[i] > most) most = x[i];
int32_t sum = 0;
for (int i = 0; i < ${classes}; i++) {
  const int below = most - x[i];
${near ? `  ${skip}\n` : ''}  sum += (${name}[below] >> 12) + (${name}[below] >> 11 & 1);
}
int headroom = 0;
while (((uint32_t)sum << headroom & 2147483648u) == 0) headroom++;
const int32_t share = inverse((int32_t)(((uint32_t)sum << headroom) - 2147483648u));
for (int i = 0; i < ${classes}; i++) {
  const int below = most - x[i];
  y[i] = ${low};
${near ? `  ${skip}\n` : ''}  y[i] = (${cTypeOf(site.output)})clamped(scaled_down(${name}[below], share, ${42 - bits} - headroom) - ${-low}, ${low}, ${high});
}`;
  const body =
    rows === 1
      ? row
      : `for (int row = 0; row < ${rows}; row++, x += ${classes}, y += ${classes}) {\n${indent(row)}\n}`;
  return pieceOf(site, {
    constants: [table('int32_t', name, shares)],
    body,
    helpers: ['clamped', 'scaledDown', 'inverse'],
    about: `${rows === 1 ? '' : `${rows} × `}${classes} classes`,
  });
}

/** LOG_SOFTMAX over the last axis: two tables by the difference from the largest input. */
export function logSoftmax(site: Site): Piece {
  const { shape } = site.input(0);
  const plan = logSoftmaxPlan(nodeAt(site.graph, site.at));
  const { classes, multiplier, shift, furthest, back } = plan;
  const differences = Array.from({ length: 256 }, (_, below) =>
    multiplyByQuantized(-below, multiplier, shift),
  );
  const name = site.own('differences');
  const shares = site.own('shares');
  const near = Math.min(furthest, 255) + 1;
  return pieceOf(site, {
    constants: [
      table('int32_t', name, differences),
      table(
        'int32_t',
        shares,
        differences.slice(0, near).map((difference) => roundingShiftRight(exponential(difference, 5), 12)),
      ),
    ],
    helpers: ['clamped', 'scaled', 'inverse', 'naturalLog'],
    body: `for (int row = 0; row < ${elementCount(shape) / classes}; row++, x += ${classes}, y += ${classes}) {
  int most = -128;
  for (int i = 0; i < ${classes}; i++)
    if (x[i] > most) most = x[i];
  int32_t sum = 0;
  for (int i = 0; i < ${classes}; i++)
    if (most - x[i] < ${near}) sum += ${shares}[most - x[i]];
  const int32_t whole = natural_log(sum), least = scaled(whole + INT32_MIN, ${back.multiplier}, ${back.shift});
  const int32_t lowest = least > ${-furthest - 1} ? least : ${-furthest - 1};
  for (int i = 0; i < ${classes}; i++) {
    const int below = most - x[i];
    const int32_t log = (int32_t)((uint32_t)${name}[below] - (uint32_t)whole);
    y[i] = (int8_t)(-below > lowest ? clamped(((((log + (log >> 31)) >> 21) + 1) >> 1) + 127, -128, 127) : -128);
  }
}`,
    about: `${classes} classes`,
  });
}

interface Move {
  size: number;
  x: number;
  y: number;
}

/**
 * Copies y[its position] = x[its position] for every index; neighbors that are contiguous on both sides are copied together.
 * @param bytes size of an element
 */
function copyText(bytes: number, axes: Move[], from = 0, to = 0): string {
  const merged: Move[] = [];
  for (const axis of axes.filter(({ size }) => size > 1)) {
    const last = merged.at(-1);
    if (last !== undefined && last.x === axis.x * axis.size && last.y === axis.y * axis.size)
      merged[merged.length - 1] = { ...axis, size: last.size * axis.size };
    else merged.push(axis);
  }
  const plus = (start: number) => (start === 0 ? '' : `${start} + `);
  const last = merged.at(-1);
  if (last === undefined || (last.x === 1 && last.y === 1)) {
    const outer = merged.slice(0, -1);
    const run = (last?.size ?? 1) * bytes;
    if (outer.length === 0) return `memcpy(y + ${to}, x + ${from}, ${run});`;
    return loops('i', outer, ({ x, y }) => `memcpy(y + ${plus(to)}${y}, x + ${plus(from)}${x}, ${run});`);
  }
  return loops('i', merged, ({ x, y }) => `y[${plus(to)}${y}] = x[${plus(from)}${x}];`);
}

const zip = (shape: readonly number[], x: readonly number[], y: readonly number[]): Move[] =>
  shape.map((size, axis) => ({ size, x: x[axis]!, y: y[axis]! }));

const positive = (axis: number, rank: number) => (axis < 0 ? axis + rank : axis);

export function transpose(site: Site): Piece {
  const strides = stridesOf(site.input(0).shape);
  const permutation = [...(site.input(1).data as Int32Array)];
  const { shape } = site.output;
  const x = permutation.map((axis) => strides[axis]!);
  return pieceOf(site, { body: copyText(elementBytes(site.output.type), zip(shape, x, stridesOf(shape))) });
}

export function stridedSlice(site: SiteOf<'STRIDED_SLICE'>): Piece {
  const { shape } = site.input(0);
  const [begin, end, strides] = [1, 2, 3].map((place) => site.input(place).data as Int32Array);
  const axes = sliceAxes(shape, [begin!, end!, strides!], site.options)!;
  const own = stridesOf(shape);
  const counts = axes.map(({ count }) => count);
  const from = axes.reduce((start, { first }, axis) => start + first * own[axis]!, 0);
  const x = axes.map(({ step }, axis) => step * own[axis]!);
  return pieceOf(site, {
    body: copyText(elementBytes(site.output.type), zip(counts, x, stridesOf(counts)), from),
  });
}

/** PAD fills with the zero point, PADV2 with its third input. */
export function pad(site: Site): Piece {
  const { shape } = site.input(0);
  const paddings = site.input(1).data as Int32Array;
  const strides = stridesOf(site.output.shape);
  const start = strides.reduce((sum, stride, axis) => sum + stride * paddings[2 * axis]!, 0);
  const given = site.operator.op === 'PADV2';
  const fill = given
    ? (site.input(2).data as Int8Array | Int32Array | Float32Array)[0]!
    : (site.output.quantization?.zeroPoint[0] ?? 0);
  return pieceOf(site, {
    body: `${filledText(site, site.output.type === 'float32' ? cFloat(fill) : String(fill))}
${copyText(elementBytes(site.output.type), zip(shape, stridesOf(shape), strides), 0, start)}`,
  });
}

/** CONCATENATION: one piece per input. */
export function concatenation(site: SiteOf<'CONCATENATION'>): Piece[] {
  const { shape } = site.output;
  const axis = positive(site.options.axis, shape.length);
  const strides = stridesOf(shape);
  let start = 0;
  return site.operator.inputs.map((input, place) => {
    const own = site.input(place).shape;
    const body = copyText(
      elementBytes(site.output.type),
      zip(own, stridesOf(own), strides),
      0,
      start * strides[axis]!,
    );
    start += own[axis]!;
    return pieceOf(site, { inputs: [input], body });
  });
}

/** SPLIT: one piece per output. */
export function split(site: SiteOf<'SPLIT'>): Piece[] {
  const { shape } = site.input(1);
  const axis = positive((site.input(0).data as Int32Array)[0]!, shape.length);
  const strides = stridesOf(shape);
  return site.operator.outputs.map((output, part) => {
    const own = site.graph.tensors[output]!.shape;
    const body = copyText(
      elementBytes(site.output.type),
      zip(own, strides, stridesOf(own)),
      part * own[axis]! * strides[axis]!,
    );
    return pieceOf(site, { inputs: [site.operator.inputs[1]!], output, body });
  });
}

/** SPLIT_V: one piece per output. */
export function splitSizes(site: SiteOf<'SPLIT_V'>): Piece[] {
  const { shape } = site.input(0);
  const axis = positive((site.input(2).data as Int32Array)[0]!, shape.length);
  const strides = stridesOf(shape);
  let start = 0;
  return site.operator.outputs.map((output) => {
    const own = site.graph.tensors[output]!.shape;
    const body = copyText(
      elementBytes(site.output.type),
      zip(own, strides, stridesOf(own)),
      start * strides[axis]!,
    );
    start += own[axis]!;
    return pieceOf(site, { inputs: [site.operator.inputs[0]!], output, body });
  });
}

/** READ_VARIABLE and ASSIGN_VARIABLE copy from and to a variable. */
export function variable(site: Site): Piece {
  return pieceOf(site, {
    inputs: [site.operator.inputs.at(-1)!],
    body: `memcpy(y, x, ${bytesOf(site.input(0))});`,
  });
}

/** Copies a tensor unchanged, for a network whose output is an input or a constant. */
export function whole(site: Site): Piece {
  return pieceOf(site, { body: `memcpy(y, x, ${bytesOf(site.output)});` });
}

/** Distance between neighbors along each axis of a row-major tensor. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

type Axis<Step extends string> = { size: number } & { [name in Step]: number };

/**
 * Nested loops over the axes, with the body inside. For each stride, the body receives the position (the sum of index times stride) as a C
 * expression. Axes of one element need no loop.
 */
export function loops<Step extends string>(
  prefix: string,
  axes: Axis<Step>[],
  body: (place: { [name in Step]: string }) => string,
): string {
  const used = axes.flatMap((axis, index) => (axis.size === 1 ? [] : [{ axis, name: `${prefix}${index}` }]));
  const steps = Object.keys(axes[0] ?? {}).filter((key) => key !== 'size') as Step[];
  const placeOf = (step: Step) => {
    const terms = used.flatMap(({ axis, name }) => {
      const distance: number = axis[step];
      if (distance === 0) return [];
      return [distance === 1 ? name : `${name} * ${distance}`];
    });
    return terms.length === 0 ? '0' : terms.join(' + ');
  };
  const inner = body(
    Object.fromEntries(steps.map((step) => [step, placeOf(step)])) as { [name in Step]: string },
  );
  return used.reduceRight(
    (text, { axis, name }) =>
      `for (int ${name} = 0; ${name} < ${axis.size}; ${name}++) {\n${indent(text)}\n}`,
    inner,
  );
}

/** An operator that only rearranges elements: one piece for each pair of an input and an output. */
export function moved(site: Site): Piece[] {
  const { graph, at, operator } = site;
  const { copies, filled } = (movesOf[operator.op as keyof typeof movesOf] as (node: Node) => Moves)(
    nodeAt(graph, at) as Node,
  );
  const pieces = new Map<string, { inputs: number[]; output: number; texts: string[] }>();
  for (const { input, output, sizes, x, y, from, to } of copies) {
    const key = `${input} ${output}`;
    const piece = pieces.get(key) ?? {
      inputs: [operator.inputs[input]!],
      output: operator.outputs[output]!,
      texts: [],
    };
    pieces.set(key, piece);
    piece.texts.push(copyText(elementBytes(site.output.type), zip(sizes, x, y), from, to));
  }
  const fill = filled ? `${filledText(site, String(site.output.quantization?.zeroPoint[0] ?? 0))}\n` : '';
  return [...pieces.values()].map(({ inputs, output, texts }, index) =>
    pieceOf(site, { inputs, output, body: `${index === 0 ? fill : ''}${texts.join('\n')}` }),
  );
}

/** FILL with a value that another operator computes. */
export function fill(site: Site): Piece {
  return pieceOf(site, {
    inputs: [site.operator.inputs[1]!],
    body: filledText(site, 'x[0]'),
  });
}

/** Fills the output with one value. memset fills only bytes. */
function filledText({ output }: Site, value: string): string {
  const count = elementCount(output.shape);
  return elementBytes(output.type) === 1
    ? `memset(y, ${value}, ${count});`
    : `for (int i = 0; i < ${count}; i++) y[i] = ${value};`;
}

const bytesOf = ({ shape, type }: Tensor) => elementCount(shape) * elementBytes(type);

/** RESIZE_NEAREST_NEIGHBOR: tables of the source rows and columns. */
export function nearest(site: SiteOf<'RESIZE_NEAREST_NEIGHBOR'>): Piece {
  const { batches, channels, input, output } = resizeOf(nodeAt(site.graph, site.at));
  const [rows, columns] = [0, 1].map((axis) => nearestPlaces(input[axis]!, output[axis]!, site.options));
  const [row, column] = [site.own('rows'), site.own('columns')];
  return pieceOf(site, {
    constants: [table('int16_t', row, rows!), table('int16_t', column, columns!)],
    body: `for (int n = 0; n < ${batches}; n++)
  for (int r = 0; r < ${output[0]}; r++)
    for (int c = 0; c < ${output[1]}; c++, y += ${channels})
      memcpy(y, x + ((n * ${input[0]} + ${row}[r]) * ${input[1]} + ${column}[c]) * ${channels}, ${channels * elementBytes(site.output.type)});`,
    about: `${input.join(' × ')} → ${output.join(' × ')}`,
  });
}

/** RESIZE_BILINEAR: for each row and column, tables with both neighbors and the distance from the first neighbor, in units of 1/1024. */
export function bilinear(site: SiteOf<'RESIZE_BILINEAR'>): Piece {
  const { batches, channels, input, output } = resizeOf(nodeAt(site.graph, site.at));
  const axes = [0, 1].map((axis) => bilinearPlaces(input[axis]!, output[axis]!, site.options));
  const names = [site.own('rows'), site.own('columns')];
  const constants = axes.map((places, axis) =>
    table(
      'int16_t',
      names[axis]!,
      places.flatMap(({ low, high, part }) => [low, high, part]),
    ),
  );
  const [row, column] = names;
  const at = (r: number, c: number) =>
    `x[((n * ${input[0]} + ${row}[3 * r + ${r}]) * ${input[1]} + ${column}[3 * c + ${c}]) * ${channels} + k]`;
  return pieceOf(site, {
    constants,
    body: `for (int n = 0; n < ${batches}; n++)
  for (int r = 0; r < ${output[0]}; r++)
    for (int c = 0; c < ${output[1]}; c++)
      for (int k = 0; k < ${channels}; k++) {
        const int32_t down = ${row}[3 * r + 2], right = ${column}[3 * c + 2], up = 1024 - down, left = 1024 - right;
        const int64_t sum = (int64_t)${at(0, 0)} * up * left + (int64_t)${at(1, 0)} * down * left +
                            (int64_t)${at(0, 1)} * up * right + (int64_t)${at(1, 1)} * down * right;
        *y++ = (${cTypeOf(site.output)})((sum + (sum > 0 ? 524288 : -524288)) / 1048576);
      }`,
    about: `${input.join(' × ')} → ${output.join(' × ')}`,
  });
}

/** BATCH_MATMUL: x times x2, each batch at its own offset. */
export function batchMatmul(site: SiteOf<'BATCH_MATMUL'>): Piece {
  const plan = batchMatmulOf(nodeAt(site.graph, site.at));
  const [a, b, output] = [scaleOf(site.input(0)), scaleOf(site.input(1)), scaleOf(site.output)];
  const ratio = (a.scale * b.scale) / output.scale;
  const wide = site.output.type === 'int16';
  const scaled = wide ? wideScaledText(site, 'sum', ratio) : scaledText('(int32_t)sum', ratio);
  const [type, sum] = wide ? ['int16_t', 'int64_t'] : ['int8_t', 'uint32_t'];
  const [first, second] = [site.own('first'), site.own('second')];
  return pieceOf(site, {
    inputs: site.operator.inputs,
    constants: [table('int32_t', first, plan.first), table('int32_t', second, plan.second)],
    helpers: ['clamped', scaled.helper],
    body: `for (int n = 0; n < ${plan.first.length}; n++)
  for (int r = 0; r < ${plan.rows}; r++)
    for (int c = 0; c < ${plan.columns}; c++) {
      const ${type} *const left = x + ${first}[n] + r * ${plan.a.row}, *const right = x2 + ${second}[n] + c * ${plan.b.column};
      ${sum} sum = 0;
      for (int k = 0; k < ${plan.depth}; k++)
        sum += (${sum})(${less(`left[k * ${plan.a.depth}]`, a.zeroPoint)} * ${less(`right[k * ${plan.b.depth}]`, b.zeroPoint)});
      *y++ = ${storedText(site.output, scaled.text)};
    }`,
    about: `${plan.first.length} × ${plan.rows} × ${plan.depth} × ${plan.columns}`,
  });
}

/** L2_NORMALIZATION over the last axis. */
export function l2(site: Site): Piece {
  const { shape } = site.input(0);
  const depth = shape.at(-1)!;
  const { zeroPoint } = scaleOf(site.input(0));
  return pieceOf(site, {
    helpers: ['clamped', 'scaled', 'inverseRoot'],
    body: `for (int row = 0; row < ${elementCount(shape) / depth}; row++, x += ${depth}, y += ${depth}) {
  int32_t sum = 0;
  for (int i = 0; i < ${depth}; i++) sum += ${less('x[i]', zeroPoint)} * ${less('x[i]', zeroPoint)};
  int shift = 0;
  const int32_t inverse = inverse_root(sum, &shift);
  for (int i = 0; i < ${depth}; i++) y[i] = (int8_t)clamped(scaled(${less('x[i]', zeroPoint)}, inverse, shift + 7), -128, 127);
}`,
  });
}

/** TRANSPOSE_CONV: for each output cell, the input cells whose window covers it. */
export function transposeConv(site: SiteOf<'TRANSPOSE_CONV'>): Piece {
  const g = transposeConvOf(nodeAt(site.graph, site.at));
  const [input, output] = [scaleOf(site.input(2)), scaleOf(site.output)];
  const scales = site.input(1).quantization!.scale;
  const wide = site.output.type === 'int16';
  const ratios = Array.from({ length: g.outputs }, (_, channel) => {
    const ratio = (input.scale * scales[scales.length === 1 ? 0 : channel]!) / output.scale;
    return wide ? wideRatio(site, ratio) : quantizeMultiplier(ratio);
  });
  const { data } = site.graph.tensors[site.operator.inputs[3] ?? -1] ?? {};
  const bias = Array.from({ length: g.outputs }, (_, o) =>
    Number((data as Int32Array | BigInt64Array | undefined)?.[o] ?? 0),
  );
  const [type, sum] = wide ? ['int16_t', 'int64_t'] : ['int8_t', 'uint32_t'];
  const [weights, multiplier, shift, biases] = ['weights', 'multiplier', 'shift', 'bias'].map((name) =>
    site.own(name),
  );
  const cell = g.filterH * g.filterW * g.channels;
  return pieceOf(site, {
    inputs: [site.operator.inputs[2]!],
    constants: [
      table('int8_t', weights!, site.input(1).data as Int8Array),
      table(
        'int32_t',
        multiplier!,
        ratios.map((own) => own.multiplier),
      ),
      table(
        'int8_t',
        shift!,
        ratios.map((own) => own.shift),
      ),
      table(wide ? 'int64_t' : 'int32_t', biases!, bias),
    ],
    helpers: ['clamped', wide ? 'scaledWide' : 'scaled'],
    body: `for (int n = 0; n < ${g.batches}; n++, x += ${g.height * g.width * g.channels})
  for (int r = 0; r < ${g.outH}; r++)
    for (int c = 0; c < ${g.outW}; c++)
      for (int o = 0; o < ${g.outputs}; o++) {
        ${sum} sum = (${sum})${biases}[o];
        for (int i = 0; i < ${g.filterH}; i++) {
          const int row = r + ${g.top} - i;
          if (row < 0 || row % ${g.strideH} != 0 || row / ${g.strideH} >= ${g.height}) continue;
          for (int j = 0; j < ${g.filterW}; j++) {
            const int column = c + ${g.left} - j;
            if (column < 0 || column % ${g.strideW} != 0 || column / ${g.strideW} >= ${g.width}) continue;
            const ${type} *const from = x + (row / ${g.strideH} * ${g.width} + column / ${g.strideW}) * ${g.channels};
            const int8_t *const w = ${weights} + o * ${cell} + (i * ${g.filterW} + j) * ${g.channels};
            for (int k = 0; k < ${g.channels}; k++) sum += (${sum})(${less('from[k]', input.zeroPoint)} * w[k]);
          }
        }
        *y++ = ${storedText(site.output, `${wide ? 'scaled_wide(sum' : 'scaled((int32_t)sum'}, ${multiplier}[o], ${shift}[o])`, site.options.activation)};
      }`,
    about: `${g.height} × ${g.width} × ${g.channels} → ${g.outH} × ${g.outW} × ${g.outputs}`,
  });
}
