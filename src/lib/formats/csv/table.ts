import { AiotError, digestOf } from '../../core/index.js';
import { parseLabelledCsv } from './parse.js';

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
    for (let row = 0; row < rows; row++) inputs[row * columns.length + c] = column[row]!;
  });
  return { columns, inputs, rows, labels, groups, digest: digestOf(bytes) };
}
