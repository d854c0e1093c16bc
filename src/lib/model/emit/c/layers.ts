import { elementCount } from '../../../formats/index.js';
import { type Axis, axisOf } from '../../../runtime/index.js';
import { type Finish, finishOf } from './finish.js';
import { indent, type Piece, type Site, type SiteOf, scaleOf } from './piece.js';

/** Dot products of `count` rows of weights with `length` values at `p`: four rows at a time, each value loaded once for them. */
function rowsText(site: Site, finish: Finish, length: number, first: number, count: number): string {
  const [weights, bias] = [site.own('weights'), site.own('bias')];
  const end = first + count;
  const four = first + count - (count % 4);
  const names = ['a', 'b', 'c', 'd'];
  const parts: string[] = [];
  if (four > first)
    parts.push(`for (int o = ${first}; o < ${four}; o += 4) {
  const int8_t *w = ${weights} + o * ${length};
  int32_t ${names.map((name, i) => `${name} = ${bias}[o${i === 0 ? '' : ` + ${i}`}]`).join(', ')};
${stretches(length, (from, to) =>
  loop(
    from,
    to,
    `const int32_t v = p[i];
${names.map((name, i) => `${name} += w[${i === 0 ? '' : `${i * length} + `}i] * v;`).join('\n')}`,
  ),
)}
${names.map((name, i) => `  y[o${i === 0 ? '' : ` + ${i}`}] = ${finish.text(name, i === 0 ? 'o' : `o + ${i}`)};`).join('\n')}
}`);
  if (end > four)
    parts.push(`for (int o = ${four}; o < ${end}; o++) {
  const int8_t *w = ${weights} + o * ${length};
  int32_t a = ${bias}[o];
${stretches(length, (from, to) => loop(from, to, 'a += w[i] * p[i];'))}
  y[o] = ${finish.text('a', 'o')};
}`);
  return parts.join('\n');
}

function loop(from: number, to: number, body: string): string {
  return `  for (int i = ${from}; i < ${to}; i++) {\n${indent(body, 2)}\n  }`;
}

/** A loop over whole vectors of 16, which compilers turn into vector instructions without being asked for more, and the rest. */
function stretches(length: number, text: (from: number, to: number) => string): string {
  const whole = length - (length % 16);
  return [...(whole > 0 ? [text(0, whole)] : []), ...(length > whole ? [text(whole, length)] : [])].join(
    '\n',
  );
}

export function fullyConnected(site: SiteOf<'FULLY_CONNECTED'>): Piece {
  const [outputs, inputs] = site.input(1).shape as [number, number];
  const rows = elementCount(site.input(0).shape) / inputs;
  const finish = finishOf(site, outputs, (at) => Math.floor(at / inputs), site.options.activation);
  const one = rowsText(site, finish, inputs, 0, outputs);
  const body =
    rows === 1
      ? `const int8_t *p = x;\n${one}`
      : `const int8_t *p = x;\nfor (int row = 0; row < ${rows}; row++, p += ${inputs}, y += ${outputs}) {\n${indent(one)}\n}`;
  return piece(site, finish, 0, body, `${rows === 1 ? '' : `${rows} × `}${inputs} → ${outputs}`);
}

function piece(site: Site, finish: Finish, scratch: number, body: string, about: string): Piece {
  return {
    at: site.at,
    op: site.operator.op,
    inputs: [site.operator.inputs[0]!],
    output: site.operator.outputs[0]!,
    scratch,
    constants: finish.constants,
    body,
    helpers: finish.helpers,
    about,
  };
}

