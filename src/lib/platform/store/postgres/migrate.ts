import { AiotError } from '../../../core/index.js';
import { migrations } from '../schema.js';
import type { Address } from './address.js';
import { sharing, toPostgres } from './ddl.js';
import { databaseError } from './errors.js';
import { lockClass, lockKey } from './locks.js';
import { openSession, type Session } from './session.js';

/**
 * Brings the database up to date: all of it or nothing, and once, for those that come while one does it wait.
 * @throws AIOT_DATABASE_REFUSED (one of a newer aiot, a server that is too old), AIOT_DATABASE_UNREACHABLE
 */
export async function migrate(address: Address): Promise<void> {
  const session = await openSession(address, {
    ...{ statement_timeout: 0, query_timeout: 0, lock_timeout: 60_000 },
  });
  try {
    await requireServer(session, address.shown);
    await session.query('BEGIN');
    await session.query('SELECT pg_advisory_xact_lock($1, $2)', [lockClass, lockKey('migrations')]);
    await session.query('CREATE TABLE IF NOT EXISTS "aiotSchema" ("version" BIGINT NOT NULL)');
    const [row] = await session.query<{ version: number }>('SELECT "version" FROM "aiotSchema"');
    const done = row?.version ?? 0;
    requireKnown(done, address.shown);
    if (done < migrations.length) {
      for (const sql of migrations.slice(done)) await session.client.query(toPostgres(sql));
      await session.client.query(sharing);
      await drawOn(session);
      await session.query('DELETE FROM "aiotSchema"');
      await session.query('INSERT INTO "aiotSchema" ("version") VALUES ($1)', [migrations.length]);
    }
    await session.query('COMMIT');
  } catch (error) {
    throw databaseError(error, address.shown);
  } finally {
    await session.close();
  }
}

/** @throws AIOT_DATABASE_REFUSED */
export function requireKnown(version: number, shown: string): void {
  if (version <= migrations.length) return;
  const said = `its schema is ${version}, this one knows ${migrations.length}`;
  throw new AiotError('AIOT_DATABASE_REFUSED', `${shown} was written by a newer aiot: ${said}`, {
    endpoint: shown,
    next: 'Use the newer aiot with this database.',
  });
}

/** xid8 is of PostgreSQL 13. */
async function requireServer(session: Session, shown: string): Promise<void> {
  const [row] = await session.query<{ version: string }>(
    `SELECT current_setting('server_version_num') AS version`,
  );
  const major = Math.floor(Number(row?.version) / 10_000);
  if (major >= 13) return;
  throw new AiotError('AIOT_DATABASE_REFUSED', `${shown} is PostgreSQL ${major}: expected 13 or later`, {
    endpoint: shown,
    next: 'Use a newer PostgreSQL.',
  });
}

/** Rows that were copied with their ids draw none: the next id is above them all. */
async function drawOn(session: Session): Promise<void> {
  const columns = await session.query<{ table: string; column: string }>(
    `SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
     WHERE table_schema = current_schema() AND is_identity = 'YES'`,
  );
  for (const { table, column } of columns) {
    await session.query(
      `SELECT setval(pg_get_serial_sequence('"${table}"', '${column}'), max("${column}")) FROM "${table}"
       HAVING max("${column}") IS NOT NULL`,
    );
  }
}
