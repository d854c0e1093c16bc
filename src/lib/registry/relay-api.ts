import * as z from 'zod';
import { time } from './fields.js';

const laneSchema = z.object({
  sent: z.int(),
  /** What the far side will never take. */
  refused: z.int(),
  /** When the oldest that is not sent yet came to be; null = nothing waits. */
  waitingSince: time.nullable(),
});

/** In GET /status: how it goes with `--events`. */
export const relayStatusSchema = z.object({
  endpoint: z.string(),
  /** `waiting`: another process of the platform sends. */
  state: z.enum(['waiting', 'connected', 'disconnected']),
  /** The code of what keeps it from sending. */
  error: z.string().nullable(),
  /** `behind`: events that are not known to be there. */
  events: laneSchema.extend({ behind: z.int() }),
  telemetry: laneSchema,
});
export type RelayStatus = z.output<typeof relayStatusSchema>;
