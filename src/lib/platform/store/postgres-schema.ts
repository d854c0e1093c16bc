import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { AiotError } from '../../core/errors.js';
import type { Store } from './database.js';
import { migrations, requiredMigrations } from './migrations.js';
import { type Address, databaseError, openSession, type Session, sqlState } from './postgres-connection.js';

/** The schema of a database. */
interface SchemaRow {
  /** Number of its migrations. */
  version: number;
  /** Number of migrations that a program must know to work with it; null if an earlier version of aiot migrated it. */
  oldest: number | null;
}

/** How long a migration waits for other replicas' transactions, ms. It then releases its locks and retries after a pause, for at most a minute. */
const [lockMs, pauseMs, patienceMs] = [400, 300, 60_000];

/**
 * Migrates the database, completely or not at all, and only once; concurrent callers wait. Replicas of an earlier version may be running: a
 * migration that waits for one of their locks gives up before PostgreSQL's deadlock detection (1 s), which could end their transaction.
 * @throws AIOT_DATABASE_REFUSED (a schema of a newer aiot, or a server that is too old), AIOT_DATABASE_UNREACHABLE
 */
export async function migrate(address: Address): Promise<void> {
  const session = await openSession(address, {
    statement_timeout: 0,
    query_timeout: 0,
    lock_timeout: lockMs,
  });
  try {
    await requireServer(session, address.shown);
    for (const started = performance.now(); ; await delay(pauseMs)) {
      try {
        await migrateOnce(session, address.shown);
        return;
      } catch (error) {
        if (!isLockTimeout(error) || performance.now() - started > patienceMs) throw error;
        await session.query('ROLLBACK');
      }
    }
  } catch (error) {
    throw databaseError(error, address.shown);
  } finally {
    await session.close();
  }
}

/** Whether a lock was not granted within `lock_timeout`. */
function isLockTimeout(error: unknown): boolean {
  return sqlState(error instanceof AiotError ? error.cause : error) === '55P03';
}

async function migrateOnce(session: Session, shown: string): Promise<void> {
  await session.query('BEGIN');
  await session.query('SELECT pg_advisory_xact_lock($1, $2)', [lockClass, lockKey('migrations')]);
  await session.query('CREATE TABLE IF NOT EXISTS "aiotSchema" ("version" BIGINT NOT NULL)');
  await session.query('ALTER TABLE "aiotSchema" ADD COLUMN IF NOT EXISTS "oldest" BIGINT');
  const [row = { version: 0, oldest: null }] = await session.query<SchemaRow>(
    'SELECT "version", "oldest" FROM "aiotSchema"',
  );
  requireKnown(row, shown);
  if (row.version < migrations.length) {
    for (const step of migrations.slice(row.version)) await session.client.query(toPostgres(step));
    await session.client.query(sharing);
    await drawOn(session);
    await session.query('DELETE FROM "aiotSchema"');
    await session.query('INSERT INTO "aiotSchema" ("version", "oldest") VALUES ($1, $2)', [
      migrations.length,
      requiredMigrations,
    ]);
  }
  await session.query('COMMIT');
}

/** @throws AIOT_DATABASE_REFUSED */
export function requireKnown({ version, oldest }: SchemaRow, shown: string): void {
  const required = oldest ?? version;
  if (required <= migrations.length) return;
  const said = `its schema is ${version}, but this version supports up to ${migrations.length}`;
  throw new AiotError('AIOT_DATABASE_REFUSED', `${shown} was written by a newer aiot: ${said}`, {
    endpoint: shown,
    next: 'Use the newer aiot with this database.',
  });
}

/** Requires PostgreSQL 13, which introduced xid8. */
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

/**
 * Continues each sequence above the highest id, because rows inserted with explicit ids do not advance it. Other sequences are left alone:
 * replicas of an earlier version may have drawn ids for rows that they have not committed.
 */
