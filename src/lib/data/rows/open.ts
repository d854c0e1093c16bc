import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, loadProject, type Project } from '../../core/index.js';
import { readListing } from '../disk/listing.js';
import { readListed } from '../disk/read.js';
import { openLoose } from '../loose/open.js';
import { openDataset } from '../open.js';
import { rowsOfRecordings } from './of-recordings.js';
import { readCsvRows } from './read-csv.js';
import type { Rows, RowsOptions } from './types.js';

/**
 * Opens whatever holds rows: a CSV file, a project's folder, the data folder of one, a folder of CSV recordings.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_CSV_*, AIOT_DATA_*, AIOT_PROJECT_INVALID
 */
export async function openRows(path: string, options: RowsOptions = {}): Promise<Rows> {
  const kind = await stat(path).catch(() => null);
  if (!kind) throw new AiotError('AIOT_FILE_NOT_FOUND', `no such file or folder: ${path}`);
  if (!kind.isDirectory()) return await readCsvRows(path, options);
  const names = await readdir(path);
  if (names.includes('aiot.yaml')) return chosen(await projectRows(await loadProject(path)), options, path);
  const listing = await readListing(path);
  if (listing) {
    const { fields } = listing;
    const rateHz = listing.recordings[0]?.rateHz ?? 1;
    const recordings = await readListed(path, listing, { fields, rateHz, labels: [] });
    return chosen(rowsOfRecordings(path, 'recordings', { fields, rateHz, recordings }), options, path);
  }
  const { dataset } = await openLoose({ paths: [path], lenient: true });
  return chosen(rowsOfRecordings(path, 'recordings', dataset), options, path);
}

/** A project's own recordings, or the table of rows that it names. @param folder instead of its own data */
export async function projectRows(project: Project, folder?: string): Promise<Rows> {
  const { table } = project.config.model;
  if (table && folder === undefined) {
    return await readCsvRows(join(project.dir, table.file), { label: table.label, columns: table.inputs });
  }
  const dataset = await openDataset(project, folder);
  return rowsOfRecordings(folder ?? project.dir, 'project', dataset);
}

/** The columns asked for, of what has no choice while it is read. */
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
