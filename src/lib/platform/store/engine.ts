import type { AiotError } from '../../core/errors.js';
import { alwaysLeader, type Leader } from '../workers.js';
import { openChecked, Soundness, type Store } from './database.js';

/** The database and what goes with it, whichever it is. */
export interface Engine {
  store: Store;
  turns: Turns;
  changes: Changes;
  leader: Leader;
  /** Whether SQLite's file is sound; another engine checks its own. */
  soundness: Soundness;
  /** Why requests cannot be served just now; null = they can. */
  trouble(): Promise<AiotError | null>;
  close(): Promise<void>;
}

/** Does what writes to the database at the start: now, or once it is known to be sound. It is left out where it is not. */
export async function whenSound({ soundness }: Engine, task: () => Promise<unknown>): Promise<void> {
  if (!soundness.pending) await task();
  // What is put off like that is done at each start, and by the hour.
  else void soundness.known().then((sound) => (sound ? task().catch(() => {}) : undefined));
}

/**
 * Opens the database of this URL (postgres://…), or the SQLite file.
 * @param checkAtOnce as of openChecked
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
    leader: alwaysLeader,
    soundness,
    trouble: async () => soundness.damage,
    close: () => store.destroy(),
  };
}

/** What others who write to the same database may have changed. */
export type Changed = 'devices' | 'events' | 'rollouts';

export interface Changes {
  /** Whether others write to this database too: what is remembered of it has to follow them. */
  shared: boolean;
  /** Calls back soon after somebody, this process too, has changed these. Without others, never. Returns what ends that. */
  on(what: Changed, listener: () => void): () => void;
  /**
   * Follows the devices from now on. What it returns calls `take` with the names of those that somebody has changed since it
   * last took some: all whose changes can be seen by now, and some of before. That a device was seen is no change. What
   * `take` fails with is named again.
   */
  followDevices(): FollowDevices;
}

export type FollowDevices = (take: (names: readonly string[]) => Promise<void>) => Promise<void>;

/** Of a database that nobody else writes to. */
export const noChanges: Changes = {
  shared: false,
  on: () => () => {},
  followDevices: () => async () => {},
};

/** Runs tasks one after the other: for checks and writes that belong together. */
export type Turn = <T>(task: () => Promise<T>) => Promise<T>;

/**
 * Turns by name: of the tasks of one name one runs at a time, over all processes that share the database. A task may take
 * a turn of another name; those that do so take them in the same order.
 */
export interface Turns {
  of(name: string): Turn;
}

/** For a database that this process alone has. */
export function localTurns(): Turns {
  const turns = new Map<string, Turn>();
  return {
    of(name) {
      const turn = turns.get(name) ?? serially();
      turns.set(name, turn);
      return turn;
    },
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
