import { exportColumns } from '../../api/contract/data.js';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { plural, thousands } from '../../core/figures.js';
import { namePattern } from '../../core/names.js';
import { parseMixedCsv } from '../../formats/csv/parse.js';
import type { Expected } from '../dataset/read.js';
import type { Recording } from '../types.js';
import { createTake, type Take } from './take.js';

const csvHead = `${exportColumns.join(',')},`;

/** Whether the bytes are CSV or NDJSON written by `data export`. Recordings never have the field names of an export. */
export function isExported(bytes: Uint8Array): boolean {
  return (
    Buffer.from(bytes.subarray(0, csvHead.length)).toString('latin1') === csvHead || isExportedLines(bytes)
  );
}

/** Parquet has its magic number at the start and the end (Apache Parquet, "File format"). */
export function isParquet(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, 4)).toString('latin1') === 'PAR1';
}

/** A row's origin, as far as the row contains it. */
interface Origin {
  device: string;
  recording: string;
  label: string;
}

/** Consecutive rows of one recording with the same label. */
interface Run extends Origin {
  first: number;
  /** Exclusive end. */
  end: number;
}

/** A recording that the project cannot use. */
export interface Unusable {
  device: string;
  recording: string;
  /** Whether any part of it has a label. */
  labelled: boolean;
  code: ErrorCode;
  /** The problem, without the recording's name, as part of a sentence. */
  reason: string;
}

/** A recording, and its origin on the platform. */
export interface ExportedRecording extends Pick<Origin, 'device' | 'recording'> {
  converted: Recording;
}

/**
 * Converts a stream's export to recordings in the form that `data record` writes: each from one device, with its label. If a recording has
 * several labels, each part becomes a recording, `NAME-1`, `NAME-2`, …; if two devices used the same name, the device's name is prefixed.
 * Fields that the project does not have are omitted. Recordings without all values, at another rate, or with a name that is too long are
 * returned as unusable, because any device can send them.
 * @throws AIOT_CSV_COLUMNS (no recording has the fields), AIOT_FILE_MALFORMED (not an export), AIOT_CSV_EMPTY
 */
export function readExported(
  bytes: Uint8Array,
  file: string,
  expected: Expected,
): { usable: ExportedRecording[]; unusable: Unusable[] } {
  const { fields, rateHz } = expected;
  const parse = isExportedLines(bytes) ? parseExportedLines : parseExportedCsv;
  const exported = parse(bytes, file, fields);
  const unusable: Unusable[] = [];
  const takes: { run: Run; take: Take }[] = [];
  for (const runs of byRecording(runsOf(exported, exported.rows))) {
    const own = runs.map((run) => ({ run, take: takeOf(run, exported, fields) }));
    const fault = missingValues(runs, exported, fields) ?? otherRate(own, rateHz);
    if (fault === null) takes.push(...own);
    else unusable.push(unusableOf(runs, fault));
  }
  const usable: ExportedRecording[] = [];
  const ids = idsOf(takes.map(({ run }) => run));
  for (const [i, { run, take }] of takes.entries()) {
    const { device, recording, label } = run;
    const id = ids[i]!;
    if (namePattern.test(id))
      usable.push({ device, recording, converted: take.finish(id, label === '' ? null : label, rateHz) });
    else unusable.push(unusableOf([run], tooLong(id)));
  }
  return { usable, unusable };
}

/** Groups the parts of each recording. */
function byRecording(runs: readonly Run[]): Run[][] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const group = groups.get(keyOf(run));
    if (group) group.push(run);
    else groups.set(keyOf(run), [run]);
  }
  return [...groups.values()];
}

function takeOf(run: Run, { t, seq, values }: ExportedRows, fields: string[]): Take {
  const take = createTake(run.device, fields);
  for (let from = run.first; from < run.end; ) {
    const to = endOfMessage(seq, from, run.end);
    take.add(
      {
        ...{ device: run.device, byDevice: true, t: t[from] as number },
        seq: seq[from] === '' ? null : Number(seq[from]),
        columns: values.map((each) => [...each.subarray(from, to)]),
      },
      Number.POSITIVE_INFINITY,
    );
    from = to;
  }
  return take;
}

type Fault = Pick<Unusable, 'code' | 'reason'>;

