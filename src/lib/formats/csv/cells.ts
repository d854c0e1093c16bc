import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/errors.js';

/** A column of numbers; what is none (a missing cell, a word) is NaN in `values`, and infinities are as they are. */
export interface NumberColumn {
  name: string;
  kind: 'number';
  values: Float64Array;
  /** Empty cells, and words such as NaN, NA and null. */
  missing: number;
  /** Other cells that are no numbers: how many, and the first few. */
  words: number;
  first: BadCell[];
}

/** A cell that should be a number and is none; line and column from 1. */
export interface BadCell {
  line: number;
  col: number;
  column: string;
  cell: string;
}

/** A column of words, as numbers into a list. */
export interface TextColumn {
  name: string;
  kind: 'text';
  /** One a row: which of `words` it is; −1 = empty, −2 = a word that came after `mostWords` others. */
  codes: Int32Array;
  words: string[];
  missing: number;
}

export type Column = NumberColumn | TextColumn;

/** More different words than any category has: what comes after is told from no other. */
export const mostWords = 10_000;

/** Words for a missing number, in small letters. */
export const missingWords = new Set(['', 'na', 'n/a', 'nan', 'null', 'none', '<na>']);

/** How infinities are written, in small letters. */
export const infiniteWords = new Map([
  ['inf', Number.POSITIVE_INFINITY],
  ['+inf', Number.POSITIVE_INFINITY],
  ['infinity', Number.POSITIVE_INFINITY],
  ['-inf', Number.NEGATIVE_INFINITY],
  ['-infinity', Number.NEGATIVE_INFINITY],
]);

/** Words of one column, each known by a number: from bytes, and without a string for each cell. */
export interface WordList {
  readonly words: string[];
  /** −2 for a word that comes after `mostWords` others. */
  codeOf(bytes: Uint8Array, from: number, to: number): number;
  /** The same for a word that is a string already. */
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
      // Labels come in long runs.
      if (last >= 0 && isWord(last, bytes, from, to)) return last;
      // FNV-1a; two words of one hash are told apart by their letters.
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

/** More columns than any table of sensors has; a header of millions of names would take minutes. */
const mostColumns = 65_536;

interface Header {
  columns: string[];
  /** Offset of the first row. */
  bodyStart: number;
}

/**
 * The names in the first line; whether they are fit, `checkHeader` says.
 * @throws AIOT_CSV_COLUMNS (more than any table has), AIOT_CSV_MALFORMED (not UTF-8)
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
    throw new AiotError('AIOT_CSV_COLUMNS', message, { next: 'Give a table with fewer columns.' });
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
  return { columns: text.replace(/\r$/, '').split(','), bodyStart: end + 1 };
}

/** Length of a byte order mark at the start, 0 or 3. */
export function byteOrderMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/** @param wanted the columns that there must be, no more and no fewer @throws AIOT_CSV_COLUMNS */
export function checkHeader(columns: string[], file: string, wanted?: readonly string[]): void {
  const got = columns.join(',');
  const refused = (expected: string, what: string) =>
    new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected ${expected}, got ${what}`, {
      // With columns that are wanted, the project's fields are what to compare with.
      ...(wanted ? {} : { next: 'Name each column once in the first line, such as x,y,label.' }),
    });
  const header = wanted ? `the columns ${wanted.join(',')}` : 'a header row with a name for each column';
  if (got === '') throw refused(header, 'an empty line');
  const names = new Map<string, number>();
  for (const [i, name] of columns.entries()) {
    const before = names.get(name);
    if (name !== '' && !isNumber(name) && before !== undefined)
      throw refused('each name once', `${showCell(name)} in columns ${before + 1} and ${i + 1}`);
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

/** Powers of ten that a double holds exactly. */
const tens = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/** Most digits of the two halves of a long number: both are whole numbers that a double holds exactly. */
const firstDigits = 15;

const furtherDigits = 7;

interface NumberReader {
  /** NaN for what is not a plain decimal number: no spaces, no words, no hexadecimal. */
  read(from: number, to: number): number;
}

/**
 * Decimal text to the nearest double, as Number() does it, and several times as fast: nearly all numbers are a whole number
 * of at most 22 digits over a power of ten up to 10²². The rest goes the way of Number().
 */
export function createNumberReader(bytes: Uint8Array): NumberReader {
  // Made when the first such number comes; a piece of it costs less than a piece of the bytes.
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

/** null when there is more than a sign and one to three digits. */
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

/** 2²⁷ + 1 parts a double into two halves whose products are exact (Veltkamp and Dekker 1971). */
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

/** (a·scale + b) / divisor, rounded once: in twice the precision. NaN where it lies too near the middle of two doubles to tell. */
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

/** Number() alone would take '', ' 1', '0x10' and 'Infinity'. */
function plainNumber(cell: string): number {
  if (cell.length === 0) return Number.NaN;
  for (let i = 0; i < cell.length; i++) {
    const c = cell.charCodeAt(i);
    // 0-9, then + - . e E
    if ((c < 48 || c > 57) && c !== 43 && c !== 45 && c !== 46 && c !== 101 && c !== 69) return Number.NaN;
  }
  return Number(cell);
}

const newline = 10;
const comma = 44;

/**
 * Refuses bytes that are no UTF-8: replaced by one and the same sign, two labels would become one.
 * @param firstLine number of the line that the bytes begin with
 * @throws AIOT_CSV_MALFORMED (file:line:column of the cell)
 */
export function requireText(bytes: Uint8Array, file: string, firstLine = 1): void {
  const zero = bytes.subarray(0, 4096).indexOf(0);
  if (isUtf8(bytes) && zero < 0) return;
  if (zero >= 0) {
    const start = Buffer.from(bytes.subarray(0, 4))
      .toString('hex')
      .replace(/..(?=.)/g, '$& ');
    throw new AiotError(
      'AIOT_CSV_MALFORMED',
      `${file}:${firstLine}:1: expected a CSV file, got a binary one (it begins with the bytes ${start})`,
      { next: 'Give a text file with commas between the cells, in UTF-8.' },
    );
  }
  const { line, col, cell } = firstBad(bytes);
  // Latin-1 shows a letter for each byte, most often the one meant.
  const shown = showCell(Buffer.from(cell).toString('latin1'));
  throw new AiotError(
    'AIOT_CSV_MALFORMED',
    `${file}:${line + firstLine - 1}:${col}: expected text in UTF-8, got ${shown} in another encoding (not UTF-8)`,
    { next: 'Save the file as UTF-8, for example: iconv -f latin1 -t utf-8 OLD.csv > NEW.csv' },
  );
}

/** The first cell that is no UTF-8; neither comma nor line end is ever part of a longer sign. */
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

/** Line and column, both from 1, of an offset. */
export function positionOf(text: string, offset: number): { line: number; col: number } {
  let line = 1;
  let lineStart = 0;
  for (let i = text.indexOf('\n'); i >= 0 && i < offset; i = text.indexOf('\n', i + 1)) {
    line++;
    lineStart = i + 1;
  }
  return { line, col: offset - lineStart + 1 };
}

/** A cell as messages show it: quoted, and short. */
export function showCell(cell: string): string {
  return JSON.stringify(cell.length > 40 ? `${cell.slice(0, 39)}…` : cell);
}
