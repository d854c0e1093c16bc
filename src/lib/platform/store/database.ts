import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { CompiledQuery, Dialect, Kysely } from 'kysely';
import { AiotError, systemCode } from '../../core/errors.js';
import { collectGarbage, nativePart, withYoungHeapKept } from '../../core/process.js';
import { migrations } from './migrations.js';
import type { Schema } from './schema.js';

export type Store = Kysely<Schema>;

/** Maximum wait for another program's lock on the file, ms. Short, because the wait blocks the whole process. */
const busyMs = 1000;

/** Size in bytes above which a database is checked in the background while in use. */
const checkedFirst = 1024 ** 3;

/** Whether the database's pages are intact. A large database is read-only until this is known. */
export class Soundness {
  private waiting: Promise<boolean> | null = null;
  /** AIOT_FILE_MALFORMED once damage has been found, which makes the database read-only. */
  damage: AiotError | null = null;

  /** Whether the check is still running. */
  get pending(): boolean {
    return this.waiting !== null;
  }

  /** Resolves when the check has ended. The result is true if the database is sound. */
  async known(): Promise<boolean> {
    return this.waiting ?? this.damage === null;
  }

  begin(checking: Promise<AiotError | null>): void {
    this.waiting = checking.then((damage) => {
      this.waiting = null;
      this.damage = damage;
      return damage === null;
    });
  }
}

/** Same as `openChecked`, but a database of any size is checked first. */
export async function openStore(path: string): Promise<Store> {
  return (await openChecked(path, Number.POSITIVE_INFINITY)).store;
}

/**
 * Opens (or creates) the state: SQLite in WAL mode, where each commit is synced to disk before it returns. libsql
 * implements better-sqlite3's API, so kysely's own dialect works with it. libsql is synchronous, so a commit blocks the
 * process for one fsync. An existing database is checked immediately. If it is larger than `atOnce` bytes and needs no
 * migration, it is checked in the background, and writes are rejected until then.
 * @throws AIOT_FILE_MALFORMED if the file is not a database, is damaged, or is from a newer aiot;
 * AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export async function openChecked(
  path: string,
  atOnce = checkedFirst,
): Promise<{ store: Store; soundness: Soundness }> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const { Kysely } = await import('kysely');
  const bytes = await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
  const soundness = new Soundness();
  let database: Database | undefined;
  try {
    database = new Database(path, { timeout: busyMs });
    const own = database;
    // Checked before anything else, because recovering a log and writing pages would spread damage.
    const later = bytes > atOnce && versionOf(own) === migrations.length;
    const problems = bytes === 0 || later ? [] : quickCheck(own);
    if (problems.length > 0) throw damagedDatabase(path, problems);
    own.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;');
    migrate(own, path);
    let stop = () => {};
    if (later) {
      own.exec('PRAGMA query_only=ON');
      const check = quickCheckApart(path);
      stop = check.stop;
      const ended = async () => {
        const found = await check.done;
        if (found !== null && found.length > 0) return damagedDatabase(path, found);
        if (found !== null) own.exec('PRAGMA query_only=OFF');
        return null;
      };
      soundness.begin(ended());
    }
    return { store: new Kysely<Schema>({ dialect: await dialectOf(own, path, soundness, stop) }), soundness };
  } catch (error) {
    database?.close();
    const told = sqliteError(error, path, true);
    if (told instanceof AiotError) throw told;
    const reason = systemCode(error) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_MALFORMED', `cannot open the database ${path} (${reason})`, {
      cause: error,
      next: repairNext,
    });
  }
}

/** kysely's dialect, with errors that a caller can act on. */
async function dialectOf(
  database: Database,
  path: string,
  soundness: Soundness,
  stopCheck: () => void,
): Promise<Dialect> {
  const { SqliteDialect } = await import('kysely');
  const dialect = new SqliteDialect({ database });
  const createDriver = dialect.createDriver.bind(dialect);
  dialect.createDriver = () => {
    const driver = createDriver();
    const rollback = driver.rollbackTransaction.bind(driver);
    // SQLite has already rolled back when the disk is full (lang_transaction, 3.1); a second rollback would be an error, and hide the first one.
    driver.rollbackTransaction = async (connection) => {
      if (database.inTransaction) await rollback(connection);
    };
    const destroy = driver.destroy.bind(driver);
    driver.destroy = async () => {
      stopCheck();
      await closeLog(database);
      await destroy();
    };
    const acquire = driver.acquireConnection.bind(driver);
    driver.acquireConnection = async () => {
      const connection = await acquire();
      return {
        async executeQuery<Row>(query: CompiledQuery) {
          try {
            return await connection.executeQuery<Row>(query);
          } catch (error) {
            throw soundness.pending || soundness.damage
              ? readOnlyError(error, path, soundness)
              : sqliteError(error, path);
          }
        },
        streamQuery: (query, size) => connection.streamQuery(query, size),
      };
    };
    return driver;
  };
  return dialect;
}

