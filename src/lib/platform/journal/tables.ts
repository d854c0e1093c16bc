import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { AiotError, systemCode } from '../../core/errors.js';
import { storageError } from '../errors.js';
import type { NoteCommit } from '../metrics.js';
import type { Finding } from '../verify/damage.js';
import { type Entry, type JournalRecord, jsonOf, type TakeKey } from './entry.js';
import { brokenRows, findingsOf, type LostMessage, rowsOf, Tallies, telemetryFile } from './lost.js';
import { countEntry, emptyTake, isNamed, type Take, takeKeyOf, takeKeysOf } from './takes.js';
import {
  fromCursor,
  type JournalReader,
  type PlacedEntry,
  type Span,
  type TakeQuery,
  type Telemetry,
} from './telemetry.js';
import {
  emptyStream,
  type LiveRow,
  liveCountsOf,
  liveRowsOf,
  mostFields,
  newFieldsOf,
  type StreamTotals,
  withoutTake,
} from './totals.js';

/** Names of column types in this engine. */
interface Types {
  id: string;
  /** Type for an id that is never reused for another row. */
  takeId?: string;
  int: string;
  text: string;
  real: string;
  /** SQL after a table's columns. */
  end: string;
}

/**
 * Tables of telemetry, the same in both engines; totals and counts are JSON. Within a recording, `seq` and `moment` identify a message.
 * `moment` is 0 if `seq` alone identifies it, else the message's time; null = nothing identifies it. `samples` is the number of exported
 * rows, `sum` the CRC-32 of `entry`.
 */
export function schemaOf({ id, takeId = id, int, text, real, end }: Types): string {
  return `
    CREATE TABLE IF NOT EXISTS "telemetryStreams" ("name" ${text} PRIMARY KEY, "totals" TEXT NOT NULL)${end};
    CREATE TABLE IF NOT EXISTS "telemetryTakes" (
      "id" ${takeId}, "channel" ${text} NOT NULL, "stream" ${text} NOT NULL, "device" ${text} NOT NULL,
      "recording" ${text} NOT NULL, "counts" TEXT NOT NULL, UNIQUE ("channel", "stream", "device", "recording")
    )${end};
    CREATE TABLE IF NOT EXISTS "telemetryMessages" (
      "id" ${id}, "take" ${int} NOT NULL, "seq" ${real} NOT NULL, "moment" ${real}, "t" ${real} NOT NULL,
      "samples" ${int} NOT NULL, "sum" ${int}, "entry" TEXT NOT NULL, UNIQUE ("take", "seq", "moment")
    )${end};
    CREATE INDEX IF NOT EXISTS "telemetryByTime" ON "telemetryMessages" ("take", "t");
    CREATE TABLE IF NOT EXISTS "telemetryLive" (
      "model" ${text} NOT NULL, "kind" ${text} NOT NULL, "name" ${text} NOT NULL, "answer" ${text} NOT NULL,
      "n" ${int} NOT NULL, PRIMARY KEY ("model", "kind", "name", "answer")
    )${end};
    CREATE INDEX IF NOT EXISTS "telemetryLiveByName" ON "telemetryLive" ("name", "kind");
    CREATE TABLE IF NOT EXISTS "telemetryRemoved" ("take" ${int} PRIMARY KEY)${end};
    CREATE TABLE IF NOT EXISTS "telemetryMeta" ("key" ${text} PRIMARY KEY, "value" TEXT NOT NULL)${end};`;
}

/** Statements in one transaction. */
export interface Transaction {
  rows<Row>(sql: string, values: readonly unknown[]): Promise<Row[]>;
  /** Stores messages, and returns for each whether it was new. */
  insert(messages: readonly StoredMessage[]): Promise<boolean[]>;
}

/** The parts that differ between engines: connections, ids, the order of commits, and disk space. SQL uses `$1` for parameters, and quoted names. */
export interface Tables {
  /** True if this process is the only writer: rows of streams and recordings can then be cached between commits. */
  readonly alone: boolean;
  /** Maximum number of rows per INSERT. */
  readonly together: number;
  /** SQL that reads a text column, which may contain damaged bytes. */
  text(column: string): string;
  rows<Row>(sql: string, values: readonly unknown[]): Promise<Row[]>;
  /**
   * Same as `rows`, but run between transactions on the writing connection, so that a process that only writes needs no
   * second connection.
   */
  current<Row>(sql: string, values: readonly unknown[]): Promise<Row[]>;
  /** Runs one transaction at a time; durable when this resolves. */
  transaction<T>(task: (sql: Transaction) => Promise<T>): Promise<T>;
  /** Position after everything that was committed. */
  end(): Promise<string>;
  /**
   * Rows after a position in commit order, the oldest first.
   * @param all includes rows that a reader may not pass yet, because an earlier transaction may still commit
   */
  after(position: string | null, limit: number, all?: boolean): Promise<PlacedRow[]>;
  /** Resolves when there may be rows after the position, or when the signal aborts. */
  changed(position: string | null, signal: AbortSignal): Promise<void>;
  bytes(): Promise<number>;
  /** Gives free space back to the system, and returns its size; null = the database does so automatically. */
  compact(): Promise<number | null>;
  /** Called with a recording's counts before and after a transaction's messages. */
  counted?(before: Take, after: Take): void;
  /** Called with a recording, before the transaction that removes it is committed. */
  removing?(take: Take): Promise<void>;
  close(): Promise<void>;
}

