import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { platformUrlsSchema } from '../api/api.js';
import { AiotError, systemCode } from '../core/errors.js';
import { readJson, writeJsonAtomic } from '../core/files.js';
import { takeLock } from '../core/lock.js';

const runningSchema = z.object({
  pid: z.int(),
  /** Start time that distinguishes this process from a later one with the same PID; absent if the system does not provide it. */
  born: z.string().nullable(),
  urls: platformUrlsSchema,
  ca: z.string(),
});

type RunningPlatform = z.output<typeof runningSchema>;

function runningFile(dataDir: string): string {
  return join(dataDir, 'platform.json');
}

/** Records that this process runs the platform of this folder. */
export async function noteRunning(
  dataDir: string,
  platform: Pick<RunningPlatform, 'urls' | 'ca'>,
): Promise<void> {
  const { pid } = process;
  await writeJsonAtomic(runningFile(dataDir), { pid, born: await birthOf(pid), ...platform });
}

export async function forgetRunning(dataDir: string): Promise<void> {
  await rm(runningFile(dataDir), { force: true });
}

/** The process that runs this folder's platform, or null. A file left by a killed process is ignored. */
export async function runningPlatform(dataDir: string): Promise<RunningPlatform | null> {
  const note = runningSchema.safeParse(await readJson(runningFile(dataDir)).catch(() => null));
  if (!note.success || !(await isAlive(note.data.pid))) return null;
  const { pid, born } = note.data;
  return born === (await birthOf(pid)) ? note.data : null;
}

/** Whether the process exists. A zombie (ended but not waited for) counts as gone. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
  return (await statOf(pid))?.[0] !== 'Z';
}

/** Start time of a process in clock ticks since boot; null if there is no /proc. */
async function birthOf(pid: number): Promise<string | null> {
  return (await statOf(pid))?.[19] ?? null;
}

/** The fields of /proc/PID/stat from the third on (Linux, proc(5)): state, …, start time as the 22nd. */
async function statOf(pid: number): Promise<string[] | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The second field is the program's name in parentheses and may contain spaces: counting starts after it.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? null;
}

/**
 * Locks the data folder for this process; the returned function unlocks it.
 * @throws AIOT_PLATFORM_RUNNING with the pid of its owner, AIOT_FILE_NOT_WRITABLE
 */
export async function lockFolder(dataDir: string): Promise<() => void> {
  const release = await takeLock(join(dataDir, 'lock'));
  if (release) return release;
  const running = await runningPlatform(dataDir);
  const where = running ? `, at ${running.urls.http} (pid ${running.pid})` : '';
  throw new AiotError('AIOT_PLATFORM_RUNNING', `a platform is already running on ${dataDir}${where}`, {
    next: nextBeside(dataDir, 'aiot status'),
  });
}

/** Advice about a platform that is already running. @param status the command that shows it */
export function nextBeside(dataDir: string, status: string): string {
  return `To see it, run \`${status}\`; to stop it, run \`aiot down --data ${dataDir}\`. For another platform, choose another folder with --data.`;
}
