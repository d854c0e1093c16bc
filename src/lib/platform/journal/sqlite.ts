import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { dataSync, type Sync } from '../../core/append-log.js';
import { syncFolder } from '../../core/files.js';
import { onAbort } from '../../core/tasks.js';
import type { NoteCommit } from '../metrics.js';
import { sqliteError } from '../store/database.js';
import { serially } from '../store/engine.js';
import type { Finding } from '../verify/damage.js';
import { type Ledger, type LogFile, noteEveryMs } from '../verify/ledger.js';
import { findingsOf, lessBy, missingRows, Tallies, type Tally, tallyOfTake, telemetryFile } from './lost.js';
import { replaySegments } from './segments.js';
import {
  columnsOf,
  contentOf,
  isCorrupt,
  type PlacedRow,
  pieces,
  type StoredMessage,
  schemaOf,
  type Tables,
  TableTelemetry,
  type TakeRow,
  type Transaction,
  takeOfRow,
  time,
  valuesOf,
} from './tables.js';
import type { Take } from './takes.js';
import type { Telemetry } from './telemetry.js';
import { DatabaseThread, type Step } from './thread.js';

export interface TelemetryOptions {
  /** The data folder: `telemetry.db`, and the `journal/` of earlier versions. */
  folder: string;
  now: () => number;
  log?: Pick<Logger, 'error' | 'info' | 'warn'> | undefined;
  /** The state database's record of the contents; without it, losses of whole rows go unnoticed. */
  ledger?: Ledger<Tally[]> | undefined;
  /** Called when damage is found; one call passes all findings of a check. */
  damage?: ((findings: readonly Finding[]) => Promise<void>) | undefined;
  /** Makes a commit durable. Instead of a file, it gets an object whose `datasync` commits the transaction. */
  sync?: Sync | undefined;
  onCommit?: NoteCommit | undefined;
}

/**
 * Opens telemetry in the data folder, or in the database of this URL.
 * @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_DISK_FULL, AIOT_FILE_NOT_WRITABLE
 */
export async function openTelemetry(options: TelemetryOptions, database?: string): Promise<Telemetry> {
  if (database === undefined) return openSqlite(options);
  const { openPostgres } = await import('./postgres.js');
  return openPostgres(database, options);
}

/** A file up to this size, bytes, is checked before use; a larger one is checked in the background. */
const checkedAtOnceBytes = 64 * 1024 ** 2;

async function openSqlite(options: TelemetryOptions): Promise<TableTelemetry> {
  const { folder, log, ledger, damage = async () => {} } = options;
  await mkdir(folder, { recursive: true });
  const path = join(folder, telemetryFile);
  const notes = (await ledger?.load()) ?? [];
  const noted = notes.find(isNote) ?? null;
  await finishRebuild(path);
  const existed = (await sizeOf(path)) > 0;
  let writer = DatabaseThread.open(path);
  let problem = existed ? await problemOf(path, writer) : null;
  if (problem !== null) {
    log?.warn({ problem }, 'the telemetry database is damaged, and is being rebuilt from the readable data');
    await writer.close();
    await rebuild(path, noted);
    writer = DatabaseThread.open(path);
    problem = `was damaged, and was rebuilt from the readable data (${problem})`;
  }
  const tables = await SqliteTables.open(path, options, noted, writer);
  const telemetry = new TableTelemetry(tables, {
    onCommit: options.onCommit,
    failed: (err) => log?.error({ err }, 'could not examine damaged telemetry'),
    damage: (findings) => damage(findings),
  });
  try {
    if (noted !== null && noted.counts.length > 0) {
      const lost = await tables.lostSince(noted, problem !== null);
      const what = problem ?? (existed ? missingRows : 'is gone');
      if (problem !== null || lost.length > 0) await damage(findingsOf(telemetryFile, what, lost));
    } else if (problem !== null) await damage(findingsOf(telemetryFile, problem, []));
    await tables.begin();
    await migrate(folder, telemetry, tables, notes, options);
    await telemetry.deleteRemoved();
    return telemetry;
  } catch (error) {
    await tables.close();
    throw error;
  }
}

