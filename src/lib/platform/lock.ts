import { join } from 'node:path';
import { AiotError, takeLock } from '../core/index.js';
import { runningPlatform } from './running.js';

/**
 * Takes the data folder for this process and returns what gives it back.
 * @throws AIOT_PLATFORM_RUNNING with the pid of the one that has it, AIOT_FILE_NOT_WRITABLE
 */
export async function lockFolder(dataDir: string): Promise<() => void> {
  const release = await takeLock(join(dataDir, 'lock'));
  if (release) return release;
  const pid = (await runningPlatform(dataDir))?.pid;
  throw new AiotError(
    'AIOT_PLATFORM_RUNNING',
    `a platform runs on ${dataDir} already${pid === undefined ? '' : ` (pid ${pid})`}`,
    { next: `aiot down --data ${dataDir}, or choose another folder with --data.` },
  );
}