/** Error for a write while the database is read-only. */
function readOnlyError(error: unknown, path: string, { damage }: Soundness): unknown {
  if (!systemCode(error)?.startsWith('SQLITE_READONLY')) return sqliteError(error, path);
  if (damage !== null) {
    const { message, next } = damage;
    return new AiotError('AIOT_PLATFORM_FAILED', message, { endpoint: path, cause: damage, next });
  }
  return new AiotError(
    'AIOT_DATABASE_UNREACHABLE',
    `${path} is being checked, and is read-only until the check is complete`,
    {
      endpoint: path,
      retryable: true,
      next: 'Try again. `aiot status` shows when the check is complete.',
    },
  );
}

type Database = InstanceType<typeof import('libsql')>;

/**
 * Moves the log's content (`-wal`) into the file and removes the log: a stopped platform leaves one file, which can be
 * copied. Closing alone does this only when the last statement is garbage-collected, possibly during a copy of the
 * folder. The same is true of connections closed earlier by a backup or a check: libsql keeps the file open until their
 * statements are collected.
 */
async function closeLog(database: Database): Promise<void> {
  if (logRemoved(database)) return;
  collectGarbage();
  // Finalizers of native objects run after the current turn of the event loop.
  await nextTurn();
  logRemoved(database);
}

/**
 * Returns false if another connection reads the database, or if the disk is full. The log is then kept, and read at the
 * next start.
 */
function logRemoved(database: Database): boolean {
  try {
    database.exec('PRAGMA journal_mode=DELETE;');
    return true;
  } catch {
    return false;
  }
}

