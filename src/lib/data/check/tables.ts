import { basename } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { percent, plural, thousands } from '../../core/figures.js';
import { requireFile } from '../../core/files.js';
import type { Part } from '../parts.js';
import { openTable, type Table, type TableShape, withoutTimes } from '../tables/table.js';
import type { Finding } from '../types.js';
import { sortFindings } from './check.js';
import { checkNearRows } from './near-rows.js';
import { imbalance } from './recordings.js';
import { type CheckReport, listIds } from './report.js';
import {
  checkIdentifiers,
  checkNoisyLabels,
  checkOutliers,
  checkSameColumns,
  type Rows,
} from './table-columns.js';

/**
 * Checks tables for duplicate rows (in two parts of a split, or under two labels) and classes with little data. Also checks for columns
 * without information, and columns that are the label itself.
 * @param label name of the label column
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
    const opened = {
      name: basename(file),
      part,
      table: await openTable(file, await withoutTimes(file, shape)),
    };
    refuseOtherColumns(tables[0] ?? opened, opened);
    tables.push(opened);
  }
  const findings = checkRows(tables, label);
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
    timeColumn: null,
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

interface TableRule {
  /** The damage that this defect causes if it goes unnoticed. */
  reason: string;
  find(tables: Opened[], rows: Rows, label: string): Finding[];
}

const rules: TableRule[] = [
  {
    reason: 'A row on both sides of a split tests nothing; two labels for one row cannot both be right.',
    find: repeatedRows,
  },
  {
    reason: 'Near copies on both sides of a split test the model on what it was trained on.',
    find: (tables, rows) => {
      const places = tables.flatMap((table) =>
        Array.from({ length: table.table.rows }, (_, row) => ({ table, row })),
      );
      const parts = places.map(({ table }) => table.part);
      return checkNearRows(rows, parts, (row) => lineOf(places[row]!));
    },
  },
  { reason: 'A column that does not vary contains no information.', find: constantColumns },
  {
    reason: 'A column that contains the label is not available at run time.',
    find: (tables, rows) => {
      const exact = labelColumns(tables);
      const known = exact.flatMap(({ evidence }) => evidence.columns as string[]);
      return [...exact, ...checkNoisyLabels(rows, known)];
    },
  },
  {
    reason: 'A key or a device number identifies rows, not what was measured.',
    find: (_, rows) => checkIdentifiers(rows),
  },
  {
    reason: 'A second copy of a column costs memory and adds nothing.',
    find: (_, rows) => checkSameColumns(rows),
  },
  { reason: 'A few extreme values determine the scale of a column.', find: (_, rows) => checkOutliers(rows) },
  {
    reason: 'Without labels, most checks are impossible.',
    find: (tables, _, label) => unlabelled(tables, label),
  },
  { reason: 'Accuracy hides errors in a rare class.', find: balance },
];

/** Finds problems in tables with the same columns, worst first. @param label name of the label column */
export function checkRows(tables: Opened[], label: string): Required<Finding>[] {
  const rows = rowsOfAll(tables);
  return sortFindings(rules.flatMap(({ find }) => find(tables, rows, label)));
}

function rowsOfAll(tables: Opened[]): Rows {
  const { columns: names } = tables[0]!.table;
  const count = tables.reduce((sum, { table }) => sum + table.rows, 0);
  let end = 0;
  const begins = tables.map(({ table }) => {
    end += table.rows;
    return end - table.rows;
  });
  const columns = names.map((_, c) => {
    const column = new Float64Array(count);
    let at = 0;
    for (const { table } of tables)
      for (let row = 0; row < table.rows; row++) column[at++] = table.inputs[row * names.length + c]!;
    return column;
  });
  const labels = tables.flatMap(({ table }) => table.labels ?? []);
  return {
    files: tables.map(({ name }) => name),
    names,
    columns,
    labels: labels.length === count ? labels : null,
    count,
    begins,
  };
}

