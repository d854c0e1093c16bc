import { AiotError } from '../../core/errors.js';
import {
  type BadCell,
  byteOrderMark,
  checkHeader,
  createCommaSeparated,
  createNumberReader,
  createWordList,
  positionOf,
  readHeader,
  requireText,
  showCell,
  type WordList,
} from './cells.js';

interface NumericTable {
  columns: string[];
  /** One array per column, all of the same length. */
  data: Float64Array[];
}

/** A table with columns of text. */
export interface LabelledTable extends NumericTable {
  /** The columns that were read as text, by name. `columns` does not include them. */
  texts: Record<string, string[]>;
  rows: number;
  /** All names, in file order. */
  header: string[];
  /** Line of the first row: 2, or 1 without a header. */
  firstLine: number;
}

/**
 * Reads a CSV file of plain decimal numbers with a header row. Accepts CRLF, a byte order mark, a missing last line ending, and semicolons
 * or tabs between the cells, but no quotes, spaces, empty cells, NaN or infinities.
 * @param file name for messages
 * @param wanted the exact set of required columns, which are returned in this order
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY (no rows), AIOT_FILE_MALFORMED (file:line:column, expected, got; also for invalid UTF-8)
 */
export function parseCsv(text: Uint8Array, file: string, wanted?: readonly string[]): NumericTable {
  const bytes = createCommaSeparated()(text);
  const { columns, bodyStart } = readHeader(bytes, file);
  checkHeader(columns, file, wanted);
  const data = readRows(bytes, bodyStart, columns, file, { words: columns.map(() => null) });
  if (data[0]!.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file}: no data rows after the header`);
  if (!wanted) return { columns, data };
  return { columns: [...wanted], data: wanted.map((name) => data[columns.indexOf(name)]!) };
}

/**
 * Like `parseCsv`, with some columns read as raw text (a label, a group), even if they contain numbers.
 * @param textColumns their names, which the file need not have; or a function that decides by name
 * @param onBad called for cells that are not finite numbers, which become NaN; absent = they are rejected
 * @param names column names for a file without a header; a first line of exactly these names still counts as a header
 * @throws the errors of `parseCsv`
 */
export function parseLabelledCsv(
  bytes: Uint8Array,
  file: string,
  textColumns: readonly string[] | ((name: string) => boolean),
  onBad?: (bad: BadCell) => void,
  names?: readonly string[],
): LabelledTable {
  return parseTexts(bytes, file, { textColumns, onBad, names });
}

/**
 * Like `parseLabelledCsv`, but a value may be unknown: text cells may be empty, and cells that are not finite numbers become NaN.
 */
export function parseMixedCsv(
  bytes: Uint8Array,
  file: string,
  textColumns: (name: string) => boolean,
): LabelledTable {
  return parseTexts(bytes, file, { textColumns, emptyWords: true, unknownNumbers: true });
}

interface TextOptions {
  textColumns: readonly string[] | ((name: string) => boolean);
  onBad?: ((bad: BadCell) => void) | undefined;
  names?: readonly string[] | undefined;
  emptyWords?: boolean;
  unknownNumbers?: boolean;
  /** Hint for text in a numeric column. */
  next?: string;
}

function parseTexts(bytes: Uint8Array, file: string, options: TextOptions): LabelledTable {
  const reader = createTextsReader(file, options);
  const table = reader.read(bytes);
  reader.end();
  return table;
}

/** Reads a CSV file in chunks. Only the header is retained between chunks. */
interface TextsReader {
  /** Reads whole lines, starting with the header. The last line of the file may lack a line ending. */
  read(bytes: Uint8Array): LabelledTable;
  /** @throws AIOT_CSV_EMPTY if there were no rows */
  end(): void;
}

/** Like `parseLabelledCsv`, one chunk of the file at a time. @throws the errors of `parseLabelledCsv`, from `read` and `end` */
export function createTextsReader(
  file: string,
  { textColumns, onBad, names, emptyWords, unknownNumbers, next }: TextOptions,
): TextsReader {
  const isOfText = (name: string) =>
    typeof textColumns === 'function' ? textColumns(name) : textColumns.includes(name);
  let header: { columns: string[]; isText: boolean[]; headless: boolean } | null = null;
  let line = 1;
  let seen = 0;
  const separated = createCommaSeparated();
  return {
    read(chunk) {
      const bytes = separated(chunk);
      let from = 0;
      if (header === null) {
        const found = readHeader(bytes, file);
        const headless = names !== undefined && found.columns.join() !== names.join();
        const columns = headless ? [...names] : found.columns;
        from = headless ? byteOrderMark(bytes) : found.bodyStart;
        checkHeader(columns, file);
        header = { columns, isText: columns.map(isOfText), headless };
      } else requireText(bytes, file, line);
      const { columns, isText, headless } = header;
      const firstLine = line === 1 && !headless ? 2 : line;
      const words = isText.map((is) => (is ? ([] as string[]) : null));
      // A cell's position is counted from the start of the bytes.
      const data = readRows(bytes, from, columns, file, {
        ...{ words, onBad, emptyWords, unknownNumbers, firstLine: line, next },
      });
      const texts = Object.fromEntries(columns.flatMap((name, c) => (words[c] ? [[name, words[c]]] : [])));
      const rows = words[0]?.length ?? data[0]!.length;
      line = firstLine + rows;
      seen += rows;
      return {
        columns: columns.filter((_, c) => !isText[c]),
        data: data.filter((_, c) => !isText[c]),
        texts,
        rows,
        header: columns,
        firstLine,
      };
    },
    end() {
      if (seen > 0) return;
      throw new AiotError('AIOT_CSV_EMPTY', `${file}: no rows${header?.headless ? '' : ' after the header'}`);
    },
  };
}

/** Names of the columns in a CSV file. @throws AIOT_CSV_COLUMNS, AIOT_FILE_MALFORMED (not UTF-8) */
export function csvColumns(bytes: Uint8Array, file: string): string[] {
  return readHeader(createCommaSeparated()(bytes), file).columns;
}

const newline = 10;
const carriageReturn = 13;
const comma = 44;

interface RowsOptions {
  /** For each column, the list for its text cells, or null for numbers. */
  words: (string[] | null)[];
  /** Called for cells that are not finite numbers, which become NaN; absent = they are rejected. */
  onBad?: ((bad: BadCell) => void) | undefined;
  /** Whether text cells may be empty. */
  emptyWords?: boolean | undefined;
  /** Whether cells that are not finite numbers become NaN, without a call of `onBad`. */
  unknownNumbers?: boolean | undefined;
  /** Advice in the error for a rejected cell, if text in a column is the likely cause. */
  next?: string | undefined;
  /** Number of the line at which the bytes start, for messages. Default: 1. */
  firstLine?: number | undefined;
}

/**
 * Reads the rows below a header, one array per column. The arrays of text columns stay empty; their cells are added to `words`.
 * @param from offset of the first row
 * @throws AIOT_FILE_MALFORMED (file:line:column, expected, got)
 */
function readRows(
  bytes: Uint8Array,
  from: number,
  columns: string[],
  file: string,
  { words, onBad, emptyWords = false, unknownNumbers = false, firstLine = 1, next }: RowsOptions,
): Float64Array[] {
  const width = columns.length;
  const end = bytes.length;
  const room = linesFrom(bytes, from);
  const data = columns.map((_, c) => new Float64Array(words[c] ? 0 : room));
  const { read } = createNumberReader(bytes);
  // Even a million rows have few distinct labels, so all equal labels share one string.
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
          const accepted = unknownNumbers || onBad;
          if (!accepted || texts || cutShort) throw badCell(bytes, at, stop, columns[cell], where);
          onBad?.({ ...place(bytes, at, firstLine), column: columns[cell]!, cell: utf8(bytes, at, stop) });
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
  // If the number of rows was estimated exactly, as is usual, the arrays need no copy.
  return data.map((column, c) => (words[c] || row === room ? column : column.slice(0, row)));
}

function wordOf({ words, codeOf }: WordList, bytes: Uint8Array, from: number, to: number): string {
  const code = codeOf(bytes, from, to);
  return code >= 0 ? words[code]! : utf8(bytes, from, to);
}

/** Number of lines, starting at an offset. The last line may lack a line ending. */
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
  const expected = column === undefined ? 'no more columns' : `a finite number for ${showCell(column)}`;
  const got = to === from ? 'nothing' : showCell(utf8(bytes, from, to));
  const message = `${file}:${line}:${col}: expected ${expected}, got ${got}`;
  return new AiotError('AIOT_FILE_MALFORMED', message, {
    subject: 'csv',
    ...(column === undefined ? {} : { next }),
  });
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
    'AIOT_FILE_MALFORMED',
    `${file}:${line}:${col}: expected ${width} columns, got ${cells}`,
    { subject: 'csv' },
  );
}
