import { plural, thousands } from '../../core/index.js';
import type { Finding } from '../types.js';
import type { Opened } from './table-rows.js';
import { listIds } from './text.js';

/** Columns with the same value in all rows of all tables. */
export function constantColumns(tables: Opened[]): Finding[] {
  const { columns } = tables[0]!.table;
  const stuck = columns.filter((_, c) => {
    const first = tables[0]!.table.inputs[c]!;
    return tables.every(({ table: { inputs, rows } }) => {
      for (let row = 0; row < rows; row++) if (inputs[row * columns.length + c] !== first) return false;
      return true;
    });
  });
  if (stuck.length === 0 || tables.every(({ table }) => table.rows < 2)) return [];
  return [
    {
      kind: 'stuck',
      severity: 'warning',
      files: tables.map(({ name }) => name),
      evidence: { columns: stuck },
      message: `${plural(stuck.length, 'column')} with one value in all rows: ${listIds(stuck)}.`,
      advice: 'They tell nothing: leave them out, or look whether the sensor was connected.',
    },
  ];
}

/** Columns that have one value for each label, and another one for each other: the label in other words. */
export function labelColumns(tables: Opened[]): Finding[] {
  const labels = tables.flatMap(({ table }) => table.labels ?? []);
  const names = new Set(labels);
  const rows = tables.reduce((sum, { table }) => sum + table.rows, 0);
  if (labels.length !== rows || names.size < 2 || rows < 10 * names.size) return [];
  const { columns } = tables[0]!.table;
  const same = columns.filter((_, c) => {
    const valueBy = new Map<string, number>();
    for (const { table } of tables) {
      for (let row = 0; row < table.rows; row++) {
        const value = table.inputs[row * columns.length + c]!;
        const before = valueBy.get(table.labels![row]!);
        if (before === undefined) valueBy.set(table.labels![row]!, value);
        else if (before !== value) return false;
      }
    }
    return new Set(valueBy.values()).size === names.size;
  });
  if (same.length === 0) return [];
  return [
    {
      kind: 'shortcut',
      severity: 'error',
      files: tables.map(({ name }) => name),
      evidence: { by: 'column', columns: same, accuracy: 1, labels: names.size },
      message: `${listIds(same)} ${same.length === 1 ? 'is' : 'are'} the label in other words: one value for each of ${names.size} labels, in all ${thousands(rows)} rows.`,
      advice: 'Leave the column out: at run time nobody knows it.',
    },
  ];
}
