import { AiotError } from '../../core/index.js';
import { createNumberReader } from './number.js';
import { positionOf, showCell } from './place.js';
import { createWordList, type WordList } from './word-list.js';

const newline = 10;
const carriageReturn = 13;
const comma = 44;

/** A cell that should be a number and is none; line and column from 1. */
export interface BadCell {
  line: number;
  col: number;
  column: string;
  cell: string;
}

export interface RowsOptions {
  /** For each column the list that takes its cells as text, or null for numbers. */
  words: (string[] | null)[];
  /** Takes cells that are no finite number, which count as NaN; absent = they are refused. */
  onBad?: ((bad: BadCell) => void) | undefined;
  /** Whether a cell of text may be empty. */
  emptyWords?: boolean | undefined;
  /** What a refused cell is told with: the next step, where text in a column is the likely cause. */
  next?: string | undefined;
  /** Number of the line that the bytes begin with, 1 unless told: for messages. */
  firstLine?: number | undefined;
}

/**
 * The rows below a header, one array a column; text columns are left empty there and fill their lists.
 * @param from offset of the first row
 * @throws AIOT_CSV_MALFORMED (file:line:column, expected, got)
 */
export function readRows(
  bytes: Uint8Array,
  from: number,
  columns: string[],
  file: string,
  { words, onBad, emptyWords = false, firstLine = 1, next }: RowsOptions,
): Float64Array[] {
  const width = columns.length;
  const end = bytes.length;
  const room = linesFrom(bytes, from);
  const data = columns.map((_, c) => new Float64Array(words[c] ? 0 : room));
  const { read } = createNumberReader(bytes);
  // A million rows have few labels: one string stands for all of a kind.
  const lists = words.map((texts) => texts && createWordList());
  const where = { file, firstLine, next };
  let row = 0;
  let at = from;
  while (at < end) {
    for (let cell = 0; ; cell++) {
      let to = at;
      while (to < end && bytes[to] !== comma && bytes[to] !== newline) to++;
      const last = to >= end || bytes[to] === newline;
      const stop = last && to > at && bytes[to - 1] === carriageReturn ? to - 1 : to;
      const texts = words[cell];
      if (cell >= width) throw badCell(bytes, at, stop, undefined, where);
      if (texts && (emptyWords || stop > at)) texts.push(wordOf(lists[cell]!, bytes, at, stop));
      else {
        const value = read(at, stop);
        if (texts || !Number.isFinite(value)) {
          const cutShort = last && cell !== width - 1;
          if (!onBad || texts || cutShort) throw badCell(bytes, at, stop, columns[cell], where);
          onBad({ ...place(bytes, at, firstLine), column: columns[cell]!, cell: utf8(bytes, at, stop) });
          data[cell]![row] = Number.NaN;
        } else data[cell]![row] = value;
      }
      at = to + 1;
      if (!last) continue;
      if (cell !== width - 1) throw badRow(bytes, to, width, cell + 1, where);
      break;
    }
    row++;
  }
  // As long as was counted, but for nothing: then the arrays need no copy.
  return data.map((column, c) => (words[c] || row === room ? column : column.slice(0, row)));
}

function wordOf({ words, codeOf }: WordList, bytes: Uint8Array, from: number, to: number): string {
  const code = codeOf(bytes, from, to);
  return code >= 0 ? words[code]! : utf8(bytes, from, to);
}

/** Lines from an offset on, the last one with or without its end. */
function linesFrom(bytes: Uint8Array, from: number): number {
  let lines = 0;
  let at = from;
  while (at < bytes.length) {
    const next = bytes.indexOf(newline, at);
    lines++;
    if (next < 0) break;
    at = next + 1;
  }
  return lines;
}

function utf8(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
}

interface Where {
  file: string;
  firstLine: number;
  next: string | undefined;
}

function place(bytes: Uint8Array, at: number, firstLine: number): { line: number; col: number } {
  const { line, col } = positionOf(Buffer.from(bytes.buffer, bytes.byteOffset, at).toString('latin1'), at);
  return { line: line + firstLine - 1, col };
}

function badCell(
  bytes: Uint8Array,
  from: number,
  to: number,
  column: string | undefined,
  { file, firstLine, next }: Where,
): AiotError {
  const { line, col } = place(bytes, from, firstLine);
  const expected = column === undefined ? 'no further column' : `a finite number for ${showCell(column)}`;
  const got = to === from ? 'nothing' : showCell(utf8(bytes, from, to));
  const message = `${file}:${line}:${col}: expected ${expected}, got ${got}`;
  return new AiotError('AIOT_CSV_MALFORMED', message, column === undefined ? {} : { next });
}

function badRow(
  bytes: Uint8Array,
  at: number,
  width: number,
  cells: number,
  { file, firstLine }: Where,
): AiotError {
  const { line, col } = place(bytes, at, firstLine);
  return new AiotError(
    'AIOT_CSV_MALFORMED',
    `${file}:${line}:${col}: expected ${width} columns, got ${cells}`,
  );
}
