import { FileTelemetry, type FileTelemetryOptions } from './files.js';
import type { Telemetry } from './telemetry.js';

/**
 * Telemetry in the files of this folder, or in the database of this URL.
 * @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_DISK_FULL
 */
export async function openTelemetry(options: FileTelemetryOptions, database?: string): Promise<Telemetry> {
  if (database === undefined) return FileTelemetry.open(options);
  const { PostgresTelemetry } = await import('./postgres/telemetry.js');
  return PostgresTelemetry.open(database, options.onCommit);
}
