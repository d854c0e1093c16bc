import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { AiotError, systemCode } from '../../core/errors.js';
import { readBytes, requireFile } from '../../core/files.js';
import { nearest, shellWord } from '../../core/text.js';
import {
  createTableReader,
  groupColumns,
  parseTable,
  type Table,
  type TableRows,
  type TableShape,
} from '../../formats/csv/table.js';

import { rolesInFile } from './columns.js';

export type { Table, TableRows, TableShape } from '../../formats/csv/table.js';

/** Bytes processed at a time: a few thousand rows. */
const pieceBytes = 1 << 18;

/** Maximum number of different labels that are listed. If there are more, only their number is reported. */
export const mostKinds = 10_000;

/**
 * Reads rows that are model inputs without further processing: a CSV file with one column per input and, if requested, a label.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED
 */
export async function openTable(file: string, shape: TableShape = {}): Promise<Table> {
  return parseTable(await readBytes(file), file, shape);
}

/**
 * The shape of a table whose file decides its inputs: all columns except the label, the groups and the times. A given shape that lists its
 * inputs or columns is returned unchanged.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_CSV_COLUMNS
 */
export async function withoutTimes(file: string, shape: TableShape): Promise<TableShape> {
  if (shape.inputs || shape.columns) return shape;
  const { label = 'label' } = shape;
  const { names, times } = await rolesInFile(file, label);
  const others = [label, ...groupColumns, ...times];
  return times.length === 0 ? shape : { ...shape, inputs: names.filter((name) => !others.includes(name)) };
}

/**
 * The error for a table without its label column, with a guess at the intended column.
 * @param columns the table's columns
 */
export function missingLabels(file: string, label: string, columns: readonly string[]): AiotError {
  const near = nearest(label, columns);
  const some = columns.slice(0, 8).join(', ') + (columns.length > 8 ? ', …' : '');
  const hint = near === undefined ? '' : `. Did you mean ${near}?`;
  return new AiotError(
    'AIOT_DATA_COLUMNS',
    `${file}: no label column "${label}"; its columns are ${some}${hint}`,
    { next: `Specify the label column: --label ${near === undefined ? 'NAME' : shellWord(near)}` },
  );
}

/** Like `Table`, but for a file of any length: its rows are read again on each pass and never stored. */
export interface TableFile {
  /** Names of the inputs, in the file's order, without the label. */
  columns: string[];
  rows: number;
  /** `sha256:…` of the bytes in the file. */
  digest: string;
  /** The different labels in order of first appearance, at most 10,001; null if the file has no label column. */
  kinds: string[] | null;
  /** Number of different groups of rows; null if there is no group column. */
  groups: number | null;
  /**
   * All rows in order, a few thousand at a time. Rows appended since the file was opened are not included.
   * @throws AIOT_DATA_CHANGED at the end if the file has changed since it was opened
   */
  pieces(): Iterable<TableRows>;
}

/** Reads the whole file once, and stores a summary of all its rows. @throws as `openTable`; AIOT_FILE_NOT_READABLE */
export async function openTableFile(file: string, shape: TableShape = {}): Promise<TableFile> {
  await requireFile(file);
  const kinds = new Set<string>();
  const groups = new Set<string>();
  const about = { columns: [] as string[], rows: 0, labelled: false, grouped: false };
  const walk = walkOf(file, shape);
  for (const { columns, rows, labels, groups: named } of walk.pieces()) {
    Object.assign(about, {
      columns,
      rows: about.rows + rows,
      labelled: labels !== null,
      grouped: named !== null,
    });
    for (const label of labels ?? []) if (kinds.size <= mostKinds) kinds.add(label);
    for (const group of named ?? []) groups.add(group);
  }
  const { bytes, digest } = walk.found();
  return {
    columns: about.columns,
    rows: about.rows,
    digest,
    kinds: about.labelled ? [...kinds] : null,
    groups: about.grouped ? groups.size : null,
    *pieces() {
      const again = walkOf(file, shape, bytes);
      let seen = 0;
      for (const piece of again.pieces()) {
        seen += piece.rows;
        if (seen > about.rows) break;
        yield piece;
      }
      if (seen !== about.rows || again.found().digest !== digest) throw changed(file);
    },
  };
}

/** One pass over a file, or over its first `bytes` if given. */
function walkOf(file: string, shape: TableShape, bytes = Number.POSITIVE_INFINITY) {
  const hash = createHash('sha256');
  let read = 0;
  return {
    *pieces(): Iterable<TableRows> {
      const reader = createTableReader(file, shape);
      for (const lines of linesOf(file, bytes)) {
        hash.update(lines);
        read += lines.length;
        yield reader.read(lines);
      }
      reader.end();
    },
    /** Size and digest of the bytes read, available only after all chunks have been consumed. */
    found: () => ({ bytes: read, digest: `sha256:${hash.digest('hex')}` }),
  };
}

/** Whole lines of a file, in chunks; the next chunk reuses the memory. The last line may have no line ending. */
function* linesOf(file: string, most: number): Iterable<Buffer> {
  const descriptor = opened(file);
  try {
    const size = Math.min(most, fstatSync(descriptor).size);
    let buffer = Buffer.allocUnsafe(Math.max(1, Math.min(pieceBytes, size)));
    let [kept, left] = [0, size];
    for (;;) {
      if (kept === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
      const count = readSync(descriptor, buffer, kept, Math.min(buffer.length - kept, left), null);
      left -= count;
      const filled = kept + count;
      const last = count === 0 || left === 0;
      const whole = last ? filled : buffer.lastIndexOf(10, filled - 1) + 1;
      if (whole > 0 || (last && left === size)) yield buffer.subarray(0, whole);
      if (last) return;
      buffer.copyWithin(0, whole, filled);
      kept = filled - whole;
    }
  } finally {
    closeSync(descriptor);
  }
}

function opened(file: string): number {
  try {
    return openSync(file, 'r');
  } catch (error) {
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${file} (${systemCode(error)})`, {
      cause: error,
    });
  }
}

function changed(file: string): AiotError {
  return new AiotError('AIOT_DATA_CHANGED', `${file} changed while it was being read`, {
    next: 'Make sure that no program is writing to the table, and try again.',
  });
}
