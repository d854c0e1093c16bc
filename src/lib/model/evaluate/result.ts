import { z } from 'zod';
import { metricsSchema } from '../../registry/index.js';

export const evaluateResultSchema = z.object({
  model: z.string(),
  digest: z.string(),
  datasetDigest: z.string(),
  classes: z.array(z.string()),
  float: metricsSchema,
  int8: metricsSchema,
  litert: metricsSchema,
  voted: metricsSchema,
  perClass: z.array(
    z.object({
      class: z.string(),
      support: z.int(),
      precision: z.number(),
      recall: z.number(),
      f1: z.number(),
    }),
  ),
  interval: z.tuple([z.number(), z.number()]),
  agreement: z.number(),
  arenaBytes: z.int(),
  gates: z.array(
    z.object({
      name: z.enum(['macroF1', 'drop', 'arena']),
      limit: z.number(),
      got: z.number(),
      passed: z.boolean(),
    }),
  ),
  passed: z.boolean(),
  /** What the figures cannot show. */
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: z.object({ code: z.string(), message: z.string(), next: z.string(), exit: z.int() }).nullable(),
});
export type EvaluateResult = z.output<typeof evaluateResultSchema>;
