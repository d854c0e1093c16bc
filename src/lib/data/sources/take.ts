import { AiotError } from '../../core/errors.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import type { Message } from '../../stream/message.js';
import type { Recording } from '../types.js';

/**
 * Minimum number of consecutive messages and samples, and minimum duration, for estimating a rate from the device's clock. A timestamp that
 * is off by half a batch then causes an error of at most a sixth.
 */
const enough = { steps: 3, samples: 100, ms: 2000 };

/** Collects the incoming samples of one device into a recording. */
export function createTake(device: string | null, fields: string[]) {
  const columns: number[][] = fields.map(() => []);
  let first: number | null = null;
  let clocked = true;
  /** The previous message, and totals over consecutive messages. The time of a message is that of its first sample. */
  let before: { t: number; samples: number } | null = null;
  const told = { steps: 0, samples: 0, ms: 0 };
  let highest: number | null = null;
  let missing = 0;
  let numbered = false;
  return {
    device,
    get samples() {
      return columns[0]?.length ?? 0;
    },
    /** Adds a message; returns false for a duplicate, which at-least-once delivery produces. */
    add({ seq, t, byDevice, columns: given }: Samples, most: number): boolean {
      let lost = 0;
      if (seq !== null) {
        numbered = true;
        if (highest !== null && seq <= highest) return false;
        if (highest !== null) lost = seq - highest - 1;
        highest = seq;
      }
      missing += lost;
      if (before !== null && lost === 0) {
        told.steps++;
        told.samples += before.samples;
        told.ms += t - before.t;
      }
      before = { t, samples: given[0]?.length ?? 0 };
      first ??= t;
      clocked &&= byDevice;
      const room = Math.max(0, most - this.samples);
      given.forEach((column, f) => {
        columns[f]!.push(...column.slice(0, room));
      });
      return true;
    },
    /**
     * Samples per second according to the device's own clock, if the rate differs from the expected one by more than a fifth; null = as
     * expected, or unknown.
     */
    otherRate(rateHz: number): number | null {
      const { steps, samples, ms } = told;
      if (!clocked || steps < enough.steps || samples < enough.samples || ms < enough.ms) return null;
      const measured = (samples * 1000) / ms;
      return Math.abs(measured / rateHz - 1) > 0.2 ? measured : null;
    },
    finish(id: string, label: string | null, rateHz: number): Recording {
      return {
        id,
        label,
        device,
        rateHz,
        startedAt: first,
        ...(numbered ? { missing } : {}),
        fields,
        columns: columns.map((column) => Float64Array.from(column)),
      };
    },
  };
}

export type Take = ReturnType<typeof createTake>;

/** Samples of one message, by column, in the order of the project's fields. */
interface Samples {
  device: string | null;
  /** Sequence number of the message, if it has one. */
  seq: number | null;
  /** Time of the first sample by the device's clock, or else the time of arrival; ms since 1970. */
  t: number;
  byDevice: boolean;
  columns: number[][];
}

/**
 * Reads one telemetry message: a JSON object with a number, or an array of numbers of equal length, for each field.
 * @returns the samples, or a sentence that explains why there are none
 * @throws AIOT_DATA_RATE if the message states a rate other than the project's
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
      `${message.topic}: expected ${config.signal.rate} samples per second (signal.rate), got ${value.rate}`,
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

/** In device protocol v1, the topic contains the device's name. In other streams, a field of the message contains it. */
function deviceOf({ topic }: Message, value: Record<string, unknown>, member: string): string | null {
  if (member !== 'topic') return value[member] === undefined ? null : String(value[member]);
  return /^aiot\/v1\/([^/]+)\/telemetry\//.exec(topic)?.[1] ?? null;
}
