import { z } from 'zod';

/** Of a column’s finite numbers; null where it has none. */
export const momentsShape = {
  min: z.number().nullable(),
  max: z.number().nullable(),
  mean: z.number().nullable(),
  /** Of the population. */
  deviation: z.number().nullable(),
};

const groupSchema = z.object({
  /** The label, or the recording. */
  name: z.string(),
  rows: z.int(),
  fields: z.array(
    z.object({
      name: z.string(),
      count: z.int(),
      ...momentsShape,
    }),
  ),
});
export type GroupStatistics = z.output<typeof groupSchema>;

export const fieldStatisticsSchema = z.object({
  name: z.string(),
  kind: z.enum(['number', 'text']),
  unit: z.string().nullable(),
  rows: z.int(),
  /** Rows with a finite number, or a word. */
  count: z.int(),
  missing: z.int(),
  infinite: z.int(),
  ...momentsShape,
  /** Linear between values, as numpy’s. */
  quantiles: z
    .object({
      p01: z.number(),
      p05: z.number(),
      p25: z.number(),
      p50: z.number(),
      p75: z.number(),
      p95: z.number(),
      p99: z.number(),
    })
    .nullable(),
  /** Shares in bars of equal width; without the outermost half of a hundredth at either end. */
  histogram: z.object({ from: z.number(), to: z.number(), shares: z.array(z.number()) }).nullable(),
  /** Words by how often they come, the most frequent first; null of numbers. */
  categories: z.array(z.object({ word: z.string(), count: z.int() })).nullable(),
  /** Most neighbouring rows of one value. */
  longestRun: z.int(),
  /** Independent rows that they are worth, by how slowly values move. */
  effective: z.number(),
});
export type FieldStatistics = z.output<typeof fieldStatisticsSchema>;

export const statisticsSchema = z.object({
  name: z.string(),
  from: z.enum(['csv', 'recordings', 'project']),
  rows: z.int(),
  /** Samples a second, where a project tells it. */
  rateHz: z.number().nullable(),
  fields: z.array(fieldStatisticsSchema),
  label: fieldStatisticsSchema.nullable(),
  prediction: fieldStatisticsSchema.nullable(),
  byLabel: z.array(groupSchema),
  byRecording: z.array(groupSchema),
  ignored: z.array(z.string()),
  /** The reference written. */
  saved: z.string().nullable(),
});
export type Statistics = z.output<typeof statisticsSchema>;
