import { statfsSync } from 'node:fs';
import { join } from 'node:path';

/** Space needed for concurrent writes of tests, bytes; a container often gives its memory file system 64 MiB. */
const roomNeeded = 1e9;

/**
 * The temporary folder of the first ring: in memory if there is room. Platforms and spools sync each write to disk, which on a busy disk
 * takes longer than the tested code. Undefined: the usual one, or the user's choice. Owned by the main process; the global setup creates
 * and removes it.
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
