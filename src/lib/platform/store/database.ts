import type { CompiledQuery, Dialect, Kysely } from 'kysely';
import { AiotError, nativePart, systemCode } from '../../core/index.js';
import { migrations, type Schema } from './schema.js';
import { sqliteError } from './sqlite-errors.js';

export type Store = Kysely<Schema>;

/** How long another program may have the file locked, ms: all else in this process waits as well. */
const busyMs = 1000;

/**
 * Opens (or makes) the state: SQLite in WAL mode, where each commit is synced to disk before it returns. libsql speaks
 * better-sqlite3's API, so kysely's own dialect drives it; it is synchronous, and a commit blocks for one fsync.
 * @throws AIOT_FILE_MALFORMED when the file is no database, or one of a newer aiot; AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export async function openStore(path: string): Promise<Store> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const { Kysely } = await import('kysely');
  let database: Database | undefined;
  try {
    database = new Database(path, { timeout: busyMs });
    database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;');
    migrate(database, path);
    return new Kysely<Schema>({ dialect: await dialectOf(database, path) });
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
async function dialectOf(database: Database, path: string): Promise<Dialect> {
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
            throw sqliteError(error, path);
          }
        },
        streamQuery: (query, size) => connection.streamQuery(query, size),
      };
    };
    return driver;
  };
  return dialect;
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

function migrate(database: Database, path: string): void {
  const { user_version: done } = database.prepare('PRAGMA user_version').get() as { user_version: number };
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
