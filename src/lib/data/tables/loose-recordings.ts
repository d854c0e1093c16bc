import { basename } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import type { BadCell } from '../../formats/csv/cells.js';
import { csvColumns, parseLabelledCsv } from '../../formats/csv/parse.js';
import { decodePicture } from '../../vision/picture.js';
import { listIds } from '../check/report.js';
import { datasetOf } from '../dataset/open.js';
import { isPicture, labelOfName, soundAt } from '../dataset/read.js';
import { isSound, readSound } from '../dataset/sound.js';
import type { Part } from '../parts.js';
import type { Dataset, Recording } from '../types.js';
import { isEpoch, medianStep, rolesOf, secondsOf } from './columns.js';
import { type FoundFile, findFiles } from './files.js';

/** Source of the labels: `auto` = a label column if there is one, else the folders if there are several, else the names. */
export type LabelFrom = 'auto' | 'name' | 'folder' | 'column' | 'none' | `column:${string}`;

interface LooseOptions {
  /** Files and folders. */
  paths: string[];
  /** Hz; absent = from the time column, or 100 without one. */
  rateHz?: number;
  labelFrom?: LabelFrom;
  /** Recorded labels, to recognize a label in a file's name. */
  labels?: string[];
  /** Counts non-numeric cells instead of rejecting them. */
  lenient?: boolean;
}

/** Recordings that belong to no project, with details of their files. */
export interface Loose {
  dataset: Dataset;
  /** The dataset's recordings, in the order in which the files were given. */
  inOrder: Recording[];
  /** Details of each recording's file, by the recording's ID. */
  info: Map<string, Omit<LooseFile, 'columns' | 'labels'> & { part: Part | null }>;
  /** Source of the rate. */
  rateFrom: 'told' | 'time' | 'assumed';
  labelFrom: 'name' | 'folder' | 'column' | 'none';
  /** Whether the folder is split already, by subfolders such as train and test. */
  hasParts: boolean;
}

/** Assumed rate of a recording that does not state one, Hz. */
export const assumedHz = 100;

/**
 * Opens CSV and sound files that belong to no project, one after another. A recording's ID is its path relative to the given folder.
 * @throws AIOT_DATA_EMPTY, AIOT_CSV_COLUMNS (other fields than the first file), AIOT_FILE_NOT_FOUND, AIOT_CSV_*
 */
export async function openLoose(options: LooseOptions): Promise<Loose> {
  const { paths, labelFrom = 'auto', labels = [], lenient } = options;
  const { base, files } = await findFiles(paths);
  const labelColumn = labelFrom.startsWith('column:') ? labelFrom.slice('column:'.length) : undefined;
  const read: { found: FoundFile; file: LooseFile }[] = [];
  for (const found of files) {
    read.push({ found, file: await readLooseFile(found.path, { labelColumn, lenient }) });
    refuseOtherFields(read[0]!, read.at(-1)!);
  }
  const from =
    labelFrom === 'auto' ? guessed(read) : labelColumn ? 'column' : (labelFrom as Loose['labelFrom']);
  if (from === 'column') refuseUnlabelled(read);
  const told = options.rateHz;
  const byTime = read.flatMap(({ file }) => file.rateHz ?? []).sort((a, b) => a - b);
  const rateHz = told ?? byTime[byTime.length >> 1] ?? assumedHz;
  const { fields } = read[0]!.file;
  const recordings: Recording[] = [];
  const info: Loose['info'] = new Map();
  for (const { found, file } of read) {
    const { columns: _, labels: _labels, ...rest } = file;
    // The rate of sound is certain, unlike that of a time column.
    if (file.format === 'wav') file.columns = soundAt(rateHz, file.columns, file.rateHz ?? rateHz);
    for (const recording of recordingsOf(found, file, from, labels)) {
      recordings.push({ ...recording, rateHz, fields });
      info.set(recording.id, { ...rest, part: found.part });
    }
  }
  return {
    dataset: datasetOf(basename(base), { fields, rateHz }, recordings),
    inOrder: recordings,
    info,
    rateFrom: told !== undefined ? 'told' : byTime.length > 0 ? 'time' : 'assumed',
    labelFrom: from,
    hasParts: files.some(({ part }) => part !== null),
  };
}

