import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import Database from 'libsql';
import { sha256Hex } from '../../src/lib/core/crypto.js';
import type { Report } from '../types.js';

/** Names of incomplete files. */
const unfinished = /\.(?:tmp|torn)$|\.\d+\.part$/;

/** Reports blobs that do not match their digest, and partial files left in a folder that no process uses anymore. */
export function halves(folder: string, report: Report): void {
  for (const file of filesIn(folder)) {
    const name = relative(folder, file);
    if (unfinished.test(name)) report('no partial state', `${name} was left`);
    const [, digest] = /blobs\/sha256\/(?:.*\/)?([0-9a-f]{64})$/.exec(name) ?? [];
    if (digest !== undefined && sha256Hex(readFileSync(file)) !== digest)
      report('no partial state', `${name} does not match its digest`);
  }
}

/** Reports corrupt SQLite databases. */
export function damagedDatabases(folder: string, report: Report): void {
  for (const file of filesIn(folder).filter((name) => name.endsWith('.db') && statSync(name).size > 0)) {
    const database = new Database(file);
    const rows = database.prepare('PRAGMA integrity_check').all() as { integrity_check: string }[];
    database.close();
    const [first] = rows;
    if (first?.integrity_check !== 'ok')
      report('no partial state', `${relative(folder, file)}: ${JSON.stringify(rows).slice(0, 300)}`);
  }
}

export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
