import { percent, plural } from '../../core/index.js';
import { listIds } from '../check/text.js';
import type { Column, NumberColumn, Rows, TextColumn } from '../rows/types.js';
import type { SchemaField, Violation } from './types.js';

/** Places that are named. */
const mostPlaces = 5;
/** A missing share may be twice what was seen, or a hundredth more. */
const missingFactor = 2;
const missingMore = 0.01;

interface Rule {
  fields: SchemaField[];
  /** The schema's name. */
  against: string;
  /** Whether columns that it does not name are told. */
  whole: boolean;
}

/** What breaks a schema, worst first, each with the rows that do. */
export function checkRows(rows: Rows, { fields, against, whole }: Rule): Violation[] {
  const columns: Column[] = [rows.label, rows.prediction, ...rows.features].filter(
    (column) => column !== null,
  );
  const names = [...columns.map(({ name }) => name), ...(rows.time ? [rows.time.name] : []), ...rows.ignored];
  const place = placesIn(rows);
  const found = fields.flatMap((field): Violation[] => {
    const column = columns.find(({ name }) => name === field.name);
    if (column) return checkColumn(column, field, against, place);
    if (names.includes(field.name)) return [];
    return [
      violation(
        'no-column',
        field.name,
        against,
        0,
        [],
        `expected a column ${field.name}, got ${listIds(names)}`,
      ),
    ];
  });
  if (whole) {
    for (const { name } of columns) {
      if (fields.some((field) => field.name === name)) continue;
      const message = `${name} is a column that ${against} does not know`;
      found.push({ ...violation('new-column', name, against, 0, [], message), severity: 'warning' });
    }
  }
  return found.sort((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
}

type PlaceOf = (row: number, value: string) => Violation['places'][number];

function placesIn({ take, rows }: Rows): PlaceOf {
  if (take === null) return (row, value) => ({ row: row + 1, recording: null, value });
  const starts = new Map<number, number>();
  for (let i = 0; i < rows; i++) if (!starts.has(take.codes[i]!)) starts.set(take.codes[i]!, i);
  return (row, value) => {
    const code = take.codes[row]!;
    const recording = take.words[code] ?? null;
    // Rows of a table of many takes are counted in the table.
    return take.name === 'recording' && recording !== null
      ? { row: row - starts.get(code)! + 1, recording, value }
      : { row: row + 1, recording, value };
  };
}

function checkColumn(column: Column, field: SchemaField, against: string, place: PlaceOf): Violation[] {
  const found =
    column.kind === 'text'
      ? checkText(column, field, against, place)
      : checkNumbers(column, field, against, place);
  const gone = missingOf(column);
  const limit = Math.max(missingFactor * field.missing, field.missing + missingMore);
  if (gone.share > limit) {
    const message = `${column.name}: expected at most ${percent(limit)} of the rows without a value, got ${percent(gone.share)}`;
    found.push(
      violation(
        'missing',
        column.name,
        against,
        gone.count,
        gone.rows.map((row) => place(row, '')),
        message,
      ),
    );
  }
  return found;
}

function checkText(column: TextColumn, field: SchemaField, against: string, place: PlaceOf): Violation[] {
  const { name, codes, words } = column;
  const wordAt = (row: number) => words[codes[row]!] ?? '';
  if (field.type !== 'text') {
    const hits = rowsWhere(codes.length, (row) => codes[row] !== -1 && !Number.isFinite(Number(wordAt(row))));
    const places = hits.rows.map((row) => place(row, wordAt(row)));
    return [
      violation(
        'type',
        name,
        against,
        hits.count,
        places,
        `${name}: expected numbers (${field.type}), got words`,
      ),
    ];
  }
  const { categories } = field;
  if (categories === null) return [];
  const known = new Set(categories);
  const strange = words.filter((word) => !known.has(word));
  if (strange.length === 0) return [];
  const hits = rowsWhere(
    codes.length,
    (row) => codes[row] === -2 || (codes[row]! >= 0 && !known.has(wordAt(row))),
  );
  const message = `${name}: ${plural(hits.count, 'row')} with ${listIds(strange)}, which ${strange.length === 1 ? 'is' : 'are'} not in ${listIds(categories)}`;
  return [
    violation(
      'category',
      name,
      against,
      hits.count,
      hits.rows.map((row) => place(row, wordAt(row))),
      message,
    ),
  ];
}

function checkNumbers(
  column: NumberColumn,
  field: SchemaField,
  against: string,
  place: PlaceOf,
): Violation[] {
  const { name, values, words, first } = column;
  const found: Violation[] = [];
  const report = (kind: Violation['kind'], is: (value: number) => boolean, say: (hits: Hits) => string) => {
    const hits = rowsWhere(values.length, (row) => is(values[row]!));
    const places = hits.rows.map((row) => place(row, String(values[row]!)));
    if (hits.count > 0) found.push(violation(kind, name, against, hits.count, places, say(hits)));
  };
  if (field.type === 'text') {
    report('type', Number.isFinite, () => `${name}: expected words, got numbers`);
    return found;
  }
  if (words > 0) {
    // Of a CSV file: line 2 is row 1.
    const places = first.map(({ line, cell }) => ({ row: line - 1, recording: null, value: cell }));
    const message = `${name}: ${plural(words, 'cell')} that ${words === 1 ? 'is' : 'are'} no number, such as "${first[0]?.cell ?? ''}"`;
    found.push(violation('type', name, against, words, places, message));
  }
  if (field.type === 'int')
    report(
      'type',
      (value) => Number.isFinite(value) && value % 1 !== 0,
      ({ rows }) => `${name}: expected whole numbers, got ${values[rows[0]!]}`,
    );
  report(
    'infinite',
    (value) => Math.abs(value) === Number.POSITIVE_INFINITY,
    ({ count }) => `${name}: ${plural(count, 'infinite value')}`,
  );
  if (field.range) {
    const [low, high] = field.range;
    const unit = field.unit === null ? '' : ` ${field.unit}`;
    report(
      'range',
      (value) => Number.isFinite(value) && (value < low || value > high),
      ({ count, rows }) =>
        `${name}: expected ${short(low)} to ${short(high)}${unit}, got ${short(values[rows[0]!]!)} and ${count > 1 ? `${count - 1} more` : 'no other'} outside`,
    );
  }
  return found;
}

function missingOf(column: Column): Hits & { share: number } {
  const length = column.kind === 'text' ? column.codes.length : column.values.length;
  const gone = (row: number) =>
    column.kind === 'text' ? column.codes[row] === -1 : Number.isNaN(column.values[row]!);
  const hits = rowsWhere(length, gone);
  return { ...hits, share: hits.count / Math.max(1, length) };
}

/** How many rows, and the first of them. */
interface Hits {
  count: number;
  rows: number[];
}

function rowsWhere(length: number, is: (row: number) => boolean): Hits {
  const rows: number[] = [];
  let count = 0;
  for (let row = 0; row < length; row++) {
    if (!is(row)) continue;
    count++;
    if (rows.length < mostPlaces) rows.push(row);
  }
  return { count, rows };
}

function violation(
  kind: Violation['kind'],
  column: string,
  against: string,
  count: number,
  places: Violation['places'],
  message: string,
): Violation {
  return { kind, severity: 'error', column, against, count, places, message };
}

function short(value: number): string {
  return String(Number(value.toPrecision(5)));
}
