import type { Kysely } from 'kysely';
import { AiotError, systemCode } from '../../core/index.js';
import { migrations, type Schema } from './schema.js';

export type Store = Kysely<Schema>;

/**
 * Opens (or makes) the state: SQLite in WAL mode, where each commit is synced to disk before it returns. libsql speaks
 * better-sqlite3's API, so kysely's own dialect drives it; it is synchronous, and a commit blocks for one fsync.
 * @throws AIOT_FILE_MALFORMED when the file is no database, or one of a newer aiot
 */
export async function openStore(path: string): Promise<Store> {
  const { default: Database } = await import('libsql');
  const { Kysely, SqliteDialect } = await import('kysely');
  try {
    const database = new Database(path);
    database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;');
    migrate(database, path);
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
      return driver;
    };
    return new Kysely<Schema>({ dialect });
  } catch (error) {
    if (error instanceof AiotError) throw error;
    const reason = systemCode(error) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_MALFORMED', `cannot open the database ${path} (${reason})`, {
      cause: error,
    });
  }
}

type Database = InstanceType<typeof import('libsql')>;

function migrate(database: Database, path: string): void {
  const { user_version: done } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (done > migrations.length) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${path} was written by a newer aiot: its schema is ${done}, this one knows ${migrations.length}`,
      { next: 'Use the newer aiot with this data folder.' },
    );
  }
  for (let i = done; i < migrations.length; i++) {
    database.exec(`BEGIN IMMEDIATE; ${migrations[i]}; PRAGMA user_version = ${i + 1}; COMMIT;`);
  }
}
