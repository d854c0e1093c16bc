import { open } from 'node:fs/promises';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { requireFile } from '../../core/files.js';
import { telemetryNames } from '../../core/names.js';
import { createCommaSeparated, type Separators, separatorsOf } from '../../formats/csv/cells.js';
import { csvColumns } from '../../formats/csv/parse.js';
import { columnUnit } from '../units.js';

const labelNames = ['label', 'activity', 'class', 'state'];
const deviceNames = ['device', 'device_id', 'deviceid', 'sensor_id', 'subject', 'user'];

/** Columns of the platform's exports that contain the take of a row; they are not fields. */
const takeNames = ['recording', 'recording_id'];

const counterNames = ['index', 'row', 'seq', 'sample', 'n'];

/** Unit of a time column. `date`: dates or times of day as text. */
type TimeUnit = 'ns' | 'us' | 'ms' | 's' | 'min' | 'h' | 'date';

const secondsPer = { ns: 1e-9, us: 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600, date: 1 } as const;

/** Words for units in the names of time columns. */
const unitWords: Record<string, TimeUnit> = {
  ...unitsOf('ns', 'ns nsec nanos nanosecond nanoseconds'),
  ...unitsOf('us', 'us µs μs usec micros microsecond microseconds'),
  ...unitsOf('ms', 'ms msec msecs millis millisecond milliseconds'),
  ...unitsOf('s', 's sec secs second seconds'),
  ...unitsOf('min', 'min mins minute minutes'),
  ...unitsOf('h', 'h hour hours'),
};

/** Units that are a time column's whole name. Single letters and `min` are more often fields. */
const unitNames = new Set(
  'millis millisecond milliseconds ms msec micros microseconds us usec nanos nanoseconds ns seconds secs sec'.split(
    ' ',
  ),
);

/** Names of time columns without their unit, spaces and separators. */
const timeNames =
  /^(t|ts|date|datetime|timestamp|utc|localtime|epoch|unix|elapsed|time(since(start|boot|epoch))?(in|elapsed|utc)?|(unix|posix|epoch|utc|elapsed|local|sample|sampling|measurement|system|device|event)time(stamp)?|(recorded|created|measured|received|logged|captured)at)$/;

/** Names that are also common for measurements, such as a temperature t, so their values have to look like times. */
const ambiguousNames = /^(t|epoch|unix|elapsed|utc|ms|us|ns|sec)$/;

/** A column's name as a time column; null if it is not the name of one. */
function timeName(name: string): { unit: TimeUnit | null; ambiguous: boolean } | null {
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9µμ]+/)
    .filter((word) => word !== '');
  const whole = words.join('');
  if (unitNames.has(whole)) return { unit: unitWords[whole]!, ambiguous: ambiguousNames.test(whole) };
  for (const at of [words.length - 1, 0]) {
    const unit = unitWords[words[at] ?? ''];
    const rest = words.filter((_, i) => i !== at).join('');
    if (unit !== undefined && timeNames.test(rest)) return { unit, ambiguous: false };
  }
  return timeNames.test(whole) ? { unit: null, ambiguous: ambiguousNames.test(whole) } : null;
}

function unitsOf(unit: TimeUnit, words: string): Record<string, TimeUnit> {
  return Object.fromEntries(words.split(' ').map((word) => [word, unit]));
}

interface ColumnRoles {
  time: string | null;
  label: string | null;
  device: string | null;
  take: string | null;
  /** All time columns, including `time`. */
  times: string[];
  /** Columns that are named like a time column but contain no times, because their values rise and fall. They are fields. */
  notTimes: string[];
  /** Counters, and time columns other than `time`. */
  counter: string[];
  fields: string[];
}

/**
 * Assigns roles to columns by their names and, for the time, also by their first cells. All columns without a role are sensor fields.
 * @param labelColumn a column declared as the label, regardless of its name
 * @param cells the first cells of each column, as `firstCells` returns them
 */
