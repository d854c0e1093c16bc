import { AiotError } from '../../core/index.js';
import type { Region } from '../loader/types.js';
import { hex } from '../plan/place.js';

/** A comparison after the last write that failed. */
export function notWritten({ name, offset, data }: Region): AiotError {
  const where = `${name} at ${hex(offset)}, ${data.length} bytes`;
  return new AiotError('AIOT_FLASH_VERIFY', `the flash has something else than ${where}`, {
    retryable: true,
  });
}
