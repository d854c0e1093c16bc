import { AiotError } from '../../core/errors.js';
import type { Table } from '../../formats/csv/table.js';
import { standardize } from '../../signal/spec.js';
import type { Bundle } from '../bundle/types.js';
import { standardizationIn } from '../file-metadata.js';

/**
 * A table's rows as a network's inputs. Rows for a bare network are unchanged. Rows for a bundle are unstandardized features, and are
 * standardized. Rows for a file made by aiot are standardized if its metadata requires it (`rowsTaken`).
 * @throws AIOT_DATA_COLUMNS if the table does not have one column per input
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

/**
 * @param order a sentence about the order of the columns, for the error
 * @throws AIOT_DATA_COLUMNS if the table does not have one column per input
 */
export function requireColumns(table: Table, file: string, inputs: number, order?: string): void {
  if (table.columns.length !== inputs) {
    const listed = table.columns.slice(0, 6).join(', ') + (table.columns.length > 6 ? ', …' : '');
    const text = table.labels === null ? '; none of them is the label column' : ' beside the label';
    throw new AiotError(
      'AIOT_DATA_COLUMNS',
      `${file}: expected ${inputs} columns, one per model input, got ${table.columns.length} (${listed})${text}`,
      {
        next: `Provide one column per input, in order${order === undefined ? '' : ` (${order})`}. Specify the label column with --label NAME.`,
      },
    );
  }
}

/**
 * A table's rows as inputs for a file's network. A file made by aiot may record how to standardize raw rows. For any other file, rows are
 * unchanged.
 * @returns a copy, or `inputs` itself; whether they were standardized; and a warning if the rows seem already standardized
 */
export function rowsTaken(inputs: Float32Array, size: number, metadata: Uint8Array | null): RowsTaken {
  const by = standardizationIn(metadata, size);
  if (by === null) return { inputs, standardized: false, warnings: [] };
  // Does not import the signal module's function, so that quantizing a file does not load all features.
  const taken = inputs.map((value, i) => (value - by.mean[i % size]!) / by.deviation[i % size]!);
  const twice = isStandard(inputs, size) && !isStandard(taken, size);
  const warning =
    'the rows seem to be standardized already (mean 0, deviation 1), but this file standardizes its inputs: pass unscaled rows';
  return { inputs: taken, standardized: true, warnings: twice ? [warning] : [] };
}

export interface RowsTaken {
  inputs: Float32Array;
  standardized: boolean;
  warnings: string[];
}

/** Whether at least nine of ten columns have a mean near 0 and a deviation near 1. Always false for fewer than ten rows. */
function isStandard(inputs: Float32Array, size: number): boolean {
  const rows = inputs.length / size;
  if (rows < 10) return false;
  let standard = 0;
  for (let column = 0; column < size; column++) {
    let [sum, squares] = [0, 0];
    for (let i = column; i < inputs.length; i += size) {
      sum += inputs[i]!;
      squares += inputs[i]! ** 2;
    }
    const mean = sum / rows;
    const deviation = Math.sqrt(Math.max(0, squares / rows - mean ** 2));
    if (Math.abs(mean) < 0.5 && deviation > 0.5 && deviation < 1.5) standard++;
  }
  return standard >= 0.9 * size;
}
