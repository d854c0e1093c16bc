import * as z from 'zod';
import { name, time } from './fields.js';
import { pageQuerySchema, pageSchema } from './page.js';

const short = z.string().max(2000);
const digest = z.string().max(200);

export const toldStepSchema = z.object({
  name: z.string().min(1).max(100),
  /** What it does, in a few words. */
  about: z.string().max(500),
  needs: z.array(z.string().max(100)).max(200),
  /** What it refuses; null = nothing. */
  gate: z.string().max(500).nullable(),
  /** Whether it is run on a condition. */
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
  /** The JSON that it printed; null where there is none, or too much of it. */
  result: z.unknown(),
  /** The end of what it said. */
  log: z.string().max(8192),
});
export type ToldStep = z.output<typeof toldStepSchema>;

/** PUT /pipelines/{project}/runs/{run}: how a run of a project's pipeline stands, as its runner tells it. */
export const toldRunSchema = z.object({
  state: z.string().max(20),
  cause: z.object({ kind: z.string().max(20), text: short }),
  /** The user whose process it is. */
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

/** A run as the platform has it. */
export const pipelineRunSchema = toldRunSchema.extend({
  project: name,
  run: z.string(),
  /** When the platform last heard of it: one that runs tells at least each half minute. */
  told: time,
});
export type PipelineRun = z.output<typeof pipelineRunSchema>;

/** Without what is long. */
export const runSummarySchema = pipelineRunSchema
  .omit({ steps: true })
  .extend({ steps: z.array(toldStepSchema.pick({ name: true, state: true, cached: true })) });
export type RunSummary = z.output<typeof runSummarySchema>;

/** GET /pipelines: projects whose runs are known, by name, each with its newest run. */
export const pipelinesSchema = pageSchema('pipelines', runSummarySchema);
export const runsQuerySchema = pageQuerySchema;
/** GET /pipelines/{project}/runs: newest first. */
export const runsSchema = pageSchema('runs', runSummarySchema);
