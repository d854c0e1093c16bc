import * as z from 'zod';
import { name, time } from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

export const metricSchema = z.object({
  value: z.number(),
  /** 95 % interval; null if unknown. */
  interval: z.tuple([z.number(), z.number()]).nullable(),
  /** The value for each fold; null if not measured by folds. */
  folds: z.array(z.number()).nullable(),
});

export type Metric = z.output<typeof metricSchema>;

const parameterSchema = z.union([z.string(), z.number(), z.boolean()]);

export type Parameter = z.output<typeof parameterSchema>;

/** One training run of a project, or one candidate of a search, as published on a platform: without its files. */
export const publishedRunSchema = z.object({
  run: z.string().regex(/^tr_[0-9a-z]{26}$/),
  /** `trial`: a candidate of a search, measured by inner folds; its model is not stored. */
  kind: z.enum(['training', 'trial']),
  /** `unfinished`: the process was killed before it could record how the run ended. */
  state: z.enum(['done', 'interrupted', 'failed', 'unfinished']),
  model: name,
  /** ID that all trials of one search share; null for a training run. */
  search: z.string().nullable(),
  /** Start, ms since 1970. */
  started: time,
  /** End, ms since 1970; null if the run has not ended. */
  ended: time.nullable(),
  /** Settings that determine the model, by their path in aiot.yaml, including overrides from the command line. */
  params: z.record(z.string(), parameterSchema),
  /** Digest of the settings. */
  configDigest: z.string(),
  seed: z.int(),
  data: z.object({
    name: z.string(),
    digest: z.string(),
    /** Number of recordings, or of groups in a table. */
    recordings: z.int(),
    /** Number of samples, or of rows in a table. */
    samples: z.int(),
  }),
  /** Unit of the split, and a digest of its parts. Validation metrics are comparable only within one split. */
  split: z.object({ by: z.string(), digest: z.string() }),
  metrics: z.record(z.string(), metricSchema),
  environment: z.object({
    aiot: z.string(),
    node: z.string(),
    /** For example, `linux x64`. */
    platform: z.string(),
    cpu: z.string(),
    cores: z.int(),
    /** The engine that was used; null if training did not finish. */
    backend: z.string().nullable(),
  }),
  /** Leaks in the split, which was used nevertheless. Leaks make the metrics too optimistic. */
  leaks: z.array(z.string()),
  /** Violated limits of model.accept, as sentences; trials only. */
  refused: z.array(z.string()),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

export type PublishedRun = z.output<typeof publishedRunSchema>;

/** Maximum number of runs in one request. */
export const mostPublished = 100;

const publishRunsSchema = z.strictObject({ runs: z.array(publishedRunSchema).min(1).max(mostPublished) });

const params = z.object({ model: name });

/** Training runs of projects, as published by `model push` and `model runs push`. */
export const trainingRuns = {
  /** Models with published runs, by name. */
  models: endpoint('GET /training-runs', {
    summary: 'Models with training runs, by name, each with its newest run',
    query: pageQuerySchema,
    result: pageSchema(
      'models',
      z.object({
        model: name,
        /** Number of stored runs. */
        runs: z.int(),
        newest: publishedRunSchema,
      }),
    ),
    list: 'models',
  }),
  list: endpoint('GET /training-runs/:model', {
    summary: "A model's training runs, newest first",
    params,
    query: pageQuerySchema,
    result: pageSchema('runs', publishedRunSchema),
    list: 'runs',
  }),
  /** Publishes runs that have ended. Runs that are already stored do not change. */
  publish: endpoint('POST /training-runs/:model', {
    summary: 'Publish training runs that have ended; the newest 1,000 are stored',
    access: 'ci',
    params,
    body: publishRunsSchema,
    takes: ['runs'],
    result: z.object({
      /** Number of runs that were not stored yet. */
      added: z.int(),
    }),
  }),
};