/**
 * Whether this ledger row describes telemetry.db. In such a row, `bytes` is the last id and `digest` the store's name.
 * Journal segments have numbers from 1.
 */
export function isNote({ number }: Pick<LogFile<unknown>, 'number'>): boolean {
  return number === 0;
}

/** Maximum number of rows in one INSERT, so that only a few statements of different lengths are prepared. */
const together = 50;

/** Telemetry in an SQLite file of its own, which one thread writes and another reads. */
export class SqliteTables implements Tables {
  readonly alone = true;
  readonly together = together;
  /**
   * Reads a text column as bytes, which the database thread decodes. libsql would end the process for text that is not UTF-8, as in a
   * damaged row.
   */
  readonly text = (column: string) => `CAST(${column} AS BLOB)`;
  private readonly inTurn = serially();
  private tallies = new Tallies();
  private lastId = 0;
  /** The last committed id; readers do not see later rows. */
  private committed = 0;
  private name = '';
  private wake = () => {};
  private woken: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private changedSince = false;
  /** Tallies of the rows that the open transaction adds. */
  private uncommitted: Tally[] = [];

  private constructor(
    private readonly path: string,
    private readonly options: Pick<TelemetryOptions, 'ledger' | 'sync' | 'log'>,
    private readonly writer: DatabaseThread,
    private readonly readers: DatabaseThread,
  ) {
    this.sleep();
  }

  /** Opens or creates the file. @param noted the ledger's record of the file */
  static async open(
    path: string,
    options: Pick<TelemetryOptions, 'ledger' | 'sync' | 'log'>,
    noted: LogFile<Tally[]> | null,
    writer = DatabaseThread.open(path),
  ): Promise<SqliteTables> {
    // The mode of this file is set first, because SQLite gives its other files the same mode.
    const file = await open(path, 'a', 0o600);
    await file.chmod(0o600).catch(() => {});
    await file.close();
    await syncFolder(join(path, '..'));
    const tables = new SqliteTables(path, options, writer, DatabaseThread.open(path, { readOnly: true }));
    try {
      await writer.run([
        { sql: 'PRAGMA auto_vacuum=INCREMENTAL', want: 'nothing' },
        { sql: 'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;', want: 'nothing' },
        { sql: 'BEGIN IMMEDIATE', want: 'nothing' },
        { sql: schema, want: 'nothing' },
        { sql: 'COMMIT', want: 'nothing' },
      ]);
      await tables.load(noted);
    } catch (error) {
      await tables.close();
      throw sqliteError(error, path, true);
    }
    return tables;
  }

  /** Opens a file for reading only, because it is damaged or belongs to another process. Its `transaction` must not be called. */
  static async read(path: string, noted: LogFile<unknown> | null = null): Promise<SqliteTables> {
    const thread = DatabaseThread.open(path, { readOnly: true });
    const tables = new SqliteTables(path, {}, thread, thread);
    clearTimeout(tables.timer);
    try {
      await thread.rows('SELECT count(*) FROM sqlite_master');
      const last = async (from: string) =>
        (await thread.rows<{ id: number | null }>(`SELECT max("id") AS "id" FROM ${from}`))[0]?.id ?? 0;
      tables.refresh = async () => {
        tables.committed = await last('"telemetryMessages"')
          .catch(() => last('"telemetryMessages" INDEXED BY "telemetryByTime"'))
          .catch(() => noted?.bytes ?? 0);
      };
      await tables.refresh();
      tables.name = (await tables.meta('store').catch(() => null)) ?? '';
      return tables;
    } catch (error) {
      await thread.close();
      throw error;
    }
  }

  /**
   * Looks for rows that another process has written in the meantime. `read` replaces this function; a store opened for
   * writing has no other writer.
   */
  refresh = async (): Promise<void> => {};

