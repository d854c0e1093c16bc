import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { nearest } from '../../core/text.js';

/** Folders in which the kernel exposes its devices; replaced in tests. */
export interface SystemRoots {
  /** Default /sys. */
  sysfs?: string;
  /** Default /dev. */
  dev?: string;
}

export interface IioDevice {
  /** ID, such as `iio:device0`. */
  id: string;
  /** The driver's name, such as `lsm6dsox_accel`; '' if it has none. */
  name: string;
  folder: string;
  /** Path of its character device. */
  node: string;
  /** Whether samples can be read from a buffer, rather than only one by one. */
  buffered: boolean;
}

/** Lists the Industrial I/O devices of this machine; none if the kernel does not support them. */
export async function listIio({ sysfs = '/sys', dev = '/dev' }: SystemRoots = {}): Promise<IioDevice[]> {
  const root = join(sysfs, 'bus', 'iio', 'devices');
  const ids = (await namesIn(root)).filter((name) => /^iio:device\d+$/.test(name));
  return Promise.all(
    ids.map(async (id) => {
      const folder = join(root, id);
      const name = (await readAttribute(join(folder, 'name')).catch(() => undefined)) ?? '';
      return { id, name, folder, node: join(dev, id), buffered: (await scanFolders(folder)) !== undefined };
    }),
  );
}

/**
 * Finds a device by name, such as `lsm6dsox_accel`, or id, such as `iio:device0`.
 * @throws AIOT_SENSOR_NOT_FOUND listing the available devices; AIOT_SENSOR_URL if several have the name
 */
export async function findIio(wanted: string, roots: SystemRoots = {}): Promise<IioDevice> {
  const devices = await listIio(roots);
  const found = devices.filter(({ id, name }) => id === wanted || name === wanted);
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    const ids = found.map(({ id }) => id).join(' or ');
    throw new AiotError('AIOT_SENSOR_URL', `several devices are named ${wanted}`, {
      next: `Choose one by its number: ${ids}`,
    });
  }
  const names = devices.map(({ id, name }) => name || id);
  const near = nearest(wanted, names);
  const there =
    names.length > 0
      ? `Use one of ${names.map((name) => `iio://${name}`).join(', ')}.`
      : 'This machine has none: check the wiring, and that the driver or overlay of the sensor is enabled.';
  const hint = near ? `. Did you mean iio://${near}?` : '';
  throw new AiotError('AIOT_SENSOR_NOT_FOUND', `no Industrial I/O device is named ${wanted}${hint}`, {
    next: there,
  });
}

/** Folders of a device's first buffer and of its scan elements. Since Linux 5.11, both are buffer0; before that, they are separate. */
export async function scanFolders(folder: string): Promise<{ buffer: string; scan: string } | undefined> {
  const here = await namesIn(folder);
  if (here.includes('buffer0')) {
    const buffer = join(folder, 'buffer0');
    if ((await namesIn(buffer)).some((name) => name.endsWith('_en'))) return { buffer, scan: buffer };
  }
  const old = here.includes('buffer') && here.includes('scan_elements');
  return old ? { buffer: join(folder, 'buffer'), scan: join(folder, 'scan_elements') } : undefined;
}

/** Reads the text of an attribute, trimmed; undefined if it does not exist. @throws AIOT_SENSOR_DENIED, AIOT_SENSOR_LOST */
export async function readAttribute(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw attributeError(path, error);
  }
}

/**
 * Writes an attribute unless it has the value already. A device that an administrator has set up then needs no further permissions.
 * @throws AIOT_SENSOR_DENIED, AIOT_SENSOR_BUSY, AIOT_SENSOR_LOST, AIOT_SENSOR_FAILED (the driver rejects the value)
 */
export async function writeAttribute(path: string, value: string): Promise<void> {
  if (sameValue(await readAttribute(path), value)) return;
  try {
    await writeFile(path, value, { flag: 'r+' });
  } catch (error) {
    throw attributeError(path, error, value);
  }
}

/** Whether two values are equal as text or as numbers. The kernel returns 104 as 104.000000. */
function sameValue(there: string | undefined, wanted: string): boolean {
  if (there === undefined || there === '') return false;
  return there === wanted || Number(there) === Number(wanted);
}

/** Names in a folder; none if the folder does not exist. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

/** Converts a system error for an attribute or a device to a coded error. */
export function attributeError(path: string, cause: unknown, value?: string): AiotError {
  const code = systemCode(cause) ?? 'unknown error';
  const what = value === undefined ? `${path} is not readable` : `${path} does not accept ${value}`;
  const details = { endpoint: path, cause };
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS': {
      const verb = value === undefined ? 'read' : 'write';
      return new AiotError('AIOT_SENSOR_DENIED', `you do not have permission to ${verb} ${path}`, details);
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
      return new AiotError('AIOT_SENSOR_LOST', `${what}: the device was disconnected (${code})`, {
        ...details,
        retryable: true,
      });
    default:
      return new AiotError('AIOT_SENSOR_FAILED', `${what} (${code})`, details);
  }
}