function versionOf(database: Database): number {
  return (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
}

function migrate(database: Database, path: string): void {
  const done = versionOf(database);
  if (done > migrations.length) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${path} was written by a newer aiot: its schema is ${done}, but this version supports up to ${migrations.length}`,
      { next: 'Use the newer aiot with this data folder.' },
    );
  }
  if (done === migrations.length) return;
  const steps = migrations.slice(done).join(';\n');
  // All migrations are in one transaction, because separate ones would each wait for the disk. If the start is interrupted, the old schema
  // remains.
  database.exec(`BEGIN IMMEDIATE; ${steps}; PRAGMA user_version = ${migrations.length}; COMMIT;`);
}

/**
 * Converts an SQLite error (sqlite.org/rescode.html) into an error that a caller can act on; other errors are
 * unchanged.
 * @param opening whether the file is being opened; if so, damage is an error in the caller's input, otherwise a failure
 * of the platform
 */
export function sqliteError(error: unknown, path: string, opening = false): unknown {
  const code = systemCode(error);
  if (error instanceof AiotError || !code?.startsWith('SQLITE_')) return error;
  const is = (...names: string[]) => names.some((name) => code === name || code.startsWith(`${name}_`));
  const details = { endpoint: path, cause: error };
  if (is('SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE')) {
    return new AiotError('AIOT_DISK_FULL', `the disk is full: ${path}`, details);
  }
  if (is('SQLITE_BUSY', 'SQLITE_LOCKED')) {
    return new AiotError('AIOT_DATABASE_UNREACHABLE', `${path} is locked by another program (${code})`, {
      ...details,
      retryable: true,
      next: 'Close the other program, then try again.',
    });
  }
  if (is('SQLITE_CORRUPT', 'SQLITE_NOTADB')) {
    return new AiotError(
      opening ? 'AIOT_FILE_MALFORMED' : 'AIOT_PLATFORM_FAILED',
      `the database ${path} is damaged (${code})`,
      {
        ...details,
        next: repairNext,
      },
    );
  }
  if (is('SQLITE_READONLY', 'SQLITE_CANTOPEN', 'SQLITE_PERM', 'SQLITE_IOERR', 'SQLITE_AUTH')) {
    return new AiotError('AIOT_FILE_NOT_WRITABLE', `the database ${path} is unusable (${code})`, details);
  }
  return error;
}

/** Maximum number of problems listed. */
const mostProblems = 20;

/** Advice for a damaged database. */
const repairNext =
  'Stop the platform, then restore the damaged parts from a backup with `aiot platform verify --repair --from BACKUP`.';

/** Problems SQLite finds in the structure of pages, rows and keys (pragma.html#pragma_quick_check); empty = sound. */
function quickCheck(database: Database): string[] {
  let rows: { quick_check: string }[];
  try {
    rows = database.prepare(`PRAGMA quick_check(${mostProblems})`).all() as typeof rows;
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  return rows.map(({ quick_check: line }) => line).filter((line) => line !== 'ok');
}

export function damagedDatabase(path: string, problems: readonly string[]): AiotError {
  const first = (problems[0] ?? '').replace(/\s+/g, ' ').slice(0, 300);
  return new AiotError('AIOT_FILE_MALFORMED', `the database ${path} is damaged: ${first}`, {
    endpoint: path,
    next: repairNext,
  });
}

/** A check that runs while other connections read the database. */
interface RunningCheck {
  /** Resolves with the problems found, or with null if the check was stopped. */
  done: Promise<string[] | null>;
  stop(): void;
}

/**
 * Runs `quickCheck` in a separate thread with its own connection. In this thread, SQLite's calls would block everything else while a large file is
 * read. The thread's program is a string, so that the build needs no separate file.
 */
export function quickCheckApart(path: string): RunningCheck {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const Database = require(workerData.libsql);
    const database = new Database(workerData.path);
    let problems;
    try {
      database.exec('PRAGMA query_only=ON');
      const rows = database.prepare('PRAGMA quick_check(${mostProblems})').all();
      problems = rows.map((row) => row.quick_check).filter((line) => line !== 'ok');
    } catch (error) {
      problems = [String(error && error.message)];
    }
    database.close();
    parentPort.postMessage(problems);`;
  const libsql = createRequire(import.meta.url).resolve('libsql');
  const thread = withYoungHeapKept(new Worker(program, { eval: true, workerData: { libsql, path } }));
  const done = new Promise<string[] | null>((resolve) => {
    thread.once('message', (problems: string[]) => resolve(problems));
    thread.once('error', (error: Error) => resolve([error.message]));
    thread.once('exit', () => resolve(null));
  });
  return { done, stop: () => void thread.terminate() };
}

/**
 * Runs `read` on a snapshot, so that all of its queries see the same state of the database, regardless of what is
 * written in the meantime.
 * @param file SQLite's file; null = the store is in PostgreSQL
 */
export async function snapshot<T>(
  store: Store,
  file: string | null,
  read: (store: Store) => Promise<T>,
): Promise<T> {
  if (file === null) {
    const transaction = store.transaction().setIsolationLevel('repeatable read');
    return transaction.execute(read);
  }
  // Uses a separate connection. In WAL mode, a read transaction sees the state committed at its first read (wal.html, 2.2).
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const { Kysely, SqliteDialect } = await import('kysely');
  const database = new Database(file);
  database.exec('PRAGMA query_only = ON');
  const own: Store = new Kysely({ dialect: new SqliteDialect({ database }) });
  try {
    return await own.transaction().execute(read);
  } finally {
    await own.destroy();
  }
}

/** Whether rows must be locked before they are read and changed. SQLite has one writer, so its transactions already exclude one another. */
export function locksRows(store: Store): boolean {
  return store.getExecutor().adapter.supportsTransactionalDdl;
}

/** Whether a row could not be written because its key exists: SQLite's extended codes, PostgreSQL's SQLSTATE 23505. */
export function isUniqueViolation(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'SQLITE_CONSTRAINT_PRIMARYKEY' || code === 'SQLITE_CONSTRAINT_UNIQUE' || code === '23505';
}
