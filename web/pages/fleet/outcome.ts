import type { ApiError } from '../../app/api.js';

/**
 * The outcome of changing a device's level. After a timeout or a lost connection, the device may have the new one; errors that the device or
 * the platform has reported before the change leave the old one.
 */
export function outcomeOf(error: ApiError | null): 'set' | 'unchanged' | 'unknown' {
  if (!error) return 'set';
  if (error.code === 'AIOT_COMMAND_FAILED' || error.code === 'AIOT_DEVICE_OFFLINE') return 'unchanged';
  return error.status === 0 || error.status >= 500 ? 'unknown' : 'unchanged';
}
