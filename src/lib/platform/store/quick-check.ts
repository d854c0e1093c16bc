import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { AiotError } from '../../core/index.js';

type Database = InstanceType<typeof import('libsql')>;

/** Problems that are listed at most. */
const mostProblems = 20;

/** The next step for a damaged database. */
export const repairNext =
  'Stop the platform, then take what is damaged from a backup: aiot platform verify --repair --from BACKUP';

/** What SQLite finds in the form of all pages, rows and keys (pragma.html#pragma_quick_check); nothing = it is sound. */
export function quickCheck(database: Database): string[] {
  let rows: { quick_check: string }[];
  try {
    rows = database.prepare(`PRAGMA quick_check(${mostProblems})`).all() as typeof rows;
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  return rows.map(({ quick_check: line }) => line).filter((line) => line !== 'ok');
}

export function damagedDatabase(path: string, problems: readonly string[]): AiotError {
  const first = (problems[0] ?? '').replace(/\s+/g, ' ').slice(0, 300);
  return new AiotError('AIOT_FILE_MALFORMED', `the database ${path} is damaged: ${first}`, {
    endpoint: path,
    next: repairNext,
  });
}

/** A check that goes on while the database is read. */
export interface RunningCheck {
  /** Resolves with what was found, or null when it was stopped. */
  done: Promise<string[] | null>;
  stop(): void;
}

/**
 * Runs the same check in a thread of its own, with a connection of its own: SQLite's calls would hold up everything else in this one for
 * as long as a large file takes to read. The thread's program is text, so that it needs no file of its own in a build.
 */
export function quickCheckApart(path: string): RunningCheck {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const Database = require(workerData.libsql);
    const database = new Database(workerData.path);
    let problems;
    try {
      database.exec('PRAGMA query_only=ON');
      const rows = database.prepare('PRAGMA quick_check(${mostProblems})').all();
      problems = rows.map((row) => row.quick_check).filter((line) => line !== 'ok');
    } catch (error) {
      problems = [String(error && error.message)];
    }
    database.close();
    parentPort.postMessage(problems);`;
  const libsql = createRequire(import.meta.url).resolve('libsql');
  const thread = new Worker(program, { eval: true, workerData: { libsql, path } });
  const done = new Promise<string[] | null>((resolve) => {
    thread.once('message', (problems: string[]) => resolve(problems));
    thread.once('error', (error: Error) => resolve([error.message]));
    thread.once('exit', () => resolve(null));
  });
  return { done, stop: () => void thread.terminate() };
}
