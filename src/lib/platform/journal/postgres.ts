import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type { Logger } from 'pino';
import { AiotError } from '../../core/errors.js';
import type { NoteCommit } from '../metrics.js';
import { addressOf, openPool } from '../store/postgres-connection.js';
import { SharedWriter } from './shared-writer.js';
import {
  contentOf,
  type PlacedRow,
  type StoredMessage,
  schemaOf,
  type Tables,
  TableTelemetry,
  type Transaction,
  time,
} from './tables.js';

/** Interval of polling for other replicas' new messages, ms. */
const pauseMs = 250;

/** Opens telemetry in PostgreSQL, shared by the platform's replicas, so that they have no state of their own. */
export async function openPostgres(
  url: string,
  { onCommit, log }: { onCommit?: NoteCommit | undefined; log?: Pick<Logger, 'error'> | undefined } = {},
): Promise<TableTelemetry> {
  const tables = new PostgresTables(await openPool(await addressOf(url), 4));
  await tables.make();
  const failed = (err: unknown) => log?.error({ err }, 'could not count stored telemetry');
  return new TableTelemetry(tables, { onCommit }, new SharedWriter(tables, failed));
}

class PostgresTables implements Tables {
  readonly alone = false;
  readonly together = 4096;
  readonly text = (column: string) => column;

  constructor(private readonly pool: PostgresPool) {}

  /**
   * Creates the tables, or upgrades an earlier version's tables. A lock ensures that only one replica does so at a
   * time.
   */
  async make(): Promise<void> {
    await this.transaction(async ({ rows }) => {
      await rows('SELECT pg_advisory_xact_lock($1)', [making]);
      const columns = await rows<{ name: string }>(
        `SELECT column_name AS "name" FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = 'telemetryMessages'`,
        [],
      );
      const old = columns.some(({ name }) => name === 'key');
      for (const statement of `${old ? changes : ''}${tables}`.split(';'))
        if (statement.trim()) await rows(statement, []);
    });
  }

