import { lstat, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { sha256Hex, systemCode } from '../../core/index.js';

const host = sha256Hex(hostname()).slice(0, 8);

/** Of the folder in which this process makes an identity, beside where it goes: whose it is, and on which machine. */
export const stagePrefix = `.identity-${host}-${process.pid}-`;

/** `.identity-HOST-PID-xxxxxx`; without the two, of versions before. */
const stageName = /^\.identity-(?:([0-9a-f]{8})-(\d+)-)?[A-Za-z0-9]{6}$/;

/** No run takes as long with one device: of another machine, or with a process id that somebody else has by now. */
const oldMs = 6 * 3_600_000;

/** Removes what runs that were killed have left in a folder: a private key may be in it. Those under way keep theirs. */
export async function removeStale(folder: string): Promise<void> {
  // A folder that cannot be read is told of by whoever writes into it.
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const match = stageName.exec(name);
    if (!match) continue;
    const path = join(folder, name);
    const [, at, pid] = match;
    if ((at === host && !isRunning(Number(pid))) || (await isOld(path)))
      await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

/** Whether a run on this machine was killed while it made an identity for this folder. */
export async function isCutShort(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => {
    const [, at, pid] = stageName.exec(name) ?? [];
    return at === host && !isRunning(Number(pid));
  });
}

async function isOld(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  return found?.isDirectory() === true && Date.now() - found.mtimeMs > oldMs;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, and is somebody else's.
    return systemCode(error) !== 'ESRCH';
  }
}
