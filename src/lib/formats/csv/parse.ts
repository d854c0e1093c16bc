import { AiotError } from '../../core/index.js';
import { positionOf, showCell } from './place.js';

export interface NumericTable {
  columns: string[];
  /** One array a column, all of the same length. */
  data: Float64Array[];
}

/** A table with columns of text. */
export interface LabelledTable extends NumericTable {
  /** The columns that were taken as text, by name, where the file has them; their names are not in `columns`. */
  texts: Record<string, string[]>;
}

const newline = 10;
const carriageReturn = 13;
const comma = 44;

/**
 * Reads a CSV file of plain decimal numbers under a header row. CRLF, a byte order mark and a missing last line end are
 * accepted; quotes, spaces, empty cells, NaN and infinities are not.
 * @param file name for messages
 * @param wanted the columns that the file must have, no more and no fewer; given back in this order
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY (no row of numbers), AIOT_CSV_MALFORMED (file:line:column, expected, got)
 */
export function parseCsv(bytes: Uint8Array, file: string, wanted?: readonly string[]): NumericTable {
  // Numbers are ASCII: one byte a character finds them; names with other letters are decoded apart.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const { columns, bodyStart } = readHeader(text);
  checkHeader(columns, file, wanted);
  const data = readRows(text, bodyStart, columns, file);
  if (data[0]!.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file}: no rows below the header`);
  if (!wanted) return { columns, data };
  return { columns: [...wanted], data: wanted.map((name) => data[columns.indexOf(name)]!) };
}

/**
 * As `parseCsv`, with some columns taken as text as it stands (a label, a group): numbers there are not looked at as numbers.
 * @param textColumns their names; the file need not have them
 * @throws as `parseCsv`
 */
export function parseLabelledCsv(
  bytes: Uint8Array,
  file: string,
  textColumns: readonly string[],
): LabelledTable {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const { columns, bodyStart } = readHeader(text);
  checkHeader(columns, file);
  const isText = columns.map((name) => textColumns.includes(name));
  const words = isText.map((is) => (is ? ([] as string[]) : null));
  const data = readRows(text, bodyStart, columns, file, words);
  if (data[0]!.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file}: no rows below the header`);
  const texts = Object.fromEntries(columns.flatMap((name, c) => (words[c] ? [[name, words[c]]] : [])));
  return {
    columns: columns.filter((_, c) => !isText[c]),
    data: data.filter((_, c) => !isText[c]),
    texts,
  };
}

function readHeader(text: string): { columns: string[]; bodyStart: number } {
  const start = text.startsWith('\u00ef\u00bb\u00bf') ? 3 : 0;
  let end = text.indexOf('\n', start);
  if (end < 0) end = text.length;
  const header = text.slice(start, end).replace(/\r$/, '');
  return { columns: Buffer.from(header, 'latin1').toString('utf8').split(','), bodyStart: end + 1 };
}

function checkHeader(columns: string[], file: string, wanted?: readonly string[]): void {
  const expected = wanted ? `the columns ${wanted.join(',')}` : 'a header row with a name for each column';
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  const nameless = columns.some((name) => name === '' || /^[-+.\d]/.test(name));
  const unfit =
    wanted && (columns.length !== wanted.length || wanted.some((name) => !columns.includes(name)));
  if (twice === undefined && !nameless && !unfit) return;
  const got = columns.join(',');
  throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected ${expected}, got ${showCell(got)}`);
}

function readRows(
  text: string,
  from: number,
  columns: string[],
  file: string,
  words: (string[] | null)[] = [],
): Float64Array[] {
  const width = columns.length;
  // A row takes two characters a cell at least.
  const room = Math.floor((text.length - from + 1) / (2 * width)) + 1;
  const data = columns.map(() => new Float64Array(room));
  let row = 0;
  let cell = 0;
  let cellStart = from;
  for (let i = from; i <= text.length; i++) {
    const c = i < text.length ? text.charCodeAt(i) : newline;
    if (c !== comma && c !== newline) continue;
    if (i === text.length && cellStart === i && cell === 0) break;
    const cellEnd = c === newline && text.charCodeAt(i - 1) === carriageReturn ? i - 1 : i;
    const cut = text.slice(cellStart, cellEnd);
    const own = cut === '' ? null : words[cell];
    const value = own ? own.push(Buffer.from(cut, 'latin1').toString('utf8')) : numberOf(cut);
    if (cell >= width || !Number.isFinite(value)) throw badCell(text, cellStart, cut, columns[cell], file);
    data[cell]![row] = value;
    cell++;
    cellStart = i + 1;
    if (c === comma) continue;
    if (cell !== width) throw badRow(text, i, width, cell, file);
    cell = 0;
    row++;
  }
  return data.map((column) => column.slice(0, row));
}

/** NaN for what is not a plain decimal number: Number() alone would take '', ' 1', '0x10' and 'Infinity'. */
function numberOf(cell: string): number {
  if (cell.length === 0) return Number.NaN;
  for (let i = 0; i < cell.length; i++) {
    const c = cell.charCodeAt(i);
    // 0-9, then + - . e E
    if ((c < 48 || c > 57) && c !== 43 && c !== 45 && c !== 46 && c !== 101 && c !== 69) return Number.NaN;
  }
  return Number(cell);
}

function badCell(
  text: string,
  at: number,
  cell: string,
  column: string | undefined,
  file: string,
): AiotError {
  const { line, col } = positionOf(text, at);
  const expected = column === undefined ? 'no further column' : `a finite number for "${column}"`;
  const got = cell === '' ? 'nothing' : showCell(cell);
  return new AiotError('AIOT_CSV_MALFORMED', `${file}:${line}:${col}: expected ${expected}, got ${got}`);
}

function badRow(text: string, at: number, width: number, cells: number, file: string): AiotError {
  const { line, col } = positionOf(text, at);
  return new AiotError(
    'AIOT_CSV_MALFORMED',
    `${file}:${line}:${col}: expected ${width} columns, got ${cells}`,
  );
}
