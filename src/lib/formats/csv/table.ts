import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { createCommaSeparated, showCell } from './cells.js';
import { createTextsReader, type LabelledTable } from './parse.js';

/** Rows that are direct inputs of a model: a CSV file with one column per input and optionally a label. */
export interface Table {
  /** Names of the inputs, in file order, without the label. */
  columns: string[];
  /** [rows × columns], row-major. */
  inputs: Float32Array;
  rows: number;
  /** The label of each row as written; null if the file has no label column. */
  labels: string[] | null;
  /**
   * The group of each row, such as a recording or a device. Rows of one group are not independent, so they stay on one side of a split.
   * Read from the first existing column of `group`, `recording` and `device`; null if there is none.
   */
  groups: string[] | null;
  /** `sha256:…` of the file's bytes. */
  digest: string;
}

/** Columns that contain a row's group, and are not inputs. */
export const groupColumns = ['group', 'recording', 'device'];

/** The role of each column in a file of rows. */
export interface TableShape {
  /** Name of the label column. Default: `label`. Without such a column, the rows have no labels. */
  label?: string;
  /** Input columns, in this order; absent = all columns except label and group. Other columns may contain anything. */
  inputs?: readonly string[];
  /** Column names for a file without a header. A first line of exactly these names still counts as a header. */
  columns?: readonly string[];
}

/** Consecutive rows of a table. */
export type TableRows = Omit<Table, 'digest'>;

/** Reads a table in chunks. */
interface TableReader {
  /** Reads whole lines, starting with the header. The last line of the file may lack a line ending. */
  read(bytes: Uint8Array): TableRows;
  /** @throws AIOT_CSV_EMPTY if there were no rows */
  end(): void;
}

/**
 * Reads a CSV file as rows of inputs.
 * @param file name for messages
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED
 */
export function parseTable(bytes: Uint8Array, file: string, shape: TableShape = {}): Table {
  const reader = createTableReader(file, shape);
  const rows = reader.read(bytes);
  reader.end();
  return { ...rows, digest: digestOf(bytes) };
}

/** Like `parseTable`, one chunk of the file at a time. @throws the errors of `parseTable`, from `read` and `end` */
export function createTableReader(file: string, shape: TableShape = {}): TableReader {
  const { label = 'label', inputs: wanted } = shape;
  const textColumns = (name: string) =>
    name === label || groupColumns.includes(name) || (wanted !== undefined && !wanted.includes(name));
  const next = `The labels are expected in the column ${showCell(label)}. If they are in another column, specify it with --label.`;
  const reader = createTextsReader(file, { textColumns, names: shape.columns, next });
  let started = false;
  const separated = createCommaSeparated();
  return {
    read(chunk) {
      const bytes = separated(chunk);
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
        throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected an input column, got only ${got}`);
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

/** The requested columns, in the requested order. */
function chosen(
  { columns, data, texts }: LabelledTable,
  wanted: readonly string[],
  file: string,
): Pick<LabelledTable, 'columns' | 'data'> {
  const missing = wanted.find((name) => !columns.includes(name));
  if (missing !== undefined) {
    const got = [...columns, ...Object.keys(texts)].join(', ');
    const message = `${file}:1:1: expected a column ${showCell(missing)} of inputs, got ${got}`;
    throw new AiotError('AIOT_CSV_COLUMNS', message, { next: 'List the inputs in model.table.inputs.' });
  }
  return { columns: [...wanted], data: wanted.map((name) => data[columns.indexOf(name)]!) };
}

/**
 * The error for a number outside the range of a model input, with its position. @param row from 0 @param begins number of the line at which
 * the bytes start
 */
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
    'AIOT_FILE_MALFORMED',
    `${file}:${line}:${at}: expected a number of at most 3.4e38 for ${showCell(column)} (float32), got ${showCell(cells[col]!.trim())}`,
    { subject: 'csv' },
  );
}

/** Formats a finite number. Without `decimals`, as the shortest text that parses to the same number. */
function cellOf(value: number, decimals?: number): string {
  return decimals === undefined ? String(value) : value.toFixed(decimals);
}

/**
 * Writes a header row and one row per sample, with `\n` line endings.
 * @param data one array per column, all of the same length; finite numbers only (throws RangeError otherwise)
 * @param decimals digits after the point; absent = the shortest text that parses to the same number
 */
export function writeCsv(columns: readonly string[], data: ArrayLike<number>[], decimals?: number): string {
  const rows = data[0]?.length ?? 0;
  const lines: string[] = [columns.join(',')];
  const cells = new Array<string>(columns.length);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns.length; c++) {
      const value = data[c]?.[row];
      if (value === undefined || !Number.isFinite(value)) {
        throw new RangeError(
          `row ${row + 1}, column ${columns[c]}: ${value} cannot be written to a CSV file`,
        );
      }
      cells[c] = cellOf(value, decimals);
    }
    lines.push(cells.join(','));
  }
  return `${lines.join('\n')}\n`;
}

/**
 * Like `writeCsv`, but row by row, with text columns after the numbers. NaN becomes an empty cell.
 * @param texts words by column name, one per row
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

/** Formats a word as a cell. Commas, quotes and line endings, which would end the cell, are replaced by underscores. */
function quoted(word: string): string {
  return /[,"\r\n]/.test(word) ? word.replace(/[,"\r\n]/g, '_') : word;
}
