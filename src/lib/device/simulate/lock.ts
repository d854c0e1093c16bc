import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, systemCode, takeLock } from '../../core/index.js';

/**
 * Takes a device's folder for this process, and notes in device.pid which one that is. Returns what gives it back.
 * @throws AIOT_DEVICE_BUSY, AIOT_FILE_NOT_WRITABLE
 */
export async function lockDevice(folder: string): Promise<() => Promise<void>> {
  const note = join(folder, 'device.pid');
  const release = await takeLock(join(folder, 'device.lock'));
  if (!release) {
    const owner = (await readFile(note, 'utf8').catch(() => '')).trim();
    throw new AiotError(
      'AIOT_DEVICE_BUSY',
      `the device in ${folder} is run by ${owner ? `process ${owner}` : 'another process'}`,
    );
  }
  try {
    await writeFile(note, `${process.pid}\n`);
  } catch (error) {
    release();
    const reason = systemCode(error) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${note} (${reason})`, { cause: error });
  }
  return async () => {
    await rm(note, { force: true });
    release();
  };
}