interface Window {
  batches: number;
  rows: Axis;
  columns: Axis;
  /** Channels of the input, and those that the filter takes of them. */
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

/** Output positions whose whole window lies inside the image, first and last. */
function inside({ input, output, filter, stride, dilation, before }: Axis): [number, number] {
  const span = (filter - 1) * dilation + 1;
  return [Math.ceil(before / stride), Math.min(output - 1, Math.floor((input + before - span) / stride))];
}

const isWhole = (axis: Axis) => inside(axis)[0] === 0 && inside(axis)[1] === axis.output - 1;
const isApart = ({ dilation, filter }: Axis) => dilation > 1 && filter > 1;

/** Sets `p` to the cells under the window at (row, column): where they lie if they lie together, else copied into `patch`. */
function cellsText(window: Window, zeroPoint: number, group: number): { text: string; scratch: number } {
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
      ? `p = ${at(place(rows, 'row'), place(columns, 'column'))};`
      : `for (int r = 0; r < ${rows.filter}; r++)
  memcpy(patch + r * ${run}, ${at(place(rows, 'row', 'r'), place(columns, 'column'))}, ${run});`;
  const start =
    rows.filter === 1 && together && within.length === 0 ? 'const int8_t *p;' : 'const int8_t *p = patch;';
  if (together && within.length === 0)
    return { text: `${start}\n${direct}`, scratch: rows.filter === 1 ? 0 : rows.filter * run };
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
  return { text: `${start}\n${text}`, scratch: rows.filter * run };
}

/** The body at every output position, `x` moved on by image and `y` by position. */
function everywhere({ batches, rows, columns, channels }: Window, outputs: number, body: string): string {
  const loops = `for (int row = 0; row < ${rows.output}; row++)
  for (int column = 0; column < ${columns.output}; column++, y += ${outputs}) {
${indent(body, 2)}
  }`;
  if (batches === 1) return loops;
  const image = rows.input * columns.input * channels;
  return `for (int image = 0; image < ${batches}; image++, x += ${image}) {\n${indent(loops)}\n}`;
}

export function convolution(site: SiteOf<'CONV_2D'>): Piece {
  const [outputs, filterH, filterW, taken] = site.input(1).shape as [number, number, number, number];
  const length = filterH * filterW * taken;
  const finish = finishOf(site, outputs, (at) => Math.floor(at / length), site.options.activation);
  const window = windowOf(site, [filterH, filterW], taken);
  const groups = window.channels / taken;
  const each = outputs / groups;
  const { zeroPoint } = scaleOf(site.input(0));
  let scratch = 0;
  const parts = Array.from({ length: groups }, (_, group) => {
    const cells = cellsText(window, zeroPoint, group);
    scratch = cells.scratch;
    const text = `${cells.text}\n${rowsText(site, finish, length, group * each, each)}`;
    return groups === 1 ? text : `{\n${indent(text)}\n}`;
  });
  return piece(
    site,
    finish,
    scratch,
    everywhere(window, outputs, parts.join('\n')),
    aboutOf(window, outputs),
  );
}

export function depthwise(site: SiteOf<'DEPTHWISE_CONV_2D'>): Piece {
  const [, filterH, filterW, outputs] = site.input(1).shape as [number, number, number, number];
  const finish = finishOf(site, outputs, (at) => at % outputs, site.options.activation);
  const { channels } = { channels: site.input(0).shape[3]! };
  const window = windowOf(site, [filterH, filterW], channels);
  const cells = cellsText(window, scaleOf(site.input(0)).zeroPoint, 0);
  const multiplier = outputs / channels;
  const from = multiplier === 1 ? 'o' : `o / ${multiplier}`;
  const taps = filterH * filterW;
  const [weights, bias] = [site.own('weights'), site.own('bias')];
  const sum =
    taps <= 9
      ? `const int32_t a = ${bias}[o]${Array.from({ length: taps }, (_, tap) => `\n    + ${weights}[${tap * outputs} + o] * p[${tap * channels} + ${from}]`).join('')};`
      : `int32_t a = ${bias}[o];
  for (int tap = 0; tap < ${taps}; tap++)
    a += ${weights}[tap * ${outputs} + o] * p[tap * ${channels} + ${from}];`;
  const body = `${cells.text}
for (int o = 0; o < ${outputs}; o++) {
  ${sum}
  y[o] = ${finish.text('a', 'o')};
}`;
  return piece(site, finish, cells.scratch, everywhere(window, outputs, body), aboutOf(window, outputs));
}

function aboutOf({ rows, columns, channels }: Window, outputs: number): string {
  return `${rows.input} × ${columns.input} × ${channels} → ${rows.output} × ${columns.output} × ${outputs}, filter ${rows.filter} × ${columns.filter}`;
}
