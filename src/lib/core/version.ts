import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AiotError } from './errors/index.js';

let known: string | undefined;
let home: string | undefined;

/** Version of this program, from its package.json; read once. */
export function aiotVersion(): string {
  known ??= String(JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version);
  return known;
}

/** The package's own folder: the nearest one above with aiot's package.json, from src, from dist and when installed; looked for once. */
export function packageRoot(from?: string): string {
  if (from !== undefined) return above(from);
  home ??= above(fileURLToPath(import.meta.url));
  return home;
}

function above(from: string): string {
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    if (nameOfPackage(folder) === 'aiot') return folder;
    if (dirname(folder) === folder) throw new AiotError('AIOT_BUG', `no package aiot above ${from}`);
  }
}

function nameOfPackage(folder: string): unknown {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name;
  } catch {
    return undefined;
  }
}
