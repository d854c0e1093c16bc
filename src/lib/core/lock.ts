import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, systemCode } from './errors.js';
import { makeFolder, unwritable } from './files.js';
import { nativePart } from './process.js';

/**
 * Acquires a lock for this process. Returns a function that releases it, or null if another process still holds it after `waitMs`. The
 * operating system locks a file (through SQLite's exclusive transaction), so the lock ends with the process, even after a crash. Stale
 * locks cannot exist, so there is no cleanup that could let two processes acquire the lock. The file may be next to keys, so only its
 * owner can read it (0600).
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function takeLock(path: string, waitMs = 0): Promise<(() => void) | null> {
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  await makeFolder(dirname(path), 0o700);
  for (const deadline = performance.now() + waitMs; ; await delay(25)) {
    let lock: InstanceType<typeof Database> | undefined;
    try {
      lock = new Database(path, { timeout: 0 });
      lock.exec('BEGIN EXCLUSIVE');
      const taken = lock;
      // SQLite creates the file with mode 0644. The mode is changed by path, because closing a second handle to the file would release the
      // lock.
      await chmod(path, 0o600);
      return () => taken.close();
    } catch (error) {
      lock?.close();
      if (!systemCode(error)?.startsWith('SQLITE_BUSY')) {
        // Possible causes are a folder of another user, a full disk, or a folder in place of the file.
        throw unwritable(path, error, 'take the lock');
      }
      if (performance.now() >= deadline) return null;
    }
  }
}

/** Runs a task while holding this lock. @throws AIOT_TIMEOUT, AIOT_FILE_NOT_WRITABLE */
export async function withLock<T>(path: string, waitMs: number, task: () => Promise<T>): Promise<T> {
  const release = await takeLock(path, waitMs);
  if (!release) {
    throw new AiotError('AIOT_TIMEOUT', `another aiot process did not release ${path} within ${waitMs} ms`, {
      endpoint: path,
      retryable: true,
      next: 'Wait for the other process to end, then try again.',
    });
  }
  try {
    return await task();
  } finally {
    release();
  }
}
