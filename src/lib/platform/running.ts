import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { platformUrlsSchema } from '../api/api.js';
import { AiotError } from '../core/errors.js';
import { readJson, writeJsonAtomic } from '../core/files.js';
import { takeLock } from '../core/lock.js';
import { identify, isAlive } from '../core/process.js';

/** The options of a platform as words of `aiot up`, so that users can start it again. */
export const restartSchema = z.object({
  /** Words such as `--broker mqtts://…`, without the folder, the API's and the broker's ports, and default values. */
  words: z.array(z.string()),
  /** Flags that are left out, because their values may contain secrets. */
  secret: z.array(z.string()),
});

export type Restart = z.output<typeof restartSchema>;

const runningSchema = z.object({
  pid: z.int(),
  /** Start time, as in `ProcessId`. */
  start: z.string().nullable(),
  urls: platformUrlsSchema,
  ca: z.string(),
  restart: restartSchema.optional(),
});

type RunningPlatform = z.output<typeof runningSchema>;

function runningFile(dataDir: string): string {
  return join(dataDir, 'platform.json');
}

/** Records that this process runs the platform of this folder. */
export async function noteRunning(
  dataDir: string,
  platform: Pick<RunningPlatform, 'urls' | 'ca' | 'restart'>,
): Promise<void> {
  await writeJsonAtomic(runningFile(dataDir), { ...(await identify(process.pid)), ...platform });
}

export async function forgetRunning(dataDir: string): Promise<void> {
  await rm(runningFile(dataDir), { force: true });
}

/** The process that runs this folder's platform, or null. A file left by a killed process is ignored. */
export async function runningPlatform(dataDir: string): Promise<RunningPlatform | null> {
  const note = runningSchema.safeParse(await readJson(runningFile(dataDir)).catch(() => null));
  return note.success && (await isAlive(note.data)) ? note.data : null;
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

/** Advice about a platform that is already running. @param status the command that shows its status */
export function nextBeside(dataDir: string, status: string): string {
  return `To see it, run \`${status}\`. To change its options, stop it with \`aiot down --data ${dataDir}\`, and start it again. To start another platform, choose another folder with --data.`;
}
