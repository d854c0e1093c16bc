import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../../core/errors.js';
import { nativePart } from '../../../core/process.js';

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
