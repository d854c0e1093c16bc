import * as z from 'zod';
import { selectorSchema, time } from '../fields.js';
import { endpoint } from './endpoint.js';

/** Bucket widths, and how long buckets of each width are kept. A bucket begins at a multiple of its width since 1970. */
export const bucketWidths = [
  { name: '1m', ms: 60_000, keptMs: 3 * 3_600_000 },
  { name: '10m', ms: 600_000, keptMs: 2 * 86_400_000 },
  { name: '1h', ms: 3_600_000, keptMs: 8 * 86_400_000 },
  { name: '4h', ms: 4 * 3_600_000, keptMs: 31 * 86_400_000 },
] as const;
export type BucketWidth = (typeof bucketWidths)[number];
export type BucketName = BucketWidth['name'];
export const bucketNames = bucketWidths.map(({ name }) => name) as [BucketName, ...BucketName[]];

/** Longest range of a request, and the range without a request for another one, ms. */
export const [longestRangeMs, usualRangeMs] = [31 * 86_400_000, 86_400_000];
/** Maximum number of buckets in a response. */
export const mostBuckets = 400;

const moment = z.coerce.number().int().min(0);

export const historyQuerySchema = z.object({
  selector: selectorSchema.optional(),
  /** Beginning of the range, ms since 1970; a day before its end if absent. At most 31 days before the end. */
  from: moment.optional(),
  /** End of the range, ms since 1970; now if absent. */
  to: moment.optional(),
  /** Width of the buckets; if absent, the narrowest that is kept for the range. */
  bucket: z.enum(bucketNames).optional(),
});
export type HistoryQuery = z.output<typeof historyQuerySchema>;

const range = {
  /** Beginning of the first bucket, and end of the last one. */
  from: time,
  to: time,
  bucketMs: z.int().min(1),
};

/** GET /history/presence */
export const presenceHistorySchema = z.object({
  ...range,
  buckets: z.array(
    z.object({
      at: time,
      /** Minutes in which the platform looked at the fleet; 0 = it did not run, or the bucket is not kept. */
      minutes: z.int().min(0),
      /** Mean number of devices that were online, and of all that had connected before; null = unknown. */
      online: z.number().nullable(),
      devices: z.number().nullable(),
    }),
  ),
});
export type PresenceHistory = z.output<typeof presenceHistorySchema>;

export const predictionQuerySchema = historyQuerySchema.extend({
  /** Only predictions of this model, `name` or `name@version`. */
  model: z.string().min(1).max(200).optional(),
});

const predicted = {
  ...range,
  /** Messages that arrived until this time are counted; null = none yet. */
  countedUntil: time.nullable(),
  /** Models with predictions in the range, `name@version`. */
  models: z.array(z.string()),
};

/** GET /history/predictions */
export const predictionHistorySchema = z.object({
  ...predicted,
  /** The most frequent classes, the most frequent first; at most 20. */
  classes: z.array(z.string()),
  buckets: z.array(
    z.object({
      at: time,
      /** Number of predictions, including those without a class or of further classes; null = unknown. */
      total: z.int().nullable(),
      /** Number of predictions of each of `classes`; null = unknown. */
      counts: z.array(z.int()).nullable(),
    }),
  ),
});
export type PredictionHistory = z.output<typeof predictionHistorySchema>;

/** GET /history/latency */
export const latencyHistorySchema = z.object({
  ...predicted,
  buckets: z.array(
    z.object({
      at: time,
      /** Number of predictions; null = unknown. */
      total: z.int().nullable(),
      /** Time from a window's last sample to its prediction, ms within 10 %; null = no predictions. */
      p50: z.number().nullable(),
      p99: z.number().nullable(),
    }),
  ),
});
export type LatencyHistory = z.output<typeof latencyHistorySchema>;

export const history = {
  presence: endpoint('GET /history/presence', {
    reach: 'filtered',
    summary: 'Number of devices that were online over time, of all devices or of some',
    query: historyQuerySchema,
    result: presenceHistorySchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  predictions: endpoint('GET /history/predictions', {
    reach: 'filtered',
    summary: 'Number of predictions by class over time, of all devices or of some',
    query: predictionQuerySchema,
    result: predictionHistorySchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  latency: endpoint('GET /history/latency', {
    reach: 'filtered',
    summary: 'Latency of predictions over time, of all devices or of some',
    query: predictionQuerySchema,
    result: latencyHistorySchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
};