  /** The store's name, and its highest committed id. */
  get identity(): { name: string; last: number } {
    return { name: this.name, last: this.committed };
  }

  private async load(noted: LogFile<Tally[]> | null): Promise<void> {
    const [row] = await this.writer.rows<{ id: number | null }>(
      'SELECT max("id") AS "id" FROM "telemetryMessages"',
    );
    this.lastId = Math.max(row?.id ?? 0, Number((await this.meta('lastId')) ?? 0));
    this.name = (await this.meta('store')) ?? '';
    if (this.name === '') {
      this.name = randomUUID();
      // Ids continue above those of a lost file, because readers may have stored positions in that file.
      this.lastId = Math.max(this.lastId, noted?.bytes ?? 0);
      await this.transaction(async (sql) => {
        await this.setMeta(sql, 'store', this.name);
        await this.setMeta(sql, 'lastId', String(this.lastId));
      });
    }
    this.committed = this.lastId;
  }

  /**
   * Rows that the ledger lists but this file lacks, by stream and device.
   * @param look whether to compare the rows even if the ledger's last id is present
   */
  async lostSince(noted: LogFile<Tally[]>, look: boolean): Promise<Tally[]> {
    if (!look && noted.digest === this.name && this.lastId >= noted.bytes) return [];
    return lessBy(noted.counts, (await this.stock()).all());
  }

  /** Starts recording contents in the ledger. */
  async begin(): Promise<void> {
    const { ledger } = this.options;
    if (!ledger) return;
    const noted = (await ledger.load()).find(isNote);
    const same = noted?.digest === this.name && noted.bytes === this.lastId;
    this.tallies = same ? new Tallies(noted.counts) : await this.stock();
    if (!same) await this.save();
  }

  async stock(): Promise<Tallies> {
    const tallies = new Tallies();
    for (let id = 0; ; ) {
      const rows = await this.current<TakeRow>(
        `SELECT ${columnsOf(this)} FROM "telemetryTakes" WHERE "id" > $1 ORDER BY "id" LIMIT 1000`,
        [id],
      );
      const last = rows.at(-1)?.id ?? 0;
      if (last <= id) return tallies;
      for (const row of rows) if (row.counts !== '{}') tallies.add(tallyOfTake(takeOfRow(row)));
      id = last;
    }
  }