export interface PlacedRow {
  take: number;
  t: number;
  samples: number;
  entry: string;
  sum: number | null;
  position: string;
}

/** A message as it is stored. */
export interface StoredMessage {
  /** Id in the store from which the message comes; undefined = the next free id. */
  id: number | undefined;
  take: number;
  seq: number;
  moment: number | null;
  t: number;
  samples: number;
  json: string;
}

/** An entry with its JSON, and the additional data in backups. */
export interface Prepared {
  entry: Entry;
  json: string;
  id?: number | undefined;
  /** Number of repeats that this entry represents; such an entry is counted but not stored. */
  repeats?: number | undefined;
}

interface Waiting extends Prepared {
  resolve: () => void;
  reject: (error: unknown) => void;
}

export type TakeRow = TakeKey & { id: number; counts: string };

interface Row {
  id: number;
  take: Take;
  /** Whether the sequence number alone identifies a message. */
  named: boolean;
}

function rowOf(row: TakeRow): Row {
  return { id: Number(row.id), take: takeOfRow(row), named: isNamed(row) };
}

/** Maximum number of messages in a transaction, messages in a read, and cached recordings. */
const [mostTogether, page, mostRemembered] = [4096, 500, 20_000];

/** Maximum number of messages in a read by time. */
const pageByTime = 2000;

/** PostgreSQL's code (appendix A) for a transaction that it ended because two waited for each other. */
const deadlocked = '40P01';
const mostAttempts = 5;

/** Maximum time span of a message, ms. Queries look back this far for batches that extend into their range, so a longer batch may be missed. */
export const longestBatchMs = 3_600_000;

/** Writes messages and the counts of their recordings and streams. */
export interface MessageWriter {
  /** @returns the indexes of rejected entries, with the reason */
  store(sql: Transaction, batch: readonly Prepared[]): Promise<Map<number, AiotError>>;
  remove(sql: Transaction, key: TakeKey): Promise<void>;
  /** Clears the cache, because it does not match the database after a failed transaction. */
  forget(): void;
  /** Called after a commit. */
  stored?(): void;
  /** Resolves when everything committed before the call is counted. */
  counted?(): Promise<void>;
  close?(): Promise<void>;
}

interface TableOptions {
  onCommit?: NoteCommit | undefined;
  /** Called with findings about damaged rows, once per device and stream. */
  damage?: ((findings: readonly Finding[]) => Promise<void>) | undefined;
  /** Called with an error that occurs during the examination of damage. */
  failed?: (error: unknown) => void;
}

/** Times before this one, in 2001, are those of devices whose clock is not set; ms since 1970. */
const clockSet = 1e12;

/**
 * Reads log lines, newest first: from a time, and those of devices without a clock; below an id; at most this number. An OR of the times, or an
 * id without `+`, would make SQLite read all telemetry in the order of ids, instead of the lines by time.
 */
export function logLinesIn(content: string): string {
  const lines = (when: string) =>
    `SELECT "id", ${content} FROM "telemetryMessages" WHERE "take" IN
     (SELECT k."id" FROM "telemetryTakes" AS k WHERE k."channel" = 'log' AND k."counts" <> '{}')
     AND ${when} AND +"id" < $2`;
  return `SELECT * FROM (${lines('"t" >= $1')} UNION ALL ${lines(`"t" < ${clockSet}`)}) AS lines
    ORDER BY "id" DESC LIMIT $3`;
}

/**
 * Telemetry in tables of SQLite or PostgreSQL. Messages that arrive during a transaction form the next one, so that one commit makes many messages
 * durable.
 */
export class TableTelemetry implements Telemetry {
  readonly reader: JournalReader;
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;
  private closed = false;
  /** Examinations of damage, by channel, stream and device. Each combination is examined once. */
  private readonly looked = new Map<string, Promise<void>>();
  private damage = 0;

  constructor(
    private readonly tables: Tables,
    private readonly options: TableOptions = {},
    private readonly writer: MessageWriter = new CachingWriter(tables),
  ) {
    this.reader = {
      end: () => tables.end(),
      from: (position, signal, idle, channel) => this.follow(position, signal, idle, channel),
    };
  }

  get backlog() {
    return this.waiting.length;
  }

  async append(entry: Entry): Promise<void> {
    if (this.closed) throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform is stopping');
    // Encoded before joining a batch, because a message that cannot be encoded must not fail the others. JSON
    // escapes NUL, which PostgreSQL cannot store.
    const json = jsonOf(entry);
    return new Promise((resolve, reject) => {
      this.waiting.push({ entry, json, resolve, reject });
      this.flushing ??= this.flush();
    });
  }

  async streams({ after = '', limit }: { after?: string | undefined; limit: number }) {
    await this.writer.counted?.();
    const rows = await this.tables.rows<{ totals: string }>(
      `SELECT ${this.columns('totals')} FROM "telemetryStreams" WHERE "name" > $1 AND "totals" NOT LIKE '%"recordings":0,%'
       ORDER BY "name" LIMIT $2`,
      [after, limit],
    );
    return rows.map(({ totals }) => parsed<StreamTotals>(totals));
  }

