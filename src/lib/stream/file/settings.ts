import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { parseDuration } from '../../core/time.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';

const byteUnits: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** A size such as `500kB` or `64MiB`, or a bare number of bytes; the result is in bytes. */
export const queryBytes = z
  .string()
  .regex(/^\d{1,12}(B|kB|MB|GB|KiB|MiB|GiB)?$/, 'expected a size such as 500kB, 64MiB or 1GB')
  .transform((text) => {
    const [, digits, unit = 'B'] = /^(\d+)(\D*)$/.exec(text) ?? [];
    return Number(digits) * byteUnits[unit || 'B']!;
  });

/** A duration such as `30s` or `1h`; the result is in ms. */
export const queryDuration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'expected a time such as 500ms, 30s or 1h')
  .transform((text) => parseDuration(text));

/** Limits at which a file is finished and the next file is started. */
export interface Rotation {
  bytes?: number;
  ms?: number;
  messages?: number;
}

export interface FileSettings {
  path: string;
  format: FileFormat | 'lines';
  /** Selected columns: `name` or, for Parquet, `name:type`. */
  fields?: string[];
  header: boolean;
  rotation?: Rotation;
}

const shape = {
  format: z.enum(['ndjson', 'csv', 'parquet', 'lines']).optional(),
  fields: z.string().min(1).optional(),
  header: queryBoolean.optional(),
  rotateSize: queryBytes.optional(),
  rotateTime: queryDuration.optional(),
  rotateCount: queryCount.optional(),
};

/** The settings of a `file:` URL for writing. @throws AIOT_STREAM_URL */
export function fileSettings(url: StreamUrl): FileSettings {
  const { format, fields, header, rotateSize, rotateTime, rotateCount } = readQuery(url, shape);
  const path = filePathOf(url);
  const names = fields?.split(',');
  const wrong = names?.find((name, n) => name === '' || names.indexOf(name) !== n);
  if (wrong !== undefined) {
    throw new AiotError('AIOT_STREAM_URL', `${path}: fields: expected each column once, got "${fields}"`);
  }
  if ([rotateSize, rotateTime, rotateCount].includes(0)) {
    throw new AiotError('AIOT_STREAM_URL', `${path}: a file that rotates at 0 would be empty`);
  }
  const rotation = {
    ...(rotateSize === undefined ? {} : { bytes: rotateSize }),
    ...(rotateTime === undefined ? {} : { ms: rotateTime }),
    ...(rotateCount === undefined ? {} : { messages: rotateCount }),
  };
  return {
    path,
    format: format ?? formatOfPath(path),
    ...(names ? { fields: names } : {}),
    header: header ?? true,
    ...(Object.keys(rotation).length > 0 ? { rotation } : {}),
  };
}

const fileFormats = ['ndjson', 'csv', 'parquet'] as const;

type FileFormat = (typeof fileFormats)[number];

/** Path of a `file:` URL: `file:///tmp/x`, `file://relative`, `file:relative`. @throws AIOT_STREAM_URL */
export function filePathOf(url: StreamUrl): string {
  if (url.path !== '') return url.path;
  throw new AiotError('AIOT_STREAM_URL', 'expected file:///PATH or file:PATH');
}

/** The format for a file name's extension; message lines if the extension is unknown. A final `.gz` is ignored. */
export function formatOfPath(path: string): FileFormat {
  const name = path.toLowerCase().replace(/\.gz$/, '');
  if (name.endsWith('.csv')) return 'csv';
  return name.endsWith('.parquet') ? 'parquet' : 'ndjson';
}

/** Whether the file is compressed with gzip, by its name. */
export function isGzip(path: string): boolean {
  return path.toLowerCase().endsWith('.gz');
}
