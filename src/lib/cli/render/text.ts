import { randomInt } from 'node:crypto';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { ChalkInstance } from 'chalk';
import { printable, printableLines } from '../../core/text.js';
import { asTyped } from '../invocation.js';
import { width, wordsOf, wrapped } from './wrap.js';

export { ago } from '../../core/figures.js';

/** Loaded only if people read the output. Set once per command, from the terminal, --no-color and --json. */
let chalk: ChalkInstance | undefined;

export async function useColor(wanted: boolean): Promise<void> {
  // Replaces chalk's own detection, which only checks stdout and ignores --no-color.
  chalk = wanted ? new (await import('chalk')).Chalk({ level: 1 }) : undefined;
}

/** Whether the output has colors. */
export const colored = (): boolean => chalk !== undefined;

/**
 * Random numbers that mark our own color switches and that other processes do not know. Text from a device may contain color
 * switches too, but those must not take effect. The numbers have at most four digits, as parsers of such sequences expect, and
 * terminals ignore them.
 */
const ours = Array.from({ length: 3 }, () => randomInt(2000, 9999)).join(';');
const escapeByte = '\u001b';
const open = `${escapeByte}[${ours};`;
const own = new RegExp(`${escapeByte}\\[${ours};([0-9;]*)m`, 'g');
/** Select Graphic Rendition (ECMA-48, 8.3.117), in the form that terminals recognize. */
const known = new RegExp(`${escapeByte}\\[([0-9;]*)m`, 'g');

/** One of our switches, which `forTerminal` converts to the form that terminals recognize. */
export const styleSwitch = (codes: string): string => `${open}${codes}m`;

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

type Paint = (text: string) => string;

/** Applies chalk's style. The text may contain only our own switches; the codes that chalk adds are converted to such switches. */
const paint =
  (style: Style): Paint =>
  (text) =>
    chalk && text !== ''
      ? chalk[style](forTerminal(text)).replaceAll(known, (_, codes: string) => styleSwitch(codes))
      : text;

const boldly = paint('bold');
/** Bold text, such as a name, a number or a heading. It stays on one line, regardless of its source. */
export const bold: Paint = (text) => boldly(oneLine(text));
export const dim = paint('dim');
export const red = paint('red');
export const green = paint('green');
export const yellow = paint('yellow');
export const cyan = paint('cyan');

/**
 * The text as printed: our styles are converted for terminals, and anything else that would move the cursor, or hide or reverse text, is
 * escaped.
 */
export function forTerminal(text: string): string {
  return text
    .split(own)
    .map((part, i) => (i % 2 === 0 ? printableLines(part) : `\u001b[${part}m`))
    .join('');
}

/** Text that must remain on one line, such as a table cell, with control characters escaped. Our styles are left for `forTerminal`. */
export function oneLine(text: string): string {
  return text
    .split(own)
    .map((part, i) => (i % 2 === 0 ? printable(part) : styleSwitch(part)))
    .join('');
}

/** Whether a stream can be redrawn: a terminal with cursor control (not TERM=dumb). */
export function drawsOver(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && process.env.TERM !== 'dumb';
}

/**
 * Line width of results: COLUMNS, or the terminal's width. Without either, it is unlimited, so that programs and files get complete lines.
 */
export function lineWidth(stream: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'> = process.stdout): number {
  const told = Number(process.env.COLUMNS);
  if (told > 0) return told;
  return (stream.isTTY && stream.columns) || Number.POSITIVE_INFINITY;
}

/** The beginning of the text, followed by `…`. A shortened text has no color. */
export function cut(text: string, most: number): string {
  return width(text) <= most ? text : `${stripVTControlCharacters(text).slice(0, Math.max(0, most - 1))}…`;
}

/** Like `cut`, but only on a terminal. Programs and files get the complete text. */
export function cutShort(text: string, most: number): string {
  return Number.isFinite(lineWidth()) ? cut(text, most) : text;
}

const isDate = /^\d{4}-\d\d-\d\d/;

/** Whether a text is a command. Commands stay on one line, because a wrapped command could not be copied. */
const isCommand =
  /^\s*(?:\$ |Next: |Try: |# )?(?:[A-Z_]+=\S+ |\S+ \| )*(?:aiot|npx \S+|(?:node )?(?:\S*|"[^"]*)\brun\.js"?) /;

/** The lines of a text, wrapped between words to the terminal's width; continuation lines are indented. */
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

/**
 * Column widths that fit into the line. The widest column is narrowed repeatedly, but never below its longest word; null if that is not
 * sufficient.
 */
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
 * Columns aligned by their widest cell; numbers (given as numbers) are right-aligned. If the line is too narrow, text is wrapped between
 * words, except times and the first column, which names the row's subject. If that is insufficient, each row becomes a block of its
 * fields. Nothing is cut off. An empty table is replaced by a text.
 * @param notes a text below each row, as wide as the line; null = none
 */
export function table(
  head: string[],
  rows: (string | number | null)[][],
  empty = 'none',
  notes: readonly (string | null)[] = [],
): string {
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
    if (widths) return aligned([head.map(strong), ...cells], widths, right, gap, [null, ...notes]);
  }
  return cells.map((row, i) => [block(head, row), ...noteLines(notes[i])].join('\n')).join('\n');
}

