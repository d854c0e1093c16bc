import { stripVTControlCharacters } from 'node:util';
import { bold, cyan, dim, oneLine } from './style.js';
import { width, wordsOf, wrapped } from './wrap.js';

export { elapsed } from '../../core/figures.js';

/**
 * Characters that a line of results has room for: what COLUMNS says, or the terminal. Without either there is no end: what a
 * program or a file gets is whole.
 */
export function lineWidth(stream: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'> = process.stdout): number {
  const told = Number(process.env.COLUMNS);
  if (told > 0) return told;
  return (stream.isTTY && stream.columns) || Number.POSITIVE_INFINITY;
}

/** Its first characters and `…`; without colour where something was cut. */
export function cut(text: string, most: number): string {
  return width(text) <= most ? text : `${stripVTControlCharacters(text).slice(0, Math.max(0, most - 1))}…`;
}

const isDate = /^\d{4}-\d\d-\d\d/;

/** Commands stay on one line, because a line break would end them when they are copied. */
const isCommand = /^\s*(?:\$ |Next: |Try: |# )?(?:[A-Z_]+=\S+ |\S+ \| )*aiot /;

/** A text's lines, ended between words where they are longer than the terminal's; further ones are set in. */
export function wrappedLines(text: string, columns = lineWidth()): string {
  return text
    .split('\n')
    .flatMap((line) => {
      if (width(line) <= columns || isCommand.test(stripVTControlCharacters(line))) return [line];
      const [indent = ''] = /^ */.exec(line) ?? [];
      const [first = '', ...rest] = wrapped(line.slice(indent.length), columns - indent.length);
      const more = rest.length === 0 ? [] : wrapped(rest.join(' '), columns - indent.length - 2);
      return [indent + first, ...more.map((each) => `${indent}  ${each}`)];
    })
    .join('\n');
}

/** Widths that fit into the line, the widest column giving way again and again, but none below its longest word; null where that is not enough. */
function fitted(wanted: number[], least: number[], room: number): number[] | null {
  const fit = [...wanted];
  for (let over = fit.reduce((sum, each) => sum + each, 0) - room; over > 0; over--) {
    const wide = fit.map((each, i) => (each > (least[i] ?? 0) ? each : 0));
    const widest = wide.indexOf(Math.max(...wide));
    if (wide[widest] === 0) return null;
    fit[widest]!--;
  }
  return fit;
}

/**
 * Columns aligned by their widest cell; numbers (given as numbers) to the right. Where the line has no room, texts go on in further lines,
 * between words; never the first column, which names what the row is about, nor times. Where that is not enough, each row is a block of its
 * fields. Nothing is cut. An empty table says so.
 */
export function table(head: string[], rows: (string | number | null)[][], empty = 'none'): string {
  if (rows.length === 0) return dim(empty);
  const cells = rows.map((row) => row.map((cell) => (cell === null ? dim('–') : oneLine(String(cell)))));
  const all = (i: number) => [head[i] ?? '', ...cells.map((row) => row[i] ?? '')];
  const right = head.map((_, i) => {
    const column = rows.map((row) => row[i]).filter((cell) => cell !== null);
    return column.length > 0 && column.every((cell) => typeof cell === 'number');
  });
  const wanted = head.map((_, i) => Math.max(...all(i).map(width)));
  const least = head.map((_, i) => {
    const whole = i === 0 || rows.some((row) => isDate.test(String(row[i])));
    const words = all(i).flatMap((cell) => wordsOf(cell).map(({ word }) => width(word)));
    return whole ? (wanted[i] ?? 0) : Math.max(0, ...words);
  });
  const roomWith = (gap: number) => lineWidth() - gap * (head.length - 1);
  for (const gap of [2, 1]) {
    const widths = fitted(wanted, least, roomWith(gap));
    if (widths) return aligned([head.map(strong), ...cells], widths, right, gap);
  }
  return cells.map((row) => block(head, row)).join('\n');
}

const strong = (title: string) => (title === '' ? '' : bold(title));

function aligned(rows: string[][], widths: number[], right: boolean[], gap: number): string {
  return rows
    .flatMap((row) => {
      const columns = row.map((cell, i) => wrapped(cell, widths[i] ?? 0, true));
      const height = Math.max(1, ...columns.map((lines) => lines.length));
      return Array.from({ length: height }, (_, line) =>
        columns
          .map((lines, i) => {
            const cell = lines[line] ?? '';
            const space = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)));
            return right[i] ? space + cell : cell + space;
          })
          .join(' '.repeat(gap))
          .trimEnd(),
      );
    })
    .join('\n');
}

/** A row that no line has room for: its name, and below it the fields that say something. */
function block(head: string[], [name = '', ...row]: string[]): string {
  const fields = row.flatMap((cell, i): [string, string][] =>
    cell === '' || cell === dim('–') ? [] : [[head[i + 1] ?? '', cell]],
  );
  return [bold(name), ...(fields.length > 0 ? [facts(fields, '  ')] : [])].join('\n');
}

/**
 * `name  value` lines, names aligned; a value's further lines stand below its first, so that none looks like a name, and a value that is
 * longer than the line goes on there, between words.
 */
export function facts(pairs: [string, string | number][], indent = ''): string {
  const longest = Math.max(...pairs.map(([key]) => key.length));
  const below = `\n${indent}${' '.repeat(longest + 2)}`;
  const room = lineWidth() - indent.length - longest - 2;
  return pairs
    .map(([key, value]) => {
      const lines = String(value)
        .split('\n')
        .flatMap((line) => (isCommand.test(stripVTControlCharacters(line)) ? [line] : wrapped(line, room)));
      return `${indent}${dim(key.padEnd(longest))}  ${lines.join(below)}`;
    })
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