function refuseOtherColumns(first: Opened, other: Opened): void {
  const wanted = first.table.columns;
  const got = other.table.columns;
  // Feature sets have about a hundred columns, so only the first difference is shown.
  const at = Math.max(wanted.length, got.length);
  const place = Array.from({ length: at }, (_, i) => i).find((i) => wanted[i] !== got[i]);
  if (place === undefined) return;
  const [w, g] = [wanted[place] ?? 'no further one', got[place] ?? 'no further one'];
  throw new AiotError(
    'AIOT_CSV_COLUMNS',
    `${other.name}:1:1: expected the ${plural(wanted.length, 'column')} of ${first.name}, got ${got.length}: as column ${place + 1} expected ${w}, got ${g}`,
    { next: 'Check recordings and tables of rows separately.' },
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
      advice:
        'Name the label column: --label-from column:NAME or, in a project, model.table.label in aiot.yaml.',
    },
  ];
}

function balance(tables: Opened[]): Finding[] {
  const counts = new Map<string, number>();
  for (const label of tables.flatMap(({ table }) => table.labels ?? []))
    counts.set(label, (counts.get(label) ?? 0) + 1);
  // Labels with many distinct values are values to predict, not classes.
  if (counts.size === 0 || counts.size > 50) return [];
  return imbalance(counts, 'rows', () => tables.map(({ name }) => name));
}

/** Columns with the same value in all rows of all tables. */
function constantColumns(tables: Opened[]): Finding[] {
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
      severity: 'info',
      files: tables.map(({ name }) => name),
      evidence: { columns: stuck },
      message: `${plural(stuck.length, 'column')} with one value in all rows: ${listIds(stuck)}.`,
      advice: 'They contain no information: omit them, or check that the sensor was connected.',
    },
  ];
}

/** Finds columns that repeat the label, with exactly one value for each label. */
function labelColumns(tables: Opened[]): Finding[] {
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
      message: `${listIds(same)} ${same.length === 1 ? 'is' : 'are'} equivalent to the label: one value for each of ${names.size} labels, in all ${thousands(rows)} rows.`,
      advice: 'Omit the column: its value is unknown at run time.',
    },
  ];
}

/** A table, and its side of a split. */
export interface Opened {
  name: string;
  part: Part | null;
  table: Table;
}

interface Place {
  table: Opened;
  row: number;
}

/** Rows with the same inputs, compared by the bytes of their numbers. */
function sameRows(tables: Opened[]): Place[][] {
  const groups = new Map<string, Place[]>();
  for (const table of tables) {
    const { inputs, rows, columns } = table.table;
    const width = columns.length * Float32Array.BYTES_PER_ELEMENT;
    const bytes = Buffer.from(inputs.buffer, inputs.byteOffset, inputs.byteLength);
    for (let row = 0; row < rows; row++) {
      const key = bytes.toString('latin1', row * width, (row + 1) * width);
      const own = groups.get(key);
      if (own) own.push({ table, row });
      else groups.set(key, [{ table, row }]);
    }
  }
  return [...groups.values()].filter((places) => places.length > 1);
}

