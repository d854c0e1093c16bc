import { join } from 'node:path';
import { AiotError, nearest } from '../../core/index.js';
import { namesIn, readAttribute } from './attributes.js';

/** Where the kernel shows its devices; other folders in tests. */
export interface SystemRoots {
  /** Default /sys. */
  sysfs?: string;
  /** Default /dev. */
  dev?: string;
}

export interface IioDevice {
  /** Such as `iio:device0`. */
  id: string;
  /** The driver's, such as `lsm6dsox_accel`; '' where it has none. */
  name: string;
  folder: string;
  /** Of its character device. */
  node: string;
  /** Its samples can be had from a buffer, and not only one by one. */
  buffered: boolean;
}

/** Devices of Linux's Industrial I/O on this machine; none where the kernel has none. */
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
 * The device of a name, such as `lsm6dsox_accel`, or of an id, such as `iio:device0`.
 * @throws AIOT_SENSOR_NOT_FOUND with those that there are; AIOT_SENSOR_URL where several have the name
 */
export async function findIio(wanted: string, roots: SystemRoots = {}): Promise<IioDevice> {
  const devices = await listIio(roots);
  const found = devices.filter(({ id, name }) => id === wanted || name === wanted);
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    const ids = found.map(({ id }) => id).join(' or ');
    throw new AiotError('AIOT_SENSOR_URL', `several devices are called ${wanted}`, {
      next: `Name one by its number: ${ids}`,
    });
  }
  const names = devices.map(({ id, name }) => name || id);
  const near = nearest(wanted, names);
  const there = names.length > 0 ? `There is ${names.join(', ')}.` : undefined;
  throw new AiotError('AIOT_SENSOR_NOT_FOUND', `no Industrial I/O device is called ${wanted}`, {
    next: near ? `Did you mean iio://${near}?` : there,
  });
}

/** Folders of a device's first buffer and of its scan elements: together in buffer0 since Linux 5.11, apart before. */
export async function scanFolders(folder: string): Promise<{ buffer: string; scan: string } | undefined> {
  const here = await namesIn(folder);
  if (here.includes('buffer0')) {
    const buffer = join(folder, 'buffer0');
    if ((await namesIn(buffer)).some((name) => name.endsWith('_en'))) return { buffer, scan: buffer };
  }
  const old = here.includes('buffer') && here.includes('scan_elements');
  return old ? { buffer: join(folder, 'buffer'), scan: join(folder, 'scan_elements') } : undefined;
}
