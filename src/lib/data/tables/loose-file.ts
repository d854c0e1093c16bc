import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import { shellWord } from '../../core/text.js';
import type { BadCell, Separators } from '../../formats/csv/cells.js';
import { parseLabelledCsv } from '../../formats/csv/parse.js';
import { decodePicture } from '../../vision/picture.js';
import { listIds } from '../check/report.js';
import { type Expected, idOfFile, isPicture, labelOfName, soundAt } from '../dataset/read.js';
import { isSound, readSound } from '../dataset/sound.js';
import type { Recording } from '../types.js';
import { fieldNames, firstCells, rolesOf, type TimeColumn, timeColumnOf, typicalStep } from './columns.js';

/** A gap in the timestamps: more than three steps, or a jump backward. */
interface Gap {
  /** Number of the row before the gap, from 1. */
  row: number;
  seconds: number;
}

/** Contents of a CSV file that belongs to no project. */
export interface LooseFile {
  fields: string[];
  columns: Float64Array[];
  rows: number;
  /** Label of each row, from the label column; null if there is none. */
  labels: string[] | null;
  device: string | null;
  /** The time column; null if there is none. */
  time: TimeColumn | null;
  /** Rate of the sound, or from the file's own time column, Hz; null if there is neither. */
  rateHz: number | null;
  /** Time of the first row, ms since 1970, if the time column contains such times. */
  startedAt: number | null;
  /** Time of each row, s, with the origin of the time column; null if there is none. */
  times: Float64Array | null;
  /** `wav`: sound, whose columns are named like a microphone's. `png`: a picture. Absent = CSV. */
  format?: 'wav' | 'png';
  /** Size of a picture, in pixels. */
  size?: Recording['size'];
  gaps: Gap[];
  /** Number of steps between consecutive timestamps, of steps of zero, and of backward steps; null without a time column. */
  steps: { all: number; repeated: number; backward: number } | null;
  /** Columns that are named like a time column but whose values rise and fall. They are fields. */
  notTimes: string[];
  /** How the cells are separated; null = by commas. */
  separators: Separators | null;
  /** Non-numeric cells, which become NaN in the columns: the first few, and the total number. */
  bad: { first: BadCell[]; count: number };
}

interface ReadOptions {
  /** Name of the label column, instead of the usual names. */
  labelColumn?: string;
  /** Counts non-numeric cells instead of rejecting them. */
  lenient?: boolean;
  /** Ignores columns of words instead of rejecting them. */
  ignoreWords?: boolean;
  /** Hz to which WAV files are resampled; absent = they are not resampled. */
  rateHz?: number;
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS (no field, or not the named label column), AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED, AIOT_PROGRAM_NOT_FOUND (sound that needs ffmpeg) */
export async function readLooseFile(file: string, options: ReadOptions = {}): Promise<LooseFile> {
  const bytes = await readBytes(file);
  if (isSound(file)) return await looseSound(bytes, file, options.rateHz);
  if (isPicture(file)) return await loosePicture(bytes, file, options.rateHz);
  const { names, cells, separators } = firstCells(bytes, file);
  const { labelColumn, lenient } = options;
  if (labelColumn !== undefined && !names.includes(labelColumn)) {
    const got = names.join(', ');
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a column "${labelColumn}", got ${got}`, {
      next: 'Specify the label column: --label-from column:NAME.',
    });
  }
  const roles = rolesOf(names, labelColumn, cells);
  const words = lenient ? [] : wordColumns(roles.fields, names, cells);
  if (words.length > 0 && !options.ignoreWords)
    throw wordsError(file, roles, { name: words[0]!, names, cells });
  const asText = [roles.time, roles.label, roles.device, roles.take, ...roles.counter, ...words];
  const bad: LooseFile['bad'] = { first: [], count: 0 };
  const onBad = (cell: BadCell) => {
    bad.count++;
    if (bad.first.length < 5) bad.first.push(cell);
  };
  const { columns, data, texts, rows } = parseLabelledCsv(
    bytes,
    file,
    (name) => asText.includes(name),
    lenient ? onBad : undefined,
  );
  const wanted = new Set(roles.fields.filter((name) => !words.includes(name)));
  const fields = columns.filter((name) => wanted.has(name));
  if (fields.length === 0) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:1:1: expected a column of numbers, got ${names.join(', ')}`,
    );
  }
  const time = roles.time === null ? null : timeColumnOf(roles.time, texts[roles.time]!);
  const times = time?.seconds ?? null;
  const step = times ? typicalStep(times) : 0;
  return {
    fields,
    columns: data.filter((_, c) => wanted.has(columns[c]!)),
    rows,
    labels: roles.label === null ? null : texts[roles.label]!,
    device: roles.device === null ? null : texts[roles.device]![0]!,
    time: time && { name: time.name, unit: time.unit, sinceEpoch: time.sinceEpoch, rateHz: time.rateHz },
    rateHz: time?.rateHz ?? null,
    startedAt: time?.sinceEpoch ? times![0]! * 1000 : null,
    times,
    gaps: times && step > 0 ? gapsIn(times, step) : [],
    steps: times && countSteps(times),
    notTimes: roles.notTimes,
    separators,
    bad,
  };
}