function noteLines(note: string | null | undefined): string[] {
  if (note === null || note === undefined) return [];
  return wrapped(oneLine(note), lineWidth() - 2).map((line) => `  ${dim(line)}`);
}

const strong = (title: string) => (title === '' ? '' : bold(title));

function aligned(
  rows: string[][],
  widths: number[],
  right: boolean[],
  gap: number,
  notes: readonly (string | null)[],
): string {
  return rows
    .flatMap((row, at) => {
      const columns = row.map((cell, i) => wrapped(cell, widths[i] ?? 0, true));
      const height = Math.max(1, ...columns.map((lines) => lines.length));
      const lines = Array.from({ length: height }, (_, line) =>
        columns
          .map((lines, i) => {
            const cell = lines[line] ?? '';
            const space = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)));
            return right[i] ? space + cell : cell + space;
          })
          .join(' '.repeat(gap))
          .trimEnd(),
      );
      return [...lines, ...noteLines(notes[at])];
    })
    .join('\n');
}

/** A row that is too wide for a line: its name, and below it the non-empty fields. */
function block(head: string[], [name = '', ...row]: string[]): string {
  const fields = row.flatMap((cell, i): [string, string][] =>
    cell === '' || cell === dim('–') ? [] : [[head[i + 1] ?? '', cell]],
  );
  return [bold(name), ...(fields.length > 0 ? [facts(fields, '  ')] : [])].join('\n');
}

/**
 * `name  value` lines with aligned values. Further lines of a value are indented, so that none of them looks like a name. Long values are
 * wrapped between words.
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

/** A path for people: relative inside the working directory, absolute elsewhere. */
export function shownPath(path: string, cwd = process.cwd()): string {
  const full = resolve(cwd, path);
  const near = relative(cwd, full);
  if (near === '') return '.';
  return near === '..' || near.startsWith(`..${sep}`) || isAbsolute(near) ? full : near;
}

/** The last lines of every result: the suggested next commands, on one line if they fit. */
export function next(...commands: string[]): string {
  const typed = commands.map((command) => oneLine(asTyped(command)));
  const shown = typed.map((command) => cyan(command));
  const short = typed.join('  ·  ').length <= 80;
  const rest = short ? shown.join(dim('  ·  ')) : shown.join('\n      ');
  return `\n${dim('Next:')} ${rest}`;
}

/** A share as a bar of the given number of characters: 0.5 becomes `████░░░░`. */
export function bar(share: number, cells: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * cells);
  return '█'.repeat(full) + '░'.repeat(cells - full);
}

/** The start of a color switch. `pieces` matches a whole color switch or a single character. */
const escapeCharacter = '\u001b';
const pieces = new RegExp(`${escapeCharacter}\\[[0-9;]*m|.`, 'gsu');

/** Cuts a line with colors at the terminal's width, because a wrapped line would shift all others. */
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

/** Times for people, all UTC; `ms` is milliseconds since 1970. */

/** A time such as `2026-11-20T10:36:38.123Z`. */
export function moment(ms: number): string {
  return new Date(ms).toISOString();
}

/** A time such as `2026-11-20 10:36`. */
export function minute(ms: number): string {
  return moment(ms).slice(0, 16).replace('T', ' ');
}

/** A date such as `2026-11-20`. */
export function day(ms: number): string {
  return moment(ms).slice(0, 10);
}

/** A time of day for log lines, such as `10:36:38.123`. */
export function timeOfDay(ms: number): string {
  return moment(ms).slice(11, 23);
}

/** The changes to a project's alarms, targets or commands, one line for each kind of change; empty = there are none. */
export function appliedText(title: string, lists: Applied, dryRun: boolean): string {
  const { created, changed, removed, unchanged } = lists;
  const would = dryRun ? 'would be ' : '';
  const lines = Object.entries({
    [`${would}created`]: created,
    [`${would}changed`]: changed,
    [`${would}removed`]: removed,
    unchanged,
  }).flatMap(([label, names]): [string, string][] => (names.length === 0 ? [] : [[label, names.join(', ')]]));
  return lines.length === 0 ? '' : `${bold(title)}\n${facts(lines)}`;
}

interface Applied {
  created: readonly string[];
  changed: readonly string[];
  removed: readonly string[];
  unchanged: readonly string[];
}