async function drawOn(session: Session): Promise<void> {
  const columns = await session.query<{ table: string; column: string }>(
    `SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
     WHERE table_schema = current_schema() AND is_identity = 'YES'`,
  );
  for (const { table, column } of columns) {
    await session.query(
      `SELECT setval(sequence, highest)
       FROM (SELECT pg_get_serial_sequence('"${table}"', '${column}')::regclass AS sequence) AS s,
         (SELECT max("${column}") AS highest FROM "${table}") AS h
       WHERE highest > coalesce(pg_sequence_last_value(sequence), 0)`,
    );
  }
}

const eventsLock = lockKey('events');

/** Maximum number of events that are moved in one transaction. */
const settledAtOnce = 2000;

/** Differences between the engines' SQL, in the order of replacement. */
const words: readonly [RegExp, string][] = [
  // The primary key of an SQLite table, which the database assigns unless it is specified.
  [/\bINTEGER PRIMARY KEY(?: AUTOINCREMENT)?\b/g, 'BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY'],
  [/\bINTEGER\b/g, 'BIGINT'],
  [/\bREAL\b/g, 'DOUBLE PRECISION'],
  [/\bBLOB\b/g, 'BYTEA'],
  // Text is sorted by bytes, as in SQLite, regardless of the server's locale.
  [/(?<!\bAS )\bTEXT\b/g, 'TEXT COLLATE "C"'],
  [/\)\s*STRICT\b/g, ')'],
];

/**
 * Translates an SQLite migration for PostgreSQL: replaces types, and quotes names because they are camelCase. Supports the subset in our migrations:
 * upper-case keywords and types, names that begin in lower case, no engine-specific functions.
 */
