import { elementCount } from '../../formats/tflite/graph.js';
import { type Axis, axisOf } from '../../runtime/interpreter/geometry.js';
import {
  type Finish,
  finishOf,
  indent,
  type Piece,
  rowTable,
  type Site,
  type SiteOf,
  scaleOf,
  wholeOutputs,
  wholeText,
} from './piece.js';

export function fullyConnected(site: SiteOf<'FULLY_CONNECTED'>): Piece {
  const [outputs, inputs] = site.input(1).shape as [number, number];
  const rows = elementCount(site.input(0).shape) / inputs;
  const finish = finishOf(site, outputs, (at) => Math.floor(at / inputs), site.options.activation);
  const layout = rowsOf(outputs, inputs);
  const cells = widenedCells(layout);
  const one = `const int8_t *const from = x;
${cells.each}
${sumsText(site, finish, layout, 0, outputs)}
${finish.all}`;
  const all =
    rows === 1
      ? one
      : `for (int row = 0; row < ${rows}; row++, x += ${inputs}, y += ${outputs}) {\n${indent(one)}\n}`;
  const body = `${startText(finish, cells)}\n${all}`;
  const constants = [...finish.constants, weightTable(site, layout)];
  return piece(site, finish, constants, 0, body, `${rows === 1 ? '' : `${rows} × `}${inputs} → ${outputs}`);
}

/**
 * The start of a layer's function. The buffer for all sums is on the stack, but only on machines with vectors, because these have enough
 * memory.
 */
function startText({ sums }: Finish, { first }: Cells): string {
  return `int32_t sums[MODEL_WIDE ? ${sums} : 1] = {0};\n${first}`;
}

function piece(
  site: Site,
  finish: Finish,
  constants: string[],
  scratch: number,
  body: string,
  about: string,
): Piece {
  return {
    at: site.at,
    op: site.operator.op,
    inputs: [site.operator.inputs[0]!],
    output: site.operator.outputs[0]!,
    scratch,
    constants,
    body,
    helpers: finish.helpers,
    cloned: true,
    about,
  };
}

export function convolution(site: SiteOf<'CONV_2D'>): Piece {
  const [outputs, filterH, filterW, taken] = site.input(1).shape as [number, number, number, number];
  const length = filterH * filterW * taken;
  const finish = finishOf(site, outputs, (at) => Math.floor(at / length), site.options.activation);
  const window = windowOf(site, [filterH, filterW], taken);
  const groups = window.channels / taken;
  const each = outputs / groups;
  const { zeroPoint } = scaleOf(site.input(0));
  const layout = { ...rowsOf(outputs, length), ...(groups > 1 ? { turned: false } : {}) };
  const line = widenedLine(window, layout.whole, zeroPoint, cellsText(window, zeroPoint, 0));
  const wide = line ?? widenedCells(layout);
  let scratch = 0;
  const parts = Array.from({ length: groups }, (_, group) => {
    const cells = cellsText(window, zeroPoint, group);
    scratch = cells.scratch;
    const before = line === undefined ? `${cells.start}\n${cells.text}\n` : '';
    const text = `${before}${wide.each}\n${sumsText(site, finish, layout, group * each, each)}`;
    return groups === 1 ? text : `{\n${indent(text)}\n}`;
  });
  const position = [...parts, finish.all].join('\n');
  const body = `${startText(finish, wide)}\n${everywhere(window, outputs, position, line)}`;
  const constants = [...finish.constants, weightTable(site, layout)];
  return piece(site, finish, constants, scratch, body, aboutOf(window, outputs));
}

