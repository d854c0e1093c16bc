import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, systemCode } from './errors.js';
import { makeFolder, unwritable } from './files.js';
import { nativePart } from './process.js';

/**
 * Takes a lock for this process and returns what gives it back, or null when another one still has it after `waitMs`. It
 * is the operating system's lock on a file (SQLite's exclusive transaction), so it ends with the process, however that
 * ends: no stale locks, and none that two take over from a third. It lies beside keys and is the owner's alone (0600). @throws AIOT_FILE_NOT_WRITABLE
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
      // SQLite makes 0644 of it. A second open file would end the lock when it is closed, so by its path.
      await chmod(path, 0o600);
      return () => taken.close();
    } catch (error) {
      lock?.close();
      if (!systemCode(error)?.startsWith('SQLITE_BUSY')) {
        // A folder of somebody else, a full disk, or a folder where the file should be.
        throw unwritable(path, error, 'take the lock');
      }
      if (performance.now() >= deadline) return null;
    }
  }
}

/** Runs a task that nobody else who asks for this lock runs meanwhile. @throws AIOT_TIMEOUT, AIOT_FILE_NOT_WRITABLE */
export async function withLock<T>(path: string, waitMs: number, task: () => Promise<T>): Promise<T> {
  const release = await takeLock(path, waitMs);
  if (!release) {
    throw new AiotError('AIOT_TIMEOUT', `another aiot did not give ${path} back within ${waitMs} ms`, {
      endpoint: path,
      retryable: true,
      next: 'Wait for it to end, and try again.',
    });
  }
  try {
    return await task();
  } finally {
    release();
  }
}
