import { z } from 'zod';
import { metricsSchema } from '../../registry/index.js';
import { gateSchema, intervalSchema, perClassSchema, refusalSchema } from './schemas.js';

export const evaluateResultSchema = z.object({
  model: z.string(),
  digest: z.string(),
  datasetDigest: z.string(),
  classes: z.array(z.string()),
  float: metricsSchema,
  int8: metricsSchema,
  litert: metricsSchema,
  voted: metricsSchema,
  perClass: z.array(perClassSchema),
  interval: intervalSchema,
  agreement: z.number(),
  arenaBytes: z.int(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  /** What the figures cannot show. */
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: refusalSchema.nullable(),
});
export type EvaluateResult = z.output<typeof evaluateResultSchema>;
