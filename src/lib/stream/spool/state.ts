import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../core/index.js';
import { decodeRecord } from './record.js';
import { magic, readCursor } from './segments.js';

export interface SpoolState {
  /** Waiting. */
  messages: number;
  bytes: number;
  /** When something was last written, ms since 1970. */
  last?: number;
  /** Files that were set aside. */
  damaged: number;
}

/** What is in a spool, without disturbing whoever works with it; undefined where there is none. */
export async function spoolState(path: string): Promise<SpoolState | undefined> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  const cursor = await readCursor(path);
  const state: SpoolState = {
    messages: 0,
    bytes: 0,
    damaged: names.filter((name) => name.endsWith('.damaged')).length,
  };
  for (const name of names) {
    const [, id, count] = /^(\d{12})(?:-(\d+))?\.spool$/.exec(name) ?? [];
    if (id === undefined) continue;
    // It may be gone by now.
    const found = await stat(join(path, name)).catch(() => undefined);
    if (!found) continue;
    state.bytes += found.size;
    const inFile = count === undefined ? await countRecords(join(path, name)) : Number(count);
    state.messages += inFile - (Number(id) === cursor.segment ? cursor.read : 0);
    state.last = Math.max(state.last ?? 0, found.mtimeMs);
  }
  return state;
}

/** Of a file that is being written, whose name does not say it. */
async function countRecords(file: string): Promise<number> {
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  let count = 0;
  for (let offset = magic.length; ; count++) {
    const read = decodeRecord(bytes, offset);
    if (read.kind !== 'record') return count;
    offset += read.bytes;
  }
}
