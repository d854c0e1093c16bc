import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/**
 * @typedef {object} Import
 * @property {string} from importing file, relative to the root
 * @property {string} to package name, `node:…`, or file relative to the root
 * @property {boolean} own whether `to` is a file of this repository
 * @property {'static' | 'type' | 'dynamic'} kind `type` imports are gone after compilation
 */

const statics = /^[ \t]*(?:import|export)\s+(type\s+)?(?:[\w*{}\s,$]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const resolved = /\.resolve\(\s*['"]([^'"]+)['"]\s*\)/g;
const dynamics = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/**
 * All TypeScript files below a folder, relative to the root, sorted.
 * @param {string} root
 * @param {string} folder
 * @returns {string[]}
 */
export function sourcesIn(root, folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .map((path) => join(folder, String(path)))
    .filter((path) => path.endsWith('.ts'))
    .sort();
}

/**
 * Files in packages whose path a file resolves (`createRequire(…).resolve('NAME/FILE')`). The file reads them as data rather than
 * running them.
 * @param {string} root
 * @param {string} file relative to the root
 * @returns {string[]}
 */
export function resolvedIn(root, file) {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(resolved)].map(([, path]) => path ?? '').filter((path) => !/^[./]/.test(path));
}

/**
 * The imports of a file.
 * @param {string} root
 * @param {string} file relative to the root
 * @returns {Import[]}
 */
export function importsOf(root, file) {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(statics)].map(([, type, to]) => entry(file, to, type ? 'type' : 'static'));
  const later = [...text.matchAll(dynamics)].map(([, to]) => entry(file, to, 'dynamic'));
  return [...found, ...later];
}

/** @returns {Import} */
function entry(from, specifier, kind) {
  if (!specifier.startsWith('.')) return { from, to: specifier, own: false, kind };
  const path = normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
  return { from, to: path, own: true, kind };
}

/**
 * All packages that are loaded when a file is imported, with the import path to each.
 * @param {string} root
 * @param {string} file
 * @param {Map<string, Import[]>} read imports of each file: share it between calls, so that each file is read once
 * @returns {Map<string, string[]>} package specifier → files on the path
 */
export function packagesLoadedBy(root, file, read = new Map()) {
  const packages = new Map();
  const seen = new Set([file]);
  const queue = [[file]];
  for (let way = queue.shift(); way; way = queue.shift()) {
    const from = way.at(-1) ?? file;
    const imports = read.get(from) ?? importsOf(root, from);
    read.set(from, imports);
    for (const { to, own, kind } of imports) {
      if (kind !== 'static') continue;
      if (!own && !packages.has(to)) packages.set(to, way);
      if (own && !seen.has(to)) {
        seen.add(to);
        queue.push([...way, to]);
      }
    }
  }
  return packages;
}
