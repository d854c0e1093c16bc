import { AiotError, systemCode } from '../../core/index.js';
import { repairNext } from './quick-check.js';

/**
 * An error of SQLite (sqlite.org/rescode.html) as one that a caller can act on; others unchanged. `opening`: a damaged file
 * is then what the caller gave, and later the platform's own failure.
 */
export function sqliteError(error: unknown, path: string, opening = false): unknown {
  const code = systemCode(error);
  if (error instanceof AiotError || !code?.startsWith('SQLITE_')) return error;
  const is = (...names: string[]) => names.some((name) => code === name || code.startsWith(`${name}_`));
  const details = { endpoint: path, cause: error };
  if (is('SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE')) {
    return new AiotError('AIOT_DISK_FULL', `there is no space left for ${path}`, details);
  }
  if (is('SQLITE_BUSY', 'SQLITE_LOCKED')) {
    return new AiotError('AIOT_DATABASE_UNREACHABLE', `another program has ${path} locked (${code})`, {
      ...details,
      retryable: true,
    });
  }
  if (is('SQLITE_CORRUPT', 'SQLITE_NOTADB')) {
    return new AiotError(
      opening ? 'AIOT_FILE_MALFORMED' : 'AIOT_PLATFORM_FAILED',
      `the database ${path} is damaged (${code})`,
      {
        ...details,
        next: repairNext,
      },
    );
  }
  if (is('SQLITE_READONLY', 'SQLITE_CANTOPEN', 'SQLITE_PERM', 'SQLITE_IOERR', 'SQLITE_AUTH')) {
    return new AiotError('AIOT_FILE_NOT_WRITABLE', `the database ${path} cannot be used (${code})`, details);
  }
  return error;
}
