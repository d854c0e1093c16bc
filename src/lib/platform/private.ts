import { chmod, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';

/** What others on this machine have no business with. In `pki`, keys are private by themselves, and the CA is for everybody. */
const folders = ['broker', 'blobs', 'journal'];

/**
 * Takes what a data folder holds away from other users of the machine, also where the folder itself was there before and is open to
 * them. SQLite gives its other files the mode of `state.db`. What cannot be changed (of another owner, read-only) is logged; whoever
 * opens it next says whether it will do.
 * @param database file of the state, made when missing; null = it is in PostgreSQL
 */
export async function makePrivate(root: string, database: string | null, log: Logger): Promise<void> {
  try {
    for (const name of folders) {
      const folder = join(root, name);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
    }
    if (database === null) return;
    const file = await open(database, 'a', 0o600);
    try {
      await file.chmod(0o600);
    } finally {
      await file.close();
    }
  } catch (err) {
    log.warn({ err }, 'other users of this machine may be able to read the data folder');
  }
}
