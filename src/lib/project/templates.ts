import { existsSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AiotError } from '../core/index.js';

export interface Template {
  name: string;
  /** Absolute folder. */
  dir: string;
}

/** The package's own folder: the nearest one above with aiot's package.json, from src, from dist and when installed. */
export function packageRoot(from: string = fileURLToPath(import.meta.url)): string {
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).name === 'aiot') return folder;
    if (dirname(folder) === folder) throw new AiotError('AIOT_BUG', `no package aiot above ${from}`);
  }
}

/** Whole projects that `aiot init` can copy: the folders of templates/ with an aiot.yaml, sorted. */
export async function findTemplates(root: string = packageRoot()): Promise<Template[]> {
  const folder = join(root, 'templates');
  const names = (await readdir(folder)).sort();
  return names
    .map((name) => ({ name, dir: join(folder, name) }))
    .filter(({ dir }) => existsSync(join(dir, 'aiot.yaml')));
}