  async rows<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.noticingDamage(() => this.readers.rows<Row>(sql, values));
  }

  async current<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.noticingDamage(() => this.inTurn(() => this.writer.rows<Row>(sql, values)));
  }

  private async noticingDamage<Row>(rows: () => Promise<Row[]>): Promise<Row[]> {
    try {
      return await rows();
    } catch (error) {
      if (isCorrupt(error)) await this.suspect();
      throw sqliteError(error, this.path);
    }
  }

  async transaction<T>(task: (sql: Transaction) => Promise<T>): Promise<T> {
    return this.inTurn(async () => {
      const before = this.lastId;
      this.uncommitted = [];
      let begun = false;
      const run = (steps: readonly Step[]) => {
        const begin = !begun;
        begun = true;
        return this.writer.run(steps, begin);
      };
      try {
        const result = await task({
          rows: async <Row>(sql: string, values: readonly unknown[]) =>
            (await run([{ sql, values }]))[0] as Row[],
          insert: (messages) => this.insert(messages, run),
        });
        const datasync = async () => void (await run([{ sql: 'COMMIT', want: 'nothing' }]));
        if (begun) await (this.options.sync ?? dataSync)({ datasync });
        for (const tally of this.uncommitted) this.tallies.add(tally);
        this.committed = this.lastId;
        this.changedSince = true;
        this.wake();
        this.sleep();
        return result;
      } catch (error) {
        this.lastId = before;
        if (begun) await this.writer.run([{ sql: 'ROLLBACK', want: 'nothing' }]).catch(() => {});
        throw sqliteError(error, this.path);
      }
    });
  }

  private async insert(
    messages: readonly StoredMessage[],
    run: (steps: readonly Step[]) => Promise<unknown[]>,
  ): Promise<boolean[]> {
    if (messages.length === 0) return [];
    const ids = messages.map(({ id }) => {
      this.lastId = Math.max(this.lastId + 1, id ?? 0);
      return id ?? this.lastId;
    });
    const steps: Step[] = [];
    for (let from = 0; from < messages.length; from += together) {
      const some = messages.slice(from, from + together);
      const values: unknown[] = [];
      for (const [i, { take, seq, moment, t, samples, json }] of some.entries())
        values.push(ids[from + i], take, seq, moment, t, samples, null, json);
      steps.push({ sql: insertOf(some.length), values, want: 'changes', checksums: columns });
    }
    const changes = (await run(steps)) as number[];
    const isNew = messages.map(() => true);
    for (const [i, changed] of changes.entries()) {
      const from = i * together;
      const some = ids.slice(from, from + together);
      if (changed === some.length) continue;
      const [rows] = (await run([
        {
          sql: 'SELECT "id" FROM "telemetryMessages" WHERE "id" BETWEEN $1 AND $2',
          values: [some[0], some.at(-1)],
        },
      ])) as { id: number }[][];
      const stored = new Set(rows?.map(({ id }) => id));
      for (const [j, id] of some.entries()) isNew[from + j] = stored.has(id);
    }
    return isNew;
  }

  async end(): Promise<string> {
    return String(this.committed);
  }

  async after(position: string | null, limit: number): Promise<PlacedRow[]> {
    const select = `SELECT "id", ${time}, ${contentOf(this, ['take', 'samples', 'sum'])} FROM "telemetryMessages"
      WHERE "id" > $1 AND "id" <= $2 ORDER BY "id" LIMIT $3`;
    type Row = Omit<PlacedRow, 'position'> & { id: number };
    const placed = (rows: readonly Row[]) =>
      rows.map(({ id, ...row }): PlacedRow => ({ ...row, position: String(id) }));
    let from = await this.idOf(position);
    for (; from < this.committed; from += limit) {
      let rows: Row[];
      try {
        rows = await this.rows<Row>(select, [from, this.committed, limit]);
      } catch (error) {
        if (!isCorrupt(error)) throw error;
        // A page is damaged: the range is halved repeatedly, so that all rows on intact pages are read.
        rows = await this.readable<Row>(select, from, Math.min(from + limit, this.committed));
      }
      // Reads from damaged pages can return rows out of order or twice.
      const byId = new Map(rows.map((row) => [row.id, row]));
      const ahead = [...byId.values()].filter(({ id }) => id > from).sort((a, b) => a.id - b.id);
      if (ahead.length > 0) return placed(ahead);
    }
    return [];
  }

  private async readable<Row>(select: string, from: number, to: number): Promise<Row[]> {
    try {
      return await this.readers.rows<Row>(select, [from, to, to - from]);
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      if (to - from <= 1) return [];
      const middle = Math.floor((from + to) / 2);
      return [
        ...(await this.readable<Row>(select, from, middle)),
        ...(await this.readable<Row>(select, middle, to)),
      ];
    }
  }

  async changed(position: string | null, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.committed > (await this.idOf(position))) return;
    let leave = () => {};
    const aborted = new Promise<void>((resolve) => {
      leave = onAbort(signal, resolve);
    });
    await Promise.race([this.woken, aborted]);
    leave();
  }

  /**
   * The id at a position. For a position in an earlier version's journal, the id may be too low, so that readers get
   * some messages twice but miss none.
   */
  private async idOf(position: string | null): Promise<number> {
    if (position === null) return 0;
    const [, segment, generation, offset] = /^(\d+):(\d+):(\d+):[0-9a-f]{8}$/.exec(position) ?? [];
    if (segment === undefined) return Number(/^\d{1,16}$/.exec(position)?.[0] ?? 0);
    const [found] = await this.rows<{ value: string }>(
      `SELECT ${columnsOf(this, ['value'])} FROM "telemetryMeta" WHERE "key" >= $1 AND "key" <= $2 AND "value" LIKE $3 ORDER BY "key" DESC LIMIT 1`,
      [movedKey(Number(segment), 0), movedKey(Number(segment), Number(offset)), `${generation}:%`],
    );
    const [earlier] = found
      ? [found]
      : await this.rows<{ value: string }>(
          `SELECT ${columnsOf(this, ['value'])} FROM "telemetryMeta" WHERE "key" LIKE 'moved/%' AND "key" < $1 ORDER BY "key" DESC LIMIT 1`,
          [movedKey(Number(segment), 0)],
        );
    return Number(earlier?.value.split(':')[1] ?? 0);
  }

  /** Records how far the journal has been migrated, in the transaction that stores the messages before that point. */
  async moved(sql: Transaction, segment: number, generation: number, offset: number): Promise<void> {
    await this.setMeta(sql, 'migrating', JSON.stringify({ segment, offset }));
    await this.setMeta(sql, movedKey(segment, offset), `${generation}:${this.lastId}`);
  }

  async meta(key: string): Promise<string | null> {
    const sql = `SELECT ${columnsOf(this, ['value'])} FROM "telemetryMeta" WHERE "key" = $1`;
    return (await this.writer.rows<{ value: string }>(sql, [key]))[0]?.value ?? null;
  }

  async setMeta(sql: Transaction, key: string, value: string | null): Promise<void> {
    if (value === null) await sql.rows('DELETE FROM "telemetryMeta" WHERE "key" = $1', [key]);
    else
      await sql.rows(
        `INSERT INTO "telemetryMeta" ("key", "value") VALUES ($1, $2)
         ON CONFLICT ("key") DO UPDATE SET "value" = excluded."value"`,
        [key, value],
      );
  }

  async bytes(): Promise<number> {
    return (await sizeOf(this.path)) + (await sizeOf(`${this.path}-wal`));
  }

  async compact(): Promise<number> {
    const before = await this.bytes();
    // Processes a few pages at a time, so that incoming messages are not delayed.
    for (let left = true; left; ) {
      left = await this.inTurn(async () => {
        await this.writer.rows('PRAGMA incremental_vacuum(2000)');
        const [row] = await this.writer.rows<{ freelist_count: number }>('PRAGMA freelist_count');
        return (row?.freelist_count ?? 0) > 0;
      });
    }
    await this.inTurn(() => this.writer.rows('PRAGMA wal_checkpoint(TRUNCATE)'));
    return Math.max(0, before - (await this.bytes()));
  }

  counted(before: Take, after: Take): void {
    const [was, is] = [tallyOfTake(before), tallyOfTake(after)];
    const [messages, rows] = [is.messages - was.messages, is.rows - was.rows];
    if (messages > 0) this.uncommitted.push({ ...is, messages, rows });
  }

  /** Called before a recording is removed. The ledger is updated first, so that it never counts more than is stored. */
  async removing(take: Take): Promise<void> {
    // The message with the highest id may be removed too. Its id is recorded, so that no other message gets this id.
    await this.writer.run([
      {
        sql: `INSERT INTO "telemetryMeta" ("key", "value") VALUES ('lastId', $1)
              ON CONFLICT ("key") DO UPDATE SET "value" = excluded."value"`,
        values: [String(this.lastId)],
      },
    ]);
    this.tallies.subtract(tallyOfTake(take));
    await this.save();
  }

  /** Marks the file as suspect: the next start checks the whole file first. */
  async suspect(): Promise<void> {
    await open(`${this.path}.suspect`, 'a', 0o600).then(
      (file) => file.close(),
      () => {},
    );
  }

  /** Closes the connection for reading. */
  async leave(): Promise<void> {
    await this.readers.close();
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    await this.inTurn(async () => {
      if (this.changedSince) await this.save();
      clearTimeout(this.timer);
      await this.readers.close();
      // Leaves a single file, which can be copied.
      await this.writer.close('PRAGMA wal_checkpoint(TRUNCATE)', 'PRAGMA journal_mode=DELETE');
    });
  }

  private sleep(): void {
    this.woken = new Promise((resolve) => (this.wake = resolve));
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (this.changedSince) void this.save();
    }, noteEveryMs);
    this.timer.unref();
  }

  private async save(): Promise<void> {
    const { ledger, log } = this.options;
    this.changedSince = false;
    const counts = this.tallies.all().filter(({ messages }) => messages > 0);
    const note = { number: 0, generation: 0, bytes: this.committed, crc: 0, digest: this.name, counts };
    await ledger?.save([note]).catch((err: unknown) => {
      this.changedSince = true;
      log?.error({ err }, 'could not record the size of the telemetry');
    });
  }
}

