import type { Readable } from 'node:stream';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { dictionary } from '../../core/names.js';
import { textOrBase64 } from '../../core/text.js';
import { csvRecords } from '../../formats/csv/records.js';
import { decodeAuto } from '../decode/values.js';
import type { OutgoingMessage } from '../message.js';

/** The value of a cell; undefined = empty. */
export type Cell = string | number | boolean | undefined;

export type Row = Record<string, Cell>;

/** Columns that are not in the payload. */
const ownColumns = ['$topic', '$time', '$key', '$payload'] as const;

type OwnColumn = (typeof ownColumns)[number];

/** @throws AIOT_STREAM_UNFIT */
export function unfit(where: string, { topic }: OutgoingMessage, why: string): AiotError {
  return new AiotError('AIOT_STREAM_UNFIT', `${where}: a message on ${topic || 'no topic'} ${why}`, {
    endpoint: where,
  });
}

/**
 * Converts the payload to cells by name. The members of a JSON object become cells (nested ones as `a.b`, arrays as JSON). If column names
 * are given, a JSON array or a line of comma-separated text is accepted too; its values are assigned in order.
 * @throws AIOT_STREAM_UNFIT
 */
export function payloadRow(
  message: OutgoingMessage,
  columns: readonly string[] | undefined,
  where: string,
): Row {
  const bytes = message.payload;
  const value = decodeAuto(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (value !== null && typeof value === 'object' && !Array.isArray(value) && !Buffer.isBuffer(value)) {
    const row: Row = dictionary();
    flatten(value as Record<string, unknown>, '', row);
    return row;
  }
  const cells = Array.isArray(value)
    ? value.map(cellOf)
    : typeof value === 'string'
      ? textCells(value, message, where)
      : typeof value === 'number' || typeof value === 'boolean'
        ? [value]
        : undefined;
  if (!cells)
    throw unfit(where, message, 'has no cells: expected a JSON object or array, or comma-separated text');
  const names = columns?.filter((name) => !name.startsWith('$'));
  if (!names) throw unfit(where, message, 'has cells without names: set ?fields=a,b,c');
  if (cells.length !== names.length) {
    throw unfit(
      where,
      message,
      `has ${plural(cells.length, 'cell')}, expected ${names.length} (${names.join(',')})`,
    );
  }
  return Object.fromEntries(names.map((name, n) => [name, cells[n]]));
}

/** The cell of a column that is not part of the payload. */
export function ownCell(name: string, message: OutgoingMessage): Cell {
  switch (name as OwnColumn) {
    case '$topic':
      return message.topic;
    case '$time':
      return message.time ?? Date.now();
    case '$key':
      return message.key && textOrBase64(message.key);
    case '$payload':
      return textOrBase64(message.payload);
  }
}

function flatten(value: Record<string, unknown>, before: string, row: Row): void {
  for (const [name, member] of Object.entries(value)) {
    if (member !== null && typeof member === 'object' && !Array.isArray(member)) {
      flatten(member as Record<string, unknown>, `${before}${name}.`, row);
    } else row[before + name] = cellOf(member);
  }
}

function cellOf(value: unknown): Cell {
  if (value === null || value === undefined) return undefined;
  return typeof value === 'object' ? JSON.stringify(value) : (value as Cell);
}

function textCells(text: string, message: OutgoingMessage, where: string): Cell[] {
  const line = text.replace(/\r?\n$/, '');
  try {
    const records = csvRecords(line.startsWith('#') ? ` ${line}` : line, where);
    if (records.length === 1) return records[0]!.cells.map(cellValue);
  } catch {
    // An unclosed quote is reported below.
  }
  throw unfit(where, message, 'is text, but not a single row of comma-separated cells');
}

/** A number in JSON's format; `007`, `0xBC` and `1.2.3` stay text. */
const plainNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/;

/** The value of a cell: a number, a boolean, undefined (an empty cell), or text. */
function cellValue(cell: string): string | number | boolean | undefined {
  if (cell === '') return undefined;
  if (cell === 'true' || cell === 'false') return cell === 'true';
  // Sixteen or more digits may be an id, which a double would change.
  if (plainNumber.test(cell) && cell.replace(/\D/g, '').length < 16) return Number(cell);
  return cell;
}

/**
 * Converts consecutive rows to objects, with names from a header row or from the caller. Without either (`header` false
 * and no names), a row is returned as text.
 * @returns a function that returns undefined for the header; it throws AIOT_CSV_COLUMNS, AIOT_FILE_MALFORMED
 */
export function createRowReader(
  where: string,
  names: readonly string[] | undefined,
  header = names === undefined,
): (record: TextRecord) => Record<string, unknown> | string | undefined {
  if (names) requireKept(names, where);
  let columns = names;
  let heading = header;
  return ({ text, line }) => {
    if (!heading && !columns) return text;
    const place = `${where}:${line}`;
    const cells = csvRecords(text.startsWith('#') ? ` ${text}` : text, place)[0]?.cells ?? [];
    if (heading) {
      heading = false;
      columns ??= uniqueNames(cells, place);
      return undefined;
    }
    if (cells.length !== columns!.length) {
      throw new AiotError(
        'AIOT_FILE_MALFORMED',
        `${place}: expected ${columns!.length} cells (${columns!.join(',')}), got ${cells.length}`,
        { subject: 'csv' },
      );
    }
    const row: Record<string, unknown> = {};
    columns!.forEach((name, c) => {
      const value = cellValue(cells[c]!);
      if (value !== undefined) row[name] = value;
    });
    return row;
  };
}

/** Rejects the name `__proto__`, because an object cannot have such a property, so the column would be lost. @throws AIOT_CSV_COLUMNS */
function requireKept(names: readonly string[], place: string): void {
  if (!names.includes('__proto__')) return;
  throw new AiotError('AIOT_CSV_COLUMNS', `${place}: __proto__ cannot be used as a name`, {
    next: 'Rename the columns: ?fields=a,b,c',
  });
}

/** @throws AIOT_CSV_COLUMNS */
function uniqueNames(names: string[], place: string): string[] {
  requireKept(names, place);
  const wrong = names.findIndex(
    (name, n) => typeof cellValue(name) !== 'string' || names.indexOf(name) !== n,
  );
  const name = names[wrong];
  if (name === undefined) return names;
  const got = name === '' ? 'one without' : plainNumber.test(name) ? `the number ${name}` : `"${name}"`;
  const twice = names.indexOf(name) !== wrong ? ' twice' : '';
  throw new AiotError('AIOT_CSV_COLUMNS', `${place}: expected a name for each column, got ${got}${twice}`, {
    next: 'Name the columns (?fields=a,b,c), or set ?header=false if there is no header.',
  });
}

export interface TextRecord {
  text: string;
  /** Number of the line on which the record begins, from 1. */
  line: number;
}

/** Maximum length of a record, characters. A longer record indicates another type of file or an unclosed quote. */
const longest = 64 * 1024 * 1024;

/**
 * Splits UTF-8 text into lines without their endings (`\n` or `\r\n`); yields the records of each chunk together. A byte order mark is
 * removed.
 * @param quotes whether a line ending between two `"` is part of its record (RFC 4180, 2.6)
 * @throws AIOT_FILE_MALFORMED (a record of more than 64 Mi characters), and read errors
 */
export async function* readRecords(
  input: Readable,
  quotes: boolean,
  where: string,
): AsyncGenerator<TextRecord[]> {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let line = 1;
  const split = (text: string, last: boolean): TextRecord[] => {
    const records: TextRecord[] = [];
    let start = 0;
    let from = 0;
    let lines = 1;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      from = end + 1;
      if (quotes && oddQuotes(text, start, end)) {
        lines++;
        continue;
      }
      records.push({ text: text.slice(start, text[end - 1] === '\r' && end > start ? end - 1 : end), line });
      line += lines;
      lines = 1;
      start = from;
    }
    rest = text.slice(start);
    if (last && rest !== '') records.push({ text: rest, line });
    return records;
  };
  for await (const chunk of input as AsyncIterable<Buffer | string>) {
    const text = rest + (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }));
    const records = split(text, false);
    if (rest.length > longest) {
      throw new AiotError(
        'AIOT_FILE_MALFORMED',
        `${where}:${line}: expected lines, got more than 64 MiB without a line break`,
      );
    }
    if (records.length > 0) yield records;
  }
  const records = split(rest + decoder.decode(), true);
  if (records.length > 0) yield records;
}

/**
 * Whether the number of quotes is odd, so that a cell is still open. A doubled quote counts twice and changes nothing.
 */
export function oddQuotes(text: string, from: number, to: number): boolean {
  let odd = false;
  for (let at = text.indexOf('"', from); at >= 0 && at < to; at = text.indexOf('"', at + 1)) odd = !odd;
  return odd;
}
