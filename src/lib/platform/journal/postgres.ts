import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import { AiotError } from '../../core/errors.js';
import { storageError } from '../errors.js';
import type { NoteCommit } from '../metrics.js';
import { addressOf, openPool } from '../store/postgres-connection.js';
import { type Entry, jsonOf, type TakeKey } from './entry.js';
import { longestBatchMs } from './files.js';
import {
  emptyStream,
  type LiveRow,
  liveCountsOf,
  liveRowsOf,
  mostFields,
  newFieldsOf,
  type StreamTotals,
  withoutTake,
} from './index/totals.js';
import { countEntry, emptyTake, isNamed, messageKey, type Take, takeKeyOf } from './takes.js';
import { fromCursor, type JournalReader, type Span, type TakeQuery, type Telemetry } from './telemetry.js';

interface Waiting extends Prepared {
  resolve: () => void;
  reject: (error: unknown) => void;
}

type TakeRow = TakeKey & { id: number; counts: string };

/** Messages that one transaction holds at most, and that are read at once. */
const [mostTogether, page] = [4096, 1000];

/**
 * Telemetry in tables of PostgreSQL: replicas of the platform share it, and have no state of their own. What came while a
 * transaction was under way is the next one, so that many messages are made durable by one commit.
 */
export class PostgresTelemetry implements Telemetry {
  readonly reader: JournalReader;
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;
  private closed = false;

  private constructor(
    private readonly pool: PostgresPool,
    private readonly onCommit: NoteCommit | undefined,
  ) {
    this.reader = followTable((sql, values) => this.rows(sql, values));
  }

  static async open(url: string, onCommit?: NoteCommit): Promise<PostgresTelemetry> {
    const pool = await openPool(await addressOf(url), 4);
    const telemetry = new PostgresTelemetry(pool, onCommit);
    await telemetry.with(makeTables);
    return telemetry;
  }

  get backlog() {
    return this.waiting.length;
  }

  async append(entry: Entry): Promise<void> {
    if (this.closed) throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform is stopping');
    // JSON escapes the character of value 0, which PostgreSQL's text cannot hold.
    const json = jsonOf(entry);
    return new Promise((resolve, reject) => {
      this.waiting.push({ entry, json, resolve, reject });
      this.flushing ??= this.flush();
    });
  }

  async streams({ after = '', limit }: { after?: string | undefined; limit: number }) {
    const rows = await this.rows<{ totals: string }>(
      `SELECT "totals" FROM "telemetryStreams" WHERE "name" > $1 AND ("totals"::json ->> 'recordings')::int > 0
       ORDER BY "name" LIMIT $2`,
      [after, limit],
    );
    return rows.map(({ totals }) => JSON.parse(totals) as StreamTotals);
  }

  async stream(name: string) {
    const sql = 'SELECT "totals" FROM "telemetryStreams" WHERE "name" = $1';
    const [row] = await this.rows<{ totals: string }>(sql, [name]);
    const totals = row ? (JSON.parse(row.totals) as StreamTotals) : null;
    return totals && totals.recordings > 0 ? totals : null;
  }

  async takes({ channel = 'telemetry', stream, device, after, limit }: TakeQuery): Promise<Take[]> {
    const rows = await this.rows<TakeRow>(
      `SELECT * FROM "telemetryTakes" WHERE "channel" = $1 AND "stream" = $2 AND ($3::text IS NULL OR "device" = $3)
       AND ("device", "recording") > ($4, $5) AND "counts" <> '{}' ORDER BY "device", "recording" LIMIT $6`,
      [channel, stream, device ?? null, ...fromCursor(after), limit],
    );
    return rows.map(takeOfRow);
  }

  async take(key: TakeKey): Promise<Take | null> {
    const row = await this.row(key);
    return row && row.counts !== '{}' ? takeOfRow(row) : null;
  }

  async *read(key: TakeKey, { from = -Infinity, to = Infinity }: Span = {}): AsyncGenerator<Entry> {
    const row = await this.row(key);
    if (!row) return;
    const by = takeOfRow(row).outOfOrder === 0 ? 'id' : isNamed(key) ? 'seq' : 't';
    let after: [number, number] = [-Infinity, 0];
    for (;;) {
      const rows = await this.rows<{ id: number; seq: number; t: number; entry: string }>(
        `SELECT "id", "seq", "t", "entry" FROM "telemetryMessages"
         WHERE "take" = $1 AND "t" >= $2 AND "t" <= $3 AND ("${by}", "id") > ($4, $5) ORDER BY "${by}", "id" LIMIT $6`,
        [row.id, from - longestBatchMs, to, by === 'id' ? Math.max(0, after[0]) : after[0], after[1], page],
      );
      for (const { entry } of rows) yield JSON.parse(entry) as Entry;
      const last = rows.at(-1);
      if (!last || rows.length < page) return;
      after = [Number(last[by]), Number(last.id)];
    }
  }