export function toPostgres(sql: string): string {
  // Texts, comments and quoted names are left unchanged.
  const parts = sql.split(/('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*)/);
  return parts.map((part, i) => (i % 2 === 1 ? part : quoted(part))).join('');
}

function quoted(part: string): string {
  const named = part.replace(/\b[a-z_]\w*\b/g, (name) => `"${name}"`);
  return words.reduce((text, [from, to]) => text.replace(from, to), named);
}

/** First half of the keys of all our advisory locks: `aiot`. */
export const lockClass = Buffer.from('aiot').readInt32BE();

/** Class of the locks on parts of turns, such as single devices, which may collide with each other but not with other locks. */
export const partLockClass = Buffer.from('part').readInt32BE();

/**
 * Additions for PostgreSQL, which several processes write to. Idempotent, because it runs after each migration.
 *
 * Events: ids must increase in commit order, because a reader continues from the highest id that it has seen. Writers must not wait for each
 * other, so they insert into `newEvents`, and whichever process reads next moves these rows to `events`, under a lock. A row is moved only
 * after its commit, and therefore gets a higher id than all events that any reader has seen. Earlier versions of aiot insert directly: a
 * writer takes the lock before the id is assigned, and releases it after the commit is visible. Source: Programming with advisory locks,
 * 13.3.5; a trigger before a statement runs before its defaults are computed, 39.1.
 *
 * Devices: changed rows and their transactions, so that other processes can query changes they have not seen. An update of the
 * time when a device was last seen does not count as a change.
 *
 * Notifications: a transaction that notifies holds a lock on the whole server during its commit (PostgreSQL, src/backend/commands/async.c).
 * Triggers therefore notify only for `events`, whose writers are serialized anyway, and for earlier versions of aiot.
 */
const sharing = `
  CREATE TABLE IF NOT EXISTS "deviceChanges" (
    "name" TEXT COLLATE "C" PRIMARY KEY, "changed" xid8 NOT NULL
  );
  CREATE INDEX IF NOT EXISTS "deviceChangesByChange" ON "deviceChanges" ("changed");

  CREATE OR REPLACE FUNCTION "aiotTold"() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF TG_ARGV[0] = 'events' OR current_setting('aiot.notifies', true) IS DISTINCT FROM 'after' THEN
      PERFORM pg_notify('aiot', TG_ARGV[0]);
    END IF;
    RETURN NULL;
  END $$;

  CREATE OR REPLACE FUNCTION "aiotInOrder"() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM pg_advisory_xact_lock(${lockClass}, ${eventsLock});
    RETURN NULL;
  END $$;

  CREATE OR REPLACE FUNCTION "aiotDeviceChanged"() RETURNS trigger LANGUAGE plpgsql AS $$
  DECLARE
    device text;
  BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - 'lastSeen' = to_jsonb(NEW) - 'lastSeen' THEN
      RETURN NULL;
    END IF;
    FOREACH device IN ARRAY CASE TG_OP
      WHEN 'INSERT' THEN ARRAY[NEW."name"] WHEN 'DELETE' THEN ARRAY[OLD."name"] ELSE ARRAY[OLD."name", NEW."name"] END
    LOOP
      INSERT INTO "deviceChanges" ("name", "changed") VALUES (device, pg_current_xact_id())
        ON CONFLICT ("name") DO UPDATE SET "changed" = EXCLUDED."changed";
    END LOOP;
    IF current_setting('aiot.notifies', true) IS DISTINCT FROM 'after' THEN
      PERFORM pg_notify('aiot', 'devices');
    END IF;
    RETURN NULL;
  END $$;

  CREATE OR REPLACE FUNCTION "aiotSettleEvents"() RETURNS bigint LANGUAGE plpgsql AS $$
  DECLARE
    moved bigint;
  BEGIN
    IF NOT EXISTS (SELECT FROM "newEvents") THEN
      RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(${lockClass}, ${eventsLock});
    -- This statement sees everything that was committed before the lock was granted.
    WITH settled AS (
      DELETE FROM "newEvents" WHERE "id" IN (SELECT "id" FROM "newEvents" ORDER BY "id" LIMIT ${settledAtOnce})
      RETURNING *
    )
    INSERT INTO "events" ("at", "type", "subject", "who", "data")
      SELECT "at", "type", "subject", "who", "data" FROM settled ORDER BY "id";
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
  END $$;

  DROP TRIGGER IF EXISTS "eventsInOrder" ON "events";
  CREATE TRIGGER "eventsInOrder" BEFORE INSERT ON "events" FOR EACH STATEMENT EXECUTE FUNCTION "aiotInOrder"();
  DROP TRIGGER IF EXISTS "eventsTold" ON "events";
  CREATE TRIGGER "eventsTold" AFTER INSERT ON "events" FOR EACH STATEMENT EXECUTE FUNCTION "aiotTold"('events');
  DROP TRIGGER IF EXISTS "rolloutsTold" ON "rollouts";
  CREATE TRIGGER "rolloutsTold" AFTER INSERT OR UPDATE OR DELETE ON "rollouts"
    FOR EACH STATEMENT EXECUTE FUNCTION "aiotTold"('rollouts');
  DROP TRIGGER IF EXISTS "deviceChanged" ON "devices";
  CREATE TRIGGER "deviceChanged" AFTER INSERT OR UPDATE OR DELETE ON "devices"
    FOR EACH ROW EXECUTE FUNCTION "aiotDeviceChanged"();
`;

/** Second half of a lock's key: a hash of the name of the locked object. */
export function lockKey(name: string): number {
  return createHash('sha256').update(name).digest().readInt32BE();
}

/**
 * Moves committed events from `newEvents` to `events`. Afterwards, `events` contains all events that were committed before the call. In a
 * transaction, it also moves the transaction's own events, and other writers to `events` wait until the transaction ends.
 */
export async function settleEvents(store: Store): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ moved: number }>`SELECT "aiotSettleEvents"() AS "moved"`.execute(store);
    if (Number(rows[0]?.moved) < settledAtOnce) return;
  }
}
