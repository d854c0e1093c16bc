import type { AiotError } from '../../core/index.js';
import { alwaysLeader, type Leader } from '../workers/leader.js';
import { type Changes, noChanges } from './changes.js';
import { openChecked, Soundness, type Store } from './database.js';
import { localTurns, type Turns } from './turns.js';

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
    const { openPostgres } = await import('./postgres/engine.js');
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