/** The fault of a recording in which not every sample has a time and a finite number for each field; null = none. */
function missingValues(
  runs: readonly Run[],
  { t, values }: ExportedRows,
  fields: readonly string[],
): Fault | null {
  const samples = runs.reduce((sum, { first, end }) => sum + end - first, 0);
  const reasons: string[] = [];
  const absent: string[] = [];
  for (const [name, column] of [
    ['t', t] as const,
    ...fields.map((field, f) => [field, values[f]!] as const),
  ]) {
    let bad = 0;
    for (const { first, end } of runs)
      for (let row = first; row < end; row++) if (!Number.isFinite(column[row])) bad++;
    if (bad === samples) absent.push(name);
    else if (bad > 0)
      reasons.push(`no finite number for ${name} in ${thousands(bad)} of ${plural(samples, 'sample')}`);
  }
  if (absent.length > 0) reasons.unshift(`no values for ${absent.join(', ')}`);
  return reasons.length === 0 ? null : { code: 'AIOT_FILE_MALFORMED', reason: reasons.join('; ') };
}

function otherRate(takes: readonly { take: Take }[], rateHz: number): Fault | null {
  for (const { take } of takes) {
    const other = take.otherRate(rateHz);
    if (other === null) continue;
    const reason = `expected ${rateHz} samples per second (signal.rate), got about ${other.toFixed(1)}`;
    return { code: 'AIOT_DATA_RATE', reason };
  }
  return null;
}

function tooLong(id: string): Fault {
  return { code: 'AIOT_USAGE', reason: `expected a recording name of at most 64 characters, got "${id}"` };
}

function unusableOf(runs: readonly Run[], fault: Fault): Unusable {
  const { device, recording } = runs[0]!;
  return { device, recording, labelled: runs.some(({ label }) => label !== ''), ...fault };
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

/**
 * End of the message that begins at `from`, whose samples all have its sequence number. Without numbers, each sample counts as a message.
 */
function endOfMessage(numbers: readonly string[], from: number, end: number): number {
  let to = from + 1;
  while (to < end && numbers[from] !== '' && numbers[to] === numbers[from]) to++;
  return to;
}

function keyOf({ device, recording }: Run): string {
  return `${device}/${recording}`;
}

/** The name of each run in the project. The name may be invalid. */
function idsOf(runs: readonly Run[]): string[] {
  const devices = new Map<string, Set<string>>();
  const parts = new Map<string, number>();
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
    return parts.get(key) === 1 ? whole : `${whole}-${number}`;
  });
}

const linesHead = '{"device":"';

/** The rows of an export, by column. */
interface ExportedRows {
  rows: number;
  device: string[];
  recording: string[];
  /** Sequence number of each row's message, and its label; '' = none. */
  seq: string[];
  label: string[];
  /** ms since 1970; NaN = unknown */
  t: ArrayLike<number>;
  /** Values of each requested field, in their order; NaN = no number. */
  values: Float64Array[];
}

/** Whether the bytes are NDJSON written by `data export`, whose lines begin with device and recording. */
function isExportedLines(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 1024)).toString('utf8').split('\n')[0] ?? '';
  return start.startsWith(linesHead) && start.includes('"recording":"');
}

/** Parses the lines of an export, for the requested fields only. @throws AIOT_FILE_MALFORMED with file and line, AIOT_CSV_COLUMNS */
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
  const seen = new Set<string>();
  for (const [i, line] of lines.entries()) {
    const at = `${file}:${i + 1}`;
    const row = objectOf(line, at);
    texts.device.push(textOf(row, 'device', at));
    texts.recording.push(textOf(row, 'recording', at));
    texts.label.push(row.label === null ? '' : textOf(row, 'label', at));
    texts.seq.push(row.seq === null ? '' : String(numberOf(row, 'seq', at)));
    t[i] = numberIn(row.t);
    for (const [f, field] of fields.entries()) {
      if (field in row) seen.add(field);
      (values[f] as Float64Array)[i] = numberIn(row[field]);
    }
  }
  if (fields.some((field) => !seen.has(field))) throw absent(file, fields, [...seen]);
  return { rows, ...texts, t, values };
}

type Row = Record<string, unknown>;

function objectOf(line: string, at: string): Row {
  try {
    const row: unknown = JSON.parse(line);
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as Row;
  } catch {
    // Invalid JSON gets the same error as JSON that is not an object.
  }
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${at}: expected one JSON object, as an export has on each line`,
  );
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

function numberIn(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN;
}

function absent(file: string, fields: readonly string[], seen: readonly string[]): AiotError {
  const got = seen.length === 0 ? 'none of them' : `only ${seen.join(', ')}`;
  return new AiotError('AIOT_CSV_COLUMNS', `${file}: expected the fields ${fields.join(', ')}, got ${got}`);
}
