import * as z from 'zod';
import { AiotError } from '../../core/errors.js';

/** A device message and its arrival time. */
export const entrySchema = z.object({
  /**
   * Arrival time by the platform's clock, ms since 1970. It can decrease if the clock is set back; the order of the journal does not
   * change.
   */
  at: z.number(),
  device: z.string(),
  channel: z.enum(['telemetry', 'inference', 'reply', 'log']),
  /** Only for telemetry. */
  stream: z.string().optional(),
  payload: z.record(z.string(), z.unknown()),
  /** Marks a duplicate, for which only the arrival is recorded, not the data. */
  repeat: z.literal(true).optional(),
});

export type Entry = z.output<typeof entrySchema>;

/** An entry in a backup, with its id, or with the number of duplicates that it represents. */
export interface JournalRecord extends Entry {
  id?: number;
  repeats?: number;
}

/** Identifies one recording of one device; `stream` is empty for channels without streams. */
export interface TakeKey {
  channel: Entry['channel'];
  stream: string;
  device: string;
  recording: string;
}

/** @throws AIOT_MESSAGE_MALFORMED for a payload that is nested too deeply for JSON.stringify */
export function jsonOf(entry: Entry): string {
  try {
    return JSON.stringify(entry);
  } catch (error) {
    const { device, channel } = entry;
    throw new AiotError('AIOT_MESSAGE_MALFORMED', `${device}: ${channel}: the data is nested too deeply`, {
      cause: error,
    });
  }
}
