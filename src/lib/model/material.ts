import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AiotError, hasCode } from '../core/errors.js';
import { defaultProject, loadProject, type Project } from '../core/project.js';
import { openDataset } from '../data/dataset/open.js';
import { missingLabels, openTableFile, type TableFile } from '../data/tables/table.js';
import type { Dataset } from '../data/types.js';
import type { TableShape } from '../formats/csv/table.js';
import { readTraining } from './files.js';
import type { TrainingFile } from './train/types.js';

/** Rows of a file, each of them one example. */
export interface Rows {
  table: TableFile;
  /** Absolute path. */
  file: string;
  /** Name of the column with labels or values. */
  label: string;
}

/** Material of a model: recordings, or the rows of a table. */
export interface Material {
  /** For a table: its digest and columns; it has no recordings. */
  dataset: Dataset;
  rows: Rows | null;
}

/**
 * The project in DIR. Where rows of a table are worked on (`data` is a file, or the folder holds a training of one), a folder
 * without aiot.yaml is one too, with every default.
 * @throws AIOT_FILE_NOT_FOUND (`data`), AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID
 */
export async function openModelProject(dir: string, data?: string): Promise<Project> {
  try {
    return await loadProject(dir);
  } catch (error) {
    if (!hasCode(error, 'AIOT_PROJECT_NOT_FOUND')) throw error;
    const project = defaultProject(dir);
    if (data !== undefined && !(await isThere(data))) {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `no such file: ${data}`, { cause: error });
    }
    if (data !== undefined && (await isFile(data))) return project;
    const before = await readTraining(project).catch(() => null);
    if (before?.source.kind === 'table') return project;
    throw error;
  }
}

/**
 * Opens what a step works on: `data` when it is given (a file is a table, a folder holds recordings), otherwise what
 * `training` was made of, otherwise the project's own recordings.
 * @throws AIOT_DATA_COLUMNS (`source.label` names no column), AIOT_USAGE (it is given beside recordings), AIOT_PROJECT_INVALID (recordings, and no stream that says what they are), and what opening throws
 */
export async function openMaterial(
  project: Project,
  source: DataSource,
  training?: TrainingFile,
): Promise<Material> {
  const before = training?.source.kind === 'table' ? training.source : null;
  const { table } = project.config.model;
  const own = table && resolve(project.dir, table.file);
  const trained = before && resolve(project.dir, before.file);
  const data = source.data ?? (source.dataset ? undefined : (trained ?? own));
  if (data !== undefined && (await isFile(data))) {
    const label = source.label ?? before?.label ?? table?.label ?? 'label';
    const material = await materialOfRows(resolve(data), { ...table, label });
    // After a training, another column is an outdated model first of all: `requireSameData` says so.
    if (before === null && source.label !== undefined && material.rows.table.kinds === null)
      throw missingLabels(data, source.label, material.rows.table.columns);
    return material;
  }
  if (source.label !== undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      '--label names a column of a table, and there are only recordings here',
      {
        next: 'Leave --label out: each recording has its label. For a table, add --data FILE.csv.',
      },
    );
  }
  if (own !== undefined && data === own) {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `no ${own} yet, which model.table in ${project.file} names`, {
      next: `Let it be written first (aiot up --project ${project.dir}), or give another table: --data FILE.csv`,
    });
  }
  if (Object.keys(project.config.stream.fields).length === 0 && !source.dataset) {
    if (source.data === undefined && before) {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `no ${trained} any more, which was trained on`, {
        next: 'Say where it is now: --data FILE.csv',
      });
    }
    throw new AiotError(
      'AIOT_PROJECT_INVALID',
      `${project.file}: stream.fields: names no field of recordings`,
      {
        next: 'Describe stream and signal in aiot.yaml (docs/project.md), or give a table of rows: --data FILE.csv',
      },
    );
  }
  return { dataset: await datasetOfSource(project, source), rows: null };
}

async function materialOfRows(
  file: string,
  shape: TableShape & { label: string },
): Promise<Material & { rows: Rows }> {
  const { label } = shape;
  const table = await openTableFile(file, shape);
  const name = file.replace(/^.*[/\\]/, '').replace(/\.[^.]*$/, '');
  const { columns, digest } = table;
  return {
    dataset: { name, fields: columns, rateHz: 1, recordings: [], digest },
    rows: { table, file, label },
  };
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Which recordings a step works on: the project's own unless told. Steps after training want those trained on. */
export interface DataSource {
  /** Opened already. */
  dataset?: Dataset;
  /** Folder to open instead of the project's `data`. */
  data?: string;
  /** Column of a table with labels or values; `label` unless told. */
  label?: string | undefined;
}

async function datasetOfSource(project: Project, { dataset, data }: DataSource): Promise<Dataset> {
  return dataset ?? (await openDataset(project, data));
}
