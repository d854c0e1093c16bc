import * as z from 'zod';
import { name, time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

/** How long a runner, and the request that it runs, count as alive after the runner's last sign of life, ms. */
export const runnerLeaseMs = 30_000;

/** Maximum number of log lines in a report, and of the newest lines that the platform stores. */
export const mostRequestLines = 500;

/** Maximum length of a log line; the runner shortens longer ones. */
export const mostLineLength = 500;

export const requestStates = ['waiting', 'running', 'done', 'failed', 'cancelled', 'lost'] as const;
export type RequestState = (typeof requestStates)[number];

/** Maximum size of a registration's steps as JSON, characters. */
const mostStepsLength = 256 * 1024;

const runnerId = z.string().regex(/^runner_[0-9a-z]{26}$/);
const requestId = z.string().max(100);
const runId = z.string().regex(/^run_[0-9a-z]{26}$/);
const short = z.string().max(2000);

const runnerStepSchema = z.object({
  name: z.string().min(1).max(100),
  /** Short description of the step. */
  about: z.string().max(500),
  needs: z.array(z.string().max(100)).max(200),
  /** Condition of the step's gate; null = none. */
  gate: z.string().max(500).nullable(),
});

/** PUT /pipeline-runners/{id}: registers a runner, or renews its lease. The runner chooses its id, a new one for each process. */
export const putRunnerSchema = z.object({
  /** Name of the runner, such as its host's. Several runners may have the same name. */
  name,
  project: name,
  /** Version of aiot that the runner is. */
  aiot: z.string().max(100),
  /** The project's steps, which are the possible values of a request's `until`. */
  steps: z
    .array(runnerStepSchema)
    .max(200)
    .refine((steps) => JSON.stringify(steps).length <= mostStepsLength, {
      error: `expected at most ${mostStepsLength} characters as JSON`,
    }),
});
export type PutRunner = z.output<typeof putRunnerSchema>;

/** A connected runner: GET /pipeline-runners. */
export const pipelineRunnerSchema = putRunnerSchema.extend({
  id: z.string(),
  /** The user whose token the runner uses. */
  who: z.string(),
  created: time,
  /** Time of the last renewal. */
  seen: time,
  /** The request that it runs; null = none. */
  request: z.string().nullable(),
});
export type PipelineRunner = z.output<typeof pipelineRunnerSchema>;

/** POST /pipeline-requests */
export const newPipelineRequestSchema = z.strictObject({
  project: name,
  /** Name of the runner; absent = any runner of the project. */
  runner: name.optional(),
  /** Last step to run; absent = all steps. */
  until: z.string().min(1).max(100).optional(),
  /** Whether to run unchanged steps too. */
  force: z.boolean().optional(),
});
export type NewPipelineRequest = z.output<typeof newPipelineRequestSchema>;

/** A requested run, without its log: GET /pipeline-requests. */
export const pipelineRequestSchema = z.object({
  id: z.string(),
  project: name,
  state: z.enum(requestStates),
  /** The user who requested the run. */
  who: z.string(),
  created: time,
  /** Name of the runner that must run it; null = any. */
  wanted: z.string().nullable(),
  until: z.string().nullable(),
  force: z.boolean(),
  /** The runner that claimed the request; null = none yet. */
  runner: z.object({ id: z.string(), name: z.string() }).nullable(),
  claimed: time.nullable(),
  ended: time.nullable(),
  /** The run, once it has begun: GET /pipelines/{project}/runs/{run}. */
  run: z.string().nullable(),
  /** The user who requested its cancellation; null = not requested. */
  cancelledBy: z.string().nullable(),
  error: z.object({ code: z.string(), message: z.string(), next: z.string().optional() }).nullable(),
});
export type PipelineRequest = z.output<typeof pipelineRequestSchema>;

/** A requested run with the newest lines of its log: GET /pipeline-requests/{id}. */
export const loggedRequestSchema = pipelineRequestSchema.extend({
  /** Number of lines that the runner has sent or left out, of which `log` has the newest. */
  lines: z.int(),
  /** The newest lines, oldest first. */
  log: z.array(z.string()),
});
export type LoggedRequest = z.output<typeof loggedRequestSchema>;

/** GET /pipeline-requests, newest first. */
export const requestsQuerySchema = pageQuerySchema.extend({
  project: name.optional(),
  state: z.enum(requestStates).optional(),
});
export type RequestsQuery = z.output<typeof requestsQuerySchema>;

const reportShape = {
  /** Id of the runner that claimed the request. */
  runner: runnerId,
  run: runId.nullable(),
  /** Number of the first line in `lines`, counted from 0. Lines that the platform has already are skipped. */
  from: z.int().min(0),
  lines: z.array(z.string().max(mostLineLength)).max(mostRequestLines),
};

/** POST /pipeline-requests/{id}/progress, by the runner: renews the request's lease. The response's `cancelledBy` asks it to stop. */
export const requestProgressSchema = z.strictObject(reportShape);
export type RequestProgress = z.output<typeof requestProgressSchema>;

/** POST /pipeline-requests/{id}/end, by the runner. */
export const requestEndSchema = z.strictObject({
  ...reportShape,
  state: z.enum(['done', 'failed', 'cancelled']),
  error: z.strictObject({ code: z.string().max(100), message: short, next: short.optional() }).nullable(),
});
export type RequestEnd = z.output<typeof requestEndSchema>;

/** Runners hold tokens such as those of CI jobs. */
const access = 'ci';

const oneRunner = z.object({ id: runnerId });
const oneRequest = z.object({ id: requestId });

/** Machines that run a project's pipeline on request. The platform itself runs no project code. */
export const pipelineRunners = {
  list: endpoint('GET /pipeline-runners', {
    summary: 'Connected pipeline runners, by project and name',
    query: pageQuerySchema.extend({ project: name.optional() }),
    result: pageSchema('runners', pipelineRunnerSchema),
    list: 'runners',
  }),
  /** Registers a runner, or renews its lease of 30 seconds. */
  put: endpoint('PUT /pipeline-runners/:id', {
    summary: 'Register a pipeline runner, or renew its lease of 30 seconds',
    access,
    params: oneRunner,
    body: putRunnerSchema,
    result: pipelineRunnerSchema,
    errors: ['AIOT_RATE_LIMITED'],
  }),
  /** Assigns the oldest waiting request to the runner. A runner that has a request already gets the same one again. */
  claim: endpoint('POST /pipeline-runners/:id/claim', {
    summary: 'Claim the oldest waiting request for a runner; null = there is none',
    access,
    params: oneRunner,
    result: z.object({ request: pipelineRequestSchema.nullable() }),
  }),
  remove: endpoint('DELETE /pipeline-runners/:id', {
    summary: 'Disconnect a runner; the request that it runs is lost',
    access,
    params: oneRunner,
    result: pipelineRunnerSchema,
  }),
};

/** Runs that users request, and runners carry out. */
export const pipelineRequests = {
  list: endpoint('GET /pipeline-requests', {
    summary: 'Requested pipeline runs, newest first',
    query: requestsQuerySchema,
    result: pageSchema('requests', pipelineRequestSchema),
    list: 'requests',
  }),
  get: endpoint('GET /pipeline-requests/:id', {
    summary: 'One requested run, with the newest lines of its log',
    params: oneRequest,
    result: loggedRequestSchema,
  }),
  create: endpoint('POST /pipeline-requests', {
    summary: 'Request a pipeline run from a connected runner',
    access,
    body: newPipelineRequestSchema,
    result: pipelineRequestSchema,
    location: ({ id }) => ['pipeline-requests', id],
    errors: ['AIOT_PIPELINE_RUNNER', 'AIOT_RATE_LIMITED'],
  }),
  /** Cancels a waiting request at once. A running one is cancelled by its runner. */
  cancel: endpoint('POST /pipeline-requests/:id/cancel', {
    summary: 'Cancel a requested run',
    access,
    params: oneRequest,
    result: pipelineRequestSchema,
    errors: ['AIOT_JOB_ENDED'],
  }),
  /** Reports progress, which renews the request's lease. */
  progress: endpoint('POST /pipeline-requests/:id/progress', {
    summary: 'Report the progress of a requested run',
    access,
    params: oneRequest,
    body: requestProgressSchema,
    result: pipelineRequestSchema,
    errors: ['AIOT_JOB_ENDED'],
  }),
  end: endpoint('POST /pipeline-requests/:id/end', {
    summary: 'Report the end of a requested run',
    access,
    params: oneRequest,
    body: requestEndSchema,
    result: pipelineRequestSchema,
    errors: ['AIOT_JOB_ENDED'],
  }),
};
