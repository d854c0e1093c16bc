import { readdir, readFile, writeFile } from 'node:fs/promises';
import { AiotError, systemCode } from '../../core/index.js';

/** Text of an attribute, trimmed; undefined where there is none. @throws AIOT_SENSOR_DENIED, AIOT_SENSOR_LOST */
export async function readAttribute(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw attributeError(path, error);
  }
}

/**
 * Writes an attribute, unless it says so already: what an administrator has set up needs no further rights.
 * @throws AIOT_SENSOR_DENIED, AIOT_SENSOR_BUSY, AIOT_SENSOR_LOST, AIOT_SENSOR_FAILED (the driver does not take the value)
 */
export async function writeAttribute(path: string, value: string): Promise<void> {
  if (sameValue(await readAttribute(path), value)) return;
  try {
    await writeFile(path, value, { flag: 'r+' });
  } catch (error) {
    throw attributeError(path, error, value);
  }
}

/** The kernel writes 104 as 104.000000. */
function sameValue(there: string | undefined, wanted: string): boolean {
  if (there === undefined || there === '') return false;
  return there === wanted || Number(there) === Number(wanted);
}

/** Names in a folder; none where there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** What the system says of an attribute or a device, as an error of ours. */
export function attributeError(path: string, cause: unknown, value?: string): AiotError {
  const code = systemCode(cause) ?? 'unknown error';
  const what = value === undefined ? `${path} cannot be read` : `${path} does not take ${value}`;
  const details = { endpoint: path, cause };
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS': {
      const verb = value === undefined ? 'read' : 'write';
      return new AiotError('AIOT_SENSOR_DENIED', `you may not ${verb} ${path}`, details);
    }
    case 'EBUSY':
      return new AiotError('AIOT_SENSOR_BUSY', `${path} is in use by another program`, {
        ...details,
        retryable: true,
      });
    case 'ENODEV':
    case 'ENOENT':
    case 'ENXIO':
    case 'EREMOTEIO':
      return new AiotError('AIOT_SENSOR_LOST', `${what}: the device is gone (${code})`, {
        ...details,
        retryable: true,
      });
    default:
      return new AiotError('AIOT_SENSOR_FAILED', `${what} (${code})`, details);
  }
}
