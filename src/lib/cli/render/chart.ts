import { size, thousands } from '../../core/figures.js';
import type { Inspection } from '../../model/inspect/inspection.js';
import type { GrayPicture } from '../../vision/picture.js';
import { bold, colored, cyan, dim, styleSwitch } from './text.js';

/** One series of a plot over time. */
export interface Series {
  name: string;
  /** Values, oldest first; NaN for missing ones. */
  values: readonly number[];
}

/**
 * Bits of the 2 × 4 dots of a Braille character: one row after another from the top, each with its left and right dot. Source: Unicode,
 * U+2800.
 */
const dots = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/**
 * Plots series below each other, each on its own scale. A header shows the name, the newest value and the range; the curve below it shows
 * the newest values, two per character. `width`: characters; `height`: rows of each series.
 */
export function plotText(series: readonly Series[], width: number, height: number): string {
  const longest = Math.max(0, ...series.map(({ name }) => name.length));
  return series
    .map(({ name, values }) => {
      const shown = values.slice(-width * 2);
      const real = shown.filter(Number.isFinite);
      const [low, high] = [Math.min(...real), Math.max(...real)];
      const range = real.length === 0 ? '' : dim(`  ${figure(low)} … ${figure(high)}`);
      const newest = figure(values.at(-1) ?? Number.NaN);
      return [
        `${bold(name.padEnd(longest))}  ${newest}${range}`,
        ...curve(shown, low, high, width, height),
      ].join('\n');
    })
    .join('\n');
}

function curve(
  values: readonly number[],
  low: number,
  high: number,
  width: number,
  height: number,
): string[] {
  const cells = Array.from({ length: height }, () => new Uint8Array(width));
  const bottom = height * 4 - 1;
  const span = high - low || 1;
  let before: number | null = null;
  values.forEach((value, column) => {
    if (!Number.isFinite(value)) {
      before = null;
      return;
    }
    // A constant series is drawn in the middle.
    const y = high === low ? bottom >> 1 : Math.round(((high - value) / span) * bottom);
    const [from, to] = [Math.min(before ?? y, y), Math.max(before ?? y, y)];
    for (let row = from; row <= to; row++) {
      const cell = cells[row >> 2];
      const bit = dots[row & 3]?.[column & 1] ?? 0;
      if (cell) cell[column >> 1] = (cell[column >> 1] ?? 0) | bit;
    }
    before = y;
  });
  return cells.map((row) =>
    cyan(String.fromCodePoint(...[...row].map((bits) => 0x2800 + bits)).replace(/\u2800+$/, '')),
  );
}

/** A number with at most five significant digits. */
function figure(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(5))) : '–';
}

const blocks = '▁▂▃▄▅▆▇█';

/** Shares as a row of bars, relative to the largest share. Shares of zero are blank. */
export function sparkline(shares: readonly number[], most = 24): string {
  const drawn = shares.slice(0, most);
  const largest = Math.max(...drawn, 1e-300);
  return drawn
    .map((share) => (share <= 0 ? ' ' : blocks[Math.min(7, Math.floor((share / largest) * 7.999))]))
    .join('');
}

/** Merges pairs of bars, so that the row fits into a table. */
export function halved(shares: readonly number[]): number[] {
  return shares.flatMap((share, i) => (i % 2 === 0 ? [share + (shares[i + 1] ?? 0)] : []));
}

/** First of the 24 grays of a terminal with 256 colors. */
const firstGray = 232;

const grays = 24;

/**
 * A gray picture as text, two pixels per character: the upper half block's foreground and background colors.
 * @param columns characters per line
 * @returns undefined without colors
 */
