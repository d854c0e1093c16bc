import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Finding, fail, ok, warn } from '../finding.js';

const mebi = 1024 ** 2;

/** Free space where the platform's data is kept. A demo needs some tens of MiB, a busy platform much more. */
export async function checkDisk(folder: string): Promise<Finding> {
  const at = await existing(folder);
  const { bavail, bsize } = await statfs(at);
  const free = Number(bavail) * Number(bsize);
  const detail = `${Math.floor(free / mebi).toLocaleString('en')} MiB free for ${folder}`;
  const next = 'Free some space, or set AIOT_DATA_DIR to a folder on another disk.';
  if (free < 100 * mebi) return fail('disk', detail, next);
  return free < 1024 * mebi ? warn('disk', detail, next) : ok('disk', detail);
}

async function existing(path: string): Promise<string> {
  const there = await stat(path).then(
    () => true,
    () => false,
  );
  return there || dirname(path) === path ? path : existing(dirname(path));
}