export function rolesOf(columns: string[], labelColumn?: string, cells: string[][] = []): ColumnRoles {
  const find = (names: string[]) => columns.find((name) => names.includes(name.toLowerCase())) ?? null;
  const label = labelColumn ?? find(labelNames);
  const device = find(deviceNames);
  const take = find(takeNames);
  const taken = [label, device, take];
  const times = columns.filter((name, c) => !taken.includes(name) && isTime(name, cells[c]));
  // A column that contains only the date is less informative than one whose values increase.
  const grows = (name: string) => {
    const values = secondsOf(name, cells[columns.indexOf(name)] ?? []);
    return values !== null && values.length > 1 && values.at(-1)! > values[0]!;
  };
  const time = times.find(grows) ?? times[0] ?? null;
  const counter = columns.filter(
    (name) => name !== time && (times.includes(name) || counterNames.includes(name.toLowerCase())),
  );
  const others = [time, label, device, take, ...counter];
  const fields = columns.filter((name) => !others.includes(name));
  const notTimes = fields.filter((name) => wanders(name, cells[columns.indexOf(name)] ?? []));
  return { time, label, device, take, times, notTimes, counter, fields };
}

/** Whether a column contains times: according to its name, or because its cells are dates or times since 1970. */
function isTime(name: string, cells: string[] | undefined): boolean {
  const named = timeName(name);
  if (named && !named.ambiguous) return !wanders(name, cells ?? []);
  if (!cells || cells.length === 0) return named !== null;
  const values = secondsOf(name, cells);
  if (values === null) return false;
  const numeric = isNumber(cells[0]!);
  if (named) return !numeric || isGrowing(values);
  return numeric ? values.length > 2 && isCurrentTime(Number(cells[0])) && isGrowing(values) : true;
}

/** Minimum share of steps in each direction at which numbers do not count as times. A logger that restarts causes fewer backward steps. */
const leastShare = 0.1;

/** Whether a column is named like a time column, but contains numbers that rise and fall. */
function wanders(name: string, cells: string[]): boolean {
  if (!isNumber(cells[0] ?? '') || timeName(name)?.ambiguous !== false) return false;
  const values = secondsOf(name, cells);
  if (values === null) return false;
  const steps = stepsOf(values).filter((step) => step !== 0);
  const up = steps.filter((step) => step > 0).length;
  const least = Math.max(1, leastShare * steps.length);
  return steps.length > 4 && up >= least && steps.length - up >= least;
}

/** Whether values never decrease, like the times of one recording, or of several recordings in order. */
function isGrowing(values: Float64Array): boolean {
  return values.every((value, i) => i === 0 || value >= values[i - 1]!) && values.at(-1)! > values[0]!;
}

/** Whether a number is a time between 2001 and 2096, in seconds since 1970 or a smaller unit. */
function isCurrentTime(value: number): boolean {
  return [1, 1e3, 1e6, 1e9].some((unit) => value >= 1e9 * unit && value < 4e9 * unit);
}

/** The names that `fieldsOfColumns` returns. */
export function fieldNames(columns: string[]): string[] {
  return fieldsOfColumns(columns).map(({ name }) => name);
}

/**
 * Fields for columns, with the units in the columns' names; an empty unit is unknown. Columns can have any name, but names of fields must be
 * words that telemetry messages do not reserve. A unit is not part of the name, unless only the text in brackets distinguishes two columns:
 * `sensor (A)` and `sensor (B)` are two sensors, not one in amperes.
 */
export function fieldsOfColumns(columns: string[]): { name: string; unit: string }[] {
  const parts = columns.map(columnUnit);
  const names: string[] = [];
  return columns.map((column, c) => {
    const { stem, unit } = parts[c]!;
    const alike = parts.filter((part) => wordOf(part.stem) === wordOf(stem));
    const isUnit = unit !== null && alike.every((part) => part.unit !== null);
    const word = wordOf(isUnit && alike.length === 1 ? stem : column);
    const name = telemetryNames.has(word) ? `_${word}` : word;
    names.push(names.includes(name) ? `${name}_${names.length + 1}` : name);
    return { name: names[c]!, unit: isUnit ? unit : '' };
  });
}

