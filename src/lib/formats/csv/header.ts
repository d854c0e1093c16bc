import { AiotError } from '../../core/index.js';
import { showCell } from './place.js';
import { requireText } from './text.js';

/** More columns than any table of sensors has; a header of millions of names would take minutes. */
const mostColumns = 65_536;

const comma = 44;

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
