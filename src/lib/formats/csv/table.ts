import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { showCell } from './cells.js';
import { createTextsReader, type LabelledTable } from './parse.js';

/** Rows that are inputs of a network as they stand: a CSV file with one column per input and, if wanted, a label. */
export interface Table {
  /** Names of the inputs, in the file's order, without the label. */
  columns: string[];
  /** [rows × columns], row-major. */
  inputs: Float32Array;
  rows: number;
  /** The label of each row as written; null when the file has no such column. */
  labels: string[] | null;
  /**
   * What each row belongs to (a recording, a device): rows of one group are alike and stay on one side of a split. From the
   * first of the columns `group`, `recording` and `device` that the file has; null without any.
   */
  groups: string[] | null;
  /** `sha256:…` of the file's bytes. */
  digest: string;
}

/** Columns that are no inputs: they say what a row belongs to. */
const groupColumns = ['group', 'recording', 'device'];

/** The role of each column in a file of rows. */
export interface TableShape {
  /** Name of the column that holds labels, default `label`; a file without it has none. */
  label?: string;
  /** Columns that are inputs, in this order; absent = all that are neither label nor group. Others may hold anything. */
  inputs?: readonly string[];
  /** Names of the columns of a file without a header; a first line that has just these is one all the same. */
  columns?: readonly string[];
}

/** Rows of a table that lie one behind the other in its file. */
export type TableRows = Omit<Table, 'digest'>;

/** A table piece by piece. */
interface TableReader {
  /** Whole lines, the first of them the header; the last one of the file may have no end. */
  read(bytes: Uint8Array): TableRows;
  /** @throws AIOT_CSV_EMPTY where no row came */
  end(): void;
}

/**
 * A CSV file as rows of inputs.
 * @param file name for messages
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED
 */
export function parseTable(bytes: Uint8Array, file: string, shape: TableShape = {}): Table {
  const reader = createTableReader(file, shape);
  const rows = reader.read(bytes);
  reader.end();
  return { ...rows, digest: digestOf(bytes) };
}

/** As `parseTable`, a piece of the file at a time. @throws as `parseTable`, from `read` and `end` */
export function createTableReader(file: string, shape: TableShape = {}): TableReader {
  const { label = 'label', inputs: wanted } = shape;
  const textColumns = (name: string) =>
    name === label || groupColumns.includes(name) || (wanted !== undefined && !wanted.includes(name));
  const next = `Labels stand in ${showCell(label)}: where it is another column, name it with --label.`;
  const reader = createTextsReader(file, { textColumns, names: shape.columns, next });
  let started = false;
  return {
    read(bytes) {
      const parsed = reader.read(bytes);
      const { texts, rows } = parsed;
      const begins = started ? parsed.firstLine : 1;
      started = true;
      const { columns, data } = wanted && rows > 0 ? chosen(parsed, wanted, file) : parsed;
      const labels = texts[label] ?? null;
      const groupColumn = groupColumns.find((name) => name !== label && texts[name]);
      const groups = groupColumn === undefined ? null : texts[groupColumn]!;
      if (columns.length === 0 && rows > 0) {
        const got = Object.keys(texts).join(', ');
        throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a column of inputs, got ${got} alone`);
      }
      const inputs = new Float32Array(rows * columns.length);
      data.forEach((column, c) => {
        for (let row = 0; row < rows; row++) {
          const value = Math.fround(column[row]!);
          if (!Number.isFinite(value)) throw beyondFloat32(bytes, file, parsed, row, columns[c]!, begins);
          inputs[row * columns.length + c] = value;
        }
      });
      return { columns, inputs, rows, labels, groups };
    },
    end: () => reader.end(),
  };
}

/** The wanted columns in the order in which they are wanted. */
function chosen(
  { columns, data, texts }: LabelledTable,
  wanted: readonly string[],
  file: string,
): Pick<LabelledTable, 'columns' | 'data'> {
  const missing = wanted.find((name) => !columns.includes(name));
  if (missing !== undefined) {
    const got = [...columns, ...Object.keys(texts)].join(', ');
    const message = `${file}:1:1: expected a column ${showCell(missing)} of inputs, got ${got}`;
    throw new AiotError('AIOT_CSV_COLUMNS', message, { next: 'Name the inputs in model.table.inputs.' });
  }
  return { columns: [...wanted], data: wanted.map((name) => data[columns.indexOf(name)]!) };
}

/** A number that a network cannot get, with its place. @param row from 0 @param begins line that the bytes begin with */
function beyondFloat32(
  bytes: Uint8Array,
  file: string,
  { header, firstLine }: LabelledTable,
  row: number,
  column: string,
  begins: number,
): AiotError {
  const line = row + firstLine;
  let start = 0;
  for (let at = begins; at < line; at++) start = bytes.indexOf(10, start) + 1;
  const end = bytes.indexOf(10, start);
  const text = Buffer.from(bytes.subarray(start, end < 0 ? bytes.length : end)).toString('latin1');
  const cells = text.split(',');
  const col = header.indexOf(column);
  const at = cells.slice(0, col).join(',').length + (col > 0 ? 2 : 1);
  return new AiotError(
    'AIOT_CSV_MALFORMED',
    `${file}:${line}:${at}: expected a number of at most 3.4e38 for ${showCell(column)} (float32), got ${showCell(cells[col]!.trim())}`,
  );
}

/** A finite number as text; absent decimals = the shortest that reads back to the same number. */
function cellOf(value: number, decimals?: number): string {
  return decimals === undefined ? String(value) : value.toFixed(decimals);
}

/**
 * Header row and one row a sample, `\n` line ends.
 * @param data one array a column, all of the same length; finite numbers only (throws RangeError otherwise)
 * @param decimals digits after the point; absent = the shortest text that reads back to the same number
 */
export function writeCsv(columns: readonly string[], data: ArrayLike<number>[], decimals?: number): string {
  const rows = data[0]?.length ?? 0;
  const lines: string[] = [columns.join(',')];
  const cells = new Array<string>(columns.length);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns.length; c++) {
      const value = data[c]?.[row];
      if (value === undefined || !Number.isFinite(value)) {
        throw new RangeError(`row ${row + 1}, column ${columns[c]}: ${value} has no place in a CSV file`);
      }
      cells[c] = cellOf(value, decimals);
    }
    lines.push(cells.join(','));
  }
  return `${lines.join('\n')}\n`;
}

/**
 * As `writeCsv`, row by row, with columns of text after the numbers; what is no number (NaN) is an empty cell.
 * @param texts by the name of the column: one word a row
 */
export function writeTable(
  columns: readonly string[],
  rows: readonly ArrayLike<number>[],
  texts: Record<string, readonly string[]> = {},
): string {
  const words = Object.values(texts);
  const lines = rows.map((row, r) => {
    const numbers = Array.from(row, (value) => (Number.isNaN(value) ? '' : cellOf(value)));
    return [...numbers, ...words.map((column) => quoted(column[r]!))].join(',');
  });
  return `${[[...columns, ...Object.keys(texts)].join(','), ...lines].join('\n')}\n`;
}

/** A word with a comma or a line end would become two cells. */
function quoted(word: string): string {
  return /[,"\r\n]/.test(word) ? word.replace(/[,"\r\n]/g, '_') : word;
}
