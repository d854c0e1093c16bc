import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AiotError, hasCode } from '../core/errors.js';
import { defaultProject, loadProject, type Project } from '../core/project.js';
import { openDataset } from '../data/dataset/open.js';
import { missingLabels, openTableFile, type TableFile, withoutTimes } from '../data/tables/table.js';
import type { Dataset } from '../data/types.js';
import type { TableShape } from '../formats/csv/table.js';
import { readTraining } from './files.js';
import type { TrainingFile } from './train/types.js';

/** The rows of a table file; each row is one example. */
export interface Rows {
  table: TableFile;
  /** Absolute path. */
  file: string;
  /** Name of the column with labels or values. */
  label: string;
}

/** Data for a model: recordings, or the rows of a table. */
export interface Material {
  /** The dataset. A table has no recordings, so only its digest and columns are set. */
  dataset: Dataset;
  rows: Rows | null;
}

/**
 * Opens the project in DIR. A folder without aiot.yaml is also accepted for a table: if `data` is a file, or the folder contains a training
 * run on a table. All settings then have their defaults.
 * @throws AIOT_FILE_NOT_FOUND (`data`), AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID
 */
export async function openModelProject(dir: string, data?: string): Promise<Project> {
  try {
    return await loadProject(dir);
  } catch (error) {
    if (!hasCode(error, 'AIOT_PROJECT_NOT_FOUND')) throw error;
    const project = defaultProject(dir);
    if (data !== undefined && !(await isThere(data))) {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `the file or folder ${data} does not exist`, {
        cause: error,
      });
    }
    if (data !== undefined && (await isFile(data))) return project;
    const before = await readTraining(project).catch(() => null);
    if (before?.source.kind === 'table') return project;
    throw error;
  }
}

/**
 * Opens the data for a step: `data` if given (a file is a table, a folder contains recordings), otherwise the data of `training`, otherwise
 * the project's own table or recordings.
 * @throws AIOT_DATA_COLUMNS (`source.label` is not a column), AIOT_USAGE (`source.label` is given, but the data is recordings),
 *   AIOT_PROJECT_INVALID (recordings without a stream that describes them), and any error from opening the data
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
    // After training, a missing label column means that the model is outdated, which `requireSameData` reports later.
    if (before === null && source.label !== undefined && material.rows.table.kinds === null)
      throw missingLabels(data, source.label, material.rows.table.columns);
    return material;
  }
  if (source.label !== undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      '--label names a column of a table, but this project has only recordings',
      {
        next: 'Omit --label: each recording has its label. For a table, add --data FILE.csv.',
      },
    );
  }
  if (own !== undefined && data === own) {
    throw new AiotError(
      'AIOT_FILE_NOT_FOUND',
      `${own}, which model.table in ${project.file} names, does not exist yet`,
      {
        next: `Record it with \`aiot up --project ${project.dir}\`, or specify another table: --data FILE.csv`,
      },
    );
  }
  if (Object.keys(project.config.stream.fields).length === 0 && !source.dataset) {
    if (source.data === undefined && before) {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `${trained}, the training table, no longer exists`, {
        next: 'Specify its new path: --data FILE.csv',
      });
    }
    throw new AiotError(
      'AIOT_PROJECT_INVALID',
      `${project.file}: stream.fields: lists no fields of recordings`,
      {
        next: 'Describe stream and signal in aiot.yaml (see `aiot docs project`), or specify a table of rows: --data FILE.csv',
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
  const table = await openTableFile(file, await withoutTimes(file, shape));
  const name = file.replace(/^.*[/\\]/, '').replace(/\.[^.]*$/, '');
  const { columns, digest } = table;
  return {
    dataset: { name, fields: columns, rateHz: 1, recordings: [], digest },
    rows: { table, file, label },
  };
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Data that a step uses. Default: the project's own. Steps after training need the same data. */
export interface DataSource {
  /** Already opened data. */
  dataset?: Dataset;
  /** Folder of recordings, or table, to open instead of the project's own. */
  data?: string;
  /** The table column with labels or values. Default: `label`. */
  label?: string | undefined;
}

async function datasetOfSource(project: Project, { dataset, data }: DataSource): Promise<Dataset> {
  return dataset ?? (await openDataset(project, data));
}
