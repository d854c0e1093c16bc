import { readdir, readFile } from 'node:fs/promises';
import { systemClock } from '../../core/index.js';
import type { ProcessId } from './record.js';

/** The variable by which a project's steps are known, also those that a killed runner left behind. */
export const markVariable = 'AIOT_PIPELINE';
/** Between being asked to end and being ended, ms. */
const graceMs = 3000;

/** A process with its start, which tells it from a later one of the same number. */
export async function identify(pid: number): Promise<ProcessId> {
  return { pid, start: await startOf(pid) };
}

/** In clock ticks since the machine's start (proc(5), stat, field 22); null where there is no /proc, or no such process. */
async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name in parentheses may have spaces and parentheses itself.
  return text === null ? null : (text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null);
}

/** Whether that process, and no later one of its number, is there. */
export async function isAlive({ pid, start }: ProcessId): Promise<boolean> {
  if (!isThere(pid)) return false;
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null || start === null) return true;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // One that is over and not yet fetched by its parent is not alive.
  return fields[19] === start && fields[0] !== 'Z';
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Asks a process and those that it started to end, then ends them. Each step is the head of a group of its own. */
export async function endGroup(child: ProcessId): Promise<void> {
  if (!(await isAlive(child))) return signalGroup(child.pid, 'SIGKILL');
  signalGroup(child.pid, 'SIGTERM');
  for (
    const deadline = performance.now() + graceMs;
    performance.now() < deadline;
    await systemClock.sleep(20)
  ) {
    if (!(await isAlive(child))) break;
  }
  signalGroup(child.pid, 'SIGKILL');
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It is over.
  }
}

/**
 * Ends what runners that are no more have left running for this project. Those recorded are known by number and start; on Linux those
 * too that were started in the moment before the runner was killed, by the variable in their environment.
 * @returns how many there were
 */
export async function endLeftovers(mark: string, recorded: readonly ProcessId[]): Promise<number> {
  const found = new Map<number, ProcessId>();
  for (const child of recorded) if (await isAlive(child)) found.set(child.pid, child);
  for (const child of await marked(mark)) found.set(child.pid, child);
  await Promise.all([...found.values()].map(endProcess));
  return found.size;
}

async function endProcess(child: ProcessId): Promise<void> {
  await endGroup(child);
  if (await isAlive(child)) process.kill(child.pid, 'SIGKILL');
}

async function marked(mark: string): Promise<ProcessId[]> {
  const wanted = Buffer.from(`${markVariable}=${mark}\0`);
  const found: ProcessId[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // Of other users' processes it cannot be read.
    const environment = await readFile(`/proc/${pid}/environ`).catch(() => null);
    if (environment?.includes(wanted)) found.push(await identify(pid));
  }
  return found;
}

/** Most memory that a process has had, bytes; null where it cannot be told. */
export async function peakOf(pid: number): Promise<number | null> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => null);
  const [, kib] = /^VmHWM:\s*(\d+) kB$/m.exec(status ?? '') ?? [];
  return kib === undefined ? null : Number(kib) * 1024;
}
