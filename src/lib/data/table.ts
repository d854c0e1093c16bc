import { digestOf, readBytes } from '../core/index.js';
import { parseLabelledCsv } from '../formats/index.js';

/** Rows that are inputs of a network as they stand: a CSV file with one column per input and, if wanted, a label. */
export interface Table {
  /** Names of the inputs, in the file's order, without the label. */
  columns: string[];
  /** [rows × columns], row-major. */
  inputs: Float32Array;
  rows: number;
  /** The label of each row as written; null when the file has no such column. */
  labels: string[] | null;
  /** `sha256:…` of the file's bytes. */
  digest: string;
}

/**
 * @param label name of the column that holds labels; a file without it has none
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED
 */
export async function openTable(file: string, label = 'label'): Promise<Table> {
  const bytes = await readBytes(file);
  const { columns, data, text } = parseLabelledCsv(bytes, file, label);
  const rows = data[0]?.length ?? text?.length ?? 0;
  const inputs = new Float32Array(rows * columns.length);
  data.forEach((column, c) => {
    for (let row = 0; row < rows; row++) inputs[row * columns.length + c] = column[row]!;
  });
  return { columns, inputs, rows, labels: text, digest: digestOf(bytes) };
}