export function depthwise(site: SiteOf<'DEPTHWISE_CONV_2D'>): Piece {
  const [, filterH, filterW, outputs] = site.input(1).shape as [number, number, number, number];
  const finish = finishOf(site, outputs, (at) => at % outputs, site.options.activation);
  const channels = site.input(0).shape[3]!;
  const window = windowOf(site, [filterH, filterW], channels);
  const cells = cellsText(window, scaleOf(site.input(0)).zeroPoint, 0);
  const multiplier = outputs / channels;
  const taps = filterH * filterW;
  const whole = multiplier === 1 ? wholeOutputs(outputs) : outputs;
  const weights = site.input(1).data as Int8Array;
  const rows = Array.from({ length: taps }, (_, tap) => weights.subarray(tap * outputs, (tap + 1) * outputs));
  const image =
    taps <= 25 ? widenedImage(window, whole - outputs, scaleOf(site.input(0)).zeroPoint, cells) : undefined;
  const wide = image ?? widenedCells({ length: taps * channels, whole: taps * channels + whole - outputs });
  const before = image === undefined ? `${cells.start}\n${cells.text}\n` : '';
  const own = multiplier === 1 ? 'o' : `o / ${multiplier}`;
  const cell = (tap: number) => {
    const [near, far] = [tap * channels, image?.place(Math.floor(tap / filterW), tap % filterW)];
    return `p[${far === undefined ? near : wholeText(near, far)} + ${own}]`;
  };
  const sums = wholeText(outputs, whole);
  const text = taps <= 25 ? outputsText(site, finish, sums, rows, cell) : tapsText();
  const position = `${before}${wide.each}
${text}
${finish.all}`;
  const body = `${startText(finish, wide)}\n${everywhere(window, outputs, position, image)}`;
  const constants = [...finish.constants, rowTable('wide', site.own('weights'), rows, whole)];
  return piece(site, finish, constants, cells.scratch, body, aboutOf(window, outputs));

  function tapsText(): string {
    return `for (int o = 0; o < ${sums}; o++) {
  int32_t a = ${site.own('bias')}[o];
  for (int tap = 0; tap < ${taps}; tap++) a += ${site.own('weights')}[tap][o] * p[tap * ${channels} + ${own}];
  if (MODEL_WIDE)
    sums[o] = a;
  else
    y[o] = ${finish.text('a', 'o')};
}`;
  }
}

function aboutOf({ rows, columns, channels }: Window, outputs: number): string {
  return `${rows.input} × ${columns.input} × ${channels} → ${rows.output} × ${columns.output} × ${outputs}, filter ${rows.filter} × ${columns.filter}`;
}

/** Prologue of a layer's function, and the code that sets `p` before each position's sums. */
interface Cells {
  first: string;
  each: string;
}

/** The `length` cells at `from` as `p`, widened to 16 bits if vectors multiply 16-bit numbers. */
function widenedCells({ length, whole }: Pick<Rows, 'length' | 'whole'>): Cells {
  return {
    first: `wide cells[MODEL_WIDE ? ${whole} : 1] = {0};`,
    each: `if (MODEL_WIDE) {
${indent(widening('cells', 'from', length))}
}
const wide *const p = MODEL_WIDE ? (const void *)cells : from;`,
  };
}

/** Loops over whole vectors; the last iteration may process some cells twice. */
function widening(to: string, from: string, length: number): string {
  const vector = length >= 16 ? 16 : 8;
  const even = length - (length % vector);
  const loop = (first: number, end: number) =>
    `for (int i = ${first}; i < ${end}; i++) ${to}[i] = ${from}[i];`;
  if (length < vector) return loop(0, length);
  return [loop(0, even), ...(length > even ? [loop(length - vector, length)] : [])].join('\n');
}

interface Window {
  batches: number;
  rows: Axis;
  columns: Axis;
  /** Number of input channels, and how many of them the filter uses. */
  channels: number;
  taken: number;
}

function windowOf(
  site: SiteOf<'CONV_2D' | 'DEPTHWISE_CONV_2D'>,
  filter: [number, number],
  taken: number,
): Window {
  const [batches, height, width, channels] = site.input(0).shape as [number, number, number, number];
  const { padding, strideH, strideW, dilationH, dilationW } = site.options;
  return {
    batches,
    channels,
    taken,
    rows: axisOf(height, filter[0], strideH, dilationH, padding),
    columns: axisOf(width, filter[1], strideW, dilationW, padding),
  };
}