export function pictureText(picture: GrayPicture, columns: number): string | undefined {
  if (!colored()) return undefined;
  const { width, height, data } = picture;
  const wide = Math.max(1, Math.min(columns, width));
  const high = Math.max(2, Math.round((wide * height) / width / 2) * 2);
  const gray = (column: number, row: number) => {
    const x = Math.floor(((column + 0.5) * width) / wide);
    const y = Math.floor(((row + 0.5) * height) / high);
    return firstGray + Math.floor((data[y * width + x]! * grays) / 256);
  };
  const lines = Array.from({ length: high / 2 }, (_, line) =>
    Array.from(
      { length: wide },
      (_, column) =>
        `${styleSwitch(`38;5;${gray(column, line * 2)}`)}${styleSwitch(`48;5;${gray(column, line * 2 + 1)}`)}▀`,
    ).join(''),
  );
  return lines.map((line) => `${line}${styleSwitch('0')}`).join('\n');
}

/** Maximum number of columns of the chart. */
const widest = 48;

const mostRows = 24;

/**
 * Chart of the lifetime and position of each piece in the arena's head. Each row is a piece, in the order of offsets. Each column is an
 * operator, or several if there are more operators than columns.
 */
export function arenaChart({ arena, arenaBytes, tensors, operators }: Inspection): string {
  if (arena === null || arenaBytes === null) return '';
  const steps = operators.length + 1;
  const columns = Math.min(steps, widest);
  const column = (time: number) => Math.min(columns - 1, Math.floor((time * columns) / steps));
  const pieces = [...arena.pieces].sort((a, b) => a.offset - b.offset || a.first - b.first);
  const shown = pieces.slice(0, mostRows);
  const digits = Math.max(6, String(arena.head).length);
  const rows = shown.map(({ tensor, operator, bytes, first, last, offset }) => {
    const [from, to] = [column(first), column(last)];
    const life = '·'.repeat(from) + '█'.repeat(to - from + 1) + '·'.repeat(columns - 1 - to);
    const name = tensor === null ? `scratch of operator ${operator}` : (tensors[tensor]?.name ?? '');
    return `${String(offset).padStart(digits)}  ${String(bytes).padStart(digits)}  ${life}  ${clip(name)}`;
  });
  const head = `${'offset'.padStart(digits)}  ${'bytes'.padStart(digits)}  ${ruler(columns, steps)}  contents`;
  const rest = pieces.length - shown.length;
  const more = rest > 0 ? [dim(`… and ${rest} more (use --json for all)`)] : [];
  const sum = pieces.reduce((total, { bytes }) => total + bytes, 0);
  const foot = [
    `${size(arena.head)} for ${size(sum)} of activations that are never in use at the same time; columns: the inputs, then operators 0 to ${operators.length - 1}`,
    sumText(arena, arenaBytes),
    "This is the smallest arena that works in TFLite Micro's 64-bit runtime. TFLite Micro may report a lower use, and a 32-bit chip needs less.",
  ];
  return [dim(head), ...rows, ...more, ...foot.map((line) => dim(line))].join('\n');
}

/**
 * The parts of the arena's size, as a sum. Preparation needs temporary memory; only the part that exceeds the later activations is
 * included.
 */
function sumText({ head, tail, smallest }: NonNullable<Inspection['arena']>, whole: number): string {
  const preparing = smallest - head - tail;
  // Sizes are in bytes, without rounding, so that the sum is exact.
  const parts = [`${thousands(head)} of activations`, `${thousands(tail)} of persistent structures`];
  if (preparing > 0) parts.push(`${thousands(preparing)} temporarily during preparation`);
  return `arena ${thousands(whole)} bytes = ${parts.join(' + ')} + ${thousands(whole - smallest)} of margin (3 %, in steps of 16)`;
}

/** Labels of the chart's first and last columns: 0 = the inputs, then the operators from 1. */
function ruler(columns: number, steps: number): string {
  const end = String(steps - 1);
  return columns < 2 + end.length ? '0'.padEnd(columns) : `0${' '.repeat(columns - 1 - end.length)}${end}`;
}

function clip(name: string): string {
  return name.length > 40 ? `…${name.slice(-39)}` : name;
}
