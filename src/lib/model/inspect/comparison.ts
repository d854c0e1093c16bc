import * as z from 'zod';
import { networkFiguresSchema, outputKindSchema } from '../evaluate/result.js';

const sideSchema = z.object({
  file: z.string(),
  digest: z.string(),
  precision: z.string(),
  bytes: z.int(),
  arenaBytes: z.int().nullable(),
  macs: z.int(),
  parameters: z.int(),
  /** Number of occurrences of each operator. */
  operators: z.record(z.string(), z.int()),
  /** Metrics on the rows on which both models ran; null without labeled rows. */
  figures: networkFiguresSchema.nullable(),
});

export type Side = z.output<typeof sideSchema>;

export const comparisonSchema = z.object({
  a: sideSchema,
  b: sideSchema,
  /** Data on which both models ran; null = none, so only their files were compared. */
  data: z.string().nullable(),
  runtime: z.enum(['litert', 'device', 'ai-edge-litert']),
  output: outputKindSchema.nullable(),
  n: z.int(),
  /** B compared with A, on labeled rows with classes. */
  paired: z
    .object({
      rows: z.int(),
      /** Accuracy of B minus accuracy of A, and its 95 % interval. */
      difference: z.number(),
      interval: z.tuple([z.number(), z.number()]),
      bothRight: z.int(),
      onlyARight: z.int(),
      onlyBRight: z.int(),
      bothWrong: z.int(),
      /** McNemar's exact test. */
      p: z.number(),
    })
    .nullable(),
  disagreement: z
    .object({
      rows: z.int(),
      share: z.number(),
      /** Predictions of A and B for one class's rows, most frequent first; truth is null without labels. */
      table: z.array(z.object({ truth: z.string().nullable(), a: z.string(), b: z.string(), rows: z.int() })),
      /** The first of these rows; rows are numbered from 1. */
      examples: z.array(
        z.object({ row: z.int(), truth: z.string().nullable(), a: z.string(), b: z.string() }),
      ),
    })
    .nullable(),
  /** Largest difference between the outputs of A and B on one row. */
  largestDifference: z.number().nullable(),
  notes: z.array(z.string()),
});

export type Comparison = z.output<typeof comparisonSchema>;
