import * as z from 'zod';
import { time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';

export const jobStates = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

const count = z.int().min(0);
const json = z.record(z.string(), z.unknown());

/** GET /jobs/{id}; GET /jobs/{id}/events = server-sent events of it, at each change until it ends */
export const jobSchema = z.object({
  id: z.string(),
  /** Such as `dataset.export`, `rollout`, `external`. */
  kind: z.string(),
  state: z.enum(jobStates),
  who: z.string(),
  created: time,
  started: time.nullable(),
  ended: time.nullable(),
  /** When something was heard of it last. */
  updated: time,
  /** What it is at, and how much of how much is done; null = nobody knows how much there is. */
  step: z.string().nullable(),
  done: count,
  total: count.nullable(),
  request: json,
  result: z.unknown().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** Somebody wants it to end. */
  cancelled: z.boolean(),
});
export type Job = z.output<typeof jobSchema>;

/** GET /jobs, newest first */
export const jobQuerySchema = pageQuerySchema.extend({
  state: z.enum(jobStates).optional(),
  kind: z.string().max(50).optional(),
});
export type JobQuery = z.output<typeof jobQuerySchema>;
export const jobsSchema = pageSchema('jobs', jobSchema);

/** POST /jobs. `external`: work of another program, which is to say that it goes on at least every `leaseMs`. */
export const newJobSchema = z.strictObject({ kind: z.string().max(50), request: json.default({}) });
export type NewJob = z.input<typeof newJobSchema>;

/** What an external job is asked for. */
export const externalRequestSchema = z.looseObject({
  title: z.string().max(200).optional(),
  leaseMs: z.int().min(1000).max(3_600_000).default(60_000),
});

/** POST /jobs/{id}/progress, by the program that does it: what it is at. Answers with the job: `cancelled` is to be heeded. */
export const jobProgressSchema = z.strictObject({
  step: z.string().max(200).nullable().optional(),
  done: count.optional(),
  total: count.nullable().optional(),
});
export type JobProgress = z.output<typeof jobProgressSchema>;

/** POST /jobs/{id}/end, by the program that does it. */
export const jobEndSchema = z.strictObject({
  state: z.enum(['done', 'failed', 'cancelled']),
  result: z.unknown().optional(),
  error: z.strictObject({ code: z.string().max(100), message: z.string().max(2000) }).optional(),
});
export type JobEnd = z.output<typeof jobEndSchema>;

export function hasJobEnded({ state }: Pick<Job, 'state'>): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}
