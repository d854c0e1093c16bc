import type { ErrorCode } from './catalogue.js';
import { AiotError } from './error.js';

export function hasCode(error: unknown, code: ErrorCode): error is AiotError {
  return error instanceof AiotError && error.code === code;
}

/** What the promise gives; undefined where it fails with this code, which no JSON is. Other errors stay what they are. */
export async function unless<T>(code: ErrorCode, promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, code)) return undefined;
    throw error;
  }
}
