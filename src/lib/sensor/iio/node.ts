import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { AiotError, systemCode } from '../../core/index.js';
import { attributeError } from './attributes.js';

/**
 * A device's character device, read without waiting: a read that waited would hold one of Node's few threads, and closing would wait
 * for the next sample. Reading so also empties the chip's own FIFO (Linux, iio_buffer_ready), whatever the watermark is.
 */
export interface IioNode {
  /** Bytes read into `into`, 0 when there are none now. @throws AIOT_SENSOR_LOST */
  read(into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** @throws AIOT_SENSOR_BUSY, AIOT_SENSOR_DENIED, AIOT_SENSOR_NOT_FOUND */
export async function openNode(path: string): Promise<IioNode> {
  const file = await openFile(path);
  return {
    async read(into) {
      try {
        return (await file.read(into, 0, into.length, null)).bytesRead;
      } catch (error) {
        if (systemCode(error) === 'EAGAIN') return 0;
        throw attributeError(path, error);
      }
    },
    close: () => file.close(),
  };
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw attributeError(path, cause);
    throw new AiotError('AIOT_SENSOR_NOT_FOUND', `there is no ${path}`, { endpoint: path, cause });
  }
}
