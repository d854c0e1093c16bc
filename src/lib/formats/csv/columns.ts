import { AiotError } from '../../core/errors.js';
import {
  type BadCell,
  type Column,
  checkHeader,
  createCommaSeparated,
  createNumberReader,
  createWordList,
  infiniteWords,
  missingWords,
  type NumberColumn,
  readHeader,
  requireText,
  showCell,
  type TextColumn,
} from './cells.js';

const newline = 10;
const carriageReturn = 13;
const quote = 34;
const comma = 44;
const minus = 45;
const point = 46;
const zero = 48;

/** Powers of ten that a double represents exactly. */
const tens = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/** A whole number with this many digits is exact in a double. */
const exactDigits = 15;

/** Number of rows used to determine whether a column contains numbers or words. */
const sampleRows = 2000;

/** Reads the rows of a CSV file into columns. No object is created per row, and numeric cells are not converted to strings. */
interface ColumnsReader {
  /** Reads whole lines with their line endings. The first line is the header. */
  lines(bytes: Uint8Array): void;
  /** @throws AIOT_CSV_EMPTY */
  end(): { columns: Column[]; header: string[]; rows: number };
}

interface ColumnsOptions {
  /** How a column is used according to its name; null = determined from its cells. */
  useOf?: (name: string, header: string[]) => ColumnUse | null;
  /** Size of the whole file, so that memory is allocated only once. */
  bytes?: number;
}

/**
 * Creates a reader that accepts and counts cells that the other readers here reject: missing cells, infinities, words among numbers.
 * Quoted cells may contain commas, but no line endings. Empty lines are skipped.
 * @param file name for messages
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_MALFORMED (wrong number of cells in a row, an unclosed quote, invalid UTF-8), from `lines`
 */
