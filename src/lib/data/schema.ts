import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { percent, plural } from '../core/figures.js';
import { readJson, refuseInputs, writeJsonAtomic } from '../core/files.js';
import { issueText } from '../core/issues.js';
import type { Project } from '../core/project.js';
import type { ProjectConfig } from '../core/project-schema.js';
import type { Column, NumberColumn, TextColumn } from '../formats/csv/cells.js';
import { listIds } from './check/report.js';
import { openRows, projectRows, type Rows, type RowsOptions } from './tables/rows.js';

interface SchemaOptions extends RowsOptions {
  /** A CSV file, a folder of recordings or of a project; absent = the project's own. */
  path?: string | undefined;
  project?: Project | undefined;
  /** A schema file, or `project` for stream.fields. */
  against?: string | undefined;
  save?: string | undefined;
}

/**
 * Infers a schema from rows, and validates rows against a schema and against the fields of a project.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the schema), AIOT_CSV_*, AIOT_DATA_*, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function dataSchema(options: SchemaOptions): Promise<SchemaResult> {
  const { path, project, against, save } = options;
  await refuseInputs([save], [path, against === 'project' ? undefined : against]);
  const wanted = against === undefined || against === 'project' ? null : await readSchema(against);
  const rows = path === undefined ? await projectRows(project!) : await openRows(path, options);
  const schema = inferSchema(rows, project?.config);
  const declared = project ? declaredFields(project) : [];
  const violations = [
    ...(wanted ? checkRows(rows, { fields: wanted.fields, against: against!, whole: true }) : []),
    ...(declared.length > 0
      ? checkRows(rows, { fields: declared, against: 'stream.fields', whole: !wanted })
      : []),
  ];
  if (save !== undefined) await writeJsonAtomic(save, schema);
  return {
    schema,
    against: [...(wanted ? [against!] : []), ...(declared.length > 0 ? ['stream.fields'] : [])],
    violations,
    ok: violations.every(({ severity }) => severity !== 'error'),
    saved: save ?? null,
  };
}

async function readSchema(file: string): Promise<DataSchema> {
  const parsed = dataSchemaSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`, {
    next: 'Create it with `aiot data schema DATA --save FILE`.',
  });
}

/** The schema that aiot.yaml declares for its stream, which allows no missing values. */
function declaredFields({ config }: Project): SchemaField[] {
  return Object.entries(config.stream.fields).map(([name, { type, unit, range }]) => ({
    name,
    type,
    unit,
    seen: null,
    range: range ?? null,
    missing: 0,
    categories: null,
  }));
}

const schemaFieldSchema = z.strictObject({
  name: z.string(),
  type: z.enum(['int', 'float', 'text', 'time']),
  unit: z.string().nullable(),
  /** Smallest and largest observed value. */
  seen: z.tuple([z.number(), z.number()]).nullable(),
  /** Values outside are violations: the observed range extended by a tenth of its span at either end, or the project's own range. */
  range: z.tuple([z.number(), z.number()]).nullable(),
  /** Observed share of rows without a value. */
  missing: z.number().min(0).max(1),
  /** Allowed words, for text with few distinct words; null = any. */
  categories: z.array(z.string()).nullable(),
});

type SchemaField = z.output<typeof schemaFieldSchema>;

/** Schema of rows: a file that people can read, edit and commit. */
const dataSchemaSchema = z.strictObject({
  spec: z.literal('aiot-schema/1'),
  name: z.string(),
  rows: z.int(),
  fields: z.array(schemaFieldSchema),
});

type DataSchema = z.output<typeof dataSchemaSchema>;

const violationSchema = z.object({
  kind: z.enum(['type', 'range', 'missing', 'category', 'infinite', 'no-column', 'new-column']),
  /** An `error` leads to exit code 6. */
  severity: z.enum(['error', 'warning']),
  column: z.string(),
  /** The violated constraint. */
  against: z.string(),
  /** Number of rows that violate the constraint. */
  count: z.int(),
  /** The first of these rows. Numbers start at 1 below the header or, for recordings, within the recording. */
  places: z.array(z.object({ row: z.int(), recording: z.string().nullable(), value: z.string() })),
  message: z.string(),
});

