import { AiotError, digestOf } from '../../core/index.js';
import { csvColumns, parseLabelledCsv } from './parse.js';
import { showCell } from './place.js';

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

/**
 * A CSV file as rows of inputs.
 * @param file name for messages
 * @param label name of the column that holds labels; a file without it has none
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED
 */
export function parseTable(bytes: Uint8Array, file: string, label = 'label'): Table {
  const { columns, data, texts } = parseLabelledCsv(bytes, file, [label, ...groupColumns]);
  const labels = texts[label] ?? null;
  const groupColumn = groupColumns.find((name) => name !== label && texts[name]);
  const groups = groupColumn === undefined ? null : texts[groupColumn]!;
  const rows = data[0]?.length ?? 0;
  if (columns.length === 0) {
    const got = Object.keys(texts).join(', ');
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a column of inputs, got ${got} alone`);
  }
  const inputs = new Float32Array(rows * columns.length);
  data.forEach((column, c) => {
    for (let row = 0; row < rows; row++) {
      const value = Math.fround(column[row]!);
      if (!Number.isFinite(value)) throw beyondFloat32(bytes, file, row, columns[c]!);
      inputs[row * columns.length + c] = value;
    }
  });
  return { columns, inputs, rows, labels, groups, digest: digestOf(bytes) };
}

/** A number that a network cannot get, with its place. @param row from 0, below the header */
function beyondFloat32(bytes: Uint8Array, file: string, row: number, column: string): AiotError {
  const col = csvColumns(bytes, file).indexOf(column);
  let start = 0;
  for (let line = 0; line <= row; line++) start = bytes.indexOf(10, start) + 1;
  const end = bytes.indexOf(10, start);
  const line = Buffer.from(bytes.subarray(start, end < 0 ? bytes.length : end)).toString('latin1');
  const cells = line.split(',');
  const at = cells.slice(0, col).join(',').length + (col > 0 ? 2 : 1);
  return new AiotError(
    'AIOT_CSV_MALFORMED',
    `${file}:${row + 2}:${at}: expected a number of at most 3.4e38 for ${showCell(column)} (float32), got ${showCell(cells[col]!.trim())}`,
  );
}
