import { join } from 'node:path';
import { AiotError, makeFolder, systemCode } from '../core/index.js';
import { runningPlatform } from './running.js';

/**
 * Takes the data folder for this process and returns what gives it back. It is the operating system's lock on a file
 * (SQLite's exclusive transaction), so it ends with the process, however that ends: no stale lock files.
 * @throws AIOT_PLATFORM_RUNNING with the pid of the one that has it, AIOT_FILE_NOT_WRITABLE
 */
export async function lockFolder(dataDir: string): Promise<() => void> {
  const { default: Database } = await import('libsql');
  await makeFolder(dataDir, 0o700);
  let lock: InstanceType<typeof Database> | undefined;
  try {
    lock = new Database(join(dataDir, 'lock'), { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
    const taken = lock;
    return () => taken.close();
  } catch (error) {
    lock?.close();
    if (!systemCode(error)?.startsWith('SQLITE_BUSY')) {
      // A folder of somebody else, a full disk, or a folder where the file should be.
      throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot take the lock in ${dataDir}`, {
        cause: error,
        endpoint: dataDir,
      });
    }
    const pid = (await runningPlatform(dataDir))?.pid;
    throw new AiotError(
      'AIOT_PLATFORM_RUNNING',
      `a platform runs on ${dataDir} already${pid === undefined ? '' : ` (pid ${pid})`}`,
      { next: `aiot down --data ${dataDir}, or choose another folder with --data.`, cause: error },
    );
  }
}
