import { AiotError, type ProjectConfig } from '../../core/index.js';
import type { Message } from '../../stream/index.js';

/** Samples of one message, in columns in the order of the project's fields. */
export interface Samples {
  device: string | null;
  /** Number of the message, where it bears one. */
  seq: number | null;
  /** Milliseconds since 1970 of the first sample: by the device's clock, or when it arrived. */
  t: number;
  byDevice: boolean;
  columns: number[][];
}

/**
 * Reads one telemetry message: a JSON object with a number, or an array of numbers of equal length, for each field.
 * @returns the samples, or in a sentence why there are none
 * @throws AIOT_DATA_RATE when the message says another rate than the project
 */
export function samplesOf(message: Message, config: ProjectConfig): Samples | string {
  const value = parsed(message.payload);
  if (value === null) return `${message.topic}: the payload is not a JSON object`;
  const fields = Object.keys(config.stream.fields);
  const columns: number[][] = [];
  for (const field of fields) {
    const given = value[field];
    const column = Array.isArray(given) ? given : [given];
    const bad = column.find((item) => typeof item !== 'number' || !Number.isFinite(item));
    if (bad !== undefined || given === undefined || column.length === 0) {
      return `${message.topic}: expected numbers for "${field}", got ${JSON.stringify(given) ?? 'nothing'}`;
    }
    if (column.length !== (columns[0] ?? column).length) {
      return `${message.topic}: expected ${columns[0]?.length} samples of "${field}", got ${column.length}`;
    }
    columns.push(column);
  }
  if (typeof value.rate === 'number' && value.rate !== config.signal.rate) {
    throw new AiotError(
      'AIOT_DATA_RATE',
      `${message.topic}: expected ${config.signal.rate} samples a second (signal.rate), got ${value.rate}`,
    );
  }
  return {
    device: deviceOf(message, value, config.stream.device),
    seq: typeof value.seq === 'number' ? value.seq : null,
    t: typeof value.t === 'number' ? value.t : message.time,
    byDevice: typeof value.t === 'number',
    columns,
  };
}

function parsed(payload: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    return value !== null && typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** The topic of device protocol v1 names the device; other streams name the member that does. */
function deviceOf({ topic }: Message, value: Record<string, unknown>, member: string): string | null {
  if (member !== 'topic') return value[member] === undefined ? null : String(value[member]);
  return /^aiot\/v1\/([^/]+)\/telemetry\//.exec(topic)?.[1] ?? null;
}
