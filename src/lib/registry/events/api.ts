import * as z from 'zod';
import { time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';

/** One change of the platform's state. */
export const eventSchema = z.object({
  /** Rises in the order in which the changes were made; numbers may be left out. */
  id: z.int(),
  at: time,
  /** Noun and verb: `device.provision`. */
  type: z.string(),
  /** What was changed: the name of a device, `har@3`, the id of a rollout. */
  subject: z.string(),
  /** Who did it: a user, `device motor-1`, `platform`. */
  who: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type PlatformEvent = z.output<typeof eventSchema>;

/** `*`, `device.*` or `device.connect`. */
const typePattern = /^(\*|[a-z][a-z0-9-]{0,40}\.(\*|[a-z][a-z0-9-]{0,40}))$/;
/** One type of events, or all of a noun. */
export const eventTypeSchema = z
  .string()
  .regex(typePattern, 'expected a type such as device.connect, all of a noun such as device.*, or *');

/** Several, comma-separated. */
const typesSchema = z
  .string()
  .max(1000)
  .transform((text) => text.split(',').map((part) => part.trim()))
  .pipe(z.array(eventTypeSchema).min(1).max(50));

/** Which events: absent = all. */
export interface EventFilter {
  types?: readonly string[] | undefined;
  /** `har@3`, or a name: then all of its versions. */
  subject?: string | undefined;
}

/**
 * GET /events: those behind the one with the id `from` (or the header Last-Event-ID, or `after`), oldest first. 0 = from the oldest
 * that is kept, `now` = those to come, `newest` = so many of the newest and those to come. Server-sent events that go on (`limit`: end after so many), or with `Accept: application/json`
 * one page.
 */
export const eventQuerySchema = z.object({
  from: z.union([z.literal('now'), z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER)]).optional(),
  newest: z.coerce.number().int().min(1).max(1000).optional(),
  after: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  type: typesSchema.optional(),
  subject: z.string().min(1).max(300).optional(),
  limit: pageQuerySchema.shape.limit.unwrap().optional(),
});
export type EventQuery = z.output<typeof eventQuerySchema>;

/** `last`: all up to this id were looked at: where to go on, also when none of them was wanted. */
export const eventPageSchema = pageSchema('events', eventSchema).extend({ last: z.int() });
export type EventPage = z.output<typeof eventPageSchema>;
