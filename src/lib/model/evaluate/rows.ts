import type { Table } from '../../data/index.js';
import { standardize } from '../../signal/index.js';
import type { Bundle } from '../bundle/types.js';
import { type RowsTaken, rowsTaken } from '../file-metadata.js';
import { requireColumns } from './columns.js';

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
