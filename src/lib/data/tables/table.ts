import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { AiotError, systemCode } from '../../core/errors.js';
import { readBytes, requireFile } from '../../core/files.js';
import { nearest } from '../../core/text.js';
import {
  createTableReader,
  parseTable,
  type Table,
  type TableRows,
  type TableShape,
} from '../../formats/csv/table.js';

export type { Table, TableRows, TableShape } from '../../formats/csv/table.js';

/** Bytes that are looked at together: some thousand rows. */
const pieceBytes = 1 << 18;

/** More kinds of labels than these are told by their number alone. */
export const mostKinds = 10_000;

/**
 * Rows that are inputs of a network as they stand: a CSV file with one column per input and, if wanted, a label.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED
 */
export async function openTable(file: string, shape: TableShape = {}): Promise<Table> {
  return parseTable(await readBytes(file), file, shape);
}

/**
 * The refusal of a table without its column of labels, with the column that was meant.
 * @param columns those that the table has
 */
export function missingLabels(file: string, label: string, columns: readonly string[]): AiotError {
  const near = nearest(label, columns);
  const some = columns.slice(0, 8).join(', ') + (columns.length > 8 ? ', …' : '');
  return new AiotError(
    'AIOT_DATA_COLUMNS',
    `${file}: no column "${label}" with labels; its columns are ${some}`,
    {
      next: near === undefined ? 'Name the column of labels: --label NAME' : `Did you mean --label ${near}?`,
    },
  );
}

/** The same of a file of any length: its rows are read anew on each walk, and none of them stay. */
export interface TableFile {
  /** Names of the inputs, in the file's order, without the label. */
  columns: string[];
  rows: number;
  /** `sha256:…` of the file's bytes. */
  digest: string;
  /** The different labels, as their first ones come, 10,001 of them at most; null when the file has no such column. */
  kinds: string[] | null;
  /** How many different groups the rows belong to; null without such a column. */
  groups: number | null;
  /**
   * All rows in their order, some thousand at a time. What was appended since the file was opened is not among them.
   * @throws AIOT_DATA_CHANGED at the end, where the file is not what it was when it was opened
   */
  pieces(): Iterable<TableRows>;
}

/** Reads the whole file once, and keeps what it says of all its rows. @throws as `openTable`; AIOT_FILE_NOT_READABLE */
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

/** One reading of a file, of its first `bytes` where they are told. */
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
    /** Once all pieces were taken. */
    found: () => ({ bytes: read, digest: `sha256:${hash.digest('hex')}` }),
  };
}

/** Whole lines of a file, a piece at a time, in memory that the next piece takes. The last one of the file may have no end. */
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
  return new AiotError('AIOT_DATA_CHANGED', `${file} has changed while it was read`, {
    next: 'Give a table that nobody writes over, and try again.',
  });
}
