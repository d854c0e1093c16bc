import { z } from 'zod';
import { causeSchema, runRecordSchema, runStates } from '../run/record.js';

const at = z.number();
const { kind } = causeSchema.shape;

/** How a run came out; `refused`: it could not be begun. */
export const outcomeSchema = z.object({
  run: z.string().nullable(),
  state: z.enum([...runStates, 'refused']),
  reason: z.string().nullable(),
  model: runRecordSchema.shape.model,
});
export type Outcome = z.output<typeof outcomeSchema>;

/** What a watcher tells, one after the other; times are ms since 1970. */
export const watchEventSchema = z.discriminatedUnion('event', [
  /** `coalesced`: a run is to come anyway. */
  z.object({ event: z.literal('triggered'), at, kind, text: z.string(), coalesced: z.boolean() }),
  z.object({ event: z.literal('started'), at, cause: causeSchema }),
  outcomeSchema.extend({ event: z.literal('ended'), at }),
  z.object({ event: z.literal('waits'), at, untilAt: z.number(), failures: z.int() }),
  /** Something that starts runs has difficulties, and goes on. */
  z.object({ event: z.literal('trouble'), at, kind, text: z.string() }),
]);
export type WatchEvent = z.output<typeof watchEventSchema>;
