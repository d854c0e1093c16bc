import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { recordingFilesIn, withoutExtension } from '../dataset/read.js';
import type { Part } from '../parts.js';

export interface FoundFile {
  path: string;
  /** Path relative to the base, without its extension, with slashes. */
  id: string;
  /** Path of its folder, without the leading folder that names its part; '' for the base itself. */
  folder: string;
  /** The side of a split, if the folder is named after one. */
  part: Part | null;
}

/** Usual names of a split's folders. */
const partNames: Record<string, Part> = {
  train: 'train',
  training: 'train',
  val: 'validation',
  valid: 'validation',
  validation: 'validation',
  dev: 'validation',
  test: 'test',
  testing: 'test',
  holdout: 'test',
};

/** Maximum depth of subfolders, one more than PART/LABEL/file.csv needs. */
const deepest = 3;

/** The side of a split that a file or folder name indicates. */
export function partOfName(name: string): Part | null {
  return Object.hasOwn(partNames, name.toLowerCase()) ? partNames[name.toLowerCase()]! : null;
}

/**
 * Resolves paths to CSV and WAV files: files as given and in that order, folders with their subfolders, sorted.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_DATA_EMPTY
 */
export async function findFiles(paths: string[]): Promise<{ base: string; files: FoundFile[] }> {
  const found: { path: string; base: string }[] = [];
  for (const path of paths) {
    const kind = await stat(path).catch(() => null);
    if (!kind) throw new AiotError('AIOT_FILE_NOT_FOUND', `the file or folder ${path} does not exist`);
    if (kind.isDirectory()) {
      for (const file of await filesBelow(path, 0)) found.push({ path: file, base: path });
    } else if (kind.isFile()) found.push({ path, base: dirname(path) });
    else
      throw new AiotError(
        'AIOT_FILE_NOT_READABLE',
        `cannot read ${path}: expected a CSV or WAV file, or a folder`,
      );
  }
  if (found.length === 0) {
    throw new AiotError('AIOT_DATA_EMPTY', `no CSV or WAV files in ${paths.join(', ')}`, {
      next: 'Specify a folder of CSV or WAV recordings.',
    });
  }
  const files = found.map(({ path, base }) => {
    const id = withoutExtension(relative(base, path)).split(sep).join('/');
    const folders = id.split('/').slice(0, -1);
    const part = partOfName(folders[0] ?? '');
    return { path, id, folder: (part ? folders.slice(1) : folders).join('/'), part };
  });
  return { base: found[0]!.base, files: distinct(files) };
}

async function filesBelow(folder: string, depth: number): Promise<string[]> {
  const own = await recordingFilesIn(folder);
  if (depth === deepest) return own;
  const inner = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => join(folder, name))
    .sort();
  const below: string[] = [];
  for (const path of inner) below.push(...(await filesBelow(path, depth + 1)));
  return [...own, ...below];
}

/** Adds the folder's name to the ID of files that have the same ID in several folders. */
function distinct(files: FoundFile[]): FoundFile[] {
  const counts = new Map<string, number>();
  for (const { id } of files) counts.set(id, (counts.get(id) ?? 0) + 1);
  return files.map((file) =>
    counts.get(file.id) === 1 ? file : { ...file, id: `${basename(dirname(file.path))}/${file.id}` },
  );
}