  async stream(name: string) {
    await this.writer.counted?.();
    const sql = `SELECT ${this.columns('totals')} FROM "telemetryStreams" WHERE "name" = $1`;
    const [row] = await this.tables.rows<{ totals: string }>(sql, [name]);
    const totals = row ? parsed<StreamTotals>(row.totals) : null;
    return totals && totals.recordings > 0 ? totals : null;
  }

  async takes({ channel = 'telemetry', stream, devices, after, limit }: TakeQuery): Promise<Take[]> {
    await this.writer.counted?.();
    const places = devices?.map((_, i) => `$${6 + i}`).join(', ');
    const rows = await this.tables.rows<TakeRow>(
      `SELECT ${this.columns(...takeColumns)} FROM "telemetryTakes" AS k
       WHERE "channel" = $1 AND "stream" = $2 AND ("device", "recording") > ($3, $4)
       AND "counts" <> '{}' ${places === undefined ? '' : `AND "device" IN (${places})`} ORDER BY k."device", k."recording" LIMIT $5`,
      [channel, stream, ...fromCursor(after), limit, ...(devices ?? [])],
    );
    return rows.map(takeOfRow);
  }

  async take(key: TakeKey): Promise<Take | null> {
    const row = await this.row(key);
    return row && row.counts !== '{}' ? takeOfRow(row) : null;
  }

  /**
   * Yields messages in order of arrival if that is also the recording's order. Otherwise, sorts them by number in a
   * named recording, and by time in other recordings.
   */
  async *read(
    key: TakeKey,
    { from = -Infinity, to = Infinity }: Span = {},
    lost: (message: LostMessage) => void = () => {},
  ): AsyncGenerator<Entry> {
    const row = await this.row(key);
    if (!row) return;
    const take = takeOfRow(row);
    // Replicas store a recording's messages at the same time, so ids have the recording's order only with a single writer.
    const isInOrder = this.tables.alone && take.outOfOrder === 0;
    const hasNumbers = isNamed(key) && (this.tables.alone || take.numbered > 0);
    const by = isInOrder ? 'id' : hasNumbers ? 'seq' : 't';
    // A batch that begins before the start time may extend beyond it.
    const places = await this.tables.rows<{ id: number; t: number }>(
      `SELECT "id", ${time} FROM "telemetryMessages" AS m WHERE "take" = $1 AND "t" >= $2 AND "t" <= $3
       ORDER BY m."${by}", "id"`,
      [row.id, from - longestBatchMs, to],
    );
    for (let begin = 0; begin < places.length; begin += page) {
      const some = places.slice(begin, begin + page);
      const found = await this.messages(row.id, some);
      for (const { id, t } of some) {
        const message = found.get(Number(id));
        // The message has been removed in the meantime.
        if (message === undefined) continue;
        const entry = message && entryOf(message);
        if (entry) yield entry;
        else {
          const rows = message ? Number(message.samples) : Math.round(take.samples / take.messages);
          lost({ key, t: Number(t), rows });
          this.look(key);
        }
      }
    }
  }

  async *readByTime(key: TakeKey, { from, to }: Required<Span>): AsyncGenerator<Entry> {
    const row = await this.row(key);
    if (!row) return;
    let after: [t: number, id: number] = [from - longestBatchMs, -1];
    for (;;) {
      const rows = await this.tables
        .rows<MessageRow & { t: number }>(
          `SELECT "id", ${time}, ${this.content()} FROM "telemetryMessages" AS m
           WHERE "take" = $1 AND (m."t", m."id") > ($2, $3) AND "t" <= $4 ORDER BY m."t", m."id" LIMIT ${pageByTime}`,
          [row.id, ...after, to],
        )
        .catch((error: unknown) => {
          if (isCorrupt(error)) return null;
          throw error;
        });
      if (rows === null) {
        // A page is damaged: its other rows are read one by one.
        for await (const entry of this.read(key, { from: after[0] + longestBatchMs, to })) yield entry;
        return;
      }
      for (const message of rows) {
        const entry = entryOf(message);
        if (entry) yield entry;
        else this.look(key);
      }
      const last = rows.at(-1);
      if (!last || rows.length < pageByTime) return;
      after = [Number(last.t), Number(last.id)];
    }
  }

  async logs({ after, until, from, limit }: Parameters<Telemetry['logs']>[0]) {
    await this.writer.counted?.();
    const before =
      after !== undefined
        ? Number(after)
        : until !== undefined
          ? await this.firstAfter(until)
          : Number.MAX_SAFE_INTEGER;
    const rows = await this.tables.rows<MessageRow>(logLinesIn(this.content()), [
      ...[Math.max(from, clockSet), before, limit],
    ]);
    return rows.map((row) => ({ entry: entryOf(row), position: String(row.id) }));
  }

