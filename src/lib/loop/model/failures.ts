import { AiotError } from '../../core/index.js';

/** Nobody there, or nobody who lets us in: it may pass. */
export function isAway(error: unknown): boolean {
  if (!(error instanceof AiotError)) return false;
  return (
    error.family === 'outside' || error.code === 'AIOT_TOKEN_INVALID' || error.code === 'AIOT_NOT_ALLOWED'
  );
}

/** With its code, where it has one. */
export function told(error: unknown): string {
  if (error instanceof AiotError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
