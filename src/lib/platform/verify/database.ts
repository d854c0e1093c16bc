import { chmod, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { syncFolder } from '../../core/files.js';
import { nativePart } from '../../core/process.js';
import { tablesOf } from '../backup/tables.js';
import { migrations } from '../store/migrations.js';
import type { Finding } from './damage.js';

type Database = InstanceType<typeof import('libsql')>;

const mostProblems = 100;

/**
 * Problems that SQLite finds in state.db: page structure, indexes that differ from their tables, dangling references. Read-only; works
 * while a platform is running.
 */
export async function verifyDatabase(file: string): Promise<Finding[]> {
  const found = (problem: string): Finding => ({
    ...{
      part: 'database',
      place: basename(file),
      problem: problem.replace(/\s+/g, ' ').trim(),
      repairable: true,
    },
  });
  return withDatabase(file, async (database) => {
    database.exec('PRAGMA query_only=ON');
    const rows = database.prepare(`PRAGMA integrity_check(${mostProblems})`).all();
    const problems = (rows as { integrity_check: string }[])
      .map(({ integrity_check: line }) => line)
      .filter((line) => line !== 'ok');
    if (problems.length > 0) return problems.map(found);
    const broken = database.prepare('PRAGMA foreign_key_check').all() as { table: string; parent: string }[];
    return broken.map(({ table, parent }) => found(`a row of ${table} refers to a missing row of ${parent}`));
  }).catch((error: unknown) => {
    if (!systemCode(error)?.startsWith('SQLITE_')) throw error;
    return [found(error instanceof Error ? error.message : String(error))];
  });
}

/** Result of a database repair. `from`: number of rows that only the backup still had, by table. */
interface RepairedDatabase {
  how: 'rebuilt' | 'merged' | 'replaced';
  from: Record<string, number>;
  /** Path of the damaged file, which stays unchanged. */
  aside: string;
}

/**
 * Replaces a damaged database with a sound one, and keeps the damaged one next to it. If all rows can be read, nothing
 * is taken from the backup. If some rows cannot be read, the backup's tables fill in missing rows by key. If no table
 * can be read, or the result is inconsistent, the backup's database is used.
 * @param backup a database with the backup's tables, in this schema; null = no backup
 * @returns null if a backup is needed but missing
 */
export async function repairDatabase(file: string, backup: string | null): Promise<RepairedDatabase | null> {
  const made = `${file}.repaired`;
  await removeDatabase(made);
  let how: RepairedDatabase['how'] = 'replaced';
  let from: Record<string, number> = {};
  const merged = await merge(file, backup, made);
  if (merged !== null && (await verifyDatabase(made)).length === 0) {
    from = merged;
    how = Object.keys(merged).length === 0 ? 'rebuilt' : 'merged';
  } else {
    await removeDatabase(made);
    if (backup === null) return null;
    await withDatabase(backup, async (database) => void database.prepare('VACUUM INTO ?').run(made));
  }
  const aside = `${file}.damaged-${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`;
  await chmod(made, 0o600);
  for (const end of ['-wal', '-shm', '']) {
    await rename(file + end, aside + end).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
  }
  await rename(made, file);
  await syncFolder(dirname(file));
  return { how, from, aside: basename(aside) };
}

/**
 * Fills a new database with all readable rows of the damaged one. Adds rows from the backup for tables that could not be read completely.
 * Indexes are rebuilt in the process.
 * @returns rows from the backup by table; null = nothing can be read, or a table needs a backup that is missing or has another schema
 */
async function merge(
  file: string,
  backup: string | null,
  made: string,
): Promise<Record<string, number> | null> {
  const taken: Record<string, number> = {};
  const version = await withDatabase(file, async (damaged) => versionOf(damaged)).catch(() => 0);
  if (version === 0 || version > migrations.length) return null;
  const source = version === migrations.length ? backup : null;
  return withDatabase(made, async (target) => {
    target.exec('PRAGMA foreign_keys=OFF; PRAGMA synchronous=FULL; BEGIN');
    for (const sql of migrations.slice(0, version)) target.exec(sql);
    for (const { name, columns, key } of await tablesOf(version)) {
      const list = columns.map((column) => `"${column}"`).join(', ');
      const insert = target.prepare(
        `INSERT OR IGNORE INTO "${name}" (${list}) VALUES (${columns.map(() => '?').join(', ')})`,
      );
      const put = (row: Record<string, unknown>) =>
        insert.run(columns.map((column) => row[column] ?? null)).changes;
      const order = key.map((column) => `"${column}"`).join(', ');
      if (await withDatabase(file, async (damaged) => readable(damaged, name, order, put))) continue;
      if (source === null) return null;
      taken[name] = await withDatabase(source, async (from) => {
        let count = 0;
        for (const row of from.prepare(`SELECT ${list} FROM "${name}"`).iterate()) {
          count += put(row as Record<string, unknown>);
        }
        return count;
      });
    }
    target.exec(`PRAGMA user_version = ${version}; COMMIT`);
    return taken;
  });
}

/** Passes on all readable rows, reading from both ends of the table. Returns whether every row was readable. */
function readable(
  damaged: Database,
  name: string,
  order: string,
  put: (row: Record<string, unknown>) => number,
): boolean {
  let whole = true;
  // Reads in table order first, then by key from either end, because each order may reach rows that another does
  // not.
  for (const end of ['NOT INDEXED', `ORDER BY ${order}`, `ORDER BY ${order} DESC`, 'ORDER BY rowid DESC']) {
    try {
      for (const row of damaged.prepare(`SELECT * FROM "${name}" ${end}`).iterate()) {
        put(row as Record<string, unknown>);
      }
      if (end === 'NOT INDEXED') break;
    } catch {
      whole = false;
    }
  }
  return whole;
}

function versionOf(database: Database): number {
  return (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
}

/** Describes the consequences of the repair. */
export function repairText({ how, from, aside }: RepairedDatabase, made: string): string {
  const rows = Object.entries(from).map(([table, count]) => `${table} ${plural(count, 'row')}`);
  const kept = `; the damaged file is kept as ${aside}`;
  if (how === 'rebuilt') return `rebuilt from its own rows, all of which were readable${kept}`;
  if (how === 'merged')
    return `readable rows were kept; ${rows.join(', ') || 'nothing'} came from the backup of ${made}${kept}. Check what was revoked or removed since then`;
  return `replaced by that of the backup of ${made}: changes since then are lost, including revocations${kept}`;
}

async function withDatabase<T>(file: string, task: (database: Database) => Promise<T>): Promise<T> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const database = new Database(file, { timeout: 5000 });
  try {
    return await task(database);
  } finally {
    database.close();
  }
}

async function removeDatabase(file: string): Promise<void> {
  for (const end of ['', '-wal', '-shm']) await rm(file + end, { force: true });
}

/** Size of the file in bytes; 0 = missing. */
export async function bytesOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

export const databaseFile = (data: string) => join(data, 'state.db');
