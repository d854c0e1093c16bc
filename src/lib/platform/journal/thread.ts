import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { AiotError } from '../../core/errors.js';
import { withYoungHeapKept } from '../../core/process.js';

/** One statement, with `$1`, `$2` … as its parameters. */
export interface Step {
  sql: string;
  values?: readonly unknown[];
  /**
   * Which result to return: the rows (default), the number of changed rows, or nothing, which is required for several
   * statements without parameters.
   */
  want?: 'rows' | 'changes' | 'nothing';
  /** Number of values per row. The thread computes the CRC-32 of the last value in each row, and inserts it before that value. */
  checksums?: number;
}

interface Request {
  id: number;
  begin: boolean;
  steps: readonly Step[];
}

interface Reply {
  id: number;
  results?: unknown[];
  error?: { code: string | undefined; message: string };
}

interface Pending {
  resolve: (results: unknown[]) => void;
  reject: (error: unknown) => void;
}

/**
 * A connection to an SQLite file in a separate thread, because libsql is synchronous: a commit blocks its thread until the disk has synced.
 * Requests are run in order. The thread's program is a string, so that the build needs no separate file.
 */
export class DatabaseThread {
  private readonly pending = new Map<number, Pending>();
  private next = 1;
  private ended: Error | null = null;
  private started: Worker | null = null;

  private constructor(
    private readonly path: string,
    private readonly readOnly: boolean,
  ) {}

  /**
   * The thread starts with the first request, because starting a thread takes 50 ms of CPU time, and many connections
   * are never used. If the file cannot be opened, the first request fails with the reason.
   * @param readOnly whether to reject every write
   */
  static open(path: string, { readOnly = false } = {}): DatabaseThread {
    return new DatabaseThread(path, readOnly);
  }

  private get thread(): Worker {
    if (this.started) return this.started;
    const libsql = createRequire(import.meta.url).resolve('libsql');
    const { path, readOnly } = this;
    const workerData = { libsql, path, readOnly };
    const thread = withYoungHeapKept(new Worker(program, { eval: true, workerData }));
    thread.unref();
    thread.on('message', (reply: Reply) => this.take(reply));
    thread.once('error', (error) => this.end(error));
    thread.once('exit', () => this.end(new Error('its thread has ended')));
    this.started = thread;
    return thread;
  }

  /**
   * Runs statements in order, and returns the result of each.
   * @param begin whether to start a transaction first. An error rolls back the open transaction.
   */
  run(steps: readonly Step[], begin = false): Promise<unknown[]> {
    if (this.ended) return Promise.reject(failed(this.ended));
    const id = this.next++;
    const { thread } = this;
    // An idle thread does not keep the process alive.
    if (this.pending.size === 0) thread.ref();
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      const request: Request = { id, begin, steps };
      thread.postMessage(request);
    });
  }

  async rows<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const [rows] = await this.run([{ sql, values }]);
    return rows as Row[];
  }

  /** @param last statements to run before an open connection is closed; their errors are ignored */
  async close(...last: string[]): Promise<void> {
    for (const sql of this.started ? last : []) await this.run([{ sql, want: 'rows' }]).catch(() => {});
    this.ended ??= new Error('it is closed');
    await this.started?.terminate();
  }

  private take({ id, results, error }: Reply): void {
    const waiting = this.pending.get(id);
    this.pending.delete(id);
    if (this.pending.size === 0) this.started?.unref();
    if (error) waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
    else waiting?.resolve(results ?? []);
  }

  private end(error: Error): void {
    this.ended ??= error;
    for (const { reject } of this.pending.values()) reject(failed(this.ended));
    this.pending.clear();
  }
}

function failed(cause: Error): AiotError {
  return new AiotError('AIOT_PLATFORM_FAILED', `the telemetry database cannot be used: ${cause.message}`, {
    cause,
  });
}

/** Maximum number of cached prepared statements; each batch length needs its own. */
const mostPrepared = 300;

const program = `
  const { parentPort, workerData } = require('node:worker_threads');
  const { crc32 } = require('node:zlib');
  const Database = require(workerData.libsql);
  let database;
  const prepared = new Map();
  const statement = (sql) => {
    const known = prepared.get(sql);
    if (known) return known;
    if (prepared.size >= ${mostPrepared}) prepared.clear();
    const made = database.prepare(sql.replace(/\\$(\\d+)/g, '?$1'));
    prepared.set(sql, made);
    return made;
  };
  const run = ({ sql, values = [], want = 'rows', checksums = 0 }) => {
    if (checksums > 0)
      for (let i = checksums - 1; i < values.length; i += checksums) values[i - 1] = crc32(values[i]);
    if (want === 'nothing') return void database.exec(sql);
    if (want === 'changes') return statement(sql).run(values).changes;
    const rows = statement(sql).all(values);
    for (const row of rows)
      for (const name in row) if (row[name] instanceof ArrayBuffer) row[name] = Buffer.from(row[name]).toString();
    return rows;
  };
  parentPort.on('message', ({ id, begin, steps }) => {
    try {
      if (database === undefined) {
        const opened = new Database(workerData.path, { timeout: 5000 });
        if (workerData.readOnly) opened.exec('PRAGMA query_only=ON');
        database = opened;
      }
      if (begin) database.exec('BEGIN IMMEDIATE');
      parentPort.postMessage({ id, results: steps.map(run) });
    } catch (error) {
      try {
        if (database?.inTransaction) database.exec('ROLLBACK');
      } catch {}
      const message = String((error && error.message) || error);
      parentPort.postMessage({ id, error: { code: error && error.code, message } });
    }
  });`;
