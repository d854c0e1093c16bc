import { AiotError } from '../../core/index.js';

/** The error of a line that went away while it was used. */
export function lineLost(address: string, what: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SERIAL_LOST', `${address}: ${what}`, {
    endpoint: address,
    retryable: true,
    cause,
  });
}
