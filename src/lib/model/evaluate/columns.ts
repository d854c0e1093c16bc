import { AiotError } from '../../core/index.js';
import type { Table } from '../../formats/index.js';

/** @throws AIOT_DATA_COLUMNS when the table has not one column per input */
export function requireColumns(table: Table, file: string, inputs: number): void {
  if (table.columns.length !== inputs) {
    const listed = table.columns.slice(0, 6).join(', ') + (table.columns.length > 6 ? ', …' : '');
    const text = table.labels === null ? '; none of them is the label column' : ' beside the label';
    throw new AiotError(
      'AIOT_DATA_COLUMNS',
      `${file}: expected ${inputs} columns, one per input of the network, got ${table.columns.length} (${listed})${text}`,
      { next: 'Give one column per input, in their order; --label NAME says which one is the label.' },
    );
  }
}
