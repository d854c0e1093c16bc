import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import { parseMixedCsv } from '../../formats/csv/parse.js';
import { exportColumns } from '../../registry/datasets/bodies.js';
import type { Expected } from '../dataset/read.js';
import type { Recording } from '../types.js';
import { createTake } from './take.js';

const csvHead = `${exportColumns.join(',')},`;

/** Whether these are bytes of what `data export` writes as CSV or NDJSON: nobody names the fields of a recording so. */
export function isExported(bytes: Uint8Array): boolean {
  return (
    Buffer.from(bytes.subarray(0, csvHead.length)).toString('latin1') === csvHead || isExportedLines(bytes)
  );
}

/** Parquet has its magic number first and last (Apache Parquet, "File format"). */
export function isParquet(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 4)).toString('latin1') === 'PAR1';
}

/** A row, as far as it says whose it is. */
interface Origin {
  device: string;
  recording: string;
  label: string;
}

/** Rows of one recording that bear one label and follow each other. */
interface Run extends Origin {
  first: number;
  /** Behind the last. */
  end: number;
}

/**
 * The recordings of a stream's export, as `data record` would have written them: one for each of a device, with its label. Where
 * a recording has several labels, each part is one of its own, `NAME-1`, `NAME-2`, …; where two devices chose the same name, the
 * device's goes before it. Fields that the project does not have are left out.
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_MALFORMED (a line of NDJSON), AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED, AIOT_DATA_RATE, AIOT_USAGE (a name that is too long)
 */
export function readExported(bytes: Uint8Array, file: string, expected: Expected): Recording[] {
  const { fields, rateHz } = expected;
  const parse = isExportedLines(bytes) ? parseExportedLines : parseExportedCsv;
  const { rows, t: times, seq: numbersOf, values, ...texts } = parse(bytes, file, fields);
  const runs = runsOf(texts, rows);
  return named(runs, file).map(({ id, run }) => {
    const take = createTake(run.device, fields);
    for (let from = run.first; from < run.end; ) {
      const to = endOfMessage(numbersOf, from, run.end);
      take.add(
        {
          ...{ device: run.device, byDevice: true, t: times[from] as number },
          seq: numbersOf[from] === '' ? null : Number(numbersOf[from]),
          columns: values.map((each) => [...each.subarray(from, to)]),
        },
        Number.POSITIVE_INFINITY,
      );
      from = to;
    }
    const other = take.otherRate(rateHz);
    if (other !== null) {
      throw new AiotError(
        'AIOT_DATA_RATE',
        `${file}: ${run.device}/${run.recording}: expected ${rateHz} samples a second (signal.rate), got about ${other.toFixed(1)}`,
      );
    }
    return take.finish(id, run.label === '' ? null : run.label, rateHz);
  });
}

function parseExportedCsv(bytes: Uint8Array, file: string, fields: readonly string[]): ExportedRows {
  const numbers = new Set([...fields, 't']);
  const table = parseMixedCsv(bytes, file, (name) => !numbers.has(name));
  const absent = fields.filter((field) => !table.columns.includes(field));
  if (absent.length > 0) {
    const got = table.header.slice(exportColumns.length).join(', ');
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:1:1: expected the fields ${fields.join(', ')}, got ${got}`,
    );
  }
  const column = (name: string) => table.data[table.columns.indexOf(name)] as Float64Array;
  const text = (name: string) => table.texts[name] as string[];
  const texts = {
    device: text('device'),
    recording: text('recording'),
    seq: text('seq'),
    label: text('label'),
  };
  return { rows: table.rows, ...texts, t: column('t'), values: fields.map(column) };
}

function runsOf(of: Record<keyof Origin, string[]>, rows: number): Run[] {
  const runs: Run[] = [];
  for (let row = 0; row < rows; row++) {
    const [device, recording, label] = [of.device[row]!, of.recording[row]!, of.label[row]!];
    const last = runs.at(-1);
    if (last?.device === device && last.recording === recording && last.label === label) last.end = row + 1;
    else runs.push({ device, recording, label, first: row, end: row + 1 });
  }
  return runs;
}

/** Samples of one message bear its number; where messages have none, each sample stands for itself. */
function endOfMessage(numbers: readonly string[], from: number, end: number): number {
  let to = from + 1;
  while (to < end && numbers[from] !== '' && numbers[to] === numbers[from]) to++;
  return to;
}

function named(runs: readonly Run[], file: string): { id: string; run: Run }[] {
  const devices = new Map<string, Set<string>>();
  const parts = new Map<string, number>();
  const keyOf = ({ device, recording }: Run) => `${device}/${recording}`;
  for (const run of runs) {
    devices.set(run.recording, (devices.get(run.recording) ?? new Set()).add(run.device));
    parts.set(keyOf(run), (parts.get(keyOf(run)) ?? 0) + 1);
  }
  const told = new Map<string, number>();
  return runs.map((run) => {
    const { device, recording } = run;
    const key = keyOf(run);
    const number = (told.get(key) ?? 0) + 1;
    told.set(key, number);
    const whole = devices.get(recording)?.size === 1 ? recording : `${device}.${recording}`;
    const id = parts.get(key) === 1 ? whole : `${whole}-${number}`;
    if (namePattern.test(id)) return { id, run };
    throw new AiotError(
      'AIOT_USAGE',
      `${file}: expected a recording's name of at most 64 characters, got "${id}"`,
      { next: 'Export it alone: aiot data export STREAM --recording NAME --out FILE' },
    );
  });
}

