import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../../src/lib/core/crypto.js';

/** Returns the processes that are steps of this project or were started by its steps. */
export function stepsOf(dir: string): string[] {
  const mark = Buffer.from(`AIOT_PIPELINE=${join(dir, '.aiot/pipeline')}\0`);
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`).includes(mark);
    } catch {
      return false;
    }
  });
}

/** Returns partially written data: unreadable records, and contents that do not match their name. */
export function halvesInStore(dir: string): string[] {
  const store = join(dir, '.aiot/pipeline');
  const bad: string[] = [];
  for (const folder of ['runs', 'store/steps']) {
    for (const name of readdirSync(join(store, folder)).filter((each) => each.endsWith('.json'))) {
      try {
        JSON.parse(readFileSync(join(store, folder, name), 'utf8'));
      } catch {
        bad.push(join(folder, name));
      }
    }
  }
  for (const part of readdirSync(join(store, 'store/blobs'))) {
    for (const name of readdirSync(join(store, 'store/blobs', part))) {
      const content = readFileSync(join(store, 'store/blobs', part, name));
      if (sha256Hex(content) !== name) bad.push(join('store/blobs', part, name));
    }
  }
  return bad;
}
