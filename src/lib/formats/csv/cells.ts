import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/errors.js';

/** A column of numbers. Missing cells and text are NaN in `values`; infinities are preserved. */
export interface NumberColumn {
  name: string;
  kind: 'number';
  values: Float64Array;
  /** Number of empty cells and words such as NaN, NA and null. */
  missing: number;
  /** Number of other cells that are not numbers, and the first few of them. */
  words: number;
  first: BadCell[];
}

/** A cell that is not a number but should be; line and column from 1. */
export interface BadCell {
  line: number;
  col: number;
  column: string;
  cell: string;
}

/** A column of words, stored as indices into a list. */
export interface TextColumn {
  name: string;
  kind: 'text';
  /** One per row: index into `words`; −1 = empty, −2 = the list already had `mostWords` words. */
  codes: Int32Array;
  words: string[];
  missing: number;
}

export type Column = NumberColumn | TextColumn;

/** Maximum number of distinct words per column, more than any category needs. All additional words get the same code. */
export const mostWords = 10_000;

/** Words for a missing number, in lower case. */
export const missingWords = new Set(['', 'na', 'n/a', 'nan', 'null', 'none', '<na>']);

/** Spellings of infinities, in lower case. */
export const infiniteWords = new Map([
  ['inf', Number.POSITIVE_INFINITY],
  ['+inf', Number.POSITIVE_INFINITY],
  ['infinity', Number.POSITIVE_INFINITY],
  ['-inf', Number.NEGATIVE_INFINITY],
  ['-infinity', Number.NEGATIVE_INFINITY],
]);

/** The distinct words of one column, each with an index. Cells are read from bytes, without creating a string for each. */
export interface WordList {
  readonly words: string[];
  /** Returns the index of a word, which is added if it is new; −2 if it is new and the list already has `mostWords` words. */
  codeOf(bytes: Uint8Array, from: number, to: number): number;
  /** Like `codeOf`, for a word that is already a string. */
  codeOfWord(word: string): number;
}

export function createWordList(): WordList {
  const words: string[] = [];
  const codes = new Map<string, number>();
  const spelled: Uint8Array[] = [];
  const byHash = new Map<number, number>();
  let last = -1;
  const isWord = (code: number, bytes: Uint8Array, from: number, to: number) => {
    const own = spelled[code]!;
    if (own.length !== to - from) return false;
    for (let i = 0; i < own.length; i++) if (own[i] !== bytes[from + i]) return false;
    return true;
  };
  const codeOfWord = (word: string) => {
    const known = codes.get(word);
    if (known !== undefined) return known;
    if (words.length >= mostWords) return -2;
    const code = words.length;
    words.push(word);
    spelled.push(Buffer.from(word, 'utf8'));
    codes.set(word, code);
    return code;
  };
  return {
    words,
    codeOfWord,
    codeOf(bytes, from, to) {
      // Equal labels usually follow one another, so the last word is tried first.
      if (last >= 0 && isWord(last, bytes, from, to)) return last;
      // FNV-1a; words with equal hashes are compared by their letters.
      let hash = 0x811c9dc5;
      for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
      const likely = byHash.get(hash);
      if (likely !== undefined && isWord(likely, bytes, from, to)) {
        last = likely;
        return likely;
      }
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
      const code = codeOfWord(text);
      if (code >= 0 && likely === undefined) byHash.set(hash, code);
      last = code;
      return code;
    },
  };
}

/** How a text file separates its cells, if not by commas. */
export interface Separators {
  cells: 'semicolon' | 'tab';
  /** Whether numbers have a decimal comma. */
  decimalComma: boolean;
}

const separatorBytes = { semicolon: 59, tab: 9 } as const;

/**
 * Recognizes files whose cells are separated by semicolons or tabs. Spreadsheets write such files in regions where numbers have a decimal
 * comma. Commas in the first line are part of the names if the second line has the same number of separators.
 * @param bytes the file, or its first lines @returns null if commas separate the cells
 */