  async rows<Row>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    return this.with(async (client) => (await client.query<Row>(sql, values)).rows as Row[]);
  }

  current<Row>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    return this.rows<Row>(sql, values);
  }

  async transaction<T>(task: (sql: Transaction) => Promise<T>): Promise<T> {
    return this.with(async (client) => {
      const rows = async <Row>(sql: string, values: readonly unknown[]) =>
        (await client.query<Row>(sql, values)).rows as Row[];
      await client.query('begin', []);
      try {
        const result = await task({ rows, insert: (messages) => insert(rows, messages) });
        await client.query('commit', []);
        return result;
      } catch (error) {
        await client.query('rollback', []).catch(() => {});
        throw error;
      }
    });
  }

  async end(): Promise<string> {
    const [row] = await this.rows<{ open: string }>(
      'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "open"',
      [],
    );
    return `${BigInt(row?.open ?? 1) - 1n}:${Number.MAX_SAFE_INTEGER}`;
  }

  /**
   * Returns messages in the order of their transactions. A message is read only once no earlier transaction can still
   * commit (PostgreSQL, 9.27.10, pg_snapshot_xmin). A position is `TRANSACTION:ID`.
   */
  async after(position: string | null, limit: number, all = false): Promise<PlacedRow[]> {
    const rows = await this.rows<Omit<PlacedRow, 'position'> & { written: string; id: number }>(
      `SELECT "written"::text, "id", ${time}, ${contentOf(this, ['take', 'samples', 'sum'])} FROM "telemetryMessages"
       WHERE ("written", "id") > ($1::xid8, $2) ${all ? '' : 'AND "written" < pg_snapshot_xmin(pg_current_snapshot())'}
       ORDER BY "telemetryMessages"."written", "id" LIMIT $3`,
      [...parsed(position ?? '0:0'), limit],
    );
    return rows.map(({ written, id, ...row }) => ({ ...row, position: `${written}:${id}` }));
  }

  async changed(_position: string | null, signal: AbortSignal): Promise<void> {
    await delay(pauseMs, undefined, { signal }).catch(() => {});
  }

  async bytes(): Promise<number> {
    const sql = `SELECT pg_total_relation_size('"telemetryMessages"') AS "bytes"`;
    const [row] = await this.rows<{ bytes: number }>(sql, []);
    return Number(row?.bytes ?? 0);
  }

  /** The database reclaims space automatically (autovacuum) without reporting it. */
  async compact(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async with<T>(task: (client: PostgresPoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    try {
      return await task(client);
    } finally {
      client.release();
    }
  }
}

async function insert(rows: Transaction['rows'], messages: readonly StoredMessage[]): Promise<boolean[]> {
  if (messages.length === 0) return [];
  const column = (name: keyof StoredMessage) => messages.map((message) => message[name]);
  const sums = messages.map(({ json }) => crc32(json));
  const keyOf = ({ take, seq, moment }: Pick<StoredMessage, 'take' | 'seq' | 'moment'>) =>
    `${take}/${seq}/${moment}`;
  const stored = await rows<Pick<StoredMessage, 'take' | 'seq' | 'moment'>>(
    `INSERT INTO "telemetryMessages" ("take", "seq", "moment", "t", "samples", "sum", "entry")
     SELECT a, q, m, t, n, s, e FROM
       unnest($1::bigint[], $2::float8[], $3::float8[], $4::float8[], $5::bigint[], $6::bigint[], $7::text[])
       WITH ORDINALITY AS x (a, q, m, t, n, s, e, o) ORDER BY o
     ON CONFLICT ("take", "seq", "moment") DO NOTHING RETURNING "take", "seq", "moment"`,
    [
      ...[column('take'), column('seq'), column('moment'), column('t')],
      ...[column('samples'), sums, column('json')],
    ],
  );
  const fresh = new Set(stored.map(keyOf));
  // If several messages in the batch have the same key, the first was stored.
  return messages.map((message) => message.moment === null || fresh.delete(keyOf(message)));
}

function parsed(position: string): [written: string, id: number] {
  const [, written, id] = /^(\d{1,20}):(\d{1,16})$/.exec(position) ?? [];
  if (written !== undefined) return [written, Number(id)];
  throw new AiotError(
    'AIOT_PLATFORM_FAILED',
    `"${position}" is not a position in the telemetry of a database`,
  );
}

/** Key of the lock for creating tables, the same in all processes. */
const making = 0x61696f74;

/**
 * Text is sorted by bytes, as in SQLite. Each message stores its transaction, because transactions determine the order
 * for readers.
 */
const tables = `${schemaOf({
  ...{ id: 'BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY', int: 'BIGINT', text: 'TEXT COLLATE "C"' },
  ...{ real: 'DOUBLE PRECISION', end: '' },
})}
  ALTER TABLE "telemetryMessages" ADD COLUMN IF NOT EXISTS "written" xid8 NOT NULL DEFAULT pg_current_xact_id();
  CREATE INDEX IF NOT EXISTS "telemetryByWriting" ON "telemetryMessages" ("written", "id");
  CREATE TABLE IF NOT EXISTS "telemetryUncounted" (
    "id" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "counts" TEXT NOT NULL, "broken" BOOLEAN NOT NULL DEFAULT false
  );
`;

/** In earlier versions, messages had a text key and no checksum. */
const changes = `
  ALTER TABLE "telemetryMessages" ADD COLUMN "moment" DOUBLE PRECISION;
  ALTER TABLE "telemetryMessages" ADD COLUMN "samples" BIGINT NOT NULL DEFAULT 1;
  ALTER TABLE "telemetryMessages" ADD COLUMN "sum" BIGINT;
  UPDATE "telemetryMessages" SET "moment" = CASE WHEN strpos("key", ':') > 0 THEN "t" ELSE 0 END WHERE "key" IS NOT NULL;
  ALTER TABLE "telemetryMessages" DROP COLUMN "key";
  ALTER TABLE "telemetryMessages" DROP CONSTRAINT IF EXISTS "telemetryMessages_pkey";
  ALTER TABLE "telemetryMessages" DROP CONSTRAINT IF EXISTS "telemetryMessages_take_fkey";
  ALTER TABLE "telemetryMessages" ADD PRIMARY KEY ("id");
  ALTER TABLE "telemetryMessages" ADD UNIQUE ("take", "seq", "moment");
  DROP INDEX IF EXISTS "telemetryByNumber";
  DROP INDEX IF EXISTS "telemetryByTime";
`;
