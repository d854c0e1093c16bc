import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nativePart, systemCode } from '../../../core/index.js';
import {
  type ChunkRow,
  decodeSpots,
  type Hot,
  IndexDamage,
  sumOf,
  type TakeRow,
  takeOf,
  wholeChunk,
} from './rows.js';
import { type SegmentRow, wholeSegment } from './segment-rows.js';
import type { StreamTotals } from './totals.js';

export type IndexDatabase = InstanceType<typeof import('libsql')>;

type Statement = ReturnType<IndexDatabase['prepare']>;

/** Rises when the tables change: an index of another form is made anew from the journal. */
export const indexForm = 3;

const tables = `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value REAL NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE streams (name TEXT PRIMARY KEY, totals TEXT NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE takes (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, stream TEXT NOT NULL, device TEXT NOT NULL, recording TEXT NOT NULL,
    counts TEXT NOT NULL, sum INTEGER NOT NULL, UNIQUE (channel, stream, device, recording)
  ) STRICT;
  CREATE TABLE chunks (
    take INTEGER NOT NULL, segment INTEGER NOT NULL, part INTEGER NOT NULL, minT REAL NOT NULL, maxT REAL NOT NULL,
    minSeq REAL, maxSeq REAL, n INTEGER NOT NULL, sum INTEGER NOT NULL, spots BLOB NOT NULL, PRIMARY KEY (take, segment, part)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX chunksBySegment ON chunks (segment);
  CREATE TABLE segments (
    segment INTEGER PRIMARY KEY, generation INTEGER NOT NULL, checked INTEGER NOT NULL, bytes INTEGER NOT NULL,
    dead INTEGER NOT NULL, sum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE live (
    model TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, answer TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (model, kind, name, answer)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX liveByName ON live (name, kind);
`;

/**
 * Opens index.db beside the segments; one that is damaged or of another form is begun anew. It is a function of the
 * journal, so its commits are not synced one by one: after a power cut it may be older than the journal, never newer.
 */
export async function openIndexDatabase(
  folder: string,
  damaged: (error: unknown) => void = () => {},
): Promise<IndexDatabase> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  const path = join(folder, 'index.db');
  try {
    return prepared(new Database(path));
  } catch (error) {
    const code = systemCode(error) ?? '';
    if (!/^SQLITE_(CORRUPT|NOTADB|IOERR_SHORT_READ|IOERR$|ERROR)/.test(code)) throw error;
    damaged(error);
    await removeIndex(folder);
    return prepared(new Database(path));
  }
}

