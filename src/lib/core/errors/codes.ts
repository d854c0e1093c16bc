import type { ErrorCode } from './catalogue.js';
import { AiotError } from './error.js';

export function hasCode(error: unknown, code: ErrorCode): error is AiotError {
  return error instanceof AiotError && error.code === code;
}

/** What the promise gives, or null where it fails with this code. Other errors stay what they are. */
export async function nullOn<T>(code: ErrorCode, promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, code)) return null;
    throw error;
  }
}