/** Columns whose first cells are all words. Single words among numbers are reported with their line when the cells are read. */
function wordColumns(fields: string[], names: string[], cells: string[][]): string[] {
  return fields.filter((name) => {
    const own = cells[names.indexOf(name)] ?? [];
    return own.length > 0 && own.every(isWord);
  });
}

/** The mark of a failed measurement, such as `NaN`, does not count as a word. */
const isWord = (cell: string) =>
  cell !== '' && Number.isNaN(Number(cell)) && !/^[-+]?(nan|inf|infinity)$/i.test(cell.trim());

/** The error for a text column, which is usually the label column under a name that the user chose. */
function wordsError(
  file: string,
  { time, label }: ReturnType<typeof rolesOf>,
  { name, names, cells }: { name: string; names: string[]; cells: string[][] },
): AiotError {
  const example = cells[names.indexOf(name)]![0]!;
  const rows = time === null ? ' If each row is an example of its own, pass the file, not its folder.' : '';
  const labels = `If these are the labels, add --label-from ${shellWord(`column:${name}`)}.${rows} Otherwise, remove the column.`;
  return new AiotError(
    'AIOT_CSV_COLUMNS',
    `${file}:1:1: the column "${name}" contains words, such as "${example}"; expected numbers`,
    { next: label === null ? labels : 'Remove the column.' },
  );
}

const noTimes = { times: null, gaps: [], steps: null, notTimes: [] };

/** @param rateHz Hz of the result; absent = the file's rate */
async function looseSound(bytes: Uint8Array, file: string, rateHz?: number): Promise<LooseFile> {
  const { channels, rateHz: own } = await readSound(bytes, file);
  const fields = channels.length === 1 ? ['sound'] : channels.map((_, i) => `sound${i}`);
  const columns = soundAt(rateHz ?? own, channels, own);
  return {
    ...{ fields, columns, rows: columns[0]!.length, labels: null, device: null, time: null },
    rateHz: rateHz ?? own,
    startedAt: null,
    format: 'wav',
    ...noTimes,
    separators: null,
    bad: { first: [], count: 0 },
  };
}

