import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Digest of all that the build is made from. */
export function stampOf(root) {
  const hash = createHash('sha256');
  for (const name of [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'scripts/build.js',
    'scripts/web.js',
  ]) {
    hash.update(name).update(readFileSync(join(root, name)));
  }
  const files = ['src', 'web']
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
  for (const file of files) hash.update(file.slice(root.length)).update(readFileSync(file));
  return hash.digest('hex');
}

/** Whether dist/ was built from just these sources. */
export function isBuilt(root) {
  const path = join(root, 'dist', '.stamp');
  return existsSync(path) && readFileSync(path, 'utf8') === stampOf(resolve(root));
}