  /**
   * Id that separates the messages that arrived until a time from later ones. Ids are in the order of arrival, so a binary search finds it
   * with a few rows, however many messages arrived later. Damaged rows count as earlier ones.
   */
  private async firstAfter(time: number): Promise<number> {
    const [newest] = await this.tables.rows<{ id: number | null }>(
      'SELECT MAX("id") AS "id" FROM "telemetryMessages"',
      [],
    );
    let [low, high] = [0, Number(newest?.id ?? 0) + 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [row] = await this.tables.rows<MessageRow>(
        `SELECT "id", ${this.content()} FROM "telemetryMessages" WHERE "id" >= $1 ORDER BY "id" LIMIT 1`,
        [middle],
      );
      if (!row || Number(row.id) >= high || (entryOf(row)?.at ?? 0) > time) high = middle;
      else low = Number(row.id) + 1;
    }
    return low;
  }

  async live(name: string, version: number) {
    await this.writer.counted?.();
    const columns = this.columns('model', 'kind', 'name', 'answer');
    const sql = `SELECT ${columns}, "n" FROM "telemetryLive" WHERE "model" = $1`;
    const rows = await this.tables.rows<LiveRow>(sql, [`${name}@${version}`]);
    return liveCountsOf(rows.map((row) => ({ ...row, n: Number(row.n) })));
  }

  async predicted(recordings: readonly string[]) {
    await this.writer.counted?.();
    const found = new Set<string>();
    for (let from = 0; from < recordings.length; from += page) {
      const some = recordings.slice(from, from + page);
      const rows = await this.tables.rows<{ name: string }>(
        `SELECT DISTINCT ${this.columns('name')} FROM "telemetryLive" WHERE "kind" = 'label' AND "name" IN ${listOf(some.length)}`,
        some,
      );
      for (const { name } of rows) found.add(name);
    }
    return found;
  }

  /** Removes a recording in one commit. Its messages are deleted afterward, a few at a time, so that other work is not blocked. */
  async remove(keys: readonly TakeKey[]): Promise<void> {
    for (const key of keys) {
      await this.writer.counted?.();
      await this.tables.transaction((sql) => this.writer.remove(sql, key));
    }
    await this.deleteRemoved();
  }

  async reclaim(_share: number): Promise<{ bytes: number | null }> {
    await this.deleteRemoved();
    return { bytes: await this.tables.compact() };
  }

  /** Deletes messages of removed recordings, including those that a killed process left behind. */
  async deleteRemoved(): Promise<void> {
    const removed = await this.tables.current<{ take: number }>('SELECT "take" FROM "telemetryRemoved"', []);
    for (const { take } of removed) {
      for (let left = true; left; ) {
        left = await this.tables.transaction(async (sql) => {
          const gone = await sql.rows(
            `DELETE FROM "telemetryMessages" WHERE "id" IN
             (SELECT "id" FROM "telemetryMessages" WHERE "take" = $1 LIMIT ${mostTogether}) RETURNING "id"`,
            [take],
          );
          if (gone.length === 0) await sql.rows('DELETE FROM "telemetryRemoved" WHERE "take" = $1', [take]);
          return gone.length > 0;
        });
      }
    }
  }

  /** Yields all stored messages. @param drain false for a file that must not be changed */
  async *stored(drain = true): AsyncGenerator<readonly JournalRecord[]> {
    if (drain) await this.deleteRemoved();
    for (let after: string | null = null; ; ) {
      const rows: PlacedRow[] = await this.tables.after(after, 2 * page, true);
      const last = rows.at(-1);
      if (!last) break;
      after = last.position;
      // Ids are included, because consumers have stored them as positions.
      const { alone } = this.tables;
      yield placed(rows).map(({ entry, position }) => ({
        ...(alone ? { id: Number(position) } : {}),
        ...entry,
      }));
    }
    await this.writer.counted?.();
    for (let id = 0; ; ) {
      const rows: TakeRow[] = await this.tables.rows<TakeRow>(
        `SELECT ${this.columns(...takeColumns)} FROM "telemetryTakes" WHERE "id" > $1 ORDER BY "id" LIMIT ${page}`,
        [id],
      );
      const last = Number(rows.at(-1)?.id ?? 0);
      if (last <= id) return;
      id = last;
      const repeated = rows.map(takeOfRow).filter(({ duplicates }) => duplicates > 0);
      if (repeated.length > 0) yield repeated.map(repeatsOf);
    }
  }

  async settled(): Promise<void> {
    await Promise.all(this.looked.values());
  }

  async figures() {
    return { damaged: this.damage, bytes: await this.tables.bytes() };
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.flushing;
    await this.settled();
    await this.writer.close?.();
    await this.tables.close();
  }

