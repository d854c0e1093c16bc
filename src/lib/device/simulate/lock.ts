import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, systemCode } from '../../core/index.js';

/**
 * Takes a device's folder for this process; the lock of one that has died is taken over. Returns what gives it back.
 * @throws AIOT_DEVICE_BUSY, AIOT_FILE_NOT_WRITABLE
 */
export async function lockDevice(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'device.pid');
  for (let tries = 0; ; tries++) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(`${process.pid}\n`);
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      const reason = systemCode(error);
      if (reason !== 'EEXIST' || tries > 2) {
        throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${path} (${reason ?? 'unknown error'})`, {
          cause: error,
        });
      }
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''));
    if (owner > 0 && alive(owner)) {
      throw new AiotError('AIOT_DEVICE_BUSY', `the device in ${folder} is run by process ${owner}`);
    }
    // An empty one may be a lock that is just being written.
    if (owner === 0 && tries === 0) await delay(50);
    else await rm(path, { force: true });
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, but somebody else's.
    return systemCode(error) === 'EPERM';
  }
}
