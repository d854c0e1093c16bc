import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { AiotError, unwritable } from '../../core/index.js';

/** Where a simulated flash keeps its bytes. Erased sectors take no memory. */
export interface Medium {
  read(sector: number): Buffer;
  write(sector: number, data: Buffer): void;
  sync(): void;
  close(): void;
}

export function memoryMedium(sectorBytes: number): Medium {
  const sectors = new Map<number, Buffer>();
  const erased = Buffer.alloc(sectorBytes, 0xff);
  return {
    read: (sector) => sectors.get(sector) ?? Buffer.alloc(sectorBytes, 0xff),
    write: (sector, data) => {
      if (data.equals(erased)) sectors.delete(sector);
      else sectors.set(sector, Buffer.from(data));
    },
    sync: () => {},
    close: () => {},
  };
}

/**
 * One file of the flash's size. Stored inverted: what was never written is a hole in the file, and reads as erased.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_FILE_MALFORMED (a file of another size)
 */
export function fileMedium(path: string, bytes: number, sectorBytes: number): Medium {
  let opened: number | undefined = open(path, bytes);
  // The number of a file that is closed may be another one's by then.
  const fd = () => {
    if (opened !== undefined) return opened;
    throw Object.assign(new Error('EBADF: the flash is closed'), { code: 'EBADF' });
  };
  const invert = (data: Buffer) => {
    for (let i = 0; i < data.length; i++) data[i] = 0xff - (data[i] as number);
    return data;
  };
  return {
    read: (sector) => {
      const data = Buffer.alloc(sectorBytes);
      readSync(fd(), data, 0, sectorBytes, sector * sectorBytes);
      return invert(data);
    },
    write: (sector, data) => {
      kept(path, () => writeSync(fd(), invert(Buffer.from(data)), 0, sectorBytes, sector * sectorBytes));
    },
    sync: () => kept(path, () => fdatasyncSync(fd())),
    close: () => {
      const last = opened;
      opened = undefined;
      if (last !== undefined) closeSync(last);
    },
  };
}

/** A flash that cannot keep what is written to it has to say so: the device that is told nothing would report what is not there. */
function kept(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw unwritable(path, error);
  }
}

function open(path: string, bytes: number): number {
  try {
    const fd = openSync(path, 'a+');
    closeSync(fd);
    const both = openSync(path, 'r+');
    const { size } = fstatSync(both);
    if (size !== 0 && size !== bytes) {
      closeSync(both);
      throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected ${bytes} bytes of flash, got ${size}`);
    }
    ftruncateSync(both, bytes);
    return both;
  } catch (error) {
    throw unwritable(path, error, 'open');
  }
}
