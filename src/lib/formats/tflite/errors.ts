import { AiotError } from '../../core/errors.js';

/**
 * The error for an inconsistent .tflite file, or for a graph that cannot be written to a .tflite file. `where`: a byte offset or the name
 * of a part.
 */
export function malformed(where: string, reason: string): AiotError {
  return new AiotError('AIOT_TFLITE_MALFORMED', `${where}: ${reason}`);
}

/** The error for a valid file that uses an unsupported feature. */
export function unsupported(where: string, what: string, next?: string): AiotError {
  return new AiotError('AIOT_TFLITE_UNSUPPORTED', `${where}: ${what}`, next === undefined ? {} : { next });
}
