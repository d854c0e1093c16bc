import type { Rows } from '../../material.js';
import { classIndex } from '../classes.js';
import { pick, unfit } from '../examples.js';
import type { Classes, Examples } from '../types.js';
import { valuesOfRows } from './classes.js';

/**
 * All rows of a table as examples.
 * @param values whether the labels are values
 * @throws AIOT_TRAINING_DATA_UNFIT, naming the row and its label
 */
export function examplesOfRows({ table, file, label }: Rows, classes: Classes, values: boolean): Examples {
  const { inputs, columns, rows, labels, groups } = table;
  const index = classIndex(classes);
  const truth = new Int32Array(rows);
  if (!values && labels !== null && index.size > 0) {
    for (let row = 0; row < rows; row++) {
      const c = index.get(labels[row]!);
      if (c === undefined) {
        throw unfit(
          `${file}: row ${row + 1}: expected a label of ${classes.names.join(', ')}, got "${labels[row]}"`,
        );
      }
      truth[row] = c;
    }
  }
  return {
    inputs,
    inputSize: columns.length,
    classes: truth,
    values: values ? valuesOfRows(labels ?? [], file, label) : null,
    recordings: groups ?? Array.from({ length: rows }, (_, row) => `row ${row + 1}`),
  };
}

/** The examples of the rows that bear this letter. */
export function pickRows(examples: Examples, parts: string, letter: string): Examples {
  const rows: number[] = [];
  for (let row = 0; row < parts.length; row++) if (parts[row] === letter) rows.push(row);
  return pick(examples, rows);
}
