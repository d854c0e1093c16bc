import type { AiotError } from '../../core/errors.js';
import { type Leader, soleLeader } from '../workers.js';
import { openChecked, Soundness, type Store } from './database.js';

/** The database and its coordination services, for either engine. */
export interface Engine {
  store: Store;
  turns: Turns;
  changes: Changes;
  leader: Leader;
  /** Whether SQLite's file is sound. PostgreSQL checks its own files. */
  soundness: Soundness;
  /** Reason why requests cannot be served now; null = requests can be served. */
  trouble(): Promise<AiotError | null>;
  close(): Promise<void>;
}

/** Runs startup work that writes to the database, now or once the database is known to be sound. If it is damaged, the work is skipped. */
export async function whenSound({ soundness }: Engine, task: () => Promise<unknown>): Promise<void> {
  if (soundness.damage !== null) return;
  if (!soundness.pending) await task();
  // Errors are ignored, because the work is repeated at the next start, and hourly.
  else void soundness.known().then((sound) => (sound ? task().catch(() => {}) : undefined));
}

/**
 * Opens the database of this URL (postgres://…), or the SQLite file.
 * @param checkAtOnce as in openChecked
 * @throws AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE, AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_USAGE
 */
export async function openEngine(file: string, url?: string, checkAtOnce?: number): Promise<Engine> {
  if (url !== undefined) {
    const { openPostgres } = await import('./postgres.js');
    return { ...(await openPostgres(url)), soundness: new Soundness() };
  }
  const { store, soundness } = await openChecked(file, checkAtOnce);
  return {
    store,
    turns: localTurns(),
    changes: noChanges,
    leader: soleLeader(),
    soundness,
    trouble: async () => soundness.damage,
    close: () => store.destroy(),
  };
}

/** Kinds of data that other processes may change in the same database. */
export type Changed = 'devices' | 'events' | 'rollouts';

export interface Changes {
  /** Whether other processes write to this database, so that caches must follow their changes. */
  shared: boolean;
  /**
   * Calls the listener soon after any process, including this one, has changed data of this kind. Never calls it if there are no other processes.
   * Returns a function that removes the listener.
   */
  on(what: Changed, listener: () => void): () => void;
  /**
   * Returns a function that calls `take` with the names of the devices that any process has changed since its last
   * call. No committed change is missed, but a name may be repeated. An update of the time when a device was last seen
   * does not count as a change. If `take` fails, the names are passed again the next time.
   */
  followDevices(): FollowDevices;
}

export type FollowDevices = (take: (names: readonly string[]) => Promise<void>) => Promise<void>;

/** For a database without other writers. */
export const noChanges: Changes = {
  shared: false,
  on: () => () => {},
  followDevices: () => async () => {},
};

/** Runs one task at a time, for checks and writes that belong together. */
export type Turn = <T>(task: () => Promise<T>) => Promise<T>;
export type PartTurn = <T>(keys: readonly string[], task: () => Promise<T>) => Promise<T>;

/**
 * Locks by name: tasks with the same name run one at a time, across all processes that share the database. A task may wait for a lock with
 * another name; all tasks must request their locks in the same order.
 */
export interface Turns {
  of(name: string): Turn;
  /**
   * Locks on parts of what this turn protects, such as single devices. A task excludes the tasks with a key in common, and all tasks of the
   * whole turn; others run at the same time. Such a task must not request another lock of the same name.
   */
  parts(name: string): PartTurn;
  /**
   * Excludes the tasks of this turn until the transaction ends. Transactions that join a turn do not exclude one another.
   */
  join(name: string, transaction: Store): Promise<void>;
}

/** For a database used by this process alone. */
export function localTurns(): Turns {
  const turns = turnsByName();
  return {
    of: (name) => turns(name).whole,
    parts: (name) => turns(name).parts,
    // Only earlier versions of aiot have tasks in a turn that is joined, and they cannot use the same database.
    join: async () => {},
  };
}

export function serially(): Turn {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = last.then(task, task);
    last = result.catch(() => {});
    return result;
  };
}

/** Returns the one turn in this process that belongs to a name. */
export function turnsByName(): (name: string) => DividedTurn {
  const turns = new Map<string, DividedTurn>();
  return (name) => {
    const turn = turns.get(name) ?? dividedTurn();
    turns.set(name, turn);
    return turn;
  };
}

interface DividedTurn {
  whole: Turn;
  parts: PartTurn;
}

/** Tasks begin in the order of their requests, except that tasks on different parts do not wait for one another. */
function dividedTurn(): DividedTurn {
  let lastWhole: Promise<unknown> = Promise.resolve();
  const lastOf = new Map<string, Promise<unknown>>();
  const after = <T>(earlier: Promise<unknown>[], task: () => Promise<T>) => {
    const result = Promise.all(earlier).then(task);
    return { result, end: result.then(noop, noop) };
  };
  return {
    whole(task) {
      const { result, end } = after([lastWhole, ...lastOf.values()], task);
      lastWhole = end;
      return result;
    },
    parts(keys, task) {
      const { result, end } = after([lastWhole, ...keys.flatMap((key) => lastOf.get(key) ?? [])], task);
      for (const key of keys) lastOf.set(key, end);
      void end.then(() => {
        for (const key of keys) if (lastOf.get(key) === end) lastOf.delete(key);
      });
      return result;
    },
  };
}

const noop = () => {};

/** Runs at most this many tasks at a time; the others wait in order. */
export function atMost(most: number): Turn {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (task) => {
    if (running < most) running++;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}
