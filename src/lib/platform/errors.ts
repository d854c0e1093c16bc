import type { ErrorCode } from '../core/catalogue.js';
import { AiotError, systemCode } from '../core/errors.js';
import { isForWantOfRoom } from '../core/files.js';

const statuses: Partial<Record<ErrorCode, number>> = {
  AIOT_ACTION_ENDED: 410,
  AIOT_ACTION_STATE: 405,
  AIOT_ALREADY_EXISTS: 409,
  AIOT_BACKUP_DAMAGED: 409,
  AIOT_BATCH_INVALID: 403,
  AIOT_BIRTH_MISSING: 404,
  AIOT_BLOBS_UNAVAILABLE: 503,
  AIOT_BLOB_DAMAGED: 500,
  AIOT_BUG: 500,
  // Status defined by the tus protocol's checksum extension.
  AIOT_CHECKSUM_MISMATCH: 460,
  AIOT_CLAIM_INVALID: 403,
  AIOT_COMMAND_REPLY: 502,
  AIOT_COMMAND_UNANSWERED: 504,
  AIOT_DATABASE_REFUSED: 503,
  AIOT_DATABASE_UNREACHABLE: 503,
  AIOT_DEVICE_CHANGED: 409,
  AIOT_DEVICE_ONLINE: 409,
  AIOT_DEVICE_STATE: 409,
  AIOT_DIGEST_MISMATCH: 422,
  AIOT_DISK_FULL: 507,
  // Not 403: such requests must not lock out other devices behind the same address.
  AIOT_ENROLLMENT_REFUSED: 409,
  AIOT_EVENTS_GONE: 410,
  AIOT_FILE_NOT_WRITABLE: 500,
  AIOT_GATE_FAILED: 409,
  AIOT_GUIDE_FULL: 507,
  AIOT_IDEMPOTENCY_REUSED: 422,
  AIOT_JOB_ENDED: 409,
  AIOT_LOGIN_FAILED: 401,
  AIOT_MEMORY_SHORT: 409,
  AIOT_MODEL_IN_USE: 409,
  AIOT_MODEL_UNTRUSTED: 403,
  AIOT_NOT_ALLOWED: 403,
  AIOT_NOT_FOUND: 404,
  AIOT_PIPELINE_RUNNER: 409,
  AIOT_PLATFORM_FAILED: 500,
  AIOT_PRECONDITION_FAILED: 412,
  AIOT_PROVIDER_UNREACHABLE: 503,
  AIOT_RATE_LIMITED: 429,
  AIOT_REMOTE_REFUSED: 403,
  AIOT_REPLICA_UNREACHABLE: 503,
  AIOT_REQUEST_TOO_LARGE: 413,
  AIOT_ROLLOUT_EMPTY: 404,
  AIOT_SIGNATURE_INVALID: 403,
  AIOT_TOKEN_INVALID: 401,
  AIOT_TRUST_CONFLICT: 409,
  AIOT_TRUST_MISSING: 409,
  AIOT_TRUST_ROOT_EXPIRED: 422,
  AIOT_TRUST_SIGNATURES: 403,
  AIOT_TRUST_VERSION: 409,
  AIOT_UPLOAD_OFFSET: 409,
  AIOT_UPLOAD_VERSION: 412,
  AIOT_VERSION_CONFLICT: 409,
};

/** HTTP status of an error; codes not listed here are client errors. */
export function statusOf({ code }: Pick<AiotError, 'code'>): number {
  return statuses[code] ?? 400;
}

/** Errors reported when a folder is not writable, or when the process may not open another file. */
const unwritable = new Set(['EROFS', 'EACCES', 'EPERM', 'EIO', 'EMFILE', 'ENFILE']);

/** Converts a disk or database failure into an error that a caller can act on; returns other errors unchanged. */
export function storageError(error: unknown): unknown {
  const code = systemCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT' || code?.startsWith('SQLITE_FULL')) {
    return fullDisk(error);
  }
  if (code !== undefined && unwritable.has(code)) {
    return new AiotError('AIOT_FILE_NOT_WRITABLE', `the platform's folder is not writable (${code})`, {
      cause: error,
    });
  }
  return error;
}

function fullDisk(error: unknown): AiotError {
  return new AiotError('AIOT_DISK_FULL', 'the disk is full', {
    cause: error,
    retryable: false,
  });
}

/** Same as `storageError`, for errors while the platform opens its folder. A damaged database is reported as an error of that folder. */
export function openingError(error: unknown, folder: string): unknown {
  const told = storageError(error);
  const code = systemCode(told);
  if (told instanceof AiotError || !code?.startsWith('SQLITE_')) return told;
  if (isForWantOfRoom(error, folder)) return fullDisk(error);
  const damaged = code.startsWith('SQLITE_CORRUPT') || code.startsWith('SQLITE_NOTADB');
  return new AiotError(
    damaged ? 'AIOT_FILE_MALFORMED' : 'AIOT_FILE_NOT_WRITABLE',
    `the database in ${folder} cannot be ${damaged ? 'read' : 'used'} (${code})`,
    { cause: error, endpoint: folder },
  );
}
