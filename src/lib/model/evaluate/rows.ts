import { AiotError } from '../../core/errors.js';
import type { Table } from '../../formats/csv/table.js';
import { standardize } from '../../signal/spec.js';
import type { Bundle } from '../bundle/types.js';
import { type RowsTaken, rowsTaken } from '../file-metadata.js';

/**
 * The rows of a table as a network takes them: as they stand for a network by itself; standardized for a bundle, whose rows
 * are features before that, and for a file that aiot made and whose metadata says how (`rowsTaken`).
 * @throws AIOT_DATA_COLUMNS when the table has not one column per input
 */
export function rowsFor(
  table: Table,
  file: string,
  inputs: number,
  bundle: Bundle | null,
  metadata: Uint8Array | null = null,
): RowsTaken {
  requireColumns(table, file, inputs);
  if (bundle === null) return rowsTaken(table.inputs, inputs, metadata);
  const out = new Float32Array(table.inputs.length);
  for (let start = 0; start < out.length; start += inputs) {
    const end = start + inputs;
    standardize(table.inputs.subarray(start, end), bundle.info.standardization, out.subarray(start, end));
  }
  return { inputs: out, standardized: true, warnings: [] };
}

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