const linesHead = '{"device":"';

/** The rows of an export in columns. */
interface ExportedRows {
  rows: number;
  device: string[];
  recording: string[];
  /** '' = none, as of the labels. */
  seq: string[];
  label: string[];
  /** ms since 1970 */
  t: ArrayLike<number>;
  /** Values of each wanted field, in their order. */
  values: Float64Array[];
}

/** Whether these are bytes of what `data export` writes as NDJSON: its lines begin with whose they are. */
function isExportedLines(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 1024)).toString('utf8').split('\n')[0] ?? '';
  return start.startsWith(linesHead) && start.includes('"recording":"');
}

/** Lines of an export, the wanted fields of them. @throws AIOT_FILE_MALFORMED with file and line, AIOT_CSV_COLUMNS */
function parseExportedLines(bytes: Uint8Array, file: string, fields: readonly string[]): ExportedRows {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const rows = lines.length;
  const values = fields.map(() => new Float64Array(rows));
  const t = new Float64Array(rows);
  const texts = {
    device: [] as string[],
    recording: [] as string[],
    seq: [] as string[],
    label: [] as string[],
  };
  for (const [i, line] of lines.entries()) {
    const at = `${file}:${i + 1}`;
    const row = objectOf(line, at);
    texts.device.push(textOf(row, 'device', at));
    texts.recording.push(textOf(row, 'recording', at));
    texts.label.push(row.label === null ? '' : textOf(row, 'label', at));
    texts.seq.push(row.seq === null ? '' : String(numberOf(row, 'seq', at)));
    t[i] = numberOf(row, 't', at);
    for (const [f, field] of fields.entries()) {
      if (!(field in row)) throw absent(at, fields, row);
      (values[f] as Float64Array)[i] = numberOf(row, field, at);
    }
  }
  return { rows, ...texts, t, values };
}

type Row = Record<string, unknown>;

function objectOf(line: string, at: string): Row {
  try {
    const row: unknown = JSON.parse(line);
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Row;
  } catch {
    // Told below, as what is JSON and no object.
  }
  throw new AiotError('AIOT_FILE_MALFORMED', `${at}: expected one JSON object of an export`);
}

function textOf(row: Row, name: string, at: string): string {
  const value = row[name];
  if (typeof value === 'string') return value;
  throw new AiotError('AIOT_FILE_MALFORMED', `${at}: ${name}: expected text, got ${JSON.stringify(value)}`);
}

function numberOf(row: Row, name: string, at: string): number {
  const value = row[name];
  if (typeof value === 'number') return value;
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${at}: ${name}: expected a number, got ${JSON.stringify(value)}`,
  );
}

function absent(at: string, fields: readonly string[], row: Row): AiotError {
  const got = Object.keys(row).slice(5).join(', ');
  return new AiotError('AIOT_CSV_COLUMNS', `${at}: expected the fields ${fields.join(', ')}, got ${got}`);
}
