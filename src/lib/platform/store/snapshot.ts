import { nativePart } from '../../core/index.js';
import type { Store } from './database.js';

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