/** First and last output position whose whole window is inside the image. */
function inside({ input, output, filter, stride, dilation, before }: Axis): [number, number] {
  const span = (filter - 1) * dilation + 1;
  return [Math.ceil(before / stride), Math.min(output - 1, Math.floor((input + before - span) / stride))];
}

const isWhole = (axis: Axis) => inside(axis)[0] === 0 && inside(axis)[1] === axis.output - 1;
const isApart = ({ dilation, filter }: Axis) => dilation > 1 && filter > 1;

/** Sets `from` to the cells under the window at (row, column): in place if they are contiguous, otherwise copied into `patch`. */
function cellsText(
  window: Window,
  zeroPoint: number,
  group: number,
): { start: string; text: string; scratch: number } {
  const { rows, columns, channels, taken } = window;
  const run = columns.filter * taken;
  const together = taken === channels && !isApart(columns);
  const at = (line: string, cell: string) =>
    `x + (${line} * ${columns.input} + ${cell}) * ${channels}${group === 0 ? '' : ` + ${group * taken}`}`;
  const place = (axis: Axis, position: string, filter = '') =>
    `(${position} * ${axis.stride}${axis.before === 0 ? '' : ` - ${axis.before}`}${filter === '' ? '' : ` + ${filter} * ${axis.dilation}`})`;
  const within = [[rows, 'row'] as const, [columns, 'column'] as const].flatMap(([axis, name]) => {
    const [first, last] = inside(axis);
    return isWhole(axis) ? [] : [`${name} >= ${first} && ${name} <= ${last}`];
  });
  const direct =
    rows.filter === 1
      ? `from = ${at(place(rows, 'row'), place(columns, 'column'))};`
      : `for (int r = 0; r < ${rows.filter}; r++)
  memcpy(patch + r * ${run}, ${at(place(rows, 'row', 'r'), place(columns, 'column'))}, ${run});`;
  const start =
    rows.filter === 1 && together && within.length === 0
      ? 'const int8_t *from = x;'
      : 'const int8_t *from = patch;';
  if (together && within.length === 0)
    return { start, text: direct, scratch: rows.filter === 1 ? 0 : rows.filter * run };
  const cells = `int8_t *to = patch;
for (int r = 0; r < ${rows.filter}; r++) {
  const int line = ${place(rows, 'row', 'r')};
  for (int c = 0; c < ${columns.filter}; c++, to += ${taken}) {
    const int cell = ${place(columns, 'column', 'c')};
    if (line >= 0 && line < ${rows.input} && cell >= 0 && cell < ${columns.input})
      memcpy(to, ${at('line', 'cell')}, ${taken});
    else
      memset(to, ${zeroPoint}, ${taken});
  }
}`;
  const text = together
    ? `if (${within.join(' && ')}) {\n${indent(direct)}\n} else {\n${indent(cells)}\n}`
    : cells;
  return { start, text, scratch: rows.filter * run };
}

/** The body at every output position, with `x` advanced per image and `y` per position. */
function everywhere(
  { batches, rows, columns, channels }: Window,
  outputs: number,
  body: string,
  { eachRow = '', eachImage = '' }: { eachRow?: string; eachImage?: string } = {},
): string {
  const over = `for (int column = 0; column < ${columns.output}; column++, y += ${outputs}) {
${indent(body)}
}`;
  const loops = `for (int row = 0; row < ${rows.output}; row++) {
${indent(eachRow === '' ? over : `${eachRow}\n${over}`)}
}`;
  const all = eachImage === '' ? loops : `${eachImage}\n${loops}`;
  if (batches === 1) return all;
  const image = rows.input * columns.input * channels;
  return `for (int image = 0; image < ${batches}; image++, x += ${image}) {\n${indent(all)}\n}`;
}

/** Maximum number of cells in a line or an image that a function widens on its stack: 32 KiB. */
const longestLine = 16384;

