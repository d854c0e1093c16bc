import { AiotError } from '../../core/index.js';

/** What a file says does not hold together. */
export function malformed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', message, { cause });
}

/** A layer that has no counterpart here, or a use of one. @param where its index and name */
export function unsupported(where: string, what: string, instead?: string): AiotError {
  return new AiotError('AIOT_LAYER_UNSUPPORTED', `${where}: ${what}${instead ? `; ${instead}` : ''}`);
}
