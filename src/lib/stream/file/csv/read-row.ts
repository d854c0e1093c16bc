import { AiotError } from '../../../core/index.js';
import { csvRecords } from '../../../formats/index.js';
import type { TextRecord } from '../records.js';

/** A number as JSON writes it, so that `007`, `0xBC` and `1.2.3` stay text. */
const plainNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/;

/** The value that a cell means: a number, a truth value, nothing (an empty cell), or text. */
export function cellValue(cell: string): string | number | boolean | undefined {
  if (cell === '') return undefined;
  if (cell === 'true' || cell === 'false') return cell === 'true';
  // Seventeen digits and more may be an id that a double would change.
  if (plainNumber.test(cell) && cell.replace(/\D/g, '').length < 16) return Number(cell);
  return cell;
}

/**
 * Reads rows one after the other into objects, by the names of a header row or those given. Without either (`header` false and
 * no names) a row is its text.
 * @returns a function that gives undefined for the header; it throws AIOT_CSV_COLUMNS, AIOT_CSV_MALFORMED
 */
export function createRowReader(
  where: string,
  names: readonly string[] | undefined,
  header = names === undefined,
): (record: TextRecord) => Record<string, unknown> | string | undefined {
  if (names) requireKept(names, where);
  let columns = names;
  let heading = header;
  return ({ text, line }) => {
    if (!heading && !columns) return text;
    const place = `${where}:${line}`;
    const cells = csvRecords(text.startsWith('#') ? ` ${text}` : text, place)[0]?.cells ?? [];
    if (heading) {
      heading = false;
      columns ??= uniqueNames(cells, place);
      return undefined;
    }
    if (cells.length !== columns!.length) {
      throw new AiotError(
        'AIOT_CSV_MALFORMED',
        `${place}: expected ${columns!.length} cells (${columns!.join(',')}), got ${cells.length}`,
      );
    }
    const row: Record<string, unknown> = {};
    columns!.forEach((name, c) => {
      const value = cellValue(cells[c]!);
      if (value !== undefined) row[name] = value;
    });
    return row;
  };
}

/** An object does not keep a value of this name: the column would be lost without a word. @throws AIOT_CSV_COLUMNS */
function requireKept(names: readonly string[], place: string): void {
  if (!names.includes('__proto__')) return;
  throw new AiotError('AIOT_CSV_COLUMNS', `${place}: __proto__ is not a name that can be used`, {
    next: 'Name the columns otherwise: ?fields=a,b,c',
  });
}

/** @throws AIOT_CSV_COLUMNS */
function uniqueNames(names: string[], place: string): string[] {
  requireKept(names, place);
  const wrong = names.findIndex(
    (name, n) => typeof cellValue(name) !== 'string' || names.indexOf(name) !== n,
  );
  const name = names[wrong];
  if (name === undefined) return names;
  const got = name === '' ? 'one without' : plainNumber.test(name) ? `the number ${name}` : `"${name}"`;
  const twice = names.indexOf(name) !== wrong ? ' twice' : '';
  throw new AiotError('AIOT_CSV_COLUMNS', `${place}: expected a name for each column, got ${got}${twice}`, {
    next: 'Name the columns (?fields=a,b,c), or say that there is no header (?header=false).',
  });
}
