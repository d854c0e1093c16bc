import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../core/folders.js';

export interface Template {
  name: string;
  /** Absolute path of the folder. */
  dir: string;
}

/** Finds the projects that `aiot init` can copy: the folders in templates/ that contain an aiot.yaml, sorted by name. */
export async function findTemplates(root: string = packageRoot()): Promise<Template[]> {
  const folder = join(root, 'templates');
  const names = (await readdir(folder)).sort();
  return names
    .map((name) => ({ name, dir: join(folder, name) }))
    .filter(({ dir }) => existsSync(join(dir, 'aiot.yaml')));
}