export function separatorsOf(bytes: Uint8Array): Separators | null {
  const head = bytes.indexOf(10);
  const next = head < 0 ? -1 : bytes.indexOf(10, head + 1);
  const first = bytes.subarray(0, head < 0 ? bytes.length : head);
  const second = bytes.subarray(head < 0 ? bytes.length : head + 1, next < 0 ? bytes.length : next);
  const count = (line: Uint8Array, byte: number) => line.reduce((sum, b) => sum + (b === byte ? 1 : 0), 0);
  for (const cells of ['semicolon', 'tab'] as const) {
    const own = count(first, separatorBytes[cells]);
    const agree = own === count(second, separatorBytes[cells]);
    if (own > 0 && (agree || count(first, comma) === 0))
      return { cells, decimalComma: /\d,\d/.test(latin1(second)) };
  }
  return null;
}

const latin1 = (bytes: Uint8Array) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');

/**
 * Creates a function that converts the separators of a file to commas. The file is read in chunks of whole lines. Decimal commas become
 * points, and other commas in names become spaces. Each character keeps its position, so that errors report the correct column.
 */
export function createCommaSeparated(): (bytes: Uint8Array) => Uint8Array {
  let separators: Separators | null | undefined;
  return (bytes) => {
    const isFirst = separators === undefined;
    separators ??= separatorsOf(bytes);
    if (separators === null) return bytes;
    const out = Uint8Array.from(bytes);
    const separator = separatorBytes[separators.cells];
    let quoted = false;
    let inHeader = isFirst;
    for (let i = 0; i < out.length; i++) {
      const byte = out[i];
      if (byte === 10) inHeader = quoted = false;
      else if (byte === 34) quoted = !quoted;
      else if (byte === separator && !quoted) out[i] = comma;
      else if (byte === comma && inHeader) out[i] = 32;
      else if (byte === comma && (!quoted || isDigit(bytes[i + 1]))) out[i] = 46;
    }
    return out;
  };
}

const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 48 && byte <= 57;

/** Maximum number of columns, more than any sensor table has. A header with millions of names would take minutes to read. */
const mostColumns = 65_536;

interface Header {
  columns: string[];
  /** Offset of the first row. */
  bodyStart: number;
}

/**
 * Reads the names in the first line; `checkHeader` validates them.
 * @throws AIOT_CSV_COLUMNS (too many columns), AIOT_FILE_MALFORMED (not UTF-8)
 */