/** Reads a picture in its own size: one column if it is gray, otherwise red, green and blue. Without a rate, it takes one second. */
async function loosePicture(bytes: Uint8Array, file: string, rateHz?: number): Promise<LooseFile> {
  const { width, height, data } = await decodePicture(bytes, file);
  const pixels = width * height;
  const planes = [0, 1, 2].map((c) => Float64Array.from({ length: pixels }, (_, i) => data[3 * i + c]!));
  const gray = planes[0]!.every((value, i) => value === planes[1]![i] && value === planes[2]![i]);
  return {
    fields: gray ? ['gray'] : ['red', 'green', 'blue'],
    columns: gray ? planes.slice(0, 1) : planes,
    ...{ rows: pixels, labels: null, device: null, time: null, rateHz: rateHz ?? pixels, startedAt: null },
    format: 'png',
    size: { width, height },
    ...noTimes,
    separators: null,
    bad: { first: [], count: 0 },
  };
}

function countSteps(times: Float64Array): NonNullable<LooseFile['steps']> {
  const counts = { all: Math.max(0, times.length - 1), repeated: 0, backward: 0 };
  for (let i = 1; i < times.length; i++) {
    if (times[i] === times[i - 1]) counts.repeated++;
    else if (times[i]! < times[i - 1]!) counts.backward++;
  }
  return counts;
}

function gapsIn(times: Float64Array, step: number): Gap[] {
  const gaps: Gap[] = [];
  // A coarse clock stays the same for several rows, then changes by one tick.
  const ticks = times.map((time, i) => (i === 0 ? 0 : time - times[i - 1]!)).filter((change) => change > 0);
  const tick = ticks.sort()[ticks.length >> 1] ?? 0;
  const most = Math.max(3 * step, 1.5 * tick);
  for (let i = 1; i < times.length; i++) {
    const seconds = times[i]! - times[i - 1]!;
    if (seconds > most || seconds < 0) gaps.push({ row: i, seconds });
  }
  return gaps;
}

/**
 * Reads a CSV file that has columns for the time, the device, the label or a counter besides the project's fields. Only the fields are
 * imported, even if their names contain characters that names of fields cannot have. The rate of the time column must match the project's,
 * unless the user specified the rate. Null if the file has other columns.
 * @throws AIOT_DATA_RATE, AIOT_CSV_COLUMNS (several labels), AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED
 */
export async function readWithRoles(
  file: string,
  expected: Expected,
  rateHz?: number,
): Promise<{ recording: Recording; time: TimeColumn | null } | null> {
  const { fields } = expected;
  const { names, cells } = firstCells(await readBytes(file), file);
  if (names.every((name) => fields.includes(name))) return null;
  const roles = rolesOf(names, undefined, cells).fields;
  const own = fieldNames(roles);
  const columns = fields.map((name) => roles[roles.includes(name) ? roles.indexOf(name) : own.indexOf(name)]);
  if (roles.length !== fields.length || columns.includes(undefined)) return null;
  const loose = await readLooseFile(file);
  const got = loose.rateHz;
  // Timestamps are rounded, often to milliseconds, so only a difference of more than a fifth is certain.
  if (rateHz === undefined && got !== null && Math.abs(got / expected.rateHz - 1) > 0.2) {
    throw new AiotError(
      'AIOT_DATA_RATE',
      `${file}: expected ${expected.rateHz} samples per second (signal.rate), got about ${got} according to its time column`,
      {
        next: `Set signal.rate in aiot.yaml. If the time column is wrong, pass \`--rate ${expected.rateHz}\`.`,
      },
    );
  }
  const labels = [...new Set(loose.labels ?? [])];
  if (labels.length > 1) {
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}: expected one label in a file, got ${listIds(labels)}`, {
      next: 'Split the file into one file for each label.',
    });
  }
  const id = idOfFile(file);
  const recording: Recording = {
    ...{ id, label: labels[0] ?? labelOfName(id, expected.labels), device: validName(loose.device) },
    ...{ rateHz: expected.rateHz, startedAt: loose.startedAt, fields },
    columns: columns.map((name) => loose.columns[loose.fields.indexOf(name!)]!),
  };
  return { recording, time: loose.time };
}

/** The device name in a column; null if it is not a valid name. */
function validName(name: string | null): string | null {
  return name !== null && namePattern.test(name) ? name : null;
}
