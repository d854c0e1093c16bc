import type { AiotError } from '../../core/index.js';
import { alwaysLeader, type Leader } from '../workers/leader.js';
import { type Changes, noChanges } from './changes.js';
import { openStore, type Store } from './database.js';
import { localTurns, type Turns } from './turns.js';

/** The database and what goes with it, whichever it is. */
export interface Engine {
  store: Store;
  turns: Turns;
  changes: Changes;
  leader: Leader;
  /** Why requests cannot be served just now; null = they can. */
  trouble(): Promise<AiotError | null>;
  close(): Promise<void>;
}

/**
 * Opens the database of this URL (postgres://…), or the SQLite file.
 * @throws AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE, AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_USAGE
 */
export async function openEngine(file: string, url?: string): Promise<Engine> {
  if (url !== undefined) {
    const { openPostgres } = await import('./postgres/engine.js');
    return openPostgres(url);
  }
  const store = await openStore(file);
  return {
    store,
    turns: localTurns(),
    changes: noChanges,
    leader: alwaysLeader,
    trouble: async () => null,
    close: () => store.destroy(),
  };
}
