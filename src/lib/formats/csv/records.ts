import { AiotError } from '../../core/errors.js';

/** A row of a CSV file, and the number of the line on which it starts (from 1). */
export interface CsvRecord {
  line: number;
  cells: string[];
}

/**
 * Reads rows of text cells, quoted if they contain commas, quotes (doubled) or line endings (RFC 4180, 2). Rows that start with `#` and
 * empty lines are skipped. Line endings may be `\r\n`, and a byte order mark is removed.
 * @param file name for messages
 * @throws AIOT_FILE_MALFORMED for an unclosed quote, or text after a closing quote
 */
export function csvRecords(text: string, file: string): CsvRecord[] {
  const clean = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  const records: CsvRecord[] = [];
  let at = 0;
  let line = 1;
  while (at < clean.length) {
    const end = lineEnd(clean, at);
    const blank = clean[at] === '#' || clean.slice(at, end).trim() === '';
    const record = blank ? { cells: [], next: end } : recordAt(clean, at, `${file}:${line}`);
    if (!blank) records.push({ line, cells: record.cells });
    line += linesIn(clean, at, record.next) + 1;
    at = record.next + 1;
  }
  return records;
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}

function linesIn(text: string, from: number, to: number): number {
  let lines = 0;
  for (let i = text.indexOf('\n', from); i >= 0 && i < to; i = text.indexOf('\n', i + 1)) lines++;
  return lines;
}

/** Reads the record at an offset. `next` is the offset of the line ending after it. */
function recordAt(text: string, from: number, place: string): { cells: string[]; next: number } {
  const cells: string[] = [];
  for (let at = from; ; at++) {
    const cell = text[at] === '"' ? quotedCell(text, at, place) : plainCell(text, at);
    cells.push(cell.value);
    at = cell.next;
    if (text[at] !== ',') return { cells, next: at };
  }
}

function plainCell(text: string, from: number): { value: string; next: number } {
  const end = lineEnd(text, from);
  const comma = text.indexOf(',', from);
  const next = comma >= 0 && comma < end ? comma : end;
  return { value: text.slice(from, next), next };
}

function quotedCell(text: string, from: number, place: string): { value: string; next: number } {
  let value = '';
  for (let at = from + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote < 0)
      throw new AiotError('AIOT_FILE_MALFORMED', `${place}: a quoted cell never ends`, {
        subject: 'csv',
      });
    value += text.slice(at, quote);
    if (text[quote + 1] === '"') {
      value += '"';
      at = quote + 2;
      continue;
    }
    const after = text[quote + 1];
    if (after === undefined || after === ',' || after === '\n') return { value, next: quote + 1 };
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${place}: expected a comma after a quoted cell, got "${after}"`,
      { subject: 'csv' },
    );
  }
}
