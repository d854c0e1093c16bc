import { statfsSync } from 'node:fs';
import { join } from 'node:path';

/** Room that is needed for what tests write at the same time, bytes; a container often gives its memory file system 64 MiB. */
const roomNeeded = 1e9;

/**
 * The temporary folder of the first ring: in memory where there is room, as platforms and spools sync each write to disk,
 * which on a busy disk takes longer than what is tested. Undefined: the usual one, as where somebody chose one. The main process's
 * own; the global setup makes and removes it.
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
