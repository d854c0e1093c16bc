import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Digest of all sources of the program. */
export function stampOf(root) {
  return digestOf(root, 'src', [
    'tsconfig.json',
    ...['build', 'inside', 'vendor'].map((name) => `scripts/${name}.js`),
  ]);
}

/** Digest of all sources of the dashboard, including the program's files and types that it uses. */
export function webStampOf(root) {
  const shared = ['api/rollouts/words.ts', 'pipeline/graph-model.ts'].map((file) => `src/lib/${file}`);
  return digestOf(root, 'web', ['scripts/web.js', 'scripts/inside.js', ...shared]);
}

function digestOf(root, folder, names) {
  const hash = createHash('sha256');
  for (const name of ['package.json', 'package-lock.json', ...names]) {
    hash.update(name).update(readFileSync(join(root, name)));
  }
  const files = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
  for (const file of files) hash.update(file.slice(root.length)).update(readFileSync(file));
  return hash.digest('hex');
}

/** Whether dist/ was built from the current sources. */
export function isBuilt(root) {
  return isStamped(join(root, 'dist', '.stamp'), stampOf(resolve(root)));
}

/** Whether dist/web was built from the current sources. */
export function isWebBuilt(root) {
  return isStamped(join(root, 'dist', 'web', '.stamp'), webStampOf(resolve(root)));
}

function isStamped(path, stamp) {
  return existsSync(path) && readFileSync(path, 'utf8') === stamp;
}
