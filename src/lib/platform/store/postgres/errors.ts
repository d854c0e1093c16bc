import { AiotError, systemCode } from '../../../core/index.js';

/** Classes of SQLSTATE (PostgreSQL, appendix A) that pass by themselves: the connection, its resources, an operator. */
const passing = /^(?:08|53|57)/;
/** Rolled back for the sake of another, a lock that did not come free, a session that was ended, a server that only reads. */
const passingCodes = new Set(['40001', '40P01', '55P03', '25006', '25P03']);
/** The password, the database's name, a privilege. */
const refusing = /^(?:28|3D|42501)/;
/** A text with a zero byte. */
const unstorable = new Set(['22021', '22P05']);

/**
 * An error of `pg` as one that a caller can act on: `endpoint` is shown, and holds no password. What says nothing of the
 * connection stays as it is.
 */
export function databaseError(error: unknown, endpoint: string): unknown {
  if (error instanceof AiotError || !(error instanceof Error)) return error;
  const state = sqlState(error);
  if (state === undefined) {
    // Everything that is no answer of the server is about the way to it; but for a mistake of ours.
    return error instanceof TypeError || error instanceof RangeError ? error : unreachable(error, endpoint);
  }
  if (state === '53100') {
    return new AiotError('AIOT_DISK_FULL', `the disk of the database ${endpoint} is full`, { cause: error });
  }
  if (refusing.test(state)) {
    return new AiotError('AIOT_DATABASE_REFUSED', `the database ${endpoint} says: ${error.message}`, {
      endpoint,
      cause: error,
    });
  }
  if (unstorable.has(state)) {
    return new AiotError('AIOT_REQUEST_INVALID', 'expected texts without a zero byte', { cause: error });
  }
  if (passing.test(state) || passingCodes.has(state)) return unreachable(error, endpoint);
  return error;
}

export function unreachable(cause: unknown, endpoint: string): AiotError {
  const said = systemCode(cause) ?? (cause instanceof Error ? cause.message : 'the connection was lost');
  return new AiotError('AIOT_DATABASE_UNREACHABLE', `the database ${endpoint} does not answer (${said})`, {
    endpoint,
    retryable: true,
    cause,
  });
}

/** What the server said: five capitals or digits. */
export function sqlState(error: unknown): string | undefined {
  const code = systemCode(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && error instanceof Error && 'severity' in error
    ? code
    : undefined;
}