function wordOf(name: string): string {
  return name
    .trim()
    .replace(/[^A-Za-z0-9_]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .replace(/^(?=\d|$)/, '_');
}

/** The roles of a file's columns, for a file that is not in memory. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_CSV_COLUMNS */
export async function rolesInFile(file: string, labelColumn?: string) {
  await requireFile(file);
  const handle = await open(file).catch((error: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${file} (${systemCode(error)})`, {
      cause: error,
    });
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    const { names, cells, separators } = firstCells(buffer.subarray(0, bytesRead), file);
    return { ...rolesOf(names, labelColumn, cells), names, cells, separators };
  } finally {
    await handle.close();
  }
}

/** Number of rows whose cells decide whether a column contains times. */
const mostCells = 200;

/** Bytes that contain these rows, except in files with very many columns. */
const headBytes = 1 << 16;

/**
 * The first cells of each column of a CSV file, and the names of the columns. Quotes around cells are removed.
 * @param bytes the whole file, or its start
 * @throws AIOT_CSV_COLUMNS, AIOT_FILE_MALFORMED (not UTF-8)
 */
export function firstCells(
  bytes: Uint8Array,
  file: string,
): { names: string[]; cells: string[][]; separators: Separators | null } {
  const names = csvColumns(bytes, file);
  const head = createCommaSeparated()(bytes.subarray(0, headBytes));
  const lines = Buffer.from(head).toString('utf8').split(/\r?\n/).slice(1);
  // The last line may be incomplete.
  if (lines.length > 1) lines.pop();
  const rows = lines.slice(0, mostCells).map((line) => line.split(','));
  const cells = names.map((_, c) => rows.flatMap((row) => row[c] ?? []).map(bare));
  return { names, cells, separators: separatorsOf(bytes) };
}

function bare(cell: string): string {
  return cell.trim().replace(/^"(.*)"$/, '$1');
}

/** A column that contains the time of each row. */
export const timeColumnSchema = z.object({
  name: z.string(),
  /** Null if its values are not times that can be read. */
  unit: z.enum(['ns', 'us', 'ms', 's', 'min', 'h', 'date']).nullable(),
  /** Whether the times are since 1970. */
  sinceEpoch: z.boolean(),
  /** Rate according to the column, Hz; null if it cannot be computed. */
  rateHz: z.number().nullable(),
});

export type TimeColumn = z.output<typeof timeColumnSchema>;

/** Describes a time column. @param cells all of its cells */
export function timeColumnOf(name: string, cells: string[]): TimeColumn & { seconds: Float64Array | null } {
  const seconds = secondsOf(name, cells);
  if (!seconds) return { name, unit: null, sinceEpoch: false, rateHz: null, seconds };
  const unit = isNumber(cells[0] ?? '') ? unitOf(name, Float64Array.from(cells, Number)) : 'date';
  return { name, unit, ...epochAndRate(seconds), seconds };
}

/** @param seconds times in seconds */
function epochAndRate(seconds: Float64Array): Pick<TimeColumn, 'sinceEpoch' | 'rateHz'> {
  const step = typicalStep(seconds);
  return { sinceEpoch: isEpoch(seconds[0] ?? 0), rateHz: step > 0 ? rounded(1 / step) : null };
}

/** Rounds a rate to a whole number if it is within 0.5 % of one, because timestamps are rounded: 99.99 Hz becomes 100. */
function rounded(hz: number): number {
  const whole = Math.round(hz);
  return Math.abs(hz - whole) < 0.005 * hz ? whole : Number(hz.toPrecision(4));
}

/** A number, or the time of day, such as 9:05:01.25. */
const number = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const timeOfDay = /^(\d{1,2}):(\d\d):(\d\d(?:[.,]\d+)?)$/;

/** A date that begins with the year, with or without a time of day. Other orders are ambiguous. */
const date = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|UTC|[-+]\d\d(:?\d\d)?)?)?$/i;

function isNumber(cell: string): boolean {
  return number.test(cell);
}

/**
 * Converts times to seconds. Numbers have the unit of `unitOf`. Other text is a date, or the time of day. Null if any value is not a time.
 */
export function secondsOf(name: string, texts: string[]): Float64Array | null {
  const out = new Float64Array(texts.length);
  const numeric = isNumber(bare(texts[0] ?? ''));
  const named = timeName(name) !== null;
  for (let i = 0; i < texts.length; i++) {
    const text = bare(texts[i]!);
    out[i] = numeric ? Number(text) : dateSeconds(text, named);
    if (text === '' || !Number.isFinite(out[i]!)) return null;
  }
  if (!numeric) return out;
  const unit = secondsPerUnit(name, out);
  for (let i = 0; i < out.length; i++) out[i] = out[i]! * unit;
  return out;
}

/**
 * Seconds since 1970 or, for a time of day, since midnight; NaN if the text is neither.
 * @param named whether the column's name indicates that it contains times; its dates may then have any form that JavaScript parses
 */
function dateSeconds(text: string, named: boolean): number {
  const ofDay = timeOfDay.exec(text);
  if (ofDay) return Number(ofDay[1]) * 3600 + Number(ofDay[2]) * 60 + Number(ofDay[3]!.replace(',', '.'));
  return named || date.test(text) ? Date.parse(text.replace(/\s?UTC$/i, 'Z')) / 1000 : Number.NaN;
}

/** Larger times, in seconds, are since 1970; smaller ones have another origin. */
const epochSeconds = 1e8;

export function isEpoch(seconds: number): boolean {
  return seconds > epochSeconds;
}

/** Seconds per unit of a time column of numbers. */
export function secondsPerUnit(name: string, values: Float64Array): number {
  return secondsPer[unitOf(name, values)];
}

/**
 * The unit of a time column of numbers: the unit in the column's name; without one, times since 1970 show it by their magnitude. Other
 * times are in ms if the median step is at least 1, otherwise in s.
 */
function unitOf(name: string, values: Float64Array): TimeUnit {
  const named = timeName(name)?.unit;
  if (named) return named;
  const size = Math.abs(values[0] ?? 0);
  if (size > 1e17) return 'ns';
  if (size > 1e14) return 'us';
  if (size > 1e11) return 'ms';
  if (isEpoch(size)) return 's';
  return medianStep(values) >= 1 ? 'ms' : 's';
}

/** Median difference between neighbors. */
export function medianStep(values: Float64Array): number {
  if (values.length < 2) return 0;
  return stepsOf(values).sort()[(values.length - 1) >> 1]!;
}

function stepsOf(values: Float64Array): Float64Array {
  const steps = new Float64Array(Math.max(0, values.length - 1));
  for (let i = 0; i < steps.length; i++) steps[i] = values[i + 1]! - values[i]!;
  return steps;
}

/**
 * The step between samples: the mean of steps near the median one, because rounded timestamps at 60 Hz have steps of 16 and 17 ms. If most
 * steps are 0, as with times in whole seconds, it is the mean step from the first change to the last one.
 */
export function typicalStep(values: Float64Array): number {
  const median = medianStep(values);
  if (median < 0 || values.length < 2) return 0;
  if (median === 0) return coarseStep(values);
  const near = stepsOf(values).filter((step) => step > 0.5 * median && step < 1.5 * median);
  return near.reduce((sum, step) => sum + step, 0) / near.length;
}

/** The seconds at both ends of a recording are incomplete, so only those between two changes count. */
function coarseStep(values: Float64Array): number {
  const changes = [...stepsOf(values)].flatMap((step, i) => (step === 0 ? [] : [i + 1]));
  const [first = 0, last = 0] = [changes[0], changes.at(-1)];
  const [from, to] = last > first ? [first, last] : [0, values.length - 1];
  return Math.max(0, (values[to]! - values[from]!) / (to - from));
}