/** STRICT lets a check find values whose type differs from the column's type. */
const schema = schemaOf({
  ...{
    id: 'INTEGER PRIMARY KEY',
    takeId: 'INTEGER PRIMARY KEY AUTOINCREMENT',
    int: 'INTEGER',
    text: 'TEXT',
    real: 'REAL',
    end: ' STRICT',
  },
});

/** Number of a message's columns. The last is its text, preceded by the checksum. */
const columns = 8;

const inserts = new Map<number, string>();

function insertOf(rows: number): string {
  const known = inserts.get(rows);
  if (known !== undefined) return known;
  const made = `INSERT INTO "telemetryMessages" ("id", "take", "seq", "moment", "t", "samples", "sum", "entry")
    VALUES ${valuesOf(rows, columns)} ON CONFLICT ("take", "seq", "moment") DO NOTHING`;
  inserts.set(rows, made);
  return made;
}

function movedKey(segment: number, offset: number): string {
  return `moved/${String(segment).padStart(8, '0')}/${String(offset).padStart(16, '0')}`;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => null))?.size ?? 0;
}

/** The damage that SQLite reports for the file; null = no damage, or the file is too large and is checked later. */
async function problemOf(path: string, thread: DatabaseThread): Promise<string | null> {
  const suspect = (await stat(`${path}.suspect`).catch(() => null)) !== null;
  if (!suspect && (await sizeOf(path)) > checkedAtOnceBytes) return null;
  const problem = await problemIn(thread, true);
  await rm(`${path}.suspect`, { force: true });
  return problem;
}

