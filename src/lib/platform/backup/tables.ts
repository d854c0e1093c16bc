import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import type { Store } from '../store/database.js';
import { openEngine } from '../store/engine.js';
import { migrations } from '../store/migrations.js';
import type { Schema } from '../store/schema.js';
import { type Keys, linesOf, malformed, sealedEnd, unsealFile } from './format.js';

interface Table {
  name: keyof Schema;
  /** Columns of the primary key. */
  key: string[];
  columns: string[];
}

/** Tables with secrets, or with information about secrets: sealed with the passphrase. */
export const sealedTables: ReadonlySet<string> = new Set([
  'answers',
  'batches',
  'claims',
  'devices',
  'logins',
  'oidcFlows',
  'oidcTokens',
  'tokens',
  'webhooks',
]);

/** Number of rows read or written at a time. */
const pageRows = 500;

/** All tables of the schema, in an order in which both engines can fill them. */
export async function tablesOf(schema = migrations.length): Promise<Table[]> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const database = new Database(':memory:');
  try {
    for (const sql of migrations.slice(0, schema)) database.exec(sql);
    const tables = database
      .prepare(
        `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid`,
      )
      .all() as { name: keyof Schema }[];
    return tables.map(({ name }) => {
      const columns = database.prepare(`PRAGMA table_info("${name}")`).all() as {
        name: string;
        pk: number;
      }[];
      const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
      return { name, key: key.map((column) => column.name), columns: columns.map((column) => column.name) };
    });
  } finally {
    database.close();
  }
}

/** Yields a table's rows in key order, a page at a time. */
async function* rowsOf(store: Store, { name, key }: Table): AsyncGenerator<Record<string, unknown>[]> {
  const { sql } = await import('kysely');
  const columns = sql.join(key.map((column) => sql.ref(column)));
  for (let last: Record<string, unknown> | undefined; ; ) {
    const after = last && sql.join(key.map((column) => sql.val(last?.[column])));
    const { rows } = await sql<Record<string, unknown>>`
      SELECT * FROM ${sql.table(name)} ${after ? sql`WHERE (${columns}) > (${after})` : sql``}
      ORDER BY ${columns} LIMIT ${sql.lit(pageRows)}`.execute(store);
    if (rows.length > 0) yield rows;
    if (rows.length < pageRows) return;
    last = rows.at(-1);
  }
}

/** Writes one line per row, and returns the number of rows. Rows that must not be restored from the tables are left out. */
export async function writeTable(store: Store, table: Table, path: string): Promise<number> {
  const out = createWriteStream(path, { mode: 0o600 });
  let count = 0;
  for await (const rows of rowsOf(store, table)) {
    // The sealed CA is in the backup as a file. `logFiles` describes the logs at a time other than the backup's.
    const kept = rows.filter(
      ({ key }) => table.name !== 'logFiles' && (table.name !== 'meta' || key !== 'pki'),
    );
    count += kept.length;
    if (!out.write(kept.map((row) => `${JSON.stringify(row)}\n`).join(''))) {
      await once(out, 'drain');
    }
    // Lets the process handle other requests between pages.
    await nextTurn();
  }
  out.end();
  await finished(out);
  return count;
}

/**
 * Creates a SQLite database from the tables in the folder, using the schema with which they were written, then migrates
 * it.
 * @throws AIOT_BACKUP_MALFORMED (inconsistent rows, or a backup from a newer aiot)
 */
export async function fillSqlite(path: string, folder: string, schema: number, keys: Keys): Promise<void> {
  if (schema > migrations.length) {
    throw malformed(
      `the backup is from a newer aiot: its schema is ${schema}, but this version supports up to ${migrations.length}`,
    );
  }
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const database = new Database(path);
  try {
    // Nothing reads the database before it is complete, so foreign keys are checked once, at the end.
    database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; BEGIN');
    for (const sql of migrations.slice(0, schema)) database.exec(sql);
    for (const table of await tablesOf(schema)) {
      const columns = table.columns.map((column) => `"${column}"`).join(', ');
      const insert = database.prepare(
        `INSERT INTO "${table.name}" (${columns}) VALUES (${table.columns.map(() => '?').join(', ')})`,
      );
      for await (const row of linesOf(await opened(folder, table, keys))) {
        insert.run(table.columns.map((column) => row[column] ?? null));
      }
    }
    // A backup of PostgreSQL may contain events that had no id yet.
    const columns = 'at, type, subject, who, data';
    if (database.prepare(`SELECT 1 FROM sqlite_master WHERE name = 'newEvents'`).get())
      database.exec(
        `INSERT INTO events (${columns}) SELECT ${columns} FROM newEvents ORDER BY id; DELETE FROM newEvents`,
      );
    // The requests may have been claimed or have ended after the backup. None of them must run twice.
    if (database.prepare(`SELECT 1 FROM sqlite_master WHERE name = 'pipelineRequests'`).get()) {
      const settle = database.prepare(
        'UPDATE pipelineRequests SET state = ?, ended = ?, error = ? WHERE state = ?',
      );
      const next = 'Make a new request if the run is still needed.';
      const error = (code: ErrorCode, message: string) => JSON.stringify({ code, message, next });
      const at = Date.now();
      const unknown = 'the platform was restored from a backup, so the outcome of the run is unknown';
      settle.run('lost', at, error('AIOT_JOB_LOST', unknown), 'running');
      const waited = 'the platform was restored from a backup while the request waited';
      settle.run('cancelled', at, error('AIOT_PIPELINE_RUNNER', waited), 'waiting');
    }
    const broken = database.prepare('PRAGMA foreign_key_check').all() as { table: string }[];
    if (broken[0]) throw malformed(`its table ${broken[0].table} refers to missing rows`);
    database.exec(`PRAGMA user_version = ${schema}; COMMIT`);
  } catch (error) {
    if (error instanceof AiotError) throw error;
    throw malformed('its tables do not match its schema', { cause: error });
  } finally {
    database.close();
  }
  // Applies newer migrations.
  await (await openEngine(path)).close();
}

