import { readBytes } from '../core/index.js';
import { parseTable, type Table } from '../formats/index.js';

export type { Table } from '../formats/index.js';

/**
 * Rows that are inputs of a network as they stand: a CSV file with one column per input and, if wanted, a label.
 * @param label name of the column that holds labels; a file without it has none
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED
 */
export async function openTable(file: string, label = 'label'): Promise<Table> {
  return parseTable(await readBytes(file), file, label);
}
