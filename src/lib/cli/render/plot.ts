import { bold, cyan, dim } from './style.js';

/** One line of a plot over time. */
export interface Series {
  name: string;
  /** The oldest first; NaN where there is none. */
  values: readonly number[];
}

/** A Braille character holds 2 × 4 dots; these are their bits from the top, left and right. Source: Unicode, U+2800. */
const dots = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/**
 * Plots series below each other, each scaled for itself: its name, the newest value, and its range, then the newest values
 * as a line, two to a character. `width` in characters, `height` in rows for each.
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
    // A value that never changes runs through the middle.
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

/** At most five digits that mean something. */
function figure(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(5))) : '–';
}
