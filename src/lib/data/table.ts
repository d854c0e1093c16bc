import { readBytes } from '../core/index.js';
import { parseTable, type Table, type TableShape } from '../formats/index.js';

export type { Table, TableShape } from '../formats/index.js';

/**
 * Rows that are inputs of a network as they stand: a CSV file with one column per input and, if wanted, a label.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED
 */
export async function openTable(file: string, shape: TableShape = {}): Promise<Table> {
  return parseTable(await readBytes(file), file, shape);
}
