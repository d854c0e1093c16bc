import { AiotError } from '../core/errors.js';

/** `0x1a2c`: the way offsets and addresses are told everywhere. */
export function hex(value: number, digits = 0): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** A file that contradicts its format. `offset` = bytes from its start. */
export function malformed(what: string, offset: number, reason: string): AiotError {
  return new AiotError('AIOT_IMAGE_MALFORMED', `${what}: at offset ${hex(offset)}: ${reason}`);
}
