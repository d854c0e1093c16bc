import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gaussian, seededRandom } from '../../../src/lib/core/numbers.js';
import { temporaryFolder } from '../support.js';

export interface RowsOptions {
  rows?: number;
  seed?: number;
  /** Distance between the classes, in deviations. */
  apart?: number;
  /** Whether to add a column with eight groups. */
  groups?: boolean;
  /** Returns the label of a row. */
  label?: (c: number, value: number) => string;
  header?: string;
}

/**
 * CSV text of rows in different units, with current around 2 and pressure around 400, which are both higher
 * in class 1.
 */
export function rowsCsv({
  rows = 240,
  seed = 3,
  apart = 3,
  groups,
  label = String,
  header,
}: RowsOptions = {}): string {
  const random = seededRandom(seed);
  const lines = Array.from({ length: rows }, (_, i) => {
    const c = i % 3 === 0 ? 1 : 0;
    const [a, b] = [gaussian(random) + c * apart, gaussian(random) + c * apart];
    const cells = [(2 + 0.3 * a).toFixed(4), (400 + 50 * b).toFixed(2), label(c, 3 * a - b)];
    return [...cells, ...(groups ? [`pump${i % 8}`] : [])].join(',');
  });
  return [header ?? `current,pressure,label${groups ? ',group' : ''}`, ...lines, ''].join('\n');
}

/** Creates a folder with rows.csv and, if given, an aiot.yaml. */
export async function rowsFolder(csv: string, yaml?: string): Promise<{ dir: string; file: string }> {
  const dir = await temporaryFolder();
  await mkdir(join(dir, 'watch'));
  const file = join(dir, 'rows.csv');
  await writeFile(file, csv);
  if (yaml !== undefined) await writeFile(join(dir, 'watch', 'aiot.yaml'), yaml);
  return { dir: join(dir, 'watch'), file };
}
