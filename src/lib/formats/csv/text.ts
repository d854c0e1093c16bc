import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/index.js';
import { showCell } from './place.js';

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