  /**
   * Replaces a damaged or missing row with a message from a backup. Intact rows are left unchanged. A missing row keeps its id, unless another
   * message has it, so that ids stay in order of arrival.
   */
  async restore(entry: Entry, id: number | undefined): Promise<void> {
    const json = jsonOf(entry);
    const rows: Row[] = [];
    for (const key of takeKeysOf(entry)) {
      const row = await this.row(key);
      if (row) rows.push(rowOf(row));
    }
    const same = await this.atId(id);
    if (same?.entry === json && entryOf(same)) return;
    for (const row of rows) {
      const message = messageOf({ entry, json, id }, row);
      const found =
        (await this.rowOfMessage(message)) ??
        (same && Number(same.take) === row.id && !entryOf(same) ? same : undefined);
      if (!found) continue;
      if (entryOf(found)) return;
      const { t, samples } = message;
      const sql =
        'UPDATE "telemetryMessages" SET "t" = $1, "samples" = $2, "sum" = $3, "entry" = $4 WHERE "id" = $5';
      await this.tables.transaction((write) => write.rows(sql, [t, samples, crc32(json), json, found.id]));
      return;
    }
    const prepared = { entry, json, id: same === null ? id : undefined };
    for (const row of rows) {
      const [there] = await this.tables.rows<{ n: number }>(
        'SELECT count(*) AS "n" FROM "telemetryMessages" WHERE "take" = $1',
        [row.id],
      );
      // If rows are missing although the recording's count is intact, the message is already counted.
      if (Number(there?.n) >= row.take.messages) continue;
      await this.tables.transaction((write) => write.insert([messageOf(prepared, row)]));
      return;
    }
    await this.store([prepared]);
  }

  /** The row with this id; null = none. */
  private async atId(id: number | undefined): Promise<(MessageRow & { take: number }) | null> {
    if (id === undefined) return null;
    const [row] = await this.tables.rows<MessageRow & { take: number }>(
      `SELECT "id", "take", ${this.content()} FROM "telemetryMessages" WHERE "id" = $1`,
      [id],
    );
    return row ?? null;
  }

  /** The row of a message, by its number and time, or by its time and content if these do not identify it. */
  private async rowOfMessage(message: StoredMessage): Promise<MessageRow | undefined> {
    const { take, seq, moment, t, json } = message;
    const [where, values] =
      moment === null
        ? ['"t" = $2 AND "entry" = $3', [t, json]]
        : ['"seq" = $2 AND "moment" = $3', [seq, moment]];
    const [found] = await this.tables.rows<MessageRow>(
      `SELECT "id", ${this.content()} FROM "telemetryMessages" WHERE "take" = $1 AND ${where}`,
      [take, ...values],
    );
    return found;
  }

  /** Stores entries in one transaction, together with the writes of `more`. @returns the indexes of rejected entries, with the reason */
  async store(
    batch: readonly Prepared[],
    more: (sql: Transaction) => Promise<void> = async () => {},
  ): Promise<Map<number, AiotError>> {
    return retried(async () => {
      try {
        return await this.tables.transaction(async (sql) => {
          const refused = await this.writer.store(sql, batch);
          await more(sql);
          return refused;
        });
      } catch (error) {
        this.writer.forget();
        throw error;
      }
    });
  }

  private async flush(): Promise<void> {
    // Waits, so that the first transaction includes everything that arrived in this turn of the event loop.
    await nextTurn();
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, mostTogether);
      const begun = performance.now();
      try {
        const refused = await this.store(batch);
        this.writer.stored?.();
        this.options.onCommit?.(batch.length - refused.size, (performance.now() - begun) / 1000);
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

  private async *follow(
    position: string | null,
    signal: AbortSignal,
    idle?: (isIdle: boolean) => void,
    channel?: Entry['channel'],
  ): AsyncGenerator<PlacedEntry[]> {
    let after = position;
    const mark = channel && `"channel":"${channel}"`;
    while (!signal.aborted) {
      const rows = await this.tables.after(after, 2 * page);
      const last = rows.at(-1);
      if (!last) {
        idle?.(true);
        await this.tables.changed(after, signal);
        idle?.(false);
        continue;
      }
      after = last.position;
      const batch = placed(
        mark === undefined ? rows : rows.filter((row) => row === last || row.entry.includes(mark)),
      );
      if (batch.length > 0) yield batch;
    }
  }

  private async messages(take: number, places: readonly { id: number }[]) {
    const ids = places.map(({ id }) => id);
    // The `+` keeps SQLite from using the index of recordings instead of the ids.
    const select = (count: number) =>
      `SELECT "id", ${this.content()} FROM "telemetryMessages" WHERE "id" IN ${listOf(count)}
       AND +"take" = $${count + 1}`;
    const found = new Map<number, MessageRow | null>();
    try {
      const rows = await this.tables.rows<MessageRow>(select(ids.length), [...ids, take]);
      for (const row of rows) found.set(Number(row.id), row);
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      // A page is damaged: rows on other pages are read one by one.
      for (const id of ids) {
        const rows = await this.tables.rows<MessageRow>(select(1), [id, take]).catch(() => [null]);
        if (rows.length > 0) found.set(Number(id), rows[0] ?? null);
      }
    }
    return found;
  }

  /**
   * Examines all rows of the recording's device and stream, once, after a damaged row was found. All losses found are
   * recorded together.
   */
  private look(key: TakeKey): void {
    const { damage, failed } = this.options;
    const text = `${key.channel}/${key.stream}/${key.device}`;
    if (this.looked.has(text)) return;
    const examined = async () => {
      const lost = await this.damagedRows(key);
      this.damage += lost.messages;
      await damage?.(findingsOf(telemetryFile, brokenRows, lost.all()));
    };
    this.looked.set(
      text,
      examined().catch((error: unknown) => failed?.(error)),
    );
  }

  private async damagedRows({ channel, stream, device }: TakeKey): Promise<Tallies> {
    await this.writer.counted?.();
    const lost = new Tallies();
    const takes = await this.tables.rows<TakeRow>(
      `SELECT ${this.columns(...takeColumns)} FROM "telemetryTakes"
       WHERE "channel" = $1 AND "stream" = $2 AND "device" = $3`,
      [channel, stream, device],
    );
    for (const row of takes) {
      const take = takeOfRow(row);
      const places = await this.tables.rows<{ id: number; t: number }>(
        `SELECT "id", ${time} FROM "telemetryMessages" WHERE "take" = $1`,
        [row.id],
      );
      for (const some of pieces(places, page)) {
        const found = await this.messages(row.id, some);
        for (const { id, t } of some) {
          const message = found.get(Number(id));
          if (message === undefined || (message && entryOf(message))) continue;
          const rows = message ? Number(message.samples) : Math.round(take.samples / take.messages);
          const whose = { stream: channel === 'telemetry' ? stream : null, device };
          lost.add({ ...whose, messages: 1, rows, from: Number(t), to: Number(t) });
        }
      }
    }
    return lost;
  }

  private columns(...names: string[]): string {
    return columnsOf(this.tables, names);
  }

  private content(): string {
    return contentOf(this.tables);
  }

  private async row({ channel, stream, device, recording }: TakeKey): Promise<TakeRow | undefined> {
    await this.writer.counted?.();
    const [row] = await this.tables.rows<TakeRow>(
      `SELECT ${this.columns(...takeColumns)} FROM "telemetryTakes"
       WHERE "channel" = $1 AND "stream" = $2 AND "device" = $3 AND "recording" = $4`,
      [channel, stream, device, recording],
    );
    return row;
  }
}

/** Repeats a transaction that PostgreSQL ended because two waited for each other: replicas may store the same messages in another order. */
export async function retried<T>(task: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await task();
    } catch (error) {
      const cause = error instanceof AiotError ? error.cause : error;
      if (attempt === mostAttempts || systemCode(cause) !== deadlocked) throw error;
    }
  }
}