export function readHeader(bytes: Uint8Array, file: string): Header {
  requireText(bytes, file);
  const start = byteOrderMark(bytes);
  const found = bytes.indexOf(10, start);
  const end = found < 0 ? bytes.length : found;
  let count = 1;
  for (let at = start; at < end; at++) if (bytes[at] === comma) count++;
  if (count > mostColumns) {
    const message = `${file}:1:1: expected at most ${mostColumns} columns, got ${count}`;
    throw new AiotError('AIOT_CSV_COLUMNS', message, { next: 'Use a table with fewer columns.' });
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
  return { columns: text.replace(/\r$/, '').split(','), bodyStart: end + 1 };
}

/** Length of a byte order mark at the start, 0 or 3. */
export function byteOrderMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/** Checks the names in a header. @param wanted the exact set of required columns @throws AIOT_CSV_COLUMNS */
export function checkHeader(columns: string[], file: string, wanted?: readonly string[]): void {
  const got = columns.join(',');
  const refused = (expected: string, what: string) =>
    new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected ${expected}, got ${what}`, {
      // No hint for required columns, because the message already lists them.
      ...(wanted ? {} : { next: 'Give each column a unique name in the first line, such as x,y,label.' }),
    });
  const header = wanted ? `the columns ${wanted.join(',')}` : 'a header row with a name for each column';
  if (got === '') throw refused(header, 'an empty line');
  const names = new Map<string, number>();
  for (const [i, name] of columns.entries()) {
    const before = names.get(name);
    if (name !== '' && !isNumber(name) && before !== undefined)
      throw refused('unique names', `${showCell(name)} in columns ${before + 1} and ${i + 1}`);
    names.set(name, i);
  }
  const nameless = columns.findIndex((name) => name === '' || isNumber(name));
  const unfit = wanted && (columns.length !== wanted.length || wanted.some((name) => !names.has(name)));
  if (unfit || (nameless >= 0 && wanted)) throw refused(header, showCell(got));
  if (nameless >= 0) throw refused(header, `${showCell(columns[nameless]!)} in column ${nameless + 1}`);
}

function isNumber(name: string): boolean {
  return /^[-+.\d]/.test(name);
}

/** Powers of ten that a double represents exactly. */
const tens = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/** Maximum number of digits in the two parts of a long number. A double represents each part exactly. */
const firstDigits = 15;

const furtherDigits = 7;

interface NumberReader {
  /** Returns NaN for anything but a plain decimal number: no spaces, no words, no hexadecimal. */
  read(from: number, to: number): number;
}

/**
 * Converts decimal text to the nearest double, like Number() but several times as fast. Handles an integer of at most 22 digits divided by
 * a power of ten up to 10²², as nearly all numbers are. Other numbers are passed to Number().
 */
export function createNumberReader(bytes: Uint8Array): NumberReader {
  // The bytes as a string, created once a number must be passed to Number(). Slicing a string is faster than decoding bytes.
  let text: string | undefined;
  const slow = (from: number, to: number) => {
    text ??= Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    return plainNumber(text.slice(from, to));
  };
  return {
    read(from, to) {
      let i = from;
      const minus = bytes[i] === 45;
      if (minus || bytes[i] === 43) i++;
      let first = 0;
      let further = 0;
      let digits = 0;
      let seen = 0;
      let after = 0;
      let point = false;
      for (; i < to; i++) {
        const c = bytes[i]!;
        if (c === 46 && !point) {
          point = true;
          continue;
        }
        if (c < 48 || c > 57) break;
        if (digits < firstDigits) first = first * 10 + (c - 48);
        else further = further * 10 + (c - 48);
        seen++;
        if (first > 0) digits++;
        if (point) after++;
      }
      if (i < to && seen > 0 && (bytes[i] === 101 || bytes[i] === 69)) {
        const exponent = exponentOf(bytes, i + 1, to);
        if (exponent === null) return slow(from, to);
        after -= exponent;
        i = to;
      }
      if (i < to || seen === 0 || digits > firstDigits + furtherDigits || after > 22 || after < 0) {
        return slow(from, to);
      }
      const value =
        digits <= firstDigits
          ? first / tens[after]!
          : quotient(first, tens[digits - firstDigits]!, further, tens[after]!);
      if (Number.isNaN(value)) return slow(from, to);
      return minus ? -value : value;
    },
  };
}

/** The exponent in a number's text; null if it is not an optional sign and one to three digits. */
function exponentOf(bytes: Uint8Array, from: number, to: number): number | null {
  const minus = bytes[from] === 45;
  const start = minus || bytes[from] === 43 ? from + 1 : from;
  if (start >= to || to - start > 3) return null;
  let value = 0;
  for (let i = start; i < to; i++) {
    const c = bytes[i]!;
    if (c < 48 || c > 57) return null;
    value = value * 10 + (c - 48);
  }
  return minus ? -value : value;
}

/** 2²⁷ + 1 splits a double into two halves whose products are exact (Veltkamp and Dekker 1971). */
const splitter = 134217729;

/** The rounding error of a·b. */
function productError(a: number, b: number, product: number): number {
  const ca = splitter * a;
  const ah = ca - (ca - a);
  const al = a - ah;
  const cb = splitter * b;
  const bh = cb - (cb - b);
  const bl = b - bh;
  return al * bl - (product - ah * bh - al * bh - ah * bl);
}

/** (a·scale + b) / divisor, rounded once, in double-double precision. NaN if it is too close to halfway between two doubles to decide. */
function quotient(a: number, scale: number, b: number, divisor: number): number {
  const product = a * scale;
  const rest = productError(a, scale, product) + b;
  const high = product + rest;
  const low = rest - (high - product);
  const q = high / divisor;
  const back = q * divisor;
  const remainder = high - back - productError(q, divisor, back);
  const correction = (remainder + low) / divisor;
  const doubt = ((Math.abs(remainder) + Math.abs(low)) / divisor) * 2 ** -49;
  const value = q + (correction - doubt);
  return value === q + (correction + doubt) ? value : Number.NaN;
}

/** Checks the characters first, because Number() alone would accept '', ' 1', '0x10' and 'Infinity'. */
function plainNumber(cell: string): number {
  if (cell.length === 0) return Number.NaN;
  for (let i = 0; i < cell.length; i++) {
    const c = cell.charCodeAt(i);
    // Allowed: 0-9 and + - . e E.
    if ((c < 48 || c > 57) && c !== 43 && c !== 45 && c !== 46 && c !== 101 && c !== 69) return Number.NaN;
  }
  return Number(cell);
}

const newline = 10;
const comma = 44;

/**
 * Rejects invalid UTF-8, because replacement characters could make two labels equal.
 * @param firstLine number of the line at which the bytes start
 * @throws AIOT_FILE_MALFORMED (file:line:column of the cell)
 */
export function requireText(bytes: Uint8Array, file: string, firstLine = 1): void {
  const zero = bytes.subarray(0, 4096).indexOf(0);
  if (isUtf8(bytes) && zero < 0) return;
  if (zero >= 0) {
    const start = Buffer.from(bytes.subarray(0, 4))
      .toString('hex')
      .replace(/..(?=.)/g, '$& ');
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${file}:${firstLine}:1: expected a CSV file, got a binary one (it begins with the bytes ${start})`,
      { subject: 'csv', next: 'Use a text file in UTF-8 with commas between the cells.' },
    );
  }
  const { line, col, cell } = firstBad(bytes);
  // Latin-1 decodes each byte to one letter, which is usually the intended letter.
  const shown = showCell(Buffer.from(cell).toString('latin1'));
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${file}:${line + firstLine - 1}:${col}: expected text in UTF-8, got ${shown} in another encoding (not UTF-8)`,
    {
      subject: 'csv',
      next: 'Save the file as UTF-8, for example: iconv -f latin1 -t utf-8 OLD.csv > NEW.csv',
    },
  );
}

/** Finds the first cell with invalid UTF-8. Commas and line endings are never part of a multi-byte character. */
function firstBad(bytes: Uint8Array): { line: number; col: number; cell: Uint8Array } {
  const pieces = (from: number, to: number, mark: number, each: (from: number, to: number) => boolean) => {
    for (let at = from; at < to; ) {
      const found = bytes.indexOf(mark, at);
      const end = found < 0 || found > to ? to : found;
      if (each(at, end)) return;
      at = end + 1;
    }
  };
  let line = 0;
  let place = { line: 1, col: 1, cell: bytes.subarray(0, 0) };
  pieces(0, bytes.length, newline, (start, end) => {
    line++;
    if (isUtf8(bytes.subarray(start, end))) return false;
    pieces(start, end, comma, (from, to) => {
      if (isUtf8(bytes.subarray(from, to))) return false;
      place = { line, col: from - start + 1, cell: bytes.subarray(from, to) };
      return true;
    });
    return true;
  });
  return place;
}

/** Line and column of an offset, both from 1. */
export function positionOf(text: string, offset: number): { line: number; col: number } {
  let line = 1;
  let lineStart = 0;
  for (let i = text.indexOf('\n'); i >= 0 && i < offset; i = text.indexOf('\n', i + 1)) {
    line++;
    lineStart = i + 1;
  }
  return { line, col: offset - lineStart + 1 };
}

/** Formats a cell for messages: quoted and shortened. */
export function showCell(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 39)}…` : cell);
}