/** Counts recordings and streams whose counts are not valid JSON. */
const unreadable = `SELECT count(*) AS "n" FROM "telemetryTakes" WHERE NOT json_valid("counts")
  UNION ALL SELECT count(*) FROM "telemetryStreams" WHERE NOT json_valid("totals")`;

/** Counts recordings and streams whose recorded number of messages differs from the number of rows. */
const miscounted = `SELECT count(*) AS "n" FROM "telemetryTakes" AS k LEFT JOIN
    (SELECT "take", count(*) AS "n" FROM "telemetryMessages" GROUP BY "take") AS m ON m."take" = k."id"
    WHERE coalesce(m."n", 0) <> coalesce(k."counts" ->> 'messages', 0)
  UNION ALL SELECT count(*) FROM "telemetryStreams" AS s WHERE s."totals" ->> 'messages' <> coalesce((
    SELECT sum(k."counts" ->> 'messages') FROM "telemetryTakes" AS k
    WHERE k."channel" = 'telemetry' AND k."stream" = s."name"), 0)`;

/** Checks the file in a separate thread, as `problemIn` does without counts. */
export async function checked(path: string): Promise<string | null> {
  const thread = DatabaseThread.open(path, { readOnly: true });
  try {
    return await problemIn(thread);
  } finally {
    await thread.close();
  }
}

/**
 * Runs SQLite's own check of pages, rows and keys. @param counts whether to compare counts with the rows too
 * @returns the first problem, or null
 */