async function opened(folder: string, { name }: Table, keys: Keys): Promise<string> {
  const entry = `tables/${name}.ndjson`;
  const path = join(folder, entry);
  if (!sealedTables.has(name)) return path;
  await unsealFile(path + sealedEnd, path, entry + sealedEnd, keys);
  return path;
}

/**
 * Copies all rows of a SQLite database into an empty PostgreSQL database, all or nothing.
 * @param put called after all rows are copied and before the commit; if it throws, everything is rolled back
 * @throws AIOT_FOLDER_NOT_EMPTY, AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED
 */
export async function fillPostgres(
  url: string,
  from: string,
  put: (transaction: Store) => Promise<void>,
): Promise<void> {
  const source = await openEngine(from);
  const target = await openEngine('', url);
  try {
    await requireEmpty(target.store);
    await target.store.transaction().execute(async (transaction) => {
      for (const table of await tablesOf()) {
        for await (const rows of rowsOf(source.store, table)) await insert(transaction, table, rows);
        if (table.key.length === 1 && table.key[0] === 'id') await drawAbove(transaction, table);
      }
      await put(transaction);
    });
  } catch (error) {
    if (!hasCode(error, 'AIOT_FOLDER_NOT_EMPTY')) await clearTelemetry(target.store);
    throw error;
  } finally {
    await source.close();
    await target.close();
  }
}

/** Sets a table's id sequence to the highest id, because inserting rows with explicit ids does not advance it. */
async function drawAbove(store: Store, { name }: Table): Promise<void> {
  const { sql } = await import('kysely');
  const found = sql<{ drawn: string | null }>`SELECT pg_get_serial_sequence(${`"${name}"`}, 'id') AS "drawn"`;
  const [{ drawn } = { drawn: null }] = (await found.execute(store)).rows;
  if (drawn === null) return;
  await sql`SELECT setval(${drawn}::regclass, max("id")) FROM ${sql.table(name)} HAVING max("id") IS NOT NULL`.execute(
    store,
  );
}

/**
 * Empties the telemetry tables after a failed restore, because they are not part of the transaction. They were empty before the restore.
 */
async function clearTelemetry(store: Store): Promise<void> {
  const { sql } = await import('kysely');
  const clear = sql`TRUNCATE "telemetryTakes", "telemetryStreams", "telemetryLive", "telemetryUncounted" CASCADE`;
  await clear.execute(store).catch(() => {});
}

async function insert(
  store: Store,
  { name, columns }: Table,
  rows: Record<string, unknown>[],
): Promise<void> {
  const { sql } = await import('kysely');
  // A statement has at most 65,535 parameters.
  const some = Math.max(1, Math.min(pageRows, Math.floor(30_000 / columns.length)));
  for (let at = 0; at < rows.length; at += some) {
    const values = rows
      .slice(at, at + some)
      .map((row) => sql`(${sql.join(columns.map((column) => sql.val(row[column] ?? null)))})`);
    await sql`INSERT INTO ${sql.table(name)} (${sql.join(columns.map((column) => sql.ref(column)))})
      VALUES ${sql.join(values)}`.execute(store);
  }
}

/** @throws AIOT_FOLDER_NOT_EMPTY */
async function requireEmpty(store: Store): Promise<void> {
  const [{ name } = { name: '' }] = await store.selectFrom('meta').select('key as name').limit(1).execute();
  const devices = await store.selectFrom('devices').select('name').limit(1).execute();
  if (name === '' && devices.length === 0) return;
  throw new AiotError('AIOT_FOLDER_NOT_EMPTY', 'the database already contains a platform', {
    next: 'Use an empty database.',
  });
}