/** Duplicate rows: on two sides of a split, under two labels, or on one side. */
function repeatedRows(tables: Opened[]): Finding[] {
  const groups = sameRows(tables);
  const coarse = coarseRows(tables, groups);
  if (coarse.length > 0) return coarse;
  const labelOf = ({ table, row }: Place) => table.table.labels?.[row] ?? null;
  const differs = (places: Place[], of: (place: Place) => string | null) =>
    new Set(places.map(of).filter((value) => value !== null)).size > 1;
  const apart = groups.filter((places) => differs(places, ({ table }) => table.part));
  const contrary = groups.filter((places) => differs(places, labelOf));
  const findings: Finding[] = [];
  const rows = tables.reduce((sum, { table }) => sum + table.rows, 0);
  const common = (places: Place[][]) => ({
    files: [...new Set(places.flatMap((own) => own.map(({ table }) => table.name)))].sort(),
    evidence: {
      rows: places.length,
      share: places.reduce((sum, own) => sum + own.length, 0) / rows,
      lines: places.slice(0, 10).map((own) => own.map(lineOf).join(' = ')),
    },
  });
  if (apart.length > 0) {
    findings.push({
      kind: 'leak',
      severity: 'error',
      ...common(apart),
      message: `${plural(apart.length, 'row')} ${apart.length === 1 ? 'is' : 'are'} on two sides of the split, such as ${apart[0]!.map(lineOf).slice(0, 2).join(' and ')}: the metrics would be misleading.`,
      advice: 'Remove them from one side.',
    });
  }
  if (contrary.length > 0) {
    findings.push({
      kind: 'label',
      severity: contrary.length > 0.01 * rows ? 'error' : 'warning',
      ...common(contrary),
      message: `${plural(contrary.length, 'row')} ${contrary.length === 1 ? 'has' : 'have'} two different labels, such as ${contrary[0]!
        .slice(0, 2)
        .map((place) => `${lineOf(place)} (${labelOf(place)})`)
        .join(' and ')}.`,
      advice: 'Find out which label is correct.',
    });
  }
  const rest = groups.filter((places) => !apart.includes(places) && !contrary.includes(places));
  const surplus = rest.reduce((sum, places) => sum + places.length - 1, 0);
  if (surplus > 0) {
    findings.push({
      kind: 'repeats',
      severity: surplus > 0.05 * rows ? 'warning' : 'info',
      ...common(rest),
      message: `${plural(surplus, 'row')} of ${thousands(rows)} (${percent(surplus / rows)}) repeat another one, such as ${rest[0]!.slice(0, 2).map(lineOf).join(' and ')}.`,
      advice:
        'A split by row puts them on both sides: remove them, or specify a group column that keeps them together.',
    });
  }
  return findings;
}

/**
 * Maximum ratio of equal pairs to the number expected for independent columns. Up to this ratio, they count as chance, because columns are
 * rarely independent.
 */
const timesChance = 3;

/**
 * If the columns' values (constants, switches, coarse codes) allow few combinations, some rows are equal without being copies. This is
 * assumed if there are fewer combinations than rows, or about as many equal pairs as expected at random. Copies in a table with finer
 * values meet neither condition.
 */
function coarseRows(tables: Opened[], groups: Place[][]): Finding[] {
  const rows = tables.reduce((sum, { table }) => sum + table.rows, 0);
  const pairs = groups.reduce((sum, places) => sum + (places.length * (places.length - 1)) / 2, 0);
  if (pairs === 0) return [];
  const isChance = pairs <= timesChance * equalPairs(tables, rows);
  if (!isChance && combinations(tables, rows) >= rows) return [];
  const different = rows - groups.reduce((sum, places) => sum + places.length - 1, 0);
  return [
    {
      kind: 'repeats',
      severity: 'info',
      files: tables.map(({ name }) => name),
      evidence: { rows, different },
      message: `Only ${thousands(different)} of ${thousands(rows)} rows are different, because the columns have few values: equal rows may be separate measurements.`,
      advice: 'Add columns with finer values, or specify a group column that keeps related rows together.',
    },
  ];
}

/** Number of pairs of equal rows expected at random if the columns, with these frequencies of values, are independent. */
function equalPairs(tables: Opened[], rows: number): number {
  const width = tables[0]?.table.columns.length ?? 0;
  let pairs = (rows * (rows - 1)) / 2;
  for (let column = 0; column < width && pairs > 0.01; column++) {
    const counts = new Map<number, number>();
    for (const { table } of tables) {
      for (let row = 0; row < table.rows; row++) {
        const value = table.inputs[row * width + column]!;
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
    }
    let equal = 0;
    for (const count of counts.values()) equal += (count * (count - 1)) / 2;
    pairs *= equal / ((rows * (rows - 1)) / 2);
  }
  return pairs;
}

/** Number of distinct rows that the columns' values permit, counted only until it reaches `enough`. */
function combinations(tables: Opened[], enough: number): number {
  let product = 1;
  for (let column = 0; column < (tables[0]?.table.columns.length ?? 0) && product < enough; column++) {
    const values = new Set<number>();
    for (const { table } of tables)
      for (let row = 0; row < table.rows; row++)
        values.add(table.inputs[row * table.columns.length + column]!);
    product *= values.size;
  }
  return product;
}

/** Line number of a row in the file, where the header is line 1. */
function lineOf({ table, row }: Place): string {
  return `${table.name}:${row + 2}`;
}
