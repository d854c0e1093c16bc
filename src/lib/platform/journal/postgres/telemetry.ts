import type { PostgresPool, PostgresPoolClient } from 'kysely';
import { AiotError } from '../../../core/index.js';
import { storageError } from '../../errors.js';
import type { NoteCommit } from '../../figures/disk.js';
import { addressOf } from '../../store/postgres/address.js';
import { openPool } from '../../store/postgres/pool.js';
import type { Entry, TakeKey } from '../entry.js';
import { longestBatchMs } from '../files.js';
import { type LiveRow, liveCountsOf } from '../index/live.js';
import { type StreamTotals, withoutTake } from '../index/streams.js';
import { jsonOf } from '../line.js';
import type { JournalReader } from '../reader.js';
import { isNamed, type Take } from '../takes.js';
import { fromCursor, type Span, type TakeQuery, type Telemetry } from '../telemetry.js';
import { commitEntries, type Prepared, takeOfRow } from './commit.js';
import { followTable } from './follow.js';
import { inTransaction, makeTables } from './tables.js';

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
