import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';

/** The error for a file that violates its format. `offset`: bytes from the start of the file. */
export function malformed(what: string, offset: number, reason: string): AiotError {
  return new AiotError('AIOT_IMAGE_MALFORMED', `${what}: at offset ${hex(offset)}: ${reason}`);
}
