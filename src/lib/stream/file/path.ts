import { AiotError } from '../../core/index.js';
import type { StreamUrl } from '../url.js';

export const fileFormats = ['ndjson', 'csv', 'parquet'] as const;
export type FileFormat = (typeof fileFormats)[number];

/** Path of a `file:` URL: `file:///tmp/x`, `file://relative`, `file:relative`. @throws AIOT_STREAM_URL */
export function filePathOf(url: StreamUrl): string {
  if (url.path !== '') return url.path;
  throw new AiotError('AIOT_STREAM_URL', 'expected file:///PATH or file:PATH');
}

/** By the end of its name; what has none of the known ends holds message lines. `.gz` after it is not part of the end. */
export function formatOfPath(path: string): FileFormat {
  const name = path.toLowerCase().replace(/\.gz$/, '');
  if (name.endsWith('.csv')) return 'csv';
  return name.endsWith('.parquet') ? 'parquet' : 'ndjson';
}

/** Whether the file is compressed with gzip, by its name. */
export function isGzip(path: string): boolean {
  return path.toLowerCase().endsWith('.gz');
}
