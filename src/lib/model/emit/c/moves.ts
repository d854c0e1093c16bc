import { elementCount, sliceAxes } from '../../../formats/index.js';
import { loops, stridesOf } from './loops.js';
import { pieceOf } from './others.js';
import { type Piece, type Site, type SiteOf, scaleOf } from './piece.js';

interface Move {
  size: number;
  x: number;
  y: number;
}

/** y[its place] = x[its place] for every index; neighbours that lie together on both sides are copied together. */
function copyText(axes: Move[], from = 0, to = 0): string {
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
    const run = last?.size ?? 1;
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
  return pieceOf(site, { body: copyText(zip(shape, x, stridesOf(shape))) });
}

export function stridedSlice(site: SiteOf<'STRIDED_SLICE'>): Piece {
  const { shape } = site.input(0);
  const [begin, end, strides] = [1, 2, 3].map((place) => site.input(place).data as Int32Array);
  const axes = sliceAxes(shape, [begin!, end!, strides!], site.options)!;
  const own = stridesOf(shape);
  const counts = axes.map(({ count }) => count);
  const from = axes.reduce((start, { first }, axis) => start + first * own[axis]!, 0);
  const x = axes.map(({ step }, axis) => step * own[axis]!);
  return pieceOf(site, { body: copyText(zip(counts, x, stridesOf(counts)), from) });
}

/** PAD fills with the zero point, PADV2 with its third input. */
export function pad(site: Site): Piece {
  const { shape } = site.input(0);
  const paddings = site.input(1).data as Int32Array;
  const strides = stridesOf(site.output.shape);
  const start = strides.reduce((sum, stride, axis) => sum + stride * paddings[2 * axis]!, 0);
  const given = site.operator.op === 'PADV2';
  const fill = given ? (site.input(2).data as Int8Array)[0]! : scaleOf(site.output).zeroPoint;
  return pieceOf(site, {
    body: `memset(y, ${fill}, ${elementCount(site.output.shape)});
${copyText(zip(shape, stridesOf(shape), strides), 0, start)}`,
  });
}

/** One piece for each part. */
export function concatenation(site: SiteOf<'CONCATENATION'>): Piece[] {
  const { shape } = site.output;
  const axis = positive(site.options.axis, shape.length);
  const strides = stridesOf(shape);
  let start = 0;
  return site.operator.inputs.map((input, place) => {
    const own = site.input(place).shape;
    const body = copyText(zip(own, stridesOf(own), strides), 0, start * strides[axis]!);
    start += own[axis]!;
    return pieceOf(site, { inputs: [input], body });
  });
}

/** One piece for each part. */
export function split(site: SiteOf<'SPLIT'>): Piece[] {
  const { shape } = site.input(1);
  const axis = positive((site.input(0).data as Int32Array)[0]!, shape.length);
  const strides = stridesOf(shape);
  return site.operator.outputs.map((output, part) => {
    const own = site.graph.tensors[output]!.shape;
    const body = copyText(zip(own, strides, stridesOf(own)), part * own[axis]! * strides[axis]!);
    return pieceOf(site, { inputs: [site.operator.inputs[1]!], output, body });
  });
}

/** Everything as it is: where input or a constant is the network's output. */
export function whole(site: Site): Piece {
  return pieceOf(site, { body: `memcpy(y, x, ${elementCount(site.output.shape)});` });
}
