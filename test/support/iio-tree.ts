import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A tree like the kernel's, where attributes are files and the character device is a pipe. */
export interface IioTree {
  sysfs: string;
  dev: string;
  folder: string;
  attribute(name: string): Promise<string>;
  set(name: string, value: string): Promise<void>;
  /** Writes the data that the kernel would write to the buffer. */
  feed(bytes: Uint8Array): Promise<void>;
  /** Removes the device, as when it is unplugged. */
  unplug(): Promise<void>;
  close(): Promise<void>;
}

/** @param attributes the attributes by path below the device's folder */
export async function iioTree(
  root: string,
  attributes: Record<string, string>,
  { number = 0 }: { number?: number } = {},
): Promise<IioTree> {
  const sysfs = join(root, 'sys');
  const dev = join(root, 'dev');
  const folder = join(sysfs, 'bus', 'iio', 'devices', `iio:device${number}`);
  const set = async (name: string, value: string) => {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), `${value}\n`);
  };
  for (const [name, value] of Object.entries(attributes)) await set(name, value);
  await mkdir(dev, { recursive: true });
  const node = join(dev, `iio:device${number}`);
  execFileSync('mkfifo', [node]);
  let pipe: FileHandle | undefined = await open(node, constants.O_RDWR | constants.O_NONBLOCK);
  const close = async () => {
    await pipe?.close();
    pipe = undefined;
  };
  return {
    sysfs,
    dev,
    folder,
    set,
    attribute: async (name) => (await readFile(join(folder, name), 'utf8')).trim(),
    async feed(bytes) {
      await pipe!.write(bytes);
    },
    async unplug() {
      await close();
      await rm(folder, { recursive: true });
      await rm(node);
    },
    close,
  };
}

/** The scan elements of a buffer, all disabled, from names with their index and type. */
export function scanElements(folder: string, elements: Record<string, [number, string]>) {
  return Object.fromEntries(
    Object.entries(elements).flatMap(([name, [index, type]]) => [
      [`${folder}/in_${name}_en`, '0'],
      [`${folder}/in_${name}_index`, `${index}`],
      [`${folder}/in_${name}_type`, type],
    ]),
  );
}

/** The accelerometer as presented by the kernel's LSM6DSOX driver. */
export const lsm6dsoxAccel = {
  name: 'lsm6dsox_accel',
  sampling_frequency: '52.000000',
  sampling_frequency_available: '12.500000 26.000000 52.000000 104.000000 208.000000 416.000000',
  in_accel_scale: '0.000598',
  in_accel_scale_available: '0.000598 0.001196 0.002392 0.004785',
  current_timestamp_clock: 'realtime',
  'buffer0/enable': '0',
  'buffer0/length': '2',
  'buffer0/watermark': '1',
  ...scanElements('buffer0', {
    accel_x: [0, 'le:s16/16>>0'],
    accel_y: [1, 'le:s16/16>>0'],
    accel_z: [2, 'le:s16/16>>0'],
    timestamp: [3, 'le:s64/64>>0'],
  }),
};

/** A scan of three little-endian values and a timestamp, with 16 bytes including 2 bytes of padding. */
export function accelScan(x: number, y: number, z: number, ns: bigint): Uint8Array {
  const scan = Buffer.alloc(16, 0xa5);
  scan.writeInt16LE(x, 0);
  scan.writeInt16LE(y, 2);
  scan.writeInt16LE(z, 4);
  scan.writeBigInt64LE(ns, 8);
  return scan;
}