/** Columns of a recording. In a damaged row, they may have any value. */
const takeColumns = ['id', 'channel', 'stream', 'device', 'recording', 'counts'];

export const time = 'CAST("t" AS DOUBLE PRECISION) AS "t"';

export function columnsOf({ text }: Pick<Tables, 'text'>, names: readonly string[] = takeColumns): string {
  return names.map((name) => (name === 'id' ? '"id"' : `${text(`"${name}"`)} AS "${name}"`)).join(', ');
}

/** SQL for the columns with a message's content. */
export function contentOf(tables: Pick<Tables, 'text'>, numbers = ['samples', 'sum']): string {
  const columns = numbers.map((name) => `CAST("${name}" AS BIGINT) AS "${name}"`);
  return [...columns, columnsOf(tables, ['entry'])].join(', ');
}

interface MessageRow {
  id: number;
  samples: number;
  sum: number | null;
  entry: string;
}

/** The entry of a row; null = the row is damaged. Rows from before checksums were introduced have no checksum. */
export function entryOf({ sum, entry }: Pick<MessageRow, 'sum' | 'entry'>): Entry | null {
  try {
    return sum === null || crc32(entry) === Number(sum) ? (JSON.parse(entry) as Entry) : null;
  } catch {
    return null;
  }
}

function placed(rows: readonly PlacedRow[]): PlacedEntry[] {
  return rows.flatMap(({ position, ...row }) => {
    const entry = entryOf(row);
    return entry ? [{ entry, position }] : [];
  });
}

/** Whether SQLite reports a damaged page. */
export function isCorrupt(error: unknown): boolean {
  const cause = error instanceof AiotError ? error.cause : error;
  return /^SQLITE_(CORRUPT|NOTADB)/.test(systemCode(cause) ?? '');
}

/** A recording's duplicates as one record, which is only counted. */
function repeatsOf(take: Take): JournalRecord {
  const { channel, stream, device, recording, duplicates, firstAt, startedAt } = take;
  const at = firstAt ?? 0;
  const named = channel === 'telemetry' && isNamed(take);
  const payload = named ? { recording } : { t: startedAt ?? at };
  return {
    ...{ at, device, channel, payload, repeat: true, repeats: duplicates },
    ...(channel === 'telemetry' ? { stream } : {}),
  };
}

/** @throws the error that SQLite reports for a damaged page, if the counts are not valid JSON */
export function takeOfRow(row: TakeKey & { counts: string }): Take {
  return { ...emptyTake(row), ...parsed<Partial<Take>>(row.counts) };
}

function parsed<T>(counts: string): T {
  try {
    return JSON.parse(counts) as T;
  } catch (cause) {
    throw Object.assign(new Error('telemetry counters are damaged', { cause }), { code: 'SQLITE_CORRUPT' });
  }
}

/** Writes counts in the same transaction as the messages. It caches the rows, so it must be the only writer. */
class CachingWriter implements MessageWriter {
  private readonly takes = new Map<string, Row>();
  private readonly streams = new Map<string, StreamTotals>();