  async live(name: string, version: number) {
    const sql = 'SELECT * FROM "telemetryLive" WHERE "model" = $1';
    const rows = await this.rows<LiveRow>(sql, [`${name}@${version}`]);
    return liveCountsOf(rows.map((row) => ({ ...row, n: Number(row.n) })));
  }

  async predicted(recordings: readonly string[]) {
    const rows = await this.rows<{ name: string }>(
      `SELECT DISTINCT "name" FROM "telemetryLive" WHERE "name" = ANY($1) AND "kind" = 'label'`,
      [recordings],
    );
    return new Set(rows.map(({ name }) => name));
  }

  async remove(keys: readonly TakeKey[]): Promise<void> {
    for (const { channel, stream, device, recording } of keys) {
      await this.with((client) =>
        inTransaction(client, async () => {
          const totals = await client.query<{ totals: string }>(
            'SELECT "totals" FROM "telemetryStreams" WHERE "name" = $1 FOR UPDATE',
            [stream],
          );
          const gone = await client.query<TakeRow>(
            `DELETE FROM "telemetryTakes"
             WHERE "channel" = $1 AND "stream" = $2 AND "device" = $3 AND "recording" = $4 RETURNING *`,
            [channel, stream, device, recording],
          );
          const [[row], [take]] = [totals.rows, gone.rows];
          if (!row || !take || channel !== 'telemetry') return;
          const left = withoutTake(JSON.parse(row.totals) as StreamTotals, takeOfRow(take));
          await client.query('UPDATE "telemetryStreams" SET "totals" = $1 WHERE "name" = $2', [
            JSON.stringify(left),
            stream,
          ]);
        }),
      );
    }
  }

  /** The database gives space back by itself (autovacuum), and does not say when. */
  async reclaim() {
    return { bytes: null };
  }

  async settled(): Promise<void> {}

  async figures() {
    const sql = `SELECT pg_total_relation_size('"telemetryMessages"') AS bytes`;
    const [row] = await this.rows<{ bytes: number }>(sql, []);
    return { damaged: 0, bytes: Number(row?.bytes ?? 0) };
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.flushing;
    await this.pool.end();
  }

