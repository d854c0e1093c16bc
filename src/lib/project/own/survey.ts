import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AiotError } from '../../core/index.js';
import { assumedHz, dataStatistics, type LabelFrom, type Loose, openLoose } from '../../data/index.js';

/** What is seen of somebody's data before a project is made of it. */
export interface Survey {
  /** Absolute path of the folder or file. */
  path: string;
  /** `recordings`: a folder of takes over time; `rows`: a file of examples. */
  kind: 'recordings' | 'rows';
  /** Recordings, or rows. */
  count: number;
  /** Inputs: the columns of numbers that are neither label nor time. */
  fields: string[];
  /** What is not numbers, nor known to be anything else. */
  ignored: string[];
  /** Column that holds the labels of rows; null of recordings and without one. */
  labelColumn: string | null;
  /** Where labels were found: `none` when nothing has one. */
  labelFrom: Loose['labelFrom'];
  /** Recordings (or rows) a label, the most frequent first. */
  labels: Record<string, number>;
  /** Whether the labels are measured values rather than classes. */
  measured: boolean;
  /** Hz; null of rows. */
  rateHz: number | null;
  rateFrom: Loose['rateFrom'] | null;
  /** Of recordings: what they are made of. */
  loose: Loose | null;
}

export interface SurveyOptions {
  /** Folder of CSV recordings, or a CSV file of rows. */
  path: string;
  labelFrom?: LabelFrom | undefined;
  /** Hz, of recordings. */
  rateHz?: number | undefined;
}

/** Columns may be called anything, fields of a project are words. */
function fieldNames(columns: string[]): string[] {
  const names: string[] = [];
  for (const column of columns) {
    const name = column
      .trim()
      .replace(/[^A-Za-z0-9_]+/g, '_')
      .replace(/^_+|_+$/g, '')
      .replace(/^(?=\d|$)/, '_');
    names.push(names.includes(name) ? `${name}_${names.length + 1}` : name);
  }
  return names;
}

/** From so many different numbers on, a label is a value that was measured. */
const leastValues = 20;

/**
 * Looks at data of one's own: what its columns are, where its labels are, how often it was measured.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_DATA_EMPTY, AIOT_CSV_*, AIOT_USAGE (what does not go with rows)
 */
export async function surveyData(options: SurveyOptions): Promise<Survey> {
  const path = resolve(options.path);
  const found = await stat(path).catch(() => null);
  if (!found) throw new AiotError('AIOT_FILE_NOT_FOUND', `no such file or folder: ${path}`);
  return found.isDirectory()
    ? await surveyRecordings({ ...options, path })
    : await surveyRows({ ...options, path });
}

async function surveyRecordings({ path, labelFrom, rateHz }: SurveyOptions): Promise<Survey> {
  const loose = await openLoose({
    paths: [path],
    ...(labelFrom !== undefined && { labelFrom }),
    ...(rateHz !== undefined && { rateHz }),
  });
  const { dataset, rateFrom } = loose;
  const labels = counted(dataset.recordings.flatMap(({ label }) => label ?? []));
  return {
    path,
    kind: 'recordings',
    count: dataset.recordings.length,
    fields: fieldNames(dataset.fields),
    ignored: [],
    labelColumn: null,
    labelFrom: Object.keys(labels).length === 0 ? 'none' : loose.labelFrom,
    labels,
    measured: false,
    rateHz: rateFrom === 'assumed' ? assumedHz : dataset.rateHz,
    rateFrom,
    loose,
  };
}

async function surveyRows({ path, labelFrom = 'auto', rateHz }: SurveyOptions): Promise<Survey> {
  const column = labelFrom.startsWith('column:') ? labelFrom.slice('column:'.length) : undefined;
  if (rateHz !== undefined || labelFrom === 'name' || labelFrom === 'folder') {
    const flag = rateHz !== undefined ? '--rate' : `--label-from ${labelFrom}`;
    throw new AiotError('AIOT_USAGE', `${flag} is for a folder of recordings; ${path} is a file of rows`, {
      next: 'Name the folder, or the column that holds the labels: --label-from column:NAME',
    });
  }
  const seen = await dataStatistics({ path, label: column });
  const inputs = seen.fields.filter(({ kind }) => kind === 'number');
  if (inputs.length === 0) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${path}: expected columns of numbers, got ${seen.fields.map(({ name }) => name).join(', ')}`,
    );
  }
  const label = labelFrom === 'none' ? null : seen.label;
  const words = label?.categories ?? [];
  const labels = Object.fromEntries(words.map(({ word, count }) => [word, count]));
  return {
    path,
    kind: 'rows',
    count: seen.rows,
    fields: inputs.map(({ name }) => name),
    ignored: [...seen.ignored, ...seen.fields.filter(({ kind }) => kind === 'text').map(({ name }) => name)],
    labelColumn: label?.name ?? null,
    labelFrom: label ? 'column' : 'none',
    labels,
    measured:
      label !== null &&
      words.every(({ word }) => Number.isFinite(Number(word))) &&
      (words.length === 0 || words.length >= leastValues),
    rateHz: null,
    rateFrom: null,
    loose: null,
  };
}

function counted(labels: string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}
