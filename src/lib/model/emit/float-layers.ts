import {
  elementCount,
  type OperatorName,
  type OperatorOptions,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { floatRange } from '../../runtime/interpreter/float.js';
import { type Axis, depthwiseFilter, windowAxes } from '../../runtime/interpreter/geometry.js';
import { batchMatmulOf, realPlaces, resizeOf, transposeConvOf } from '../../runtime/interpreter/images.js';
import { nodeAt } from '../../runtime/interpreter/interpreter.js';
import type { Node } from '../../runtime/interpreter/node.js';
import { cFloat } from './c-text.js';
import { type Helper, indent, type Piece, pieceOf, type Site, type SiteOf, table } from './piece.js';
import { loops, pairwise, stridesOf } from './weightless-operators.js';

/*
 * C code on float32, with the same results as src/lib/runtime/interpreter. Sums of layers are in double precision: products of two
 * float32 values are then exact. Elsewhere, each product is rounded to single precision, so compilers must not fuse it with a sum (the
 * helper `unfused`).
 */

/** An expression of `x[i]` for each element. */
const perElement =
  (text: string, helpers: readonly Helper[] = []) =>
  (site: Site): Piece =>
    pieceOf(site, {
      body: `for (int i = 0; i < ${elementCount(site.output.shape)}; i++) {
  const float v = x[i];
  y[i] = ${text};
}`,
      helpers,
    });

/** A function of math.h in double precision. Its result, rounded to single precision, is the same on almost any machine. */
const throughDouble = (name: string) => perElement(`(float)${name}((double)v)`);

function leakyRelu(site: SiteOf<'LEAKY_RELU'>): Piece {
  return perElement(`v < 0.0f ? ${cFloat(site.options.alpha)} * v : v`)(site);
}

/** A value within the range of a fused activation, as a C expression. `value` is evaluated several times. */
function limited(
  activation: OperatorOptions['ADD']['activation'] | undefined,
  value: string,
  suffix = '',
): string {
  const { low, high } = floatRange(activation ?? 'none');
  const bound = (limit: number) => (suffix === 'f' ? cFloat(limit) : `${limit}.0`);
  const least = low === Number.NEGATIVE_INFINITY ? '' : `${value} < ${bound(low)} ? ${bound(low)} : `;
  const most = high === Number.POSITIVE_INFINITY ? '' : `${value} > ${bound(high)} ? ${bound(high)} : `;
  return `${least}${most}${value}`;
}

/** ADD, SUB, MUL, DIV, FLOOR_MOD, SQUARED_DIFFERENCE and PRELU. */
const arithmetic =
  (text: string, helpers: Helper[] = []) =>
  (site: SiteOf<'ADD'>): Piece =>
    pairwise(
      site,
      `const float value = ${text};\n*y++ = ${limited(site.options.activation, 'value', 'f')};`,
      helpers,
    );

function floorMod(site: Site): Piece {
  return pairwise(
    site,
    `const float rest = fmodf(a, b);\n*y++ = rest != 0.0f && (b < 0.0f) != (rest < 0.0f) ? rest + b : rest;`,
    [],
  );
}

const comparison =
  (sign: string) =>
  (site: Site): Piece =>
    pairwise(site, `*y++ = (int8_t)(a ${sign} b);`, []);

/** Inputs of a layer that exist, and the C expression for a bias; 0 without one. */
function layerInputs(
  site: Site,
  places: readonly number[],
  index: string,
): { inputs: number[]; bias: string } {
  const inputs = places.map((place) => site.operator.inputs[place] ?? -1).filter((input) => input >= 0);
  return { inputs, bias: inputs.length < 3 ? '0.0' : `(double)x3[${index}]` };
}

function fullyConnected(site: SiteOf<'FULLY_CONNECTED'>): Piece {
  const [outputs, length] = site.input(1).shape as [number, number];
  const rows = elementCount(site.input(0).shape) / length;
  const { inputs, bias } = layerInputs(site, [0, 1, 2], 'o');
  return pieceOf(site, {
    inputs,
    body: `for (int row = 0; row < ${rows}; row++, x += ${length})
  for (int o = 0; o < ${outputs}; o++) {
    const float *const w = x2 + o * ${length};
    double sum = 0.0;
    for (int i = 0; i < ${length}; i++) sum += (double)w[i] * (double)x[i];
    const double value = ${bias === '0.0' ? 'sum' : `${bias} + sum`};
    *y++ = (float)(${limited(site.options.activation, 'value')});
  }`,
    about: `${length} → ${outputs}`,
  });
}

/** Statements that run for each cell of a window that is inside the image. `at` is the cell's position in x. */
function eachCell(rows: Axis, columns: Axis, channels: number, body: string): string {
  const place = (name: string, index: string, axis: Axis) =>
    `const int ${name} = ${index === 'r' ? 'row' : 'column'} * ${axis.stride} - ${axis.before} + ${index} * ${axis.dilation};
if (${name} < 0 || ${name} >= ${axis.input}) continue;`;
  return `for (int r = 0; r < ${rows.filter}; r++) {
${indent(place('down', 'r', rows))}
  for (int c = 0; c < ${columns.filter}; c++) {
${indent(place('right', 'c', columns), 2)}
    const float *const from = x + (down * ${columns.input} + right) * ${channels};
${indent(body, 2)}
  }
}`;
}

/** Loops over the batches and the output positions of a window. */
function eachPosition(batches: number, rows: Axis, columns: Axis, channels: number, body: string): string {
  return `for (int image = 0; image < ${batches}; image++, x += ${rows.input * columns.input * channels})
  for (int row = 0; row < ${rows.output}; row++)
    for (int column = 0; column < ${columns.output}; column++) {
${indent(body, 3)}
    }`;
}

function convolution(site: SiteOf<'CONV_2D'>): Piece {
  const channels = site.input(0).shape[3]!;
  const [outputs, filterH, filterW, taken] = site.input(1).shape as [number, number, number, number];
  const { batches, rows, columns } = windowAxes(
    nodeAt(site.graph, site.at) as Node,
    site.options,
    [filterH, filterW],
    outputs,
  );
  const { inputs, bias } = layerInputs(site, [0, 1, 2], 'o');
  const perGroup = outputs / (channels / taken);
  const first = taken === channels ? '' : ` + o / ${perGroup} * ${taken}`;
  const body = `for (int o = 0; o < ${outputs}; o++) {
  double sum = 0.0;
${indent(
  eachCell(
    rows,
    columns,
    channels,
    `const float *const w = x2 + ((o * ${filterH} + r) * ${filterW} + c) * ${taken};
for (int i = 0; i < ${taken}; i++) sum += (double)w[i] * (double)from[i${first}];`,
  ),
)}
  const double value = ${bias === '0.0' ? 'sum' : `${bias} + sum`};
  *y++ = (float)(${limited(site.options.activation, 'value')});
}`;
  return pieceOf(site, {
    inputs,
    body: eachPosition(batches, rows, columns, channels, body),
    about: `${filterH} × ${filterW}, ${channels} → ${outputs} channels`,
  });
}

function depthwise(site: SiteOf<'DEPTHWISE_CONV_2D'>): Piece {
  const channels = site.input(0).shape[3]!;
  const node = nodeAt(site.graph, site.at) as Node<OperatorOptions['DEPTHWISE_CONV_2D']>;
  const { filterH, filterW, outputs, multiplier } = depthwiseFilter(node, channels);
  const { batches, rows, columns } = windowAxes(node, site.options, [filterH, filterW], outputs);
  const { inputs, bias } = layerInputs(site, [0, 1, 2], 'o');
  const body = `for (int o = 0; o < ${outputs}; o++) {
  double sum = ${bias};
${indent(
  eachCell(
    rows,
    columns,
    channels,
    `sum += (double)x2[(r * ${filterW} + c) * ${outputs} + o] * (double)from[o${multiplier === 1 ? '' : ` / ${multiplier}`}];`,
  ),
)}
  *y++ = (float)(${limited(site.options.activation, 'sum')});
}`;
  return pieceOf(site, {
    inputs,
    body: eachPosition(batches, rows, columns, channels, body),
    about: `${filterH} × ${filterW}, ${channels} → ${outputs} channels`,
  });
}

function pool(site: SiteOf<'MAX_POOL_2D'>): Piece {
  const channels = site.input(0).shape[3]!;
  const { filterH, filterW, activation } = site.options;
  const { batches, rows, columns } = windowAxes(
    nodeAt(site.graph, site.at) as Node,
    site.options,
    [filterH, filterW],
    channels,
  );
  const average = site.operator.op === 'AVERAGE_POOL_2D';
  const take = average
    ? 'taken += (double)from[channel];\ncount++;'
    : 'if (from[channel] > taken) taken = from[channel];';
  const body = `for (int channel = 0; channel < ${channels}; channel++) {
  ${average ? 'double taken = 0.0;\n  int count = 0;' : 'float taken = -INFINITY;'}
${indent(eachCell(rows, columns, channels, take))}
${indent(
  average
    ? `const double value = taken / count;\n*y++ = (float)(${limited(activation, 'value')});`
    : `*y++ = ${limited(activation, 'taken', 'f')};`,
)}
}`;
  return pieceOf(site, {
    body: eachPosition(batches, rows, columns, channels, body),
    about: `${channels} channels`,
  });
}

/** MEAN, SUM, REDUCE_MAX and REDUCE_MIN. Their axes are constants. */
function reduction(site: SiteOf<'MEAN'>): Piece {
  const { shape } = site.input(0);
  const axes = new Set(
    [...(site.input(1).data as Int32Array)].map((axis) => (axis < 0 ? axis + shape.length : axis)),
  );
  const strides = stridesOf(shape);
  const axesOf = (isReduced: boolean) =>
    shape.map((size, axis) => ({ size: axes.has(axis) === isReduced ? size : 1, x: strides[axis]! }));
  const [kept, reduced] = [axesOf(false), axesOf(true)];
  const count = reduced.reduce((product, { size }) => product * size, 1);
  const { op } = site.operator;
  const parts: {
    readonly [Name in OperatorName]?: [start: string, take: (value: string) => string, give: string];
  } = {
    MEAN: ['double taken = 0.0', (value) => `taken += (double)${value};`, `(float)(taken / ${count}.0)`],
    SUM: ['float taken = 0.0f', (value) => `taken += ${value};`, 'taken'],
    REDUCE_MAX: ['float taken = -FLT_MAX', (value) => `if (${value} > taken) taken = ${value};`, 'taken'],
    REDUCE_MIN: ['float taken = FLT_MAX', (value) => `if (${value} < taken) taken = ${value};`, 'taken'],
  };
  const [start, take, give] = parts[op]!;
  const body = loops(
    'k',
    kept,
    ({ x }) => `const float *from = x + ${x};
${start};
${loops('r', reduced, (place) => take(`from[${place.x}]`))}
*y++ = ${give};`,
  );
  return pieceOf(site, { body: `{\n${indent(body)}\n}`, about: `[${shape}] over [${[...axes]}]` });
}

/** Statements for each row along the last axis, of which `most` is the largest value. */
function rowsWithMost({ shape }: Tensor, body: string): { body: string; about: string } {
  const classes = shape.at(-1) ?? 1;
  return {
    body: `for (int row = 0; row < ${elementCount(shape) / classes}; row++, x += ${classes}, y += ${classes}) {
  double most = -INFINITY, sum = 0.0;
  for (int i = 0; i < ${classes}; i++)
    if ((double)x[i] > most) most = (double)x[i];
${indent(body.replaceAll('CLASSES', String(classes)))}
}`,
    about: `${classes} classes`,
  };
}

function softmax(site: SiteOf<'SOFTMAX'>): Piece {
  const { beta } = site.options;
  const difference = beta === 1 ? '(double)x[i] - most' : `((double)x[i] - most) * (double)${cFloat(beta)}`;
  return pieceOf(
    site,
    rowsWithMost(
      site.input(0),
      `for (int i = 0; i < CLASSES; i++) {
  const double value = exp(${difference});
  sum += value;
  y[i] = (float)value;
}
/* volatile, because vectorizers of gcc otherwise divide the values before they were rounded. */
for (int i = 0; i < CLASSES; i++) y[i] = (float)((double)*(const volatile float *)(y + i) / sum);`,
    ),
  );
}

function logSoftmax(site: Site): Piece {
  return pieceOf(
    site,
    rowsWithMost(
      site.input(0),
      `for (int i = 0; i < CLASSES; i++) sum += exp((double)x[i] - most);
const double whole = log(sum);
for (int i = 0; i < CLASSES; i++) y[i] = (float)((double)x[i] - most - whole);`,
    ),
  );
}

function l2(site: Site): Piece {
  const { shape } = site.input(0);
  const depth = shape.at(-1)!;
  return pieceOf(site, {
    body: `for (int row = 0; row < ${elementCount(shape) / depth}; row++, x += ${depth}, y += ${depth}) {
  float sum = 0.0f;
  for (int i = 0; i < ${depth}; i++) sum += x[i] * x[i];
  const float root = sqrtf(sum), norm = root < 1e-6f ? 1e-6f : root;
  for (int i = 0; i < ${depth}; i++) y[i] = x[i] / norm;
}`,
  });
}

function bilinear(site: SiteOf<'RESIZE_BILINEAR'>): Piece {
  const { batches, channels, input, output } = resizeOf(nodeAt(site.graph, site.at));
  const names = ['row', 'column'];
  const constants = names.flatMap((name, axis) => {
    const places = realPlaces(input[axis]!, output[axis]!, site.options);
    const ends = places.flatMap(({ low, high }) => [low, high]);
    return [
      table('int16_t', site.own(`${name}s`), ends),
      table(
        'float',
        site.own(`${name}_parts`),
        places.map(({ part }) => part),
      ),
    ];
  });
  const [row, column] = [site.own('rows'), site.own('columns')];
  const at = (r: number, c: number) =>
    `x[((n * ${input[0]} + ${row}[2 * r + ${r}]) * ${input[1]} + ${column}[2 * c + ${c}]) * ${channels} + k]`;
  return pieceOf(site, {
    constants,
    body: `for (int n = 0; n < ${batches}; n++)
  for (int r = 0; r < ${output[0]}; r++)
    for (int c = 0; c < ${output[1]}; c++)
      for (int k = 0; k < ${channels}; k++) {
        const float down = ${site.own('row_parts')}[r], right = ${site.own('column_parts')}[c], up = 1.0f - down, left = 1.0f - right;
        const float first = ${at(0, 0)} * up * left, second = ${at(1, 0)} * down * left;
        const float third = ${at(0, 1)} * up * right, fourth = ${at(1, 1)} * down * right;
        *y++ = first + second + third + fourth;
      }`,
    about: `${input.join(' × ')} → ${output.join(' × ')}`,
  });
}

function batchMatmul(site: SiteOf<'BATCH_MATMUL'>): Piece {
  const plan = batchMatmulOf(nodeAt(site.graph, site.at));
  const [first, second] = [site.own('first'), site.own('second')];
  return pieceOf(site, {
    inputs: site.operator.inputs,
    constants: [table('int32_t', first, plan.first), table('int32_t', second, plan.second)],
    body: `for (int n = 0; n < ${plan.first.length}; n++)
  for (int r = 0; r < ${plan.rows}; r++)
    for (int c = 0; c < ${plan.columns}; c++) {
      const float *const left = x + ${first}[n] + r * ${plan.a.row}, *const right = x2 + ${second}[n] + c * ${plan.b.column};
      float sum = 0.0f;
      for (int k = 0; k < ${plan.depth}; k++) sum += left[k * ${plan.a.depth}] * right[k * ${plan.b.depth}];
      *y++ = sum;
    }`,
    about: `${plan.first.length} × ${plan.rows} × ${plan.depth} × ${plan.columns}`,
  });
}

/** TRANSPOSE_CONV: adds the products of each input cell to the outputs that its window covers. */
function transposeConv(site: SiteOf<'TRANSPOSE_CONV'>): Piece {
  const g = transposeConvOf(nodeAt(site.graph, site.at));
  const { inputs, bias } = layerInputs(site, [2, 1, 3], `i % ${g.outputs}`);
  const all = g.batches * g.outH * g.outW * g.outputs;
  const value = bias === '0.0' ? 'y[i] + 0.0f' : `y[i] + x3[i % ${g.outputs}]`;
  return pieceOf(site, {
    inputs,
    body: `for (int i = 0; i < ${all}; i++) y[i] = 0.0f;
for (int n = 0; n < ${g.batches}; n++)
  for (int row = 0; row < ${g.height}; row++)
    for (int column = 0; column < ${g.width}; column++)
      for (int k = 0; k < ${g.channels}; k++, x++)
        for (int r = 0; r < ${g.filterH}; r++) {
          const int down = row * ${g.strideH} - ${g.top} + r;
          if (down < 0 || down >= ${g.outH}) continue;
          for (int c = 0; c < ${g.filterW}; c++) {
            const int right = column * ${g.strideW} - ${g.left} + c;
            if (right < 0 || right >= ${g.outW}) continue;
            float *const to = y + ((n * ${g.outH} + down) * ${g.outW} + right) * ${g.outputs};
            for (int o = 0; o < ${g.outputs}; o++) to[o] += *x * x2[((o * ${g.filterH} + r) * ${g.filterW} + c) * ${g.channels} + k];
          }
        }
for (int i = 0; i < ${all}; i++) {
  const float value = ${value};
  y[i] = ${limited(site.options.activation, 'value', 'f')};
}`,
    about: `${g.height} × ${g.width} × ${g.channels} → ${g.outH} × ${g.outW} × ${g.outputs}`,
  });
}

function svdf(site: SiteOf<'SVDF'>): Piece {
  const [batches, length] = site.input(0).shape as [number, number];
  const [filters, memory] = site.input(2).shape as [number, number];
  const { rank, activation } = site.options;
  const units = filters / rank;
  const own = `variable${site.operator.inputs[4]}`;
  const { inputs, bias } = layerInputs(site, [0, 1, 3], 'u');
  const time = site.own('time');
  return pieceOf(site, {
    inputs,
    constants: [table('float', time, site.input(2).data as Float32Array)],
    body: `memmove(${own}, ${own} + 1, sizeof ${own} - sizeof *${own});
for (int batch = 0; batch < ${batches}; batch++, x += ${length}) {
  float *const state = ${own} + batch * ${filters * memory};
  for (int f = 0; f < ${filters}; f++) {
    float sum = 0.0f;
    for (int i = 0; i < ${length}; i++) sum += x2[f * ${length} + i] * x[i];
    state[f * ${memory} + ${memory - 1}] = sum;
  }
  for (int u = 0; u < ${units}; u++) {
    float value = ${bias === '0.0' ? '0.0f' : 'x3[u]'};
    for (int f = u * ${rank}; f < (u + 1) * ${rank}; f++) {
      float sum = 0.0f;
      for (int i = 0; i < ${memory}; i++) sum += ${time}[f * ${memory} + i] * state[f * ${memory} + i];
      value += sum;
    }
    *y++ = ${limited(activation, 'value', 'f')};
  }
}`,
    about: `${length} → ${units}, over ${memory} steps`,
  });
}

/** Inputs of each gate: weights for x, weights for the hidden state, bias. */
const gates = { input: [1, 5, 12], forget: [2, 6, 13], cell: [3, 7, 14], output: [4, 8, 15] } as const;

function lstm(site: SiteOf<'UNIDIRECTIONAL_SEQUENCE_LSTM'>): Piece {
  const [first, second, length] = site.input(0).shape as [number, number, number];
  const { timeMajor, cellClip } = site.options;
  const [steps, batches] = timeMajor ? [first, second] : [second, first];
  const units = site.input(18).shape[1]!;
  const [hidden, cell] = [18, 19].map((place) => `variable${site.operator.inputs[place]}`);
  const constants: string[] = [];
  const listed = (name: string, place: number) => {
    constants.push(table('float', site.own(name), site.input(place).data as Float32Array));
    return site.own(name);
  };
  const sums = Object.entries(gates).map(([gate, [weights, recurrent, bias]]) => {
    const [w, r, b] = [
      listed(`${gate}_w`, weights),
      listed(`${gate}_r`, recurrent),
      listed(`${gate}_b`, bias),
    ];
    return `const float ${gate}_sum = (dot(${w} + u * ${length}, own, ${length}) + ${b}[u]) + dot(${r} + u * ${units}, ${hidden} + batch * ${units}, ${units});`;
  });
  const clip = cellClip > 0 ? cFloat(cellClip) : '';
  const kept = clip === '' ? 'value' : `value < -${clip} ? -${clip} : value > ${clip} ? ${clip} : value`;
  return pieceOf(site, {
    constants,
    helpers: ['realGates'],
    body: `for (int batch = 0; batch < ${batches}; batch++)
  for (int time = 0; time < ${steps}; time++) {
    const int row = ${timeMajor ? `time * ${batches} + batch` : `batch * ${steps} + time`};
    const float *const own = x + row * ${length};
    for (int u = 0; u < ${units}; u++) {
${indent(sums.join('\n'), 3)}
      float *const state = ${cell} + batch * ${units} + u;
      const float past = gate(forget_sum) * *state;
      const float added = gate(input_sum) * (float)tanh((double)cell_sum);
      const float value = past + added;
      *state = ${kept};
      y[row * ${units} + u] = gate(output_sum) * (float)tanh((double)*state);
    }
    for (int u = 0; u < ${units}; u++) ${hidden}[batch * ${units} + u] = y[row * ${units} + u];
  }`,
    about: `${steps} ${steps === 1 ? 'step' : 'steps'}, ${length} → ${units}`,
  });
}

/** Operators whose C code on float32 differs from the code on integers. */
export const realMakers: { readonly [Name in OperatorName]?: (site: Site<never>) => Piece | Piece[] } = {
  FULLY_CONNECTED: fullyConnected,
  CONV_2D: convolution,
  DEPTHWISE_CONV_2D: depthwise,
  TRANSPOSE_CONV: transposeConv,
  UNIDIRECTIONAL_SEQUENCE_LSTM: lstm,
  SVDF: svdf,
  MAX_POOL_2D: pool,
  AVERAGE_POOL_2D: pool,
  MEAN: reduction,
  SUM: reduction,
  REDUCE_MAX: reduction,
  REDUCE_MIN: reduction,
  SOFTMAX: softmax,
  LOG_SOFTMAX: logSoftmax,
  L2_NORMALIZATION: l2,
  RESIZE_BILINEAR: bilinear,
  BATCH_MATMUL: batchMatmul,
  ADD: arithmetic('a + b'),
  SUB: arithmetic('a - b'),
  MUL: arithmetic('a * b'),
  DIV: arithmetic('a / b'),
  SQUARED_DIFFERENCE: arithmetic('(a - b) * (a - b)'),
  PRELU: arithmetic('a >= 0.0f ? a : a * b'),
  FLOOR_MOD: floorMod,
  EQUAL: comparison('=='),
  NOT_EQUAL: comparison('!='),
  GREATER: comparison('>'),
  GREATER_EQUAL: comparison('>='),
  LESS: comparison('<'),
  LESS_EQUAL: comparison('<='),
  ABS: perElement('fabsf(v)'),
  NEG: perElement('-v'),
  SQRT: perElement('sqrtf(v)'),
  RSQRT: perElement('1.0f / sqrtf(v)'),
  SQUARE: perElement('v * v'),
  FLOOR: perElement('floorf(v)'),
  CEIL: perElement('ceilf(v)'),
  // −0.3 becomes 0, not −0.
  ROUND: perElement('v == 0.0f ? v : rintf(v) + 0.0f'),
  EXP: throughDouble('exp'),
  LOG: throughDouble('log'),
  SIN: throughDouble('sin'),
  COS: throughDouble('cos'),
  TANH: throughDouble('tanh'),
  LOGISTIC: perElement('(float)(1.0 / (1.0 + exp(-(double)v)))'),
  ELU: perElement('v < 0.0f ? (float)expm1((double)v) : v'),
  RELU: perElement('v < 0.0f ? 0.0f : v'),
  RELU6: perElement('v < 0.0f ? 0.0f : v > 6.0f ? 6.0f : v'),
  LEAKY_RELU: leakyRelu,
  HARD_SWISH: perElement('v * (v + 3.0f < 0.0f ? 0.0f : v + 3.0f > 6.0f ? 6.0f : v + 3.0f) / 6.0f'),
};
