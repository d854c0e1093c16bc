import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { requireFile } from '../../core/files.js';
import { loadProject, type Project } from '../../core/project.js';
import { nearest } from '../../core/text.js';
import type { Column, NumberColumn, TextColumn } from '../../formats/csv/cells.js';
import { type ColumnUse, createColumnsReader } from '../../formats/csv/columns.js';
import { listIds } from '../check/report.js';
import { readListing } from '../dataset/listing.js';
import { openDataset, sampleCount } from '../dataset/open.js';
import { readListed } from '../dataset/read.js';
import type { Recording } from '../types.js';
import { firstCells, isEpoch, rolesOf, secondsPerUnit } from './columns.js';
import { openLoose } from './loose-recordings.js';

/** Rows from any source, stored by column in chronological order. */
export interface Rows {
  /** The file or folder, as given by the user. */
  name: string;
  from: 'csv' | 'recordings' | 'project';
  rows: number;
  /** Sensor measurements, and other columns that have none of the roles below. */
  features: Column[];
  label: TextColumn | null;
  /** Predictions of a model. */
  prediction: Column | null;
  /** Take or device of each row. Rows of the same take or device are not independent. */
  take: TextColumn | null;
  time: RowTimes | null;
  /** Samples per second, if a project declares it. */
  rateHz: number | null;
  /** Columns that were not examined: counters, and columns that were not requested. */
  ignored: string[];
}

export interface RowTimes {
  /** Name of the column. */
  name: string;
  /** Times in seconds, since 1970 or since the column's own origin. */
  seconds: Float64Array;
  sinceEpoch: boolean;
}

export interface RowsOptions {
  /** Label column; absent = one called label, activity, class or state. */
  label?: string | undefined;
  /** Prediction column; absent = one called prediction, predicted or inference. */
  prediction?: string | undefined;
  /** Time column; absent = one called time, timestamp or the like. */
  time?: string | undefined;
  /** Columns to examine; absent = all. */
  columns?: readonly string[] | undefined;
}

/**
 * Opens any source of rows: a CSV file, a project's folder, its data folder, or a folder of CSV recordings.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_CSV_*, AIOT_DATA_*, AIOT_PROJECT_INVALID
 */
export async function openRows(path: string, options: RowsOptions = {}): Promise<Rows> {
  const kind = await stat(path).catch(() => null);
  if (!kind) throw new AiotError('AIOT_FILE_NOT_FOUND', `the file or folder ${path} does not exist`);
  if (!kind.isDirectory()) return await readCsvRows(path, options);
  const names = await readdir(path);
  if (names.includes('aiot.yaml')) return chosen(await projectRows(await loadProject(path)), options, path);
  const listing = await readListing(path);
  if (listing) {
    const { fields } = listing;
    const rateHz = listing.recordings[0]?.rateHz ?? 1;
    const recordings = await readListed(path, listing, { fields, rateHz, labels: [], image: null });
    return chosen(rowsOfRecordings(path, 'recordings', { fields, rateHz, recordings }), options, path);
  }
  const { dataset } = await openLoose({ paths: [path], lenient: true });
  return chosen(rowsOfRecordings(path, 'recordings', dataset), options, path);
}

/** The rows of a project's own recordings, or of the table in its configuration. @param folder overrides the project's data */
export async function projectRows(project: Project, folder?: string): Promise<Rows> {
  const { table } = project.config.model;
  if (table && folder === undefined) {
    return await readCsvRows(join(project.dir, table.file), { label: table.label, columns: table.inputs });
  }
  const dataset = await openDataset(project, folder);
  return rowsOfRecordings(folder ?? project.dir, 'project', dataset);
}

/** Selects the requested columns, for sources that cannot select columns while reading. */
function chosen(rows: Rows, { columns }: RowsOptions, path: string): Rows {
  if (!columns) return rows;
  const features = rows.features.filter(({ name }) => columns.includes(name));
  if (features.length === 0) {
    const got = rows.features.map(({ name }) => name).join(', ');
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${path}: expected one of the columns ${columns.join(', ')}, got ${got}`,
    );
  }
  const ignored = rows.features.filter(({ name }) => !columns.includes(name)).map(({ name }) => name);
  return { ...rows, features, ignored: [...rows.ignored, ...ignored] };
}

const pieceBytes = 1 << 20;
const predictionNames = ['prediction', 'predicted', 'inference'];

interface Roles {
  label: string | null;
  prediction: string | null;
  time: string | null;
  /** Name of the column with a row's take or, without one, its device. */
  take: string | null;
  ignored: string[];
}

/**
 * Reads a CSV file of any length into columns, chunk by chunk: only eight bytes per number stay in memory.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_CSV_COLUMNS (a requested column is missing, or there is no feature at all),
 * AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED
 */
async function readCsvRows(file: string, options: RowsOptions = {}): Promise<Rows> {
  let roles: Roles | undefined;
  const useOf = (name: string, header: string[], head: Uint8Array): ColumnUse | null => {
    roles ??= rolesIn(header, file, options, firstCells(head, file).cells);
    if (name === roles.label || name === roles.take) return 'text';
    if (name === roles.time) return 'time';
    return roles.ignored.includes(name) ? 'skip' : null;
  };
  const { columns, rows } = await readColumns(file, useOf);
  const { label, prediction, time, take, ignored } = roles!;
  const find = (name: string | null) => columns.find((column) => column.name === name) ?? null;
  const special = [label, prediction, time, take];
  const features = columns.filter(({ name }) => !special.includes(name));
  if (features.length === 0 && prediction === null && label === null) {
    const got = listIds(columns.map(({ name }) => name).concat(ignored));
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a value column, got only ${got}`);
  }
  return {
    name: file,
    from: 'csv',
    rows,
    features,
    label: find(label) as TextColumn | null,
    prediction: find(prediction),
    take: find(take) as TextColumn | null,
    time: timesOf(find(time)),
    rateHz: null,
    ignored,
  };
}