  private async flush(): Promise<void> {
    // Lets all that came in this turn of the loop into the first transaction.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, mostTogether);
      const begun = performance.now();
      try {
        const refused = await this.with((client) => commitEntries(client, batch));
        this.onCommit?.(batch.length, (performance.now() - begun) / 1000);
        for (const [i, { resolve, reject }] of batch.entries()) {
          const error = refused.get(i);
          if (error) reject(error);
          else resolve();
        }
      } catch (error) {
        for (const { reject } of batch) reject(storageError(error));
      }
    }
    this.flushing = undefined;
  }

  private async row({ channel, stream, device, recording }: TakeKey): Promise<TakeRow | undefined> {
    const [row] = await this.rows<TakeRow>(
      `SELECT * FROM "telemetryTakes" WHERE "channel" = $1 AND "stream" = $2 AND "device" = $3 AND "recording" = $4`,
      [channel, stream, device, recording],
    );
    return row;
  }

  private async rows<T>(sql: string, values: unknown[]): Promise<T[]> {
    return this.with(async (client) => (await client.query<T>(sql, values)).rows as T[]);
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

/** An entry and the JSON that is stored of it. */
interface Prepared {
  entry: Entry;
  json: string;
}

interface Row {
  id: number;
  take: Take;
}

/**
 * Stores entries in one transaction; says which were refused, by their place. Rows of streams and recordings are locked in
 * the order of their names, so that replicas wait for one another and never in a circle.
 */
async function commitEntries(
  client: PostgresPoolClient,
  batch: readonly Prepared[],
): Promise<Map<number, AiotError>> {
  const refused = new Map<number, AiotError>();
  await inTransaction(client, async () => {
    const streams = await lockStreams(client, batch);
    const keys = batch.map(({ entry }) => takeKeyOf(entry));
    const takes = await lockTakes(client, keys);
    const messages = batch.map(({ entry, json }, i) => {
      const key = keys[i] as TakeKey;
      const row = takes.get(textOf(key)) as Row;
      const told = messageKey(entry, isNamed(key));
      const { seq, t } = entry.payload;
      return {
        ...{ entry, json, row, told },
        seq: typeof seq === 'number' && told !== null ? seq : -1,
        t: typeof t === 'number' ? t : entry.at,
      };
    });
    for (const [i, { entry }] of batch.entries()) {
      const totals = entry.channel === 'telemetry' ? streams.get(entry.stream ?? '') : undefined;
      if (!totals) continue;
      const fresh = newFieldsOf(totals, entry);
      if (totals.fields.length + fresh.length > mostFields) refused.set(i, tooManyFields(entry));
      else totals.fields.push(...fresh);
    }
    const taken = messages.filter((_, i) => !refused.has(i));
    const stored = await insertMessages(client, taken);
    const live: LiveRow[] = [];
    for (const { entry, json, row, told } of taken) {
      const isNew = told === null || stored.delete(`${row.id}/${told}`);
      const counted: Entry = isNew ? entry : { ...entry, repeat: true };
      const before = { ...row.take };
      countEntry(row.take, counted, json.length);
      const totals = entry.channel === 'telemetry' ? streams.get(entry.stream ?? '') : undefined;
      if (totals) addTo(totals, before, row.take);
      live.push(...liveRowsOf(counted));
    }
    await writeCounts(client, streams, takes);
    await writeLive(client, live);
  });
  return refused;
}

function addTo(totals: StreamTotals, before: Take, take: Take): void {
  if (before.messages + before.duplicates === 0) totals.recordings++;
  totals.messages += take.messages - before.messages;
  totals.samples += take.samples - before.samples;
  totals.bytes += take.bytes - before.bytes;
  totals.duplicates += take.duplicates - before.duplicates;
}

async function lockStreams(client: PostgresPoolClient, batch: readonly Prepared[]) {
  const telemetry = batch.filter(({ entry }) => entry.channel === 'telemetry');
  const names = [...new Set(telemetry.map(({ entry }) => entry.stream ?? ''))].sort();
  const { rows } = await client.query<{ name: string; totals: string }>(
    `INSERT INTO "telemetryStreams" SELECT n, t FROM unnest($1::text[], $2::text[]) AS x (n, t) ORDER BY n COLLATE "C"
     ON CONFLICT ("name") DO UPDATE SET "name" = excluded."name" RETURNING "name", "totals"`,
    [names, names.map((name) => JSON.stringify(emptyStream(name)))],
  );
  return new Map(rows.map(({ name, totals }) => [name, JSON.parse(totals) as StreamTotals]));
}

async function lockTakes(client: PostgresPoolClient, keys: readonly TakeKey[]): Promise<Map<string, Row>> {
  const distinct = [...new Map(keys.map((key) => [textOf(key), key])).entries()];
  distinct.sort(([a], [b]) => (a < b ? -1 : 1));
  const column = (name: keyof TakeKey) => distinct.map(([, key]) => key[name]);
  const { rows } = await client.query<TakeKey & { id: number; counts: string }>(
    `INSERT INTO "telemetryTakes" ("channel", "stream", "device", "recording", "counts")
     SELECT c, s, d, r, '{}' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS x (c, s, d, r, o)
     ORDER BY o ON CONFLICT ("channel", "stream", "device", "recording") DO UPDATE SET "device" = excluded."device"
     RETURNING *`,
    [column('channel'), column('stream'), column('device'), column('recording')],
  );
  return new Map(rows.map((row) => [textOf(row), { id: Number(row.id), take: takeOfRow(row) }]));
}

function takeOfRow(row: TakeKey & { counts: string }): Take {
  return { ...emptyTake(row), ...(JSON.parse(row.counts) as Partial<Take>) };
}

/** Keys of the messages that were not there yet, as `take/key`. */
async function insertMessages(
  client: PostgresPoolClient,
  messages: readonly { row: Row; told: string | null; seq: number; t: number; json: string }[],
): Promise<Set<string>> {
  const { rows } = await client.query<{ take: number; key: string | null }>(
    `INSERT INTO "telemetryMessages" ("take", "key", "seq", "t", "entry")
     SELECT a, k, s, t, e FROM unnest($1::bigint[], $2::text[], $3::float8[], $4::float8[], $5::text[])
       WITH ORDINALITY AS x (a, k, s, t, e, o) ORDER BY o
     ON CONFLICT ("take", "key") DO NOTHING RETURNING "take", "key"`,
    [
      messages.map(({ row }) => row.id),
      messages.map(({ told }) => told),
      messages.map(({ seq }) => seq),
      messages.map(({ t }) => t),
      messages.map(({ json }) => json),
    ],
  );
  return new Set(rows.map(({ take, key }) => `${take}/${key}`));
}

async function writeCounts(
  client: PostgresPoolClient,
  streams: Map<string, StreamTotals>,
  takes: Map<string, Row>,
): Promise<void> {
  const rows = [...takes.values()];
  const totals = [...streams.values()];
  await client.query(
    `UPDATE "telemetryTakes" SET "counts" = c FROM unnest($1::bigint[], $2::text[]) AS x (i, c) WHERE "id" = i`,
    [rows.map(({ id }) => id), rows.map(({ take }) => countsOf(take))],
  );
  await client.query(
    `UPDATE "telemetryStreams" SET "totals" = t FROM unnest($1::text[], $2::text[]) AS x (n, t) WHERE "name" = n`,
    [totals.map(({ name }) => name), totals.map((each) => JSON.stringify(each))],
  );
}

async function writeLive(client: PostgresPoolClient, live: readonly LiveRow[]): Promise<void> {
  if (live.length === 0) return;
  const sums = new Map<string, LiveRow>();
  for (const row of live) {
    const text = `${row.model}/${row.kind}/${row.name}/${row.answer}`;
    sums.set(text, { ...row, n: (sums.get(text)?.n ?? 0) + row.n });
  }
  const rows = [...sums.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  const column = (name: keyof LiveRow) => rows.map((row) => row[name]);
  await client.query(
    `INSERT INTO "telemetryLive" AS l
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
     ON CONFLICT ("model", "kind", "name", "answer") DO UPDATE SET "n" = l."n" + excluded."n"`,
    [column('model'), column('kind'), column('name'), column('answer'), column('n')],
  );
}

function countsOf({ channel: _, stream: __, device: ___, recording: ____, ...counts }: Take): string {
  return JSON.stringify(counts);
}

function textOf({ channel, stream, device, recording }: TakeKey): string {
  return `${channel}/${stream}/${device}/${recording}`;
}

function tooManyFields({ device, stream }: Entry): AiotError {
  return new AiotError(
    'AIOT_MESSAGE_MALFORMED',
    `${device}: telemetry/${stream}: expected at most ${mostFields} fields in a stream, got one more`,
  );
}

type Query = <T>(sql: string, values: unknown[]) => Promise<T[]>;

const [followedRows, pauseMs] = [1000, 250];

/**
 * Messages in the order of the transactions that wrote them; one is read when no transaction before it can still commit
 * (PostgreSQL, 9.27.10, pg_snapshot_xmin). A position is `TRANSACTION:ID`.
 */
function followTable(query: Query): JournalReader {
  return {
    async end() {
      const [row] = await query<{ open: string }>(
        'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "open"',
        [],
      );
      return `${BigInt(row?.open ?? 1) - 1n}:${Number.MAX_SAFE_INTEGER}`;
    },
    async *from(position, signal) {
      let after = parsed(position ?? '0:0');
      while (!signal.aborted) {
        const rows = await query<{ written: string; id: number; entry: string }>(
          `SELECT "written"::text, "id", "entry" FROM "telemetryMessages"
           WHERE ("written", "id") > ($1::xid8, $2) AND "written" < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY "written", "id" LIMIT $3`,
          [...after, followedRows],
        );
        const last = rows.at(-1);
        if (!last) {
          await delay(pauseMs, undefined, { signal }).catch(() => {});
          continue;
        }
        after = [last.written, Number(last.id)];
        yield rows.map(({ written, id, entry }) => {
          return { entry: JSON.parse(entry) as Entry, position: `${written}:${id}` };
        });
      }
    },
  };
}

function parsed(position: string): [written: string, id: number] {
  const [, written, id] = /^(\d{1,20}):(\d{1,16})$/.exec(position) ?? [];
  if (written !== undefined) return [written, Number(id)];
  throw new AiotError('AIOT_PLATFORM_FAILED', `"${position}" is no position in the telemetry of a database`);
}

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

async function makeTables(client: PostgresPoolClient): Promise<void> {
  await inTransaction(client, async () => {
    await client.query('SELECT pg_advisory_xact_lock($1)', [making]);
    for (const statement of tables.split(';')) if (statement.trim()) await client.query(statement, []);
  });
}

async function inTransaction<T>(client: PostgresPoolClient, task: () => Promise<T>): Promise<T> {
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