/** If each window is part of one line, widens the whole line of the image, with its padding, before processing the windows. */
function widenedLine(
  { rows, columns, channels, taken }: Window,
  whole: number,
  zeroPoint: number,
  narrow: { start: string; text: string },
): (Cells & { eachRow: string }) | undefined {
  const before = columns.before * channels;
  const own = columns.input * channels;
  const all = Math.max(before + own, (columns.output - 1) * columns.stride * channels + whole);
  const alone = rows.filter === 1 && rows.before === 0 && taken === channels && !isApart(columns);
  if (!alone || all > longestLine) return undefined;
  const fill = (from: number, end: number) =>
    end > from ? [`for (int i = ${from}; i < ${end}; i++) strip[i] = ${zeroPoint};`] : [];
  const to = before === 0 ? 'strip' : `(strip + ${before})`;
  const start = rows.output === 1 ? 'x' : `(x + row * ${rows.stride * own})`;
  return {
    first: `wide strip[MODEL_WIDE ? ${all} : 1];`,
    eachRow: `if (MODEL_WIDE) {
${indent([...fill(0, before), widening(to, start, own), ...fill(before + own, all)].join('\n'))}
}`,
    each: `${narrow.start}
if (!MODEL_WIDE) {
${indent(narrow.text)}
}
const wide *const p = MODEL_WIDE ? (const void *)(strip + column * ${columns.stride * channels}) : from;`,
  };
}

/** Widens the whole image, with its padding, before processing the windows. @param slack cells read beyond the last window */
function widenedImage(
  { rows, columns, channels }: Window,
  slack: number,
  zeroPoint: number,
  narrow: { start: string; text: string },
): (Cells & { eachImage: string; place(r: number, c: number): number }) | undefined {
  const reach = ({ before, input, output, stride, filter, dilation }: Axis) =>
    Math.max(before + input, (output - 1) * stride + (filter - 1) * dilation + 1);
  const line = reach(columns) * channels;
  const all = reach(rows) * line + slack;
  if (all > longestLine) return undefined;
  const own = columns.input * channels;
  const to = `(plane + (r + ${rows.before}) * ${line} + ${columns.before * channels})`;
  return {
    first: `wide plane[MODEL_WIDE ? ${all} : 1];`,
    eachImage: `if (MODEL_WIDE) {
  for (int i = 0; i < ${all}; i++) plane[i] = ${zeroPoint};
  for (int r = 0; r < ${rows.input}; r++) {
${indent(widening(to, `(x + r * ${own})`, own), 2)}
  }
}`,
    each: `${narrow.start}
if (!MODEL_WIDE) {
${indent(narrow.text)}
}
const wide *const p = MODEL_WIDE ? (const void *)(plane + row * ${rows.stride * line} + column * ${columns.stride * channels}) : from;`,
    place: (r, c) => r * rows.dilation * line + c * columns.dilation * channels,
  };
}

/** Weights by output, the number of cells per row, and the padded number of cells on machines with vectors. */
interface Rows {
  outputs: number;
  length: number;
  whole: number;
  /** Whether weights are ordered by cell, so that each vector contains several outputs. This suits few cells and many outputs. */
  turned: boolean;
}

function rowsOf(outputs: number, length: number): Rows {
  const whole = length <= 8 ? 8 : Math.ceil(length / 16) * 16;
  return { outputs, length, whole, turned: length <= 8 && outputs >= 8 };
}

function weightTable(site: Site, { outputs, length, whole, turned }: Rows): string {
  const weights = site.input(1).data as Int8Array;
  const name = site.own('weights');
  if (!turned) {
    const rows = Array.from({ length: outputs }, (_, o) => weights.subarray(o * length, (o + 1) * length));
    return rowTable('wide', name, rows, whole);
  }
  const rows = Array.from({ length }, (_, i) =>
    Int8Array.from({ length: outputs }, (_, o) => weights[o * length + i]!),
  );
  return rowTable('wide', name, rows, wholeOutputs(outputs));
}