function rolesIn(header: string[], file: string, options: RowsOptions, cells: string[][]): Roles {
  const asked = (name: string | undefined) => {
    if (name === undefined || header.includes(name)) return name;
    const near = nearest(name, header);
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:1:1: expected a column "${name}", got ${listIds(header)}${near === undefined ? '' : `. Did you mean ${near}?`}`,
      { next: 'Use the name of a column from the first line.' },
    );
  };
  const own = rolesOf(header, asked(options.label), cells);
  const prediction =
    asked(options.prediction) ?? header.find((name) => predictionNames.includes(name.toLowerCase())) ?? null;
  const { columns } = options;
  // A requested column is a feature, even if its name is usual for times.
  const isRequested = (name: string | null) => name !== null && (columns?.includes(name) ?? false);
  const time = asked(options.time) ?? (isRequested(own.time) ? null : own.time);
  const take = own.take ?? own.device;
  const roles = [own.label, prediction, time, take];
  const ignored = header.filter((name) => {
    if (roles.includes(name)) return false;
    // If there is a take column, the device column adds no information.
    return (
      (own.counter.includes(name) && !isRequested(name)) ||
      name === own.device ||
      (name === own.time && !isRequested(name)) ||
      (columns ? !columns.includes(name) : false)
    );
  });
  return { label: own.label, prediction, time, take, ignored };
}

function timesOf(column: Column | null): RowTimes | null {
  if (column?.kind !== 'number' || !column.values.some(Number.isFinite)) return null;
  const seconds = column.values;
  const unit = secondsPerUnit(column.name, seconds);
  if (unit !== 1) for (let i = 0; i < seconds.length; i++) seconds[i] = seconds[i]! * unit;
  return { name: column.name, seconds, sinceEpoch: isEpoch(seconds[0]!) };
}

async function readColumns(
  file: string,
  useOf: (name: string, header: string[], head: Uint8Array) => ColumnUse | null,
): Promise<{ columns: Column[]; rows: number }> {
  await requireFile(file);
  const handle = await open(file).catch((error: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${file} (${systemCode(error)})`, {
      cause: error,
    });
  });
  try {
    const { size } = await handle.stat();
    let head: Uint8Array = new Uint8Array(0);
    const use = (name: string, header: string[]) => useOf(name, header, head);
    const reader = createColumnsReader(file, { useOf: use, bytes: size });
    const lines = (bytes: Uint8Array) => {
      if (head.length === 0) head = bytes;
      reader.lines(bytes);
    };
    // A file without a final line ending gets one, so one byte is reserved for it.
    let buffer = Buffer.allocUnsafe(Math.min(pieceBytes, size + 1));
    let kept = 0;
    for (;;) {
      if (kept === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
      const { bytesRead } = await handle.read(buffer, kept, buffer.length - kept, null);
      const filled = kept + bytesRead;
      if (bytesRead === 0) {
        if (filled > 0) lines(Buffer.concat([buffer.subarray(0, filled), Buffer.from('\n')]));
        return reader.end();
      }
      const whole = buffer.lastIndexOf(10, filled - 1) + 1;
      if (whole > 0) lines(buffer.subarray(0, whole));
      buffer.copyWithin(0, whole, filled);
      kept = filled - whole;
    }
  } finally {
    await handle.close();
  }
}

/** Concatenates recordings, each of which is a take. If no label is known, there is no label column. */
function rowsOfRecordings(
  name: string,
  from: Rows['from'],
  { fields, rateHz, recordings }: { fields: string[]; rateHz: number; recordings: Recording[] },
): Rows {
  const rows = sampleCount(recordings);
  const features = fields.map((field): NumberColumn => {
    const values = new Float64Array(rows);
    let at = 0;
    for (const recording of recordings) {
      const own = recording.columns[recording.fields.indexOf(field)]!;
      values.set(own, at);
      at += own.length;
    }
    let missing = 0;
    for (const value of values) if (Number.isNaN(value)) missing++;
    return { name: field, kind: 'number', values, missing, words: 0, first: [] };
  });
  const labelled = recordings.some(({ label }) => label !== null);
  return {
    name,
    from,
    rows,
    features,
    label: labelled ? wordsBy(recordings, 'label', ({ label }) => label) : null,
    prediction: null,
    take: wordsBy(recordings, 'recording', ({ id }) => id),
    time: null,
    rateHz,
    ignored: [],
  };
}

function wordsBy(
  recordings: Recording[],
  name: string,
  wordOf: (recording: Recording) => string | null,
): TextColumn {
  const codes = new Int32Array(sampleCount(recordings));
  const words: string[] = [];
  let at = 0;
  let missing = 0;
  for (const recording of recordings) {
    const word = wordOf(recording);
    const rows = sampleCount([recording]);
    if (word !== null && !words.includes(word)) words.push(word);
    if (word === null) missing += rows;
    codes.fill(word === null ? -1 : words.indexOf(word), at, at + rows);
    at += rows;
  }
  return { name, kind: 'text', codes, words, missing };
}