  constructor(private readonly tables: Tables) {}

  forget(): void {
    this.takes.clear();
    this.streams.clear();
  }

  async store(sql: Transaction, batch: readonly Prepared[]): Promise<Map<number, AiotError>> {
    if (this.takes.size > mostRemembered) this.forget();
    const refused = new Map<number, AiotError>();
    const streams = await this.streamsOf(sql, batch);
    const rows = await this.takesOf(sql, batch);
    for (const [i, { entry }] of batch.entries()) {
      const totals = entry.channel === 'telemetry' ? streams.get(entry.stream ?? '') : undefined;
      if (!totals || entry.repeat) continue;
      const fresh = newFieldsOf(totals, entry);
      if (totals.fields.length + fresh.length > mostFields) refused.set(i, tooManyFields(entry));
      else totals.fields.push(...fresh);
    }
    const messages: StoredMessage[] = [];
    for (const [i, prepared] of batch.entries())
      if (!prepared.entry.repeat && !refused.has(i)) messages.push(messageOf(prepared, rows[i] as Row));
    const fresh = await sql.insert(messages);
    const live: LiveRow[] = [];
    const before = new Map<Row, Take>();
    let next = 0;
    for (const [i, { entry, json, repeats = 1 }] of batch.entries()) {
      if (refused.has(i)) continue;
      const row = rows[i] as Row;
      const { take } = row;
      if (!before.has(row)) before.set(row, { ...take });
      if (!entry.repeat && fresh[next++]) {
        countEntry(take, entry, json.length);
        if (entry.channel === 'inference') live.push(...liveRowsOf(entry));
      } else take.duplicates += repeats;
    }
    for (const [{ take }, was] of before) {
      if (take.channel === 'telemetry') addTo(streams.get(take.stream) as StreamTotals, was, take);
      this.tables.counted?.(was, take);
    }
    await writeCounts(sql, this.tables, { streams: [...streams.values()], takes: [...before.keys()] });
    await writeLive(sql, this.tables, live);
    return refused;
  }

  async remove(sql: Transaction, key: TakeKey): Promise<void> {
    this.forget();
    await removeTake(sql, this.tables, key);
  }

  private async streamsOf(sql: Transaction, batch: readonly Prepared[]): Promise<Map<string, StreamTotals>> {
    const names = namesOfStreams(batch);
    const unknown = [...names].filter((name) => !this.streams.has(name));
    for (const totals of await lockedStreams(sql, this.tables, unknown))
      this.streams.set(totals.name, totals);
    return new Map([...names].map((name) => [name, this.streams.get(name) as StreamTotals]));
  }

  /** Each message's recording. Rows of recordings are also locked in sorted order. */
  private async takesOf(sql: Transaction, batch: readonly Prepared[]): Promise<Row[]> {
    const keys = batch.map(({ entry }) => takeKeyOf(entry));
    const texts = keys.map(textOf);
    const missing = new Map<string, TakeKey>();
    for (const [i, text] of texts.entries()) if (!this.takes.has(text)) missing.set(text, keys[i] as TakeKey);
    const unknown = [...missing];
    unknown.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const some of pieces(unknown, this.tables.together)) {
      const rows = await sql.rows<TakeRow>(
        `INSERT INTO "telemetryTakes" ("channel", "stream", "device", "recording", "counts")
         VALUES ${valuesOf(some.length, 5)} ON CONFLICT ("channel", "stream", "device", "recording")
         DO UPDATE SET "device" = excluded."device" RETURNING ${columnsOf(this.tables, takeColumns)}`,
        some.flatMap(([, { channel, stream, device, recording }]) => [
          channel,
          stream,
          device,
          recording,
          '{}',
        ]),
      );
      for (const row of rows) this.takes.set(textOf(row), rowOf(row));
    }
    return texts.map((text) => this.takes.get(text) as Row);
  }
}

/** Removes a recording's counts. Its messages are deleted later. */
export async function removeTake(sql: Transaction, tables: Tables, key: TakeKey): Promise<void> {
  const { channel, stream, device, recording } = key;
  // This write locks the stream's row first, so that other writers that count in the row wait.
  const [row] = await sql.rows<{ totals: string }>(
    `UPDATE "telemetryStreams" SET "name" = "name" WHERE "name" = $1 RETURNING ${columnsOf(tables, ['totals'])}`,
    [stream],
  );
  const [take] = await sql.rows<TakeRow>(
    `DELETE FROM "telemetryTakes"
     WHERE "channel" = $1 AND "stream" = $2 AND "device" = $3 AND "recording" = $4
     RETURNING ${columnsOf(tables, takeColumns)}`,
    [channel, stream, device, recording],
  );
  if (!take) return;
  await sql.rows('INSERT INTO "telemetryRemoved" ("take") VALUES ($1)', [take.id]);
  await tables.removing?.(takeOfRow(take));
  if (!row || channel !== 'telemetry') return;
  const left = withoutTake(parsed<StreamTotals>(row.totals), takeOfRow(take));
  await sql.rows('UPDATE "telemetryStreams" SET "totals" = $1 WHERE "name" = $2', [
    JSON.stringify(left),
    stream,
  ]);
}