async function problemIn(thread: DatabaseThread, counts = false): Promise<string | null> {
  try {
    const [row] = await thread.rows<{ integrity_check: string }>('PRAGMA integrity_check(1)');
    const said = row?.integrity_check ?? 'no response';
    if (said !== 'ok') return said.replace(/\s+/g, ' ').slice(0, 300);
    const tables = await thread.rows(`SELECT 1 FROM sqlite_master WHERE "name" = 'telemetryMeta'`);
    // A first start that was killed leaves an empty file.
    if (tables.length === 0) return null;
    for (const sql of counts ? [unreadable, miscounted] : [unreadable])
      for (const { n } of await thread.rows<{ n: number }>(sql))
        if (n > 0) return 'counts differ from the rows';
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Copies all readable content of a damaged file to a new one, and moves the damaged file to `damaged/`. */
async function rebuild(path: string, noted: LogFile<Tally[]> | null): Promise<void> {
  for (const end of ['', '-wal', '-shm']) await rm(`${path}.new${end}`, { force: true });
  const target = await SqliteTables.open(`${path}.new`, {}, noted);
  const telemetry = new TableTelemetry(target);
  try {
    const source = await SqliteTables.read(path, noted).catch(() => null);
    if (source) {
      try {
        for await (const batch of new TableTelemetry(source).stored(false)) {
          const some = batch.map(({ id, repeats, ...entry }) => ({
            entry,
            json: JSON.stringify(entry),
            id,
            repeats,
          }));
          for (const piece of pieces(some, 1000)) await telemetry.store(piece);
        }
      } catch (error) {
        if (!isCorrupt(error)) throw error;
      } finally {
        await source.leave();
      }
    }
  } finally {
    await telemetry.close();
  }
  const aside = join(path, '..', 'damaged');
  await mkdir(aside, { recursive: true, mode: 0o700 });
  await rename(path, join(aside, `${telemetryFile}-${Date.now()}`));
  await finishRebuild(path);
}

/** Completes an interrupted rebuild. The new file is complete if the damaged one has been moved away. */
async function finishRebuild(path: string): Promise<void> {
  if ((await sizeOf(path)) > 0 || (await sizeOf(`${path}.new`)) === 0) return;
  for (const end of ['-wal', '-shm']) await rm(path + end, { force: true });
  await rename(`${path}.new`, path);
  await syncFolder(join(path, '..'));
}

/** Where the journal of earlier versions is kept until the next backup. */
export const migratedFolder = 'journal-migrated';

/** Migrates the journal of earlier versions; an interrupted migration resumes where it stopped. */
async function migrate(
  folder: string,
  telemetry: TableTelemetry,
  tables: SqliteTables,
  notes: readonly LogFile<Tally[]>[],
  { log, ledger, damage = async () => {} }: TelemetryOptions,
): Promise<void> {
  const journal = join(folder, 'journal');
  const names = await readdir(journal).catch(() => null);
  if (names !== null) {
    const begun = await tables.meta('migrating');
    log?.info('moving the journal to the telemetry database');
    const findings = await replaySegments(journal, telemetry, {
      after: begun === null ? null : (JSON.parse(begun) as { segment: number; offset: number }),
      note: (sql, { segment, generation, offset }) => tables.moved(sql, segment, generation, offset),
      notes: notes.filter((each) => !isNote(each)),
      onProgress: ({ segment }) => log?.info({ segment }, 'moved a journal segment'),
    });
    if (findings.length > 0) await damage(findings);
    await rm(join(folder, migratedFolder), { recursive: true, force: true });
    await rename(journal, join(folder, migratedFolder));
    await syncFolder(folder);
  }
  const old = notes.filter((each) => !isNote(each));
  if (old.length > 0) await ledger?.forget(old);
  if ((await tables.meta('migrating')) !== null)
    await tables.transaction((sql) => tables.setMeta(sql, 'migrating', null));
}
