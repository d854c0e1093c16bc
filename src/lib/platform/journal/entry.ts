import { z } from 'zod';

/** What a device said, and when it came. */
export const entrySchema = z.object({
  /** ms since 1970, by the platform's clock: it may go back, the order of the journal does not. */
  at: z.number(),
  device: z.string(),
  channel: z.enum(['telemetry', 'inference', 'reply', 'log']),
  /** Of telemetry. */
  stream: z.string().optional(),
  payload: z.record(z.string(), z.unknown()),
  /** It had come before: only that is noted, without the payload's data. */
  repeat: z.literal(true).optional(),
});
export type Entry = z.output<typeof entrySchema>;

/** Names one recording of one device; `stream` is empty for channels that have none. */
export interface TakeKey {
  channel: Entry['channel'];
  stream: string;
  device: string;
  recording: string;
}

/** A recording was removed: what the journal had of it until here is no more. */
export interface Removal {
  at: number;
  removed: TakeKey;
}

/** One line of the journal. */
export type JournalRecord = Entry | Removal;

export const takeKeySchema = z.object({
  channel: entrySchema.shape.channel,
  stream: z.string(),
  device: z.string(),
  recording: z.string(),
});
export const recordSchema = z.union([entrySchema, z.object({ at: z.number(), removed: takeKeySchema })]);

/** Where a line lies: number of the segment, offset and length in bytes, without the newline. */
export interface Place {
  segment: number;
  offset: number;
  length: number;
}
