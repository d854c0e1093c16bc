import { basename } from 'node:path';
import { AiotError } from '../../core/errors.js';
import type { Separators } from '../../formats/csv/cells.js';
import { listIds } from '../check/report.js';
import { datasetOf } from '../dataset/open.js';
import { labelOfName, soundAt } from '../dataset/read.js';
import type { Part } from '../parts.js';
import type { Dataset, Recording } from '../types.js';
import type { TimeColumn } from './columns.js';
import { type FoundFile, findFiles } from './files.js';
import { type LooseFile, readLooseFile } from './loose-file.js';

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
  info: Map<string, Omit<LooseFile, 'columns' | 'labels' | 'times'> & { part: Part | null }>;
  /** Source of the rate. */
  rateFrom: 'told' | 'time' | 'assumed';
  /** Time column of the first file that has one; null if there is none. */
  time: TimeColumn | null;
  /** How the cells of the first file that does not use commas are separated; null if all use commas. */
  separators: Separators | null;
  labelFrom: 'name' | 'folder' | 'column' | 'none';
  /** Whether the folder is split already, by subfolders such as train and test. */
  hasParts: boolean;
}

/** Assumed rate of a recording that does not state one, Hz. */
export const assumedHz = 100;

/**
 * Opens CSV and sound files that belong to no project, one file at a time. A recording's ID is its path relative to the given folder.
 * @throws AIOT_DATA_EMPTY, AIOT_CSV_COLUMNS (fields other than the first file's), AIOT_FILE_NOT_FOUND, AIOT_CSV_*
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
    const { columns: _, labels: _labels, times: _times, ...rest } = file;
    // The rate of sound is certain, unlike that of a time column.
    if (file.format === 'wav') file.columns = soundAt(rateHz, file.columns, file.rateHz ?? rateHz);
    for (const { start, end, ...recording } of recordingsOf(found, file, from, labels)) {
      recordings.push({ ...recording, rateHz, fields });
      const gaps = rest.gaps.flatMap(({ row, seconds }) =>
        row > start && row < end ? [{ row: row - start, seconds }] : [],
      );
      info.set(recording.id, { ...rest, gaps, part: found.part });
    }
  }
  return {
    dataset: datasetOf(basename(base), { fields, rateHz }, recordings),
    inOrder: recordings,
    info,
    rateFrom: told !== undefined ? 'told' : byTime.length > 0 ? 'time' : 'assumed',
    time: read.find(({ file }) => file.time)?.file.time ?? null,
    separators: read.find(({ file }) => file.separators)?.file.separators ?? null,
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
      { next: 'Check only files that have the same columns.' },
    );
  }
  other.file.columns = wanted.map((name) => other.file.columns[got.indexOf(name)]!);
}

/** Minimum pause at which a table of several recordings is divided, in s and in samples. The sensor's own delays are shorter. */
const pause = { seconds: 1, samples: 10 };

/**
 * Returns one recording per file or, with a label column, one for each stretch of rows that have the same label and no pause between them.
 * `start` and `end`: its rows in the file.
 */
function recordingsOf(
  found: FoundFile,
  file: LooseFile,
  from: Loose['labelFrom'],
  known: string[],
): (Omit<Recording, 'rateHz' | 'fields'> & { start: number; end: number })[] {
  const { id, folder } = found;
  const { device, startedAt, columns } = file;
  const whole = {
    id,
    device,
    startedAt,
    columns,
    ...(file.format && { format: file.format }),
    ...(file.size && { size: file.size }),
    ...{ start: 0, end: file.rows },
  };
  if (from === 'none') return [{ ...whole, label: null }];
  if (from === 'name') return [{ ...whole, label: labelOfName(basename(id), known) }];
  if (from === 'folder') return [{ ...whole, label: folder === '' ? null : folder }];
  const labels = file.labels!;
  const least = Math.max(pause.seconds, pause.samples / (file.rateHz ?? Number.POSITIVE_INFINITY));
  const paused = new Set(
    file.gaps.flatMap(({ row, seconds }) => (seconds < 0 || seconds >= least ? [row] : [])),
  );
  const starts = labels.flatMap((label, i) =>
    i === 0 || label !== labels[i - 1] || paused.has(i) ? [i] : [],
  );
  if (starts.length === 1) return [{ ...whole, label: labels[0]! }];
  return starts.map((start, i) => {
    const end = starts[i + 1] ?? labels.length;
    const own = columns.map((column) => column.slice(start, end));
    return {
      ...{ ...whole, id: `${id}[${start + 1}-${end}]`, label: labels[start]! },
      ...{ columns: own, start, end },
      startedAt: startedAt === null ? null : file.times![start]! * 1000,
    };
  });
}
