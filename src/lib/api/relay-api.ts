import * as z from 'zod';
import { time } from './fields.js';

const laneSchema = z.object({
  sent: z.int(),
  /** Number of messages that the destination rejected permanently. */
  refused: z.int(),
  /** Time of the oldest unsent message; null = all messages are sent. */
  waitingSince: time.nullable(),
});

/** In GET /status: state of the relay with `--events`. */
export const relayStatusSchema = z.object({
  endpoint: z.string(),
  /** `waiting`: another process of the platform sends the events and telemetry. */
  state: z.enum(['waiting', 'connected', 'disconnected']),
  /** Code of the error that prevents sending; null = none. */
  error: z.string().nullable(),
  /** `behind`: number of events that are not known to be delivered. */
  events: laneSchema.extend({ behind: z.int() }),
  telemetry: laneSchema,
});
export type RelayStatus = z.output<typeof relayStatusSchema>;
