import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';

/** A program that has a port open. */
export interface Holder {
  pid: number;
  name: string;
}

/**
 * Which other programs have this port open, as far as one may see: Linux's /proc shows the own user's (root: all).
 * Where some of them have locked it, those alone. Elsewhere nothing is known. Source: proc(5): /proc/PID/fd,
 * /proc/PID/comm, /proc/locks.
 */
export async function holdersOf(path: string): Promise<Holder[]> {
  if (process.platform !== 'linux') return [];
  const port = await realpath(path).catch(() => path);
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      if (Number(pid) === process.pid || !(await hasOpen(pid, port))) return null;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?');
      return { pid: Number(pid), name: name.trim() };
    }),
  );
  const holders = found.filter((holder) => holder !== null);
  const lockers = await lockersOf(port);
  const locking = holders.filter(({ pid }) => lockers.has(pid));
  return locking.length > 0 ? locking : holders;
}

async function lockersOf(port: string): Promise<Set<number>> {
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '');
  const inode = await stat(port).then(
    ({ ino }) => ino,
    () => -1,
  );
  const rows = locks.matchAll(/^\d+: FLOCK +ADVISORY +WRITE +(\d+) \w+:\w+:(\d+) /gm);
  return new Set([...rows].filter((row) => Number(row[2]) === inode).map((row) => Number(row[1])));
}

async function hasOpen(pid: string, port: string): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const file of files) {
    if ((await readlink(`/proc/${pid}/fd/${file}`).catch(() => null)) === port) return true;
  }
  return false;
}
