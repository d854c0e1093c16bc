import { z } from 'zod';
import { inferenceSchema, reportedSchema } from './protocol/messages.js';

const at = { device: z.string(), t: z.int() };

/** What a virtual device tells about itself; `aiot device simulate --json` prints one a line. */
export const deviceEventSchema = z.discriminatedUnion('event', [
  /** It read its flash; `model` = the active one. */
  z.object({ event: z.literal('booted'), ...at, model: reportedSchema.shape.model }),
  z.object({ event: z.literal('online'), ...at }),
  z.object({ event: z.literal('offline'), ...at }),
  /** The state of an update, as it is reported. */
  z.object({ event: z.literal('reported'), ...at, reported: reportedSchema }),
  z.object({ event: z.literal('command'), ...at, command: z.string(), ok: z.boolean() }),
  z.object({ event: z.literal('inference'), ...at, inference: inferenceSchema }),
  /** A message that it could not make sense of, or a flash that is worn. */
  z.object({
    event: z.literal('log'),
    ...at,
    level: z.string(),
    message: z.string(),
    code: z.string().optional(),
  }),
  /** A take was sent and acknowledged. */
  z.object({
    event: z.literal('sent'),
    ...at,
    recording: z.string(),
    samples: z.int(),
    messages: z.int(),
    inferences: z.int(),
    seconds: z.number(),
  }),
  /** Its flash failed: it is dead until it boots again. */
  z.object({ event: z.literal('died'), ...at, message: z.string() }),
  z.object({ event: z.literal('stopped'), ...at }),
]);
export type DeviceEvent = z.output<typeof deviceEventSchema>;

/** An event without what every event has. */
export type DeviceNews = DeviceEvent extends infer E
  ? E extends DeviceEvent
    ? Omit<E, 'device' | 't'>
    : never
  : never;