export function createColumnsReader(
  file: string,
  { useOf, bytes: expected = 0 }: ColumnsOptions = {},
): ColumnsReader {
  let header: string[] | null = null;
  let stores: ColumnStore[] = [];
  let row = 0;
  let room = 0;
  let line = 1;
  let read: (from: number, to: number) => number = () => Number.NaN;
  const separated = createCommaSeparated();
  return {
    lines(chunk) {
      const bytes = separated(chunk);
      requireText(bytes, file, line);
      // The reader's slow path decodes all bytes with which it was created, so it gets only this chunk.
      read = createNumberReader(bytes).read;
      let at = 0;
      if (header === null) {
        const { columns, bodyStart } = readHeader(bytes, file);
        // Python writes an index column without a name.
        header = columns.map((name, i) => (i === 0 && name === '' ? 'index' : unquotedName(name)));
        checkHeader(header, file);
        at = bodyStart;
        line = 2;
        const uses = usesOf(bytes, at, header, useOf);
        stores = header.map((name, c) => createColumnStore(name, uses[c]!, (from, to) => read(from, to)));
      }
      if (room === 0) grow(roomFor(bytes, at, expected));
      parse(bytes, at);
    },
    end() {
      if (row === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file}: no data rows after the header`);
      const columns = stores.flatMap((store) => store.column(row) ?? []);
      return { columns, header: header!, rows: row };
    },
  };

  function grow(rows: number): void {
    room = rows;
    for (const store of stores) store.grow(rows);
  }

  function parse(bytes: Uint8Array, start: number): void {
    const end = bytes.length;
    const width = stores.length;
    let at = start;
    for (; at < end; line++) {
      const first = bytes[at]!;
      if (first === newline || (first === carriageReturn && bytes[at + 1] === newline)) {
        if (width > 1) {
          at += first === newline ? 1 : 2;
          continue;
        }
      }
      if (row === room) grow(Math.ceil(room * 1.25) + 1024);
      const lineStart = at;
      for (let c = 0; c < width; c++) {
        const store = stores[c]!;
        let to = store.use === 'number' || store.use === 'time' ? number(bytes, at, store) : -1;
        if (to < 0) {
          to = endOfCell(bytes, at, lineStart);
          const from = at;
          store.cell(bytes, from, stopOf(bytes, from, to), row, () => ({ line, col: from - lineStart + 1 }));
        }
        if ((bytes[to] === comma) !== c < width - 1) throw wrongWidth(bytes, lineStart, c + 1);
        at = to + 1;
      }
      row++;
    }
  }

  /** Reads a cell of digits and a point, as nearly all cells are. Returns the offset after the cell, or −1 for anything else. */
  function number(bytes: Uint8Array, from: number, store: ColumnStore): number {
    let i = from;
    let c = bytes[i]!;
    const negative = c === minus;
    if (negative) c = bytes[++i]!;
    let value = 0;
    let digits = i;
    while (c >= zero && c <= 57) {
      value = value * 10 + (c - zero);
      c = bytes[++i]!;
    }
    digits = i - digits;
    let after = 0;
    if (c === point) {
      const start = ++i;
      c = bytes[i]!;
      while (c >= zero && c <= 57) {
        value = value * 10 + (c - zero);
        c = bytes[++i]!;
      }
      after = i - start;
      digits += after;
    }
    if (digits === 0 || digits > exactDigits) return -1;
    if (c === carriageReturn && bytes[i + 1] === newline) i++;
    else if (c !== comma && c !== newline) return -1;
    const exact = after === 0 ? value : value / tens[after]!;
    store.values[row] = negative ? 0 - exact : exact;
    store.counted = true;
    return i;
  }

  /** Offset of the comma or line ending after a cell. */
  function endOfCell(bytes: Uint8Array, from: number, lineStart: number): number {
    let to = from;
    if (bytes[to] === quote) {
      for (to++; ; to++) {
        if (to >= bytes.length || bytes[to] === newline) {
          const place = `${file}:${line}:${from - lineStart + 1}`;
          throw new AiotError('AIOT_FILE_MALFORMED', `${place}: a quoted cell does not end on its line`, {
            subject: 'csv',
          });
        }
        if (bytes[to] !== quote) continue;
        if (bytes[to + 1] !== quote) break;
        to++;
      }
    }
    while (bytes[to] !== comma && bytes[to] !== newline) to++;
    return to;
  }

  function wrongWidth(bytes: Uint8Array, lineStart: number, upTo: number): AiotError {
    let cells = upTo;
    let at = lineStart;
    for (cells = 1; ; cells++) {
      at = endOfCell(bytes, at, lineStart);
      if (bytes[at] !== comma) break;
      at++;
    }
    const place = `${file}:${line}:${at - lineStart + 1}`;
    return new AiotError('AIOT_FILE_MALFORMED', `${place}: expected ${plural(stores.length)}, got ${cells}`, {
      subject: 'csv',
      next: `Correct or remove line ${line}; its first cell is ${showCell(unquoted(bytes, lineStart, endOfCell(bytes, lineStart, lineStart)).trim())}.`,
    });
  }
}

function plural(count: number): string {
  return count === 1 ? '1 column' : `${count} columns`;
}

function unquotedName(name: string): string {
  return /^".*"$/.test(name) ? name.slice(1, -1).trim() : name.trim();
}

function stopOf(bytes: Uint8Array, from: number, to: number): number {
  return to > from && bytes[to] === newline && bytes[to - 1] === carriageReturn ? to - 1 : to;
}

/** Estimated number of rows in the whole file, slightly higher than the first lines suggest. */
function roomFor(bytes: Uint8Array, start: number, expected: number): number {
  let lines = 0;
  for (let at = bytes.indexOf(newline, start); at >= 0; at = bytes.indexOf(newline, at + 1)) lines++;
  if (expected <= bytes.length) return Math.max(1, lines);
  return Math.ceil((lines / Math.max(1, bytes.length - start)) * expected * 1.02) + 64;
}

/**
 * Determines how columns are used if their names do not. A column with more words than numbers in the first rows contains words.
 */
function usesOf(
  bytes: Uint8Array,
  start: number,
  header: string[],
  useOf: ColumnsOptions['useOf'],
): ColumnUse[] {
  const end = bytes.length;
  const balance = new Int32Array(header.length);
  let at = start;
  for (let seen = 0; seen < sampleRows && at < end; seen++) {
    for (let c = 0; ; c++) {
      let to = at;
      let quoted = false;
      while (
        to < end &&
        ((bytes[to] !== comma && bytes[to] !== newline) || (quoted && bytes[to] === comma))
      ) {
        if (bytes[to] === quote) quoted = !quoted;
        to++;
      }
      if (c < header.length) balance[c]! += weightOf(unquoted(bytes, at, stopOf(bytes, at, to)).trim());
      at = to + 1;
      if (to >= end || bytes[to] === newline) break;
    }
  }
  return header.map((name, c) => useOf?.(name, header) ?? (balance[c]! < 0 ? 'text' : 'number'));
}

function weightOf(cell: string): number {
  const small = cell.toLowerCase();
  if (missingWords.has(small)) return 0;
  return infiniteWords.has(small) || Number.isFinite(Number(cell)) ? 1 : -1;
}

/** How a column is used. `time`: numbers, or dates as seconds since 1970; `skip`: not stored. */
export type ColumnUse = 'number' | 'text' | 'time' | 'skip';

/** Maximum number of bad cells per column whose positions are recorded. */
const mostBad = 5;

/** A column while its rows are read. */
interface ColumnStore {
  /** Can still change to `text` while all cells so far are missing. */
  use: ColumnUse;
  values: Float64Array;
  /** Allocates memory for this many rows. */
  grow(rows: number): void;
  /** Handles a cell that is not a plain number, which the fast path does not handle. */
  cell(
    bytes: Uint8Array,
    from: number,
    to: number,
    row: number,
    place: () => Omit<BadCell, 'cell' | 'column'>,
  ): void;
  /** Whether the column has contained a number so far. */
  counted: boolean;
  column(rows: number): Column | null;
}

function createColumnStore(
  name: string,
  use: ColumnUse,
  slowNumber: (from: number, to: number) => number,
): ColumnStore {
  let codes = new Int32Array(0);
  let missing = 0;
  let words = 0;
  const first: BadCell[] = [];
  const list = createWordList();
  const store: ColumnStore = {
    use,
    values: new Float64Array(0),
    counted: false,
    grow(rows) {
      if (store.use === 'text') {
        const larger = new Int32Array(rows).fill(-1, codes.length);
        larger.set(codes);
        codes = larger;
      } else if (store.use !== 'skip') {
        const larger = new Float64Array(rows);
        larger.set(store.values);
        store.values = larger;
      }
    },
    cell(bytes, from, to, row, place) {
      if (store.use === 'skip') return;
      if (store.use === 'text') {
        if (to > from)
          codes[row] = isQuoted(bytes, from)
            ? list.codeOfWord(unquoted(bytes, from, to))
            : list.codeOf(bytes, from, to);
        else {
          missing++;
          codes[row] = -1;
        }
        return;
      }
      const value = slowNumber(from, to);
      // A number beyond the range of a double becomes infinite.
      if (!Number.isNaN(value)) {
        store.counted = true;
        store.values[row] = value;
        return;
      }
      const text = unquoted(bytes, from, to).trim();
      const small = text.toLowerCase();
      store.values[row] = infiniteWords.get(small) ?? Number.NaN;
      if (missingWords.has(small)) missing++;
      else if (!infiniteWords.has(small)) word(text, row, place, bytes, from, to);
    },
    column(rows) {
      if (store.use === 'skip') return null;
      if (store.use === 'text')
        return {
          name,
          kind: 'text',
          codes: codes.subarray(0, rows),
          words: list.words,
          missing,
        } satisfies TextColumn;
      return {
        name,
        kind: 'number',
        values: store.values.subarray(0, rows),
        missing,
        words,
        first,
      } satisfies NumberColumn;
    },
  };
  return store;

  function word(
    text: string,
    row: number,
    place: () => Omit<BadCell, 'cell' | 'column'>,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void {
    const plain = Number(text);
    const moment = store.use === 'time' ? Date.parse(text) / 1000 : plain;
    if (Number.isFinite(moment)) {
      store.counted = true;
      store.values[row] = moment;
      return;
    }
    if (!store.counted && words === 0 && store.use === 'number') {
      store.use = 'text';
      const room = store.values.length;
      store.values = new Float64Array(0);
      store.grow(room);
      store.cell(bytes, from, to, row, place);
      return;
    }
    words++;
    if (first.length < mostBad) first.push({ ...place(), column: name, cell: text });
  }
}

function isQuoted(bytes: Uint8Array, from: number): boolean {
  return bytes[from] === 34;
}

/** Text of a quoted cell, where each quote is doubled. */
function unquoted(bytes: Uint8Array, from: number, to: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
  return text.length > 1 && text.startsWith('"') && text.endsWith('"')
    ? text.slice(1, -1).replaceAll('""', '"')
    : text;
}
