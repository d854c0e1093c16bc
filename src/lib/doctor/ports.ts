import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { systemCode } from '../core/errors.js';
import { type Finding, ok, warn } from './finding.js';

/** Checks whether `aiot up` could listen on a port. If it cannot, finds the process that uses the port. */
export async function checkPort(check: string, port: number, flag: string): Promise<Finding> {
  const refused = await listen(port);
  if (refused === undefined) return ok(check, `${port} is free`);
  if (refused !== 'EADDRINUSE') return warn(check, `${port} is not usable (${refused})`, `aiot up ${flag} 0`);
  const owner = await ownerOf(port);
  const detail = `${port} is in use${owner ? ` by ${owner.name}, pid ${owner.pid}` : ''}`;
  // A port in use by one of aiot's own platforms is not a problem.
  if (owner?.aiot) return ok(check, detail);
  return warn(check, detail, `To use any free port, run \`aiot up ${flag} 0\`.`);
}

/** Tries to listen on a port. Returns the system's error code, or undefined if it succeeded. */
function listen(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => resolve(systemCode(error) ?? 'unknown error'));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

interface PortOwner {
  pid: number;
  name: string;
  /** Whether the process is aiot. */
  aiot: boolean;
}

const listening = '0A';

/**
 * Finds the process that listens on a TCP port, on Linux. The file /proc/net/tcp contains the socket's inode (proc(5): local address and
 * port in hex, state 0A = LISTEN), and /proc/PID/fd contains a link to it. Undefined on other systems, and for processes of other users.
 */
async function ownerOf(port: number): Promise<PortOwner | undefined> {
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