type Violation = z.output<typeof violationSchema>;

export const schemaResultSchema = z.object({
  schema: dataSchemaSchema,
  /** The schemas that were applied: a file, or stream.fields of a project. */
  against: z.array(z.string()),
  violations: z.array(violationSchema),
  /** Whether no violation is an error. */
  ok: z.boolean(),
  /** Path of the written file. */
  saved: z.string().nullable(),
});

export type SchemaResult = z.output<typeof schemaResultSchema>;

/** Fraction of the observed span by which values may exceed it. */
const beyond = 0.1;

/**
 * Maximum number of different words in a column of categories, absolute and as a share of its rows. If there are more words, they are names
 * or remarks.
 */
const mostCategories = 50;

const mostOfRows = 0.5;

/** Types, ranges, missing shares and categories of rows; units, types and ranges that a project declares take precedence. */
function inferSchema(rows: Rows, project?: ProjectConfig): DataSchema {
  const fields = rows.features.map((column) => fieldOf(column, project?.stream.fields[column.name]));
  const others = [rows.label, rows.prediction].flatMap((column) => (column ? [fieldOf(column)] : []));
  const time: SchemaField[] = rows.time
    ? [
        {
          name: rows.time.name,
          type: 'time',
          unit: 's',
          seen: null,
          range: null,
          missing: 0,
          categories: null,
        },
      ]
    : [];
  return { spec: 'aiot-schema/1', name: rows.name, rows: rows.rows, fields: [...time, ...fields, ...others] };
}

function fieldOf(column: Column, declared?: ProjectConfig['stream']['fields'][string]): SchemaField {
  if (column.kind === 'text') {
    const { name, codes, words, missing } = column;
    const few =
      words.length <= Math.min(mostCategories, Math.max(2, mostOfRows * codes.length)) && !codes.includes(-2);
    return {
      name,
      type: 'text',
      unit: null,
      seen: null,
      range: null,
      missing: missing / codes.length,
      categories: few ? [...words].sort() : null,
    };
  }
  const { name, values } = column;
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let whole = true;
  let count = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    count++;
    if (value < low) low = value;
    if (value > high) high = value;
    if (whole && value % 1 !== 0) whole = false;
  }
  const some = count > 0;
  const margin = (high - low) * beyond;
  const type = declared?.type ?? (whole && some ? 'int' : 'float');
  const wide: [number, number] =
    type === 'int'
      ? [Math.floor(low - margin), Math.ceil(high + margin)]
      : [rounded(low - margin, margin), rounded(high + margin, margin)];
  const inferred = some ? wide : null;
  return {
    name,
    type,
    unit: declared?.unit ?? null,
    seen: some ? [low, high] : null,
    range: declared?.range ?? inferred,
    missing: (values.length - count) / Math.max(1, values.length),
    categories: null,
  };
}

/** Rounds to about two significant digits of a tenth of the span, to make the file readable. */
function rounded(value: number, margin: number): number {
  if (margin === 0) return value;
  return Number(value.toFixed(Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(margin))))));
}

/** Maximum number of locations listed. */
const mostPlaces = 5;

/** Limit for the share of missing values: twice the observed share, or 0.01 above it, whichever is larger. */
const missingFactor = 2;

const missingMore = 0.01;

interface Rule {
  fields: SchemaField[];
  /** Name of the schema. */
  against: string;
  /** Whether columns that are missing in the schema are reported. */
  whole: boolean;
}

/** Violations of a schema, worst first, each with its rows. */
function checkRows(rows: Rows, { fields, against, whole }: Rule): Violation[] {
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
      const message = `${against} has no column ${name}`;
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
    // In a table with several takes, row numbers refer to the whole table.
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
        `${name}: expected numbers (${field.type}), got text`,
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
    report('type', Number.isFinite, () => `${name}: expected text, got numbers`);
    return found;
  }
  if (words > 0) {
    // Row 1 is on line 2 of a CSV file.
    const places = first.map(({ line, cell }) => ({ row: line - 1, recording: null, value: cell }));
    const message = `${name}: ${plural(words, 'cell')} without a number, such as "${first[0]?.cell ?? ''}"`;
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

/** Number of matching rows, and the first of them. */
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
