import { basename } from 'node:path';
import { AiotError, digestOf, plural, requireFile } from '../../core/index.js';
import type { Part } from '../split/windows.js';
import { openTable, type TableShape } from '../table.js';
import type { Finding } from '../types.js';
import { sortFindings } from './check.js';
import type { CheckReport } from './report.js';
import { constantColumns, labelColumns } from './table-columns.js';
import { type Opened, repeatedRows } from './table-rows.js';
import { listIds } from './text.js';
import { imbalance } from './whole.js';

/**
 * Checks tables of rows: rows that stand twice (in two parts of a split, or under two labels), columns that tell nothing or
 * are the label itself, classes of which there is little.
 * @param label name of the column that holds labels
 * @throws AIOT_CSV_*, AIOT_FILE_NOT_FOUND
 */
export async function checkTables(
  files: { file: string; part: Part | null }[],
  shape: TableShape,
): Promise<CheckReport> {
  const label = shape.label ?? 'label';
  const tables: Opened[] = [];
  for (const { file, part } of files) {
    await requireFile(file);
    const opened = { name: basename(file), part, table: await openTable(file, shape) };
    refuseOtherColumns(tables[0] ?? opened, opened);
    tables.push(opened);
  }
  const findings = sortFindings([
    ...repeatedRows(tables),
    ...constantColumns(tables),
    ...labelColumns(tables),
    ...unlabelled(tables, label),
    ...balance(tables),
  ]);
  const rowsOf = (part: Part) =>
    tables.filter((table) => table.part === part).reduce((sum, { table }) => sum + table.rows, 0);
  return {
    of: 'table',
    digest:
      tables.length === 1
        ? tables[0]!.table.digest
        : digestOf(tables.map(({ table }) => table.digest).join()),
    recordings: tables.length,
    samples: tables.reduce((sum, { table }) => sum + table.rows, 0),
    rateHz: null,
    rateFrom: null,
    labelFrom: 'column',
    split: tables.some(({ part }) => part !== null)
      ? {
          by: 'file',
          seed: null,
          train: rowsOf('train'),
          validation: rowsOf('validation'),
          test: rowsOf('test'),
        }
      : null,
    findings,
    ok: findings.every(({ severity }) => severity !== 'error'),
  };
}

function refuseOtherColumns(first: Opened, other: Opened): void {
  const wanted = first.table.columns;
  const got = other.table.columns;
  // Feature sets have a hundred columns: the first that is another says what the matter is.
  const at = Math.max(wanted.length, got.length);
  const place = Array.from({ length: at }, (_, i) => i).find((i) => wanted[i] !== got[i]);
  if (place === undefined) return;
  const [w, g] = [wanted[place] ?? 'no further one', got[place] ?? 'no further one'];
  throw new AiotError(
    'AIOT_CSV_COLUMNS',
    `${other.name}:1:1: expected the ${plural(wanted.length, 'column')} of ${first.name}, got ${got.length}: as column ${place + 1} expected ${w}, got ${g}`,
    { next: 'Check recordings, and tables of rows, each by themselves.' },
  );
}

function unlabelled(tables: Opened[], label: string): Finding[] {
  const without = tables.filter(({ table }) => table.labels === null).map(({ name }) => name);
  if (without.length === 0) return [];
  return [
    {
      kind: 'label',
      severity: 'info',
      files: without,
      evidence: { column: label },
      message: `No column "${label}" in ${listIds(without)}: labels cannot be checked.`,
      advice: 'Name it: --label-from column:NAME.',
    },
  ];
}

function balance(tables: Opened[]): Finding[] {
  const counts = new Map<string, number>();
  for (const label of tables.flatMap(({ table }) => table.labels ?? []))
    counts.set(label, (counts.get(label) ?? 0) + 1);
  // Many different labels are values to be foretold, not classes.
  if (counts.size === 0 || counts.size > 50) return [];
  return imbalance(counts, 'rows', () => tables.map(({ name }) => name));
}
