import { z } from 'zod';

/** One line of the journal: what a device said, and when it came. */
export const entrySchema = z.object({
  /** ms since 1970 */
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

/** Where a line lies: number of the segment, offset and length in bytes, without the newline. */
export interface Place {
  segment: number;
  offset: number;
  length: number;
}
