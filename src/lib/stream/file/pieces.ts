import { readdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from '../../core/index.js';

/** How the files are called that one path becomes: `readings.csv` → `readings-20261120T183005123Z.csv`. */
export interface PieceNames {
  folder: string;
  /** What is being written: hidden, so that who takes the finished files does not take it. */
  part: string;
  lock: string;
  /** Of a finished file that was begun then, ms since 1970. */
  finished(since: number, copy: number): string;
  /** Lines that wait to be made a finished file of another kind; and that file's name again. */
  waiting(finished: string): string;
  ofWaiting(name: string): string | undefined;
}

export function pieceNames(path: string): PieceNames {
  const name = basename(path);
  const folder = dirname(path);
  const [, stem = name, end = ''] = /^(.+?)((?:\.[a-z0-9]+)?(?:\.gz)?)$/i.exec(name) ?? [];
  return {
    folder,
    part: join(folder, `.${name}.part`),
    lock: join(folder, `.${name}.lock`),
    finished(since, copy) {
      const stamp = new Date(since).toISOString().replace(/[-:.]/g, '');
      // An underscore sorts behind the dot of the first one's ending: a listing by name is in order.
      return join(folder, `${stem}-${stamp}${copy > 1 ? `_${copy}` : ''}${end}`);
    },
    waiting: (finished) => join(folder, `.${basename(finished)}.rows`),
    ofWaiting(found) {
      if (!found.startsWith(`.${stem}`) || !found.endsWith(`${end}.rows`)) return undefined;
      return join(folder, found.slice(1, -'.rows'.length));
    },
  };
}

/** The first of the names that no file has. Who asks has the lock, so nobody takes it meanwhile. */
export async function freeName(names: PieceNames, since: number): Promise<string> {
  const taken = new Set(await readdir(names.folder));
  for (let copy = 1; ; copy++) {
    const name = names.finished(since, copy);
    if (!taken.has(basename(name)) && !taken.has(basename(names.waiting(name)))) return name;
  }
}

export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}
