import * as z from 'zod';
import { namePattern } from '../../core/names.js';
import { name, time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

export const jobStates = ['queued', 'running', 'done', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

const count = z.int().min(0);
const json = z.record(z.string(), z.unknown());

/**
 * GET /jobs/{id}. GET /jobs/{id}/events returns the job as server-sent events, one for each change until the job ends.
 */
export const jobSchema = z.object({
  id: z.string(),
  /** Kind of the job, such as `dataset.export`, `rollout`, `external`. */
  kind: z.string(),
  state: z.enum(jobStates),
  who: z.string(),
  created: time,
  started: time.nullable(),
  ended: time.nullable(),
  /** Time of the job's last report. */
  updated: time,
  /** Current step, and progress as `done` of `total`; null = unknown. */
  step: z.string().nullable(),
  done: count,
  total: count.nullable(),
  request: json,
  result: z.unknown().nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** Whether cancellation was requested. */
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

/** POST /jobs. `external`: run by another program, which must renew its lease at least every `leaseMs`. */
export const newJobSchema = z.strictObject({ kind: z.string().max(50), request: json.default({}) });
export type NewJob = z.input<typeof newJobSchema>;

/** Parameters of an external job. */
export const externalRequestSchema = z.looseObject({
  title: z.string().max(200).optional(),
  leaseMs: z.int().min(1000).max(3_600_000).default(60_000),
});

/** POST /jobs/{id}/progress, by the program that runs the job. The response is the job. The program must check its member `cancelled`. */
export const jobProgressSchema = z.strictObject({
  step: z.string().max(200).nullable().optional(),
  done: count.optional(),
  total: count.nullable().optional(),
});
export type JobProgress = z.output<typeof jobProgressSchema>;

/** POST /jobs/{id}/end, by the program that runs the job. */
export const jobEndSchema = z.strictObject({
  state: z.enum(['done', 'failed', 'cancelled']),
  result: z.unknown().optional(),
  error: z.strictObject({ code: z.string().max(100), message: z.string().max(2000) }).optional(),
});
export type JobEnd = z.output<typeof jobEndSchema>;

export function hasJobEnded({ state }: Pick<Job, 'state'>): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

const short = z.string().max(2000);
const digest = z.string().max(200);

export const toldStepSchema = z.object({
  name: z.string().min(1).max(100),
  /** Short description of the step. */
  about: z.string().max(500),
  needs: z.array(z.string().max(100)).max(200),
  /** Condition of the step's gate; null = none. */
  gate: z.string().max(500).nullable(),
  /** Whether the step runs only on a condition. */
  conditional: z.boolean(),
  state: z.string().max(20),
  cached: z.boolean(),
  seconds: z.number(),
  attempts: z.int(),
  exit: z.int().nullable(),
  peakBytes: z.int().nullable(),
  reason: short.nullable(),
  error: z.object({ code: z.string().max(100), message: short, next: short.optional() }).nullable(),
  started: time.nullable(),
  ended: time.nullable(),
  key: digest.nullable(),
  inputs: z.record(z.string(), digest),
  outputs: z.record(z.string(), z.object({ digest, bytes: z.int() })),
  /** JSON output of the step; null if there is no output, or if it is too large. */
  result: z.unknown(),
  /** The end of the step's output. */
  log: z.string().max(8192),
});
export type ToldStep = z.output<typeof toldStepSchema>;

/** PUT /pipelines/{project}/runs/{run}: the state of a pipeline run, as reported by its runner. */
export const toldRunSchema = z.object({
  state: z.string().max(20),
  cause: z.object({ kind: z.string().max(20), text: short }),
  /** The user who runs the process. */
  who: z.string().max(200),
  started: time,
  ended: time.nullable(),
  seconds: z.number(),
  aiot: z.string().max(100),
  engine: z.string().max(20),
  model: z.object({ name: z.string().max(100), version: z.int().nullable(), digest }).nullable(),
  steps: z.array(toldStepSchema).max(200),
});
export type ToldRun = z.output<typeof toldRunSchema>;

/** A run as stored by the platform. */
export const pipelineRunSchema = toldRunSchema.extend({
  project: name,
  run: z.string(),
  /** Time of the last report. While a run is in progress, its runner reports at least every half minute. */
  told: time,
});
export type PipelineRun = z.output<typeof pipelineRunSchema>;

/** A run with only the name and state of each step. */
export const runSummarySchema = pipelineRunSchema
  .omit({ steps: true })
  .extend({ steps: z.array(toldStepSchema.pick({ name: true, state: true, cached: true })) });
export type RunSummary = z.output<typeof runSummarySchema>;

/** GET /pipelines: projects with reported runs, by name, each with its newest run. */
export const pipelinesSchema = pageSchema('pipelines', runSummarySchema);
export const runsQuerySchema = pageQuerySchema;
/** GET /pipelines/{project}/runs: newest first. */
export const runsSchema = pageSchema('runs', runSummarySchema);

const params = z.object({ id: z.string().max(100) });

/** The role ci is sufficient, so that CI jobs can report their progress. */
const access = 'ci';

export const jobs = {
  /** Returns jobs, newest first: all, or at most `limit`. */
  list: endpoint('GET /jobs', {
    summary: 'Jobs, newest first',
    query: jobQuerySchema,
    result: jobsSchema,
    list: 'jobs',
  }),
  get: endpoint('GET /jobs/:id', { summary: 'One job', params, result: jobSchema }),
  events: endpoint('GET /jobs/:id/events', {
    summary: 'Stream a job’s changes until it ends (server-sent events)',
    params,
    sends: 'events',
  }),
  create: endpoint('POST /jobs', {
    summary: 'Start a job',
    access,
    body: newJobSchema,
    result: jobSchema,
    location: ({ id }) => ['jobs', id],
  }),
  /** Requests cancellation. The job's state shows when it has ended. */
  cancel: endpoint('POST /jobs/:id/cancel', {
    summary: 'Request cancellation of a job',
    access,
    params,
    result: jobSchema,
    errors: ['AIOT_JOB_ENDED'],
  }),
  /** Reports progress of an external job, which renews its lease. */
  progress: endpoint('POST /jobs/:id/progress', {
    summary: 'Report the progress of an external job',
    access,
    params,
    body: jobProgressSchema,
    result: jobSchema,
    errors: ['AIOT_JOB_ENDED'],
  }),
  /** Ends an external job. */
  end: endpoint('POST /jobs/:id/end', {
    summary: 'Report the end of an external job',
    access,
    params,
    body: jobEndSchema,
    result: jobSchema,
    errors: ['AIOT_JOB_ENDED'],
  }),
};

const project = z.string().regex(namePattern);
const one = z.object({ project, run: z.string().regex(/^run_[0-9a-z]{26}$/) });

/** Pipeline runs, as reported by their runners. */
export const pipelines = {
  /** Projects sorted by name, each with its newest run. */
  projects: endpoint('GET /pipelines', {
    summary: 'Projects with pipeline runs, by name, each with its newest run',
    query: runsQuerySchema,
    result: pipelinesSchema,
    list: 'pipelines',
  }),
  list: endpoint('GET /pipelines/:project/runs', {
    summary: "A project's pipeline runs, newest first",
    params: z.object({ project }),
    query: runsQuerySchema,
    result: runsSchema,
    list: 'runs',
  }),
  get: endpoint('GET /pipelines/:project/runs/:run', {
    summary: 'One run, with its steps',
    params: one,
    result: pipelineRunSchema,
    errors: ['AIOT_NOT_FOUND'],
  }),
  /** Reports the state of a run. */
  tell: endpoint('PUT /pipelines/:project/runs/:run', {
    summary: 'Report the state of a run',
    access: 'ci',
    params: one,
    body: toldRunSchema,
    result: pipelineRunSchema,
  }),
};
