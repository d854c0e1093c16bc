import { stripVTControlCharacters } from 'node:util';
import { bold, cyan, dim, oneLine } from './style.js';

export { elapsed } from '../../core/index.js';

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/**
 * Characters that a line of results has room for: what COLUMNS says, or the terminal. Without either there is no end: what a
 * program or a file gets is whole.
 */
export function lineWidth(): number {
  const told = Number(process.env.COLUMNS);
  if (told > 0) return told;
  return (process.stdout.isTTY && process.stdout.columns) || Number.POSITIVE_INFINITY;
}

/** Its first characters and `…`; without colour where something was cut. */
export function cut(text: string, most: number): string {
  return width(text) <= most ? text : `${stripVTControlCharacters(text).slice(0, Math.max(0, most - 1))}…`;
}

/** No column of text is made narrower; half a date says nothing. */
const narrowest = 6;
const isDate = /^\d{4}-\d\d-\d\d/;

/** Widths that fit into the line: of columns that may be cut the widest gives way, again and again. */
function fitted(widths: number[], mayCut: boolean[]): number[] {
  const fit = [...widths];
  const room = lineWidth() - 2 * (widths.length - 1);
  for (let over = fit.reduce((sum, each) => sum + each, 0) - room; over > 0; over--) {
    const wide = fit.map((each, i) => (mayCut[i] && each > narrowest ? each : 0));
    const widest = wide.indexOf(Math.max(...wide));
    if (wide[widest] === 0) break;
    fit[widest]!--;
  }
  return fit;
}

/**
 * Columns aligned by their widest cell; numbers (given as numbers) to the right. Where the line has no room, texts are cut, but never
 * the first column, which names what the row is about, nor times. An empty table says so.
 */
export function table(head: string[], rows: (string | number | null)[][], empty = 'none'): string {
  if (rows.length === 0) return dim(empty);
  const cells = rows.map((row) => row.map((cell) => (cell === null ? dim('–') : oneLine(String(cell)))));
  const wanted = head.map((title, i) => Math.max(width(title), ...cells.map((row) => width(row[i] ?? ''))));
  const right = head.map((_, i) => {
    const column = rows.map((row) => row[i]).filter((cell) => cell !== null);
    return column.length > 0 && column.every((cell) => typeof cell === 'number');
  });
  const widths = fitted(
    wanted,
    head.map((_, i) => i > 0 && !right[i] && !rows.some((row) => isDate.test(String(row[i])))),
  );
  const line = (row: string[]) =>
    row
      .map((full, i) => {
        const cell = cut(full, widths[i] ?? 0);
        const gap = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)));
        return right[i] ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  return [bold(line(head)), ...cells.map(line)].join('\n');
}

/** `name  value` lines, names aligned; a value's further lines stand below its first, so that none looks like a name. */
export function facts(pairs: [string, string | number][]): string {
  const longest = Math.max(...pairs.map(([key]) => key.length));
  const below = `\n${' '.repeat(longest + 2)}`;
  return pairs
    .map(([key, value]) => `${dim(key.padEnd(longest))}  ${String(value).replaceAll('\n', below)}`)
    .join('\n');
}

/** The closing lines of every result: what to type next, on one line where that is short. */
export function next(...commands: string[]): string {
  const shown = commands.map((command) => cyan(oneLine(command)));
  const short = commands.join('  ·  ').length <= 80;
  const rest = short ? shown.join(dim('  ·  ')) : shown.join('\n      ');
  return `\n${dim('Next:')} ${rest}`;
}

/** 0.5 → `████░░░░` of the given number of characters. */
export function bar(share: number, cells: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
  return '█'.repeat(full) + '░'.repeat(cells - full);
}

/** A colour's switch, or a character. */
const escapeCharacter = '\u001b';
const pieces = new RegExp(`${escapeCharacter}\\[[0-9;]*m|.`, 'gsu');

/** Cuts a line with colours in it at the edge of the terminal; a wrapped one would move all others. */
export function clipped(line: string, columns: number): string {
  if (stripVTControlCharacters(line).length <= columns) return line;
  let seen = 0;
  let out = '';
  for (const [part] of line.matchAll(pieces)) {
    if (part.length > 1 && part.startsWith(escapeCharacter)) out += part;
    else if (seen++ < columns - 1) out += part;
  }
  return `${out}…`;
}