export function namesOfStreams(batch: readonly Prepared[]): Set<string> {
  const names = new Set<string>();
  for (const { entry } of batch) if (entry.channel === 'telemetry') names.add(entry.stream ?? '');
  return names;
}

/** Locks the rows of streams, sorted by name, so that replicas cannot deadlock. A missing row is added. */
export async function lockedStreams(
  sql: Pick<Transaction, 'rows'>,
  tables: Tables,
  names: readonly string[],
): Promise<StreamTotals[]> {
  const found: StreamTotals[] = [];
  for (const some of pieces([...names].sort(), tables.together)) {
    const rows = await sql.rows<{ totals: string }>(
      `INSERT INTO "telemetryStreams" ("name", "totals") VALUES ${valuesOf(some.length, 2)}
       ON CONFLICT ("name") DO UPDATE SET "name" = excluded."name" RETURNING ${columnsOf(tables, ['totals'])}`,
      some.flatMap((name) => [name, JSON.stringify(emptyStream(name))]),
    );
    for (const { totals } of rows) found.push(parsed<StreamTotals>(totals));
  }
  return found;
}

/** Writes the counts of rows that this transaction has locked. */
export async function writeCounts(
  sql: Pick<Transaction, 'rows'>,
  { together }: Tables,
  { streams, takes }: { streams: readonly StreamTotals[]; takes: readonly Pick<Row, 'id' | 'take'>[] },
): Promise<void> {
  for (const some of pieces(takes, together)) {
    await sql.rows(
      `UPDATE "telemetryTakes" SET "counts" = "column2" FROM (VALUES ${valuesOf(some.length, 2)}) AS x
       WHERE "id" = CAST("column1" AS BIGINT)`,
      some.flatMap(({ id, take }) => [id, countsOf(take)]),
    );
  }
  for (const some of pieces(streams, together)) {
    await sql.rows(
      `UPDATE "telemetryStreams" SET "totals" = "column2" FROM (VALUES ${valuesOf(some.length, 2)}) AS x
       WHERE "name" = "column1"`,
      some.flatMap((each) => [each.name, JSON.stringify(each)]),
    );
  }
}

/** Adds the counts of predictions. Rows are written in sorted order. */
export async function writeLive(
  sql: Pick<Transaction, 'rows'>,
  { together }: Tables,
  live: readonly LiveRow[],
): Promise<void> {
  const sums = new Map<string, LiveRow>();
  for (const row of live) {
    const text = `${row.model}/${row.kind}/${row.name}/${row.answer}`;
    sums.set(text, { ...row, n: (sums.get(text)?.n ?? 0) + row.n });
  }
  const rows = [...sums.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  for (const some of pieces(rows, together)) {
    await sql.rows(
      `INSERT INTO "telemetryLive" AS l ("model", "kind", "name", "answer", "n") VALUES ${valuesOf(some.length, 5)}
       ON CONFLICT ("model", "kind", "name", "answer") DO UPDATE SET "n" = l."n" + excluded."n"`,
      some.flatMap(({ model, kind, name, answer, n }) => [model, kind, name, answer, n]),
    );
  }
}

export function messageOf({ entry, json, id }: Prepared, row: Pick<Row, 'id' | 'named'>): StoredMessage {
  const { seq, t } = entry.payload;
  const time = typeof t === 'number' ? t : entry.at;
  const known = typeof seq === 'number' && (row.named || typeof t === 'number');
  return {
    id,
    take: row.id,
    seq: known ? seq : -1,
    moment: !known ? null : row.named ? 0 : time,
    t: time,
    samples: rowsOf(entry),
    json,
  };
}

export function addTo(totals: StreamTotals, before: Take, take: Take): void {
  if (before.messages + before.duplicates === 0) totals.recordings++;
  totals.messages += take.messages - before.messages;
  totals.samples += take.samples - before.samples;
  totals.bytes += take.bytes - before.bytes;
  totals.duplicates += take.duplicates - before.duplicates;
}

function countsOf({ channel: _, stream: __, device: ___, recording: ____, ...counts }: Take): string {
  return JSON.stringify(counts);
}

export function textOf({ channel, stream, device, recording }: TakeKey): string {
  return `${channel}/${stream}/${device}/${recording}`;
}

export function tooManyFields({ device, stream }: Entry): AiotError {
  return new AiotError(
    'AIOT_MESSAGE_MALFORMED',
    `${device}: telemetry/${stream}: expected at most ${mostFields} fields in a stream`,
  );
}

/** `($1, $2), ($3, $4), …` */
export function valuesOf(rows: number, columns: number): string {
  const row = (i: number) => Array.from({ length: columns }, (_, j) => `$${i * columns + j + 1}`).join(', ');
  return Array.from({ length: rows }, (_, i) => `(${row(i)})`).join(', ');
}

/** `($1, $2, …)` */
function listOf(count: number): string {
  return `(${Array.from({ length: count }, (_, i) => `$${i + 1}`).join(', ')})`;
}

export function* pieces<T>(all: readonly T[], length: number): Generator<T[]> {
  for (let from = 0; from < all.length; from += length) yield all.slice(from, from + length);
}
