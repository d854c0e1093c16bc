import { statfsSync } from 'node:fs';
import { join } from 'node:path';

/** Space that concurrent tests need, bytes; a container often limits its memory file system to 64 MiB. */
const roomNeeded = 1e9;

/**
 * The temporary folder of the first ring. It is in memory if there is enough space, because platforms and spools
 * sync each write to disk, and on a busy disk, that takes longer than the tested code. Undefined selects the usual
 * folder or the user's choice. The main process owns the folder; the global setup creates and removes it.
 */
export const memoryFolder: string | undefined = hasRoom('/dev/shm')
  ? join('/dev/shm', `aiot-tests-${process.pid}`)
  : undefined;

function hasRoom(folder: string): boolean {
  if (process.env.TMPDIR !== undefined || process.platform !== 'linux') return false;
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= roomNeeded;
  } catch {
    return false;
  }
}
