import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, systemCode } from './errors.js';
import { makeFolder, unwritable } from './files.js';
import { nativePart } from './process.js';

/**
 * Acquires a lock for this process and returns a function that releases it, or null if another process still holds it after `waitMs`. It
 * is the operating system's lock on a file (SQLite's exclusive transaction), so it is released when the process ends, even by a crash.
 * There are no stale locks, and two processes cannot both acquire one that a third has left. It is stored beside keys and readable by its
 * owner only (0600). @throws AIOT_FILE_NOT_WRITABLE
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
      // SQLite creates it with mode 0644. Changed by path, because closing a second handle of the file would release the lock.
      await chmod(path, 0o600);
      return () => taken.close();
    } catch (error) {
      lock?.close();
      if (!systemCode(error)?.startsWith('SQLITE_BUSY')) {
        // A folder of another user, a full disk, or a folder in place of the file.
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