function guessed(read: { found: FoundFile; file: LooseFile }[]): Loose['labelFrom'] {
  if (read.every(({ file }) => file.labels !== null)) return 'column';
  const folders = new Set(read.map(({ found }) => found.folder));
  return folders.size > 1 ? 'folder' : 'name';
}

function refuseUnlabelled(read: { found: FoundFile; file: LooseFile }[]): void {
  const without = read.find(({ file }) => file.labels === null);
  if (!without) return;
  const got = listIds(without.file.fields);
  throw new AiotError(
    'AIOT_CSV_COLUMNS',
    `${without.found.path}:1:1: expected a column "label", got ${got}`,
    {
      next: 'Specify the label column: --label-from column:NAME.',
    },
  );
}

function refuseOtherFields(
  first: { found: FoundFile; file: LooseFile },
  other: { found: FoundFile; file: LooseFile },
): void {
  const wanted = first.file.fields;
  const got = other.file.fields;
  if (got.length !== wanted.length || wanted.some((name) => !got.includes(name))) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${other.found.path}:1:1: expected the columns ${listIds(wanted)} as in ${first.found.path}, got ${listIds(got)}`,
      { next: 'Check files with the same columns only.' },
    );
  }
  other.file.columns = wanted.map((name) => other.file.columns[got.indexOf(name)]!);
}

/** One recording per file. If the label column changes within the file, one for each stretch with the same label. */
function recordingsOf(
  found: FoundFile,
  file: LooseFile,
  from: Loose['labelFrom'],
  known: string[],
): Omit<Recording, 'rateHz' | 'fields'>[] {
  const { id, folder } = found;
  const { device, startedAt, columns } = file;
  const whole = {
    id,
    device,
    startedAt,
    columns,
    ...(file.format && { format: file.format }),
    ...(file.size && { size: file.size }),
  };
  if (from === 'none') return [{ ...whole, label: null }];
  if (from === 'name') return [{ ...whole, label: labelOfName(basename(id), known) }];
  if (from === 'folder') return [{ ...whole, label: folder === '' ? null : folder }];
  const labels = file.labels!;
  const starts = labels.flatMap((label, i) => (i === 0 || label !== labels[i - 1] ? [i] : []));
  if (starts.length === 1) return [{ ...whole, label: labels[0]! }];
  return starts.map((start, i) => {
    const end = starts[i + 1] ?? labels.length;
    const own = columns.map((column) => column.slice(start, end));
    return { ...whole, id: `${id}[${start + 1}-${end}]`, label: labels[start]!, columns: own };
  });
}

/** A gap in the timestamps: more than three steps, or a jump backward. */
interface Gap {
  /** Number of the row before the gap, from 1. */
  row: number;
  seconds: number;
}

/** Contents of a CSV file that belongs to no project. */
interface LooseFile {
  fields: string[];
  columns: Float64Array[];
  rows: number;
  /** Label of each row, from the label column; null if there is none. */
  labels: string[] | null;
  device: string | null;
  /** Rate of the sound, or from the file's own time column, Hz; null if there is neither. */
  rateHz: number | null;
  /** Time of the first row, ms since 1970, if the time column contains such times. */
  startedAt: number | null;
  /** `wav`: sound, whose columns are named like a microphone's. `png`: a picture. Absent = CSV. */
  format?: 'wav' | 'png';
  /** Size of a picture, in pixels. */
  size?: Recording['size'];
  gaps: Gap[];
  /** Non-numeric cells, which become NaN in the columns: the first few, and the total number. */
  bad: { first: BadCell[]; count: number };
}

interface ReadOptions {
  /** Name of the label column, instead of the usual names. */
  labelColumn?: string;
  /** Counts non-numeric cells instead of rejecting them. */
  lenient?: boolean;
  /** Hz to which WAV files are resampled; absent = they keep their own. */
  rateHz?: number;
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS (no field, or not the named label column), AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED, AIOT_PROGRAM_NOT_FOUND (sound that needs ffmpeg) */
export async function readLooseFile(file: string, options: ReadOptions = {}): Promise<LooseFile> {
  const bytes = await readBytes(file);
  if (isSound(file)) return await looseSound(bytes, file, options.rateHz);
  if (isPicture(file)) return await loosePicture(bytes, file, options.rateHz);
  const names = csvColumns(bytes, file);
  const { labelColumn, lenient } = options;
  if (labelColumn !== undefined && !names.includes(labelColumn)) {
    const got = names.join(', ');
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a column "${labelColumn}", got ${got}`, {
      next: 'Specify the label column: --label-from column:NAME.',
    });
  }
  const roles = rolesOf(names, labelColumn);
  const asText = [roles.time, roles.label, roles.device, roles.take].filter((name) => name !== null);
  const bad: LooseFile['bad'] = { first: [], count: 0 };
  const onBad = (cell: BadCell) => {
    bad.count++;
    if (bad.first.length < 5) bad.first.push(cell);
  };
  const { columns, data, texts, rows } = parseLabelledCsv(bytes, file, asText, lenient ? onBad : undefined);
  const wanted = new Set(roles.fields);
  const fields = columns.filter((name) => wanted.has(name));
  if (fields.length === 0) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:1:1: expected a column of numbers, got ${names.join(', ')}`,
    );
  }
  const times = roles.time === null ? null : secondsOf(roles.time, texts[roles.time]!);
  const step = times ? medianStep(times) : 0;
  const start = times?.[0] ?? 0;
  return {
    fields,
    columns: data.filter((_, c) => wanted.has(columns[c]!)),
    rows,
    labels: roles.label === null ? null : texts[roles.label]!,
    device: roles.device === null ? null : texts[roles.device]![0]!,
    rateHz: step > 0 ? rounded(1 / step) : null,
    startedAt: isEpoch(start) ? start * 1000 : null,
    gaps: times && step > 0 ? gapsIn(times, step) : [],
    bad,
  };
}

/** @param rateHz Hz of the result; absent = the file's */
async function looseSound(bytes: Uint8Array, file: string, rateHz?: number): Promise<LooseFile> {
  const { channels, rateHz: own } = await readSound(bytes, file);
  const fields = channels.length === 1 ? ['sound'] : channels.map((_, i) => `sound${i}`);
  const columns = soundAt(rateHz ?? own, channels, own);
  return {
    ...{ fields, columns, rows: columns[0]!.length, labels: null, device: null },
    rateHz: rateHz ?? own,
    startedAt: null,
    format: 'wav',
    gaps: [],
    bad: { first: [], count: 0 },
  };
}

/** A picture in its own size: one column if it is gray, otherwise red, green and blue. Without a rate it takes one second. */
async function loosePicture(bytes: Uint8Array, file: string, rateHz?: number): Promise<LooseFile> {
  const { width, height, data } = await decodePicture(bytes, file);
  const pixels = width * height;
  const planes = [0, 1, 2].map((c) => Float64Array.from({ length: pixels }, (_, i) => data[3 * i + c]!));
  const gray = planes[0]!.every((value, i) => value === planes[1]![i] && value === planes[2]![i]);
  return {
    fields: gray ? ['gray'] : ['red', 'green', 'blue'],
    columns: gray ? planes.slice(0, 1) : planes,
    ...{ rows: pixels, labels: null, device: null, rateHz: rateHz ?? pixels, startedAt: null },
    format: 'png',
    size: { width, height },
    gaps: [],
    bad: { first: [], count: 0 },
  };
}

/** Rounds a rate to a whole number if it is within 0.5 % of one, because timestamps are rounded: 99.99 Hz becomes 100. */
function rounded(hz: number): number {
  const whole = Math.round(hz);
  return Math.abs(hz - whole) < 0.005 * hz ? whole : Number(hz.toPrecision(4));
}

function gapsIn(times: Float64Array, step: number): Gap[] {
  const gaps: Gap[] = [];
  for (let i = 1; i < times.length; i++) {
    const seconds = times[i]! - times[i - 1]!;
    if (seconds > 3 * step || seconds < 0) gaps.push({ row: i, seconds });
  }
  return gaps;
}