/**
 * Sums of `count` outputs over the cells at `p`, starting at output `first`. Without vectors, each sum is converted into its output
 * immediately.
 */
function sumsText(site: Site, finish: Finish, rows: Rows, first: number, count: number): string {
  return rows.turned ? turnedText(site, finish, rows) : dotText(site, finish, rows, first, count);
}

/** Processes eight rows of weights at a time, then four, then one, so that each cell is loaded once per group. */
function dotText(site: Site, finish: Finish, rows: Rows, first: number, count: number): string {
  const [eight, four] = [first + count - (count % 8), first + count - (count % 4)];
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  const blocks = [
    { from: first, to: eight, names },
    { from: eight, to: four, names: names.slice(0, 4) },
    { from: four, to: first + count, names: names.slice(0, 1) },
  ];
  return blocks
    .filter(({ from, to }) => to > from)
    .map(({ from, to, names }) => {
      const o = (i: number) => (i === 0 ? 'o' : `o + ${i}`);
      const each = (text: (name: string, o: string) => string) =>
        names.map((name, i) => text(name, o(i))).join('\n');
      const starts = names.map((name, i) => `${name} = ${site.own('bias')}[${o(i)}]`).join(', ');
      return `for (int o = ${from}; o < ${to}; o += ${names.length}) {
${indent(`const wide *const w = ${site.own('weights')}[o];
int32_t ${starts};
for (int i = 0; i < ${wholeText(rows.length, rows.whole)}; i++) {
  const int32_t v = p[i];
${indent(names.map((name, i) => `${name} += w[${rowAt(i, rows)}i] * v;`).join('\n'))}
}
if (MODEL_WIDE) {
${indent(each((name, place) => `sums[${place}] = ${name};`))}
  continue;
}
${each((name, place) => `y[${place}] = ${finish.text(name, place)};`)}`)}
}`;
    })
    .join('\n');
}

const rowAt = (row: number, { length, whole }: Rows) =>
  row === 0 ? '' : `${row === 1 ? '' : `${row} * `}${wholeText(length, whole)} + `;

function turnedText(site: Site, finish: Finish, { length, outputs }: Rows): string {
  const cells = Array.from({ length }, (_, i) => `v${i} = p[${i}]`).join(', ');
  const weights = site.input(1).data as Int8Array;
  const rows = Array.from({ length }, (_, i) =>
    Int8Array.from({ length: outputs }, (_, o) => weights[o * length + i]!),
  );
  return `const wide ${cells};
${outputsText(site, finish, finish.sums, rows, (i) => `v${i}`)}`;
}

/** A loop over outputs; each one sums the products of all rows of weights. */
function outputsText(
  site: Site,
  finish: Finish,
  sums: string,
  rows: Int8Array[],
  cell: (row: number) => string,
): string {
  const term = (row: number) => `${site.own('weights')}[${row}][o] * ${cell(row)}`;
  const groups = fewOf(rows).map((group) => group.map(term).join(' + '));
  return `for (int o = 0; o < ${sums}; o++) {
  const int32_t a = ${site.own('bias')}[o]${groups.map((group) => `\n    + (few)(${group})`).join('')};
  if (MODEL_WIDE)
    sums[o] = a;
  else
    y[o] = ${finish.text('a', 'o')};
}`;
}

/** Groups neighboring rows of weights, by index, so that the sum of a group's products with any cells fits in 16 bits. */
function fewOf(rows: Int8Array[]): number[][] {
  const groups: number[][] = [];
  let most: number[] = [];
  rows.forEach((row, at) => {
    const more = Array.from(row, (weight, o) => (most[o] ?? 0) + Math.abs(weight) * 128);
    if (groups.length > 0 && more.every((sum) => sum <= 32767)) {
      groups.at(-1)!.push(at);
      most = more;
    } else {
      groups.push([at]);
      most = Array.from(row, (weight) => Math.abs(weight) * 128);
    }
  });
  return groups;
}