function prepared(database: IndexDatabase): IndexDatabase {
  try {
    database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384;');
    const { user_version: found } = database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (found !== indexForm) {
      const names = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all() as {
        name: string;
      }[];
      const dropped = names.map(({ name }) => `DROP TABLE "${name}";`).join(' ');
      database.exec(`BEGIN; ${dropped} ${tables} PRAGMA user_version = ${indexForm}; COMMIT;`);
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

export async function removeIndex(folder: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(join(folder, `index.db${suffix}`), { force: true });
}

/** Prepared statements by their text. */
export class Statements {
  private readonly known = new Map<string, Statement>();

  constructor(readonly database: IndexDatabase) {}

  run(sql: string, ...values: unknown[]): { lastInsertRowid: number | bigint } {
    return this.statement(sql).run(values) as { lastInsertRowid: number | bigint };
  }

  get<T>(sql: string, ...values: unknown[]): T | undefined {
    return this.statement(sql).get(values) as T | undefined;
  }

  all<T>(sql: string, ...values: unknown[]): T[] {
    return this.statement(sql).all(values) as T[];
  }

  /** All or nothing. */
  transaction<T>(task: () => T): T {
    this.database.exec('BEGIN');
    try {
      const result = task();
      this.database.exec('COMMIT');
      return result;
    } catch (error) {
      // SQLite has rolled back by itself when the disk is full.
      if (this.database.inTransaction) this.database.exec('ROLLBACK');
      throw error;
    }
  }

  private statement(sql: string): Statement {
    let statement = this.known.get(sql);
    if (!statement) {
      statement = this.database.prepare(sql);
      this.known.set(sql, statement);
    }
    return statement;
  }
}

/** Looks at every row, a step at a time: sums, and whether counts of recordings and streams are those of what is there. @throws IndexDamage */
export function* checkedRows(sql: Statements): Generator<void> {
  const [segment, offset, flushes] = ['segment', 'offset', 'flushes'].map((key) => metaIn(sql, key));
  if (metaIn(sql, 'sum') !== (flushes ? sumOf(segment ?? 0, offset ?? 0, flushes) : 0))
    throw new IndexDamage('the sum of its position is wrong');
  for (const row of sql.all<SegmentRow>('SELECT * FROM segments')) wholeSegment(row);
  const messages = new Map<number, number>();
  for (let last: Partial<ChunkRow> = { take: -1, segment: -1, part: -1 }; ; ) {
    const rows = sql.all<ChunkRow>(
      'SELECT * FROM chunks WHERE (take, segment, part) > (?, ?, ?) ORDER BY take, segment, part LIMIT 1000',
      ...[last.take, last.segment, last.part],
    );
    for (const row of rows) {
      if (decodeSpots(wholeChunk(row).spots).length !== row.n)
        throw new IndexDamage('a chunk has lost messages');
      messages.set(row.take, (messages.get(row.take) ?? 0) + row.n);
    }
    const end = rows.at(-1);
    if (!end || rows.length < 1000) break;
    last = end;
    yield;
  }
  const streams = new Map<string, { recordings: number; messages: number }>();
  for (let last = 0; ; ) {
    const rows = sql.all<TakeRow>('SELECT * FROM takes WHERE id > ? ORDER BY id LIMIT 1000', last);
    for (const row of rows) {
      const take = takeOf(row);
      if (take.messages !== (messages.get(row.id) ?? 0))
        throw new IndexDamage(`the recording ${row.id} has lost messages`);
      messages.delete(row.id);
      if (take.channel !== 'telemetry' || take.messages + take.duplicates === 0) continue;
      const sum = streams.get(take.stream) ?? { recordings: 0, messages: 0 };
      streams.set(take.stream, { recordings: sum.recordings + 1, messages: sum.messages + take.messages });
    }
    const end = rows.at(-1);
    if (!end || rows.length < 1000) break;
    last = end.id;
    yield;
  }
  if (messages.size > 0) throw new IndexDamage('a recording is missing');
  for (const { name } of sql.all<{ name: string }>('SELECT name FROM streams')) {
    const totals = storedTotals(sql, name);
    const sum = streams.get(name) ?? { recordings: 0, messages: 0 };
    if (totals?.recordings !== sum.recordings || totals.messages !== sum.messages)
      throw new IndexDamage(`the counts of the stream ${name} are wrong`);
    streams.delete(name);
  }
  if (streams.size > 0) throw new IndexDamage('a stream is missing');
}

/** Whether SQLite itself finds its file in order. @throws IndexDamage */
export function requireSound(sql: Statements): void {
  const [row] = sql.all<{ quick_check: string }>('PRAGMA quick_check(1)');
  if (row?.quick_check !== 'ok') throw new IndexDamage(row?.quick_check ?? 'quick_check says nothing');
}

/** Whether all messages of a recording can be found. @throws IndexDamage */
export function requireWhole(sql: Statements, { id, take, spots }: Hot): void {
  const row = sql.get<{ n: number | null }>('SELECT sum(n) AS n FROM chunks WHERE take = ?', id);
  if ((row?.n ?? 0) + spots.length === take.messages) return;
  throw new IndexDamage(`the recording ${id} has lost messages`);
}

/** @throws IndexDamage */
export function storedTotals(sql: Statements, name: string): StreamTotals | null {
  const row = sql.get<{ totals: string; sum: number }>('SELECT * FROM streams WHERE name = ?', name);
  if (!row) return null;
  if (sumOf(name, row.totals) !== row.sum) throw new IndexDamage(`the sum of the stream ${name} is wrong`);
  return JSON.parse(row.totals) as StreamTotals;
}

function metaIn(sql: Statements, key: string): number {
  return sql.get<{ value: number }>('SELECT value FROM meta WHERE key = ?', key)?.value ?? 0;
}
