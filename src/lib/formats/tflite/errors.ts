import { AiotError } from '../../core/errors.js';

/** A .tflite file, or a graph to be written as one, that contradicts itself. `where` = a byte offset or a part's name. */
export function malformed(where: string, reason: string): AiotError {
  return new AiotError('AIOT_TFLITE_MALFORMED', `${where}: ${reason}`);
}

/** A right file that uses something this program does not do. */
export function unsupported(where: string, what: string): AiotError {
  return new AiotError('AIOT_TFLITE_UNSUPPORTED', `${where}: ${what}`);
}
