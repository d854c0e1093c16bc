import { readdir, readFile, readlink } from 'node:fs/promises';

export interface PortOwner {
  pid: number;
  name: string;
  /** Whether it is this program. */
  aiot: boolean;
}

const listening = '0A';

/**
 * The process that listens on a TCP port, as Linux tells it: /proc/net/tcp has the socket's inode (proc(5): local
 * address and port in hex, state 0A = LISTEN), /proc/PID/fd links to it. Other systems, and other users' processes:
 * undefined.
 */
export async function ownerOf(port: number): Promise<PortOwner | undefined> {
  if (process.platform !== 'linux') return undefined;
  const inodes = new Set([
    ...(await inodesOf('/proc/net/tcp', port)),
    ...(await inodesOf('/proc/net/tcp6', port)),
  ]);
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (!(await holds(pid, inodes))) continue;
    const line = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0').filter(Boolean);
    const name = line[0]?.split('/').at(-1) ?? 'a process';
    return { pid: Number(pid), name, aiot: line.some((word) => /\baiot\b|bin\/(run|dev)\.js$/.test(word)) };
  }
  return undefined;
}

async function inodesOf(table: string, port: number): Promise<string[]> {
  const text = await readFile(table, 'utf8').catch(() => '');
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === listening && local?.endsWith(`:${wanted}`))
    .map((fields) => fields[9] ?? '');
}

async function holds(pid: string, inodes: Set<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const links = await readdir(folder).catch(() => []);
  for (const link of links) {
    const target = await readlink(`${folder}/${link}`).catch(() => '');
    if (inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? '')) return true;
  }
  return false;
}
