import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, loadProject } from '../../core/index.js';
import { readListing } from '../disk/listing.js';
import { checkProject } from '../inspect.js';
import { partOfName } from '../loose/find.js';
import type { LabelFrom } from '../loose/open.js';
import type { Part } from '../split/windows.js';
import { checkLoose } from './loose.js';
import type { CheckReport } from './report.js';
import { checkTables } from './table.js';

export interface PathCheckOptions {
  /** A folder of recordings, of a project or of train/validation/test; a CSV file of rows; a folder of train.csv and test.csv. */
  path: string;
  /** Hz */
  rateHz?: number;
  labelFrom?: LabelFrom;
  /** Samples. */
  window?: number;
}

/**
 * Checks whatever lies at a path, without a project unless it is one.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_DATA_*, AIOT_CSV_*, AIOT_PROJECT_INVALID
 */
export async function checkPath({ path, ...options }: PathCheckOptions): Promise<CheckReport> {
  const kind = await stat(path).catch(() => null);
  if (!kind) {
    const to = await readlink(path).catch(() => null);
    const what =
      to === null ? `no such file or folder: ${path}` : `${path} is a broken link: there is no ${to}`;
    throw new AiotError('AIOT_FILE_NOT_FOUND', what);
  }
  const label = options.labelFrom?.startsWith('column:')
    ? options.labelFrom.slice('column:'.length)
    : 'label';
  if (kind.isFile()) return checkTables([{ file: path, part: null }], { label });
  if (!kind.isDirectory()) {
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: expected a CSV file or a folder`);
  }
  const names = await readdir(path);
  if (names.includes('aiot.yaml')) return checkProject(await loadProject(path));
  const tables = partTables(path, names);
  if (tables) return checkTables(tables, { label });
  if (await readListing(path)) {
    throw new AiotError(
      'AIOT_USAGE',
      `${path} is the data folder of a project: its dataset.json names fields and labels`,
      {
        next: `aiot data check --data ${path} --project DIR`,
      },
    );
  }
  return checkLoose({ folder: path, ...options });
}

/** A split of rows: CSV files called train and test (and validation) side by side. */
function partTables(folder: string, names: string[]): { file: string; part: Part }[] | null {
  const found = names
    .filter((name) => name.toLowerCase().endsWith('.csv'))
    .sort()
    .flatMap((name) => {
      const part = partOfName(name.slice(0, -'.csv'.length));
      return part ? [{ file: join(folder, name), part }] : [];
    });
  const has = (part: Part) => found.some((one) => one.part === part);
  return has('train') && has('test') ? found : null;
}
