import * as z from 'zod';
import { time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';

/** A change of the platform's state. */
export const eventSchema = z.object({
  /** Increases in the order of the changes; there may be gaps. */
  id: z.int(),
  at: time,
  /** Noun and verb, such as `device.provision`. */
  type: z.string(),
  /** Subject of the change, such as a device's name, `har@3`, or a rollout's id. */
  subject: z.string(),
  /** Originator, such as a user, `device motor-1` or `platform`. */
  who: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type PlatformEvent = z.output<typeof eventSchema>;

/** Pattern of event types in a filter: `*`, `device.*`, `device.connect` or `alarm.target.add`. */
const typePattern = /^(\*|[a-z][a-z0-9-]{0,40}(\.[a-z][a-z0-9-]{0,40}){0,2}\.(\*|[a-z][a-z0-9-]{0,40}))$/;
/** An event type, or all of a noun's types. */
export const eventTypeSchema = z
  .string()
  .regex(typePattern, 'expected a type such as device.connect, a group such as device.*, or *');

/** Several event types, comma-separated. */
const typesSchema = z
  .string()
  .max(1000)
  .transform((text) => text.split(',').map((part) => part.trim()))
  .pipe(z.array(eventTypeSchema).min(1).max(50));

/** Selects events; an omitted field matches everything. */
export interface EventFilter {
  types?: readonly string[] | undefined;
  /** A version such as `har@3`, or a name, which selects all of its versions. */
  subject?: string | undefined;
}

/**
 * GET /events: events after the id in `from` (or in the header Last-Event-ID, or in `after`), oldest first. `from=0`
 * starts at the oldest available event, `from=now` sends only future events, and `newest` starts with that number of
 * the newest events. The response is an endless stream of server-sent events, unless `limit` sets the number of events
 * after which it ends. With `Accept: application/json`, the response is one page.
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

/** `last` is the id of the last event that was examined. The next request continues there, even if no event matched. */
export const eventPageSchema = pageSchema('events', eventSchema).extend({ last: z.int() });
export type EventPage = z.output<typeof eventPageSchema>;
