import type { PostgresPoolClient } from 'kysely';

/** Any number that is the same in all processes: tables are made by one at a time. */
const making = 0x61696f74;

/** Telemetry in PostgreSQL; totals and counts are JSON, as in the index of the files. Text in the order of its bytes. */
const tables = `
  CREATE TABLE IF NOT EXISTS "telemetryStreams" ("name" TEXT COLLATE "C" PRIMARY KEY, "totals" TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS "telemetryTakes" (
    "id" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "channel" TEXT COLLATE "C" NOT NULL,
    "stream" TEXT COLLATE "C" NOT NULL, "device" TEXT COLLATE "C" NOT NULL, "recording" TEXT COLLATE "C" NOT NULL,
    "counts" TEXT NOT NULL, UNIQUE ("channel", "stream", "device", "recording")
  );
  CREATE TABLE IF NOT EXISTS "telemetryMessages" (
    "take" BIGINT NOT NULL REFERENCES "telemetryTakes" ON DELETE CASCADE, "id" BIGINT GENERATED ALWAYS AS IDENTITY,
    "key" TEXT COLLATE "C", "seq" DOUBLE PRECISION NOT NULL, "t" DOUBLE PRECISION NOT NULL, "entry" TEXT NOT NULL,
    "written" xid8 NOT NULL DEFAULT pg_current_xact_id(), PRIMARY KEY ("take", "id"), UNIQUE ("take", "key")
  );
  CREATE INDEX IF NOT EXISTS "telemetryByTime" ON "telemetryMessages" ("take", "t", "id");
  CREATE INDEX IF NOT EXISTS "telemetryByNumber" ON "telemetryMessages" ("take", "seq", "id");
  CREATE INDEX IF NOT EXISTS "telemetryByWriting" ON "telemetryMessages" ("written", "id");
  CREATE TABLE IF NOT EXISTS "telemetryLive" (
    "model" TEXT COLLATE "C" NOT NULL, "kind" TEXT COLLATE "C" NOT NULL, "name" TEXT COLLATE "C" NOT NULL,
    "answer" TEXT COLLATE "C" NOT NULL, "n" BIGINT NOT NULL, PRIMARY KEY ("model", "kind", "name", "answer")
  );
  CREATE INDEX IF NOT EXISTS "telemetryLiveByName" ON "telemetryLive" ("name", "kind");
`;

export async function makeTables(client: PostgresPoolClient): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [making]);
    for (const statement of tables.split(';')) if (statement.trim()) await client.query(statement, []);
  });
}

export async function inTransaction<T>(client: PostgresPoolClient, task: () => Promise<T>): Promise<T> {
  await client.query('begin', []);
  try {
    const result = await task();
    await client.query('commit', []);
    return result;
  } catch (error) {
    await client.query('rollback', []).catch(() => {});
    throw error;
  }
}
