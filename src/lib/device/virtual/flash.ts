import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { AiotError } from '../../core/errors.js';
import { unwritable } from '../../core/files.js';

/** Thrown when the power is cut. Until `powerOn`, every later operation throws it too. */
export class PowerCut extends Error {
  constructor() {
    super('power cut');
    this.name = 'PowerCut';
  }
}

/** NOR flash as on a chip: erased to 0xFF by sector; writing can only clear bits. Offsets are in bytes. */
export interface Flash {
  readonly sectorBytes: number;
  readonly bytes: number;
  /** Number of bytes written and erased so far. A power cut is possible after each of them. */
  readonly worn: number;
  read(offset: number, length: number): Uint8Array;
  write(offset: number, data: Uint8Array): void;
  erase(sector: number): void;
  /** Returns when all data is durable. */
  sync(): void;
  /** Cuts the power after this many more bytes are written or erased. */
  cutAfter(bytes: number): void;
  powerOn(): void;
  close(): void;
}

interface FlashOptions {
  bytes: number;
  sectorBytes?: number;
  /** File for the contents; absent = in memory. */
  file?: string;
  /** Called before each write and erase, for tests that search for critical bytes. */
  onOperation?: (kind: 'write' | 'erase', offset: number, length: number) => void;
}

/** Creates a simulated flash. @throws AIOT_FILE_NOT_WRITABLE, AIOT_FILE_MALFORMED (a file with another size) */
export function createFlash(options: FlashOptions): Flash {
  const { bytes, file, onOperation } = options;
  const sectorBytes = options.sectorBytes ?? 4096;
  const medium = file ? fileMedium(file, bytes, sectorBytes) : memoryMedium(sectorBytes);
  let left = Number.POSITIVE_INFINITY;
  let worn = 0;

  /** Returns how many of `wanted` bytes are processed before the power is cut. */
  const spend = (wanted: number): number => {
    const done = Math.min(wanted, left);
    left -= done;
    worn += done;
    return done;
  };
  const powered = () => {
    if (left <= 0) throw new PowerCut();
  };
  const inside = (offset: number, length: number) => {
    if (offset < 0 || length < 0 || offset + length > bytes)
      throw new RangeError(`flash: ${offset}+${length} is outside the ${bytes} bytes of flash`);
  };

  return {
    sectorBytes,
    bytes,
    get worn() {
      return worn;
    },
    read(offset, length) {
      powered();
      inside(offset, length);
      const out = Buffer.alloc(length);
      for (let at = 0; at < length; ) {
        const sector = Math.floor((offset + at) / sectorBytes);
        const within = (offset + at) % sectorBytes;
        at += medium.read(sector).copy(out, at, within, Math.min(sectorBytes, within + length - at));
      }
      return out;
    },
    write(offset, data) {
      powered();
      inside(offset, data.length);
      onOperation?.('write', offset, data.length);
      const done = spend(data.length);
      for (let at = 0; at < done; ) {
        const sector = Math.floor((offset + at) / sectorBytes);
        const within = (offset + at) % sectorBytes;
        const count = Math.min(sectorBytes - within, done - at);
        const content = medium.read(sector);
        for (let i = 0; i < count; i++)
          content[within + i] = (content[within + i] as number) & (data[at + i] as number);
        medium.write(sector, content);
        at += count;
      }
      if (done < data.length) throw new PowerCut();
    },
    erase(sector) {
      powered();
      inside(sector * sectorBytes, sectorBytes);
      onOperation?.('erase', sector * sectorBytes, sectorBytes);
      const done = spend(sectorBytes);
      medium.write(sector, medium.read(sector).fill(0xff, 0, done));
      if (done < sectorBytes) throw new PowerCut();
    },
    sync() {
      powered();
      medium.sync();
    },
    cutAfter(count) {
      left = count;
    },
    powerOn() {
      left = Number.POSITIVE_INFINITY;
    },
    close() {
      medium.close();
    },
  };
}

/** Storage of a simulated flash. Erased sectors take no memory. */
interface Medium {
  read(sector: number): Buffer;
  write(sector: number, data: Buffer): void;
  sync(): void;
  close(): void;
}

function memoryMedium(sectorBytes: number): Medium {
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
 * A file of the flash's size. Bytes are stored inverted, so that data that was never written is a hole in the file and reads as erased.
 * @throws AIOT_FILE_NOT_WRITABLE, AIOT_FILE_MALFORMED (a file of another size)
 */
function fileMedium(path: string, bytes: number, sectorBytes: number): Medium {
  let opened: number | undefined = open(path, bytes);
  // After closing, the file descriptor may belong to another file.
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

/** Reports a failed write. Otherwise, the device would claim to have stored data that was not stored. */
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
