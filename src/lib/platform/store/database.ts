import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { CompiledQuery, Dialect, Kysely } from 'kysely';
import { AiotError, systemCode } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import { migrations } from './migrations.js';
import type { Schema } from './schema.js';

export type Store = Kysely<Schema>;

/** How long another program may have the file locked, ms: all else in this process waits as well. */
const busyMs = 1000;

/** Above this size a database is checked while it is read already, bytes. */
const checkedFirst = 1024 ** 3;

/** Whether the pages of a database are as SQLite wrote them. Until that is known of a large one, it can only be read. */
export class Soundness {
  private waiting: Promise<boolean> | null = null;
  /** AIOT_FILE_MALFORMED once it was found to be damaged: it stays as it is from then on. */
  damage: AiotError | null = null;

  /** It is being checked. */
  get pending(): boolean {
    return this.waiting !== null;
  }

  /** Resolves when it is checked, with whether it is sound. */
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

/** As `openChecked`, of a database of any size checked first. */
export async function openStore(path: string): Promise<Store> {
  return (await openChecked(path, Number.POSITIVE_INFINITY)).store;
}

/**
 * Opens (or makes) the state: SQLite in WAL mode, where each commit is synced to disk before it returns. libsql speaks
 * better-sqlite3's API, so kysely's own dialect drives it; it is synchronous, and a commit blocks for one fsync. What is there
 * already is checked: at once, or in the background where it is larger than `atOnce` bytes; writes are refused until then.
 * @throws AIOT_FILE_MALFORMED when the file is no database, damaged, or of a newer aiot; AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
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
    // First of all: recovery of a log, and each page that is written, would spread what is damaged.
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
    });
  }
}

/** kysely's, with errors that a caller can act on. */
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
    // SQLite has rolled back by itself when the disk is full (lang_transaction, 3.1); a second time would be an error,
    // and hide the first one.
    driver.rollbackTransaction = async (connection) => {
      if (database.inTransaction) await rollback(connection);
    };
    const destroy = driver.destroy.bind(driver);
    driver.destroy = async () => {
      stopCheck();
      closeLog(database);
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

/** A write that came while the database can only be read. */
function readOnlyError(error: unknown, path: string, { damage }: Soundness): unknown {
  if (!systemCode(error)?.startsWith('SQLITE_READONLY')) return sqliteError(error, path);
  if (damage !== null) {
    const { message, next } = damage;
    return new AiotError('AIOT_PLATFORM_FAILED', message, { endpoint: path, cause: damage, next });
  }
  return new AiotError(
    'AIOT_DATABASE_UNREACHABLE',
    `${path} is being checked, and can only be read until then`,
    {
      endpoint: path,
      retryable: true,
      next: 'Try again: aiot status says when it is done.',
    },
  );
}

type Database = InstanceType<typeof import('libsql')>;

/**
 * Moves what is in the log (`-wal`) into the file, and removes it: what a stopped platform leaves is one file, which may be
 * copied. Closing alone does it whenever the last of the statements is collected, beneath who copies the folder.
 */
function closeLog(database: Database): void {
  try {
    database.exec('PRAGMA journal_mode=DELETE;');
  } catch {
    // Another program reads it, or the disk is full: the log stays, and is read at the next start.
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
      `${path} was written by a newer aiot: its schema is ${done}, this one knows ${migrations.length}`,
      { next: 'Use the newer aiot with this data folder.' },
    );
  }
  if (done === migrations.length) return;
  const steps = migrations.slice(done).join(';\n');
  // All in one commit: each would wait for the disk, and a start that is interrupted leaves the schema of before.
  database.exec(`BEGIN IMMEDIATE; ${steps}; PRAGMA user_version = ${migrations.length}; COMMIT;`);
}

/**
 * An error of SQLite (sqlite.org/rescode.html) as one that a caller can act on; others unchanged. `opening`: a damaged file
 * is then what the caller gave, and later the platform's own failure.
 */
function sqliteError(error: unknown, path: string, opening = false): unknown {
  const code = systemCode(error);
  if (error instanceof AiotError || !code?.startsWith('SQLITE_')) return error;
  const is = (...names: string[]) => names.some((name) => code === name || code.startsWith(`${name}_`));
  const details = { endpoint: path, cause: error };
  if (is('SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE')) {
    return new AiotError('AIOT_DISK_FULL', `there is no space left for ${path}`, details);
  }
  if (is('SQLITE_BUSY', 'SQLITE_LOCKED')) {
    return new AiotError('AIOT_DATABASE_UNREACHABLE', `another program has ${path} locked (${code})`, {
      ...details,
      retryable: true,
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
    return new AiotError('AIOT_FILE_NOT_WRITABLE', `the database ${path} cannot be used (${code})`, details);
  }
  return error;
}

/** Problems that are listed at most. */
const mostProblems = 20;

/** The next step for a damaged database. */
const repairNext =
  'Stop the platform, then take what is damaged from a backup: aiot platform verify --repair --from BACKUP';

/** What SQLite finds in the form of all pages, rows and keys (pragma.html#pragma_quick_check); nothing = it is sound. */
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

/** A check that goes on while the database is read. */
interface RunningCheck {
  /** Resolves with what was found, or null when it was stopped. */
  done: Promise<string[] | null>;
  stop(): void;
}

/**
 * Runs the same check in a thread of its own, with a connection of its own: SQLite's calls would hold up everything else in this one for
 * as long as a large file takes to read. The thread's program is text, so that it needs no file of its own in a build.
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
  const thread = new Worker(program, { eval: true, workerData: { libsql, path } });
  const done = new Promise<string[] | null>((resolve) => {
    thread.once('message', (problems: string[]) => resolve(problems));
    thread.once('error', (error: Error) => resolve([error.message]));
    thread.once('exit', () => resolve(null));
  });
  return { done, stop: () => void thread.terminate() };
}

/**
 * All that `read` asks sees the database at one moment, whatever is written meanwhile.
 * @param file of SQLite; null = the store is PostgreSQL's
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
  // A connection of its own: in WAL a reader's transaction sees what was committed when it first read (wal.html, 2.2).
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

/** Whether a row could not be written because another has its key: SQLite's extended codes, PostgreSQL's SQLSTATE 23505. */
export function isUniqueViolation(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'SQLITE_CONSTRAINT_PRIMARYKEY' || code === 'SQLITE_CONSTRAINT_UNIQUE' || code === '23505';
}
