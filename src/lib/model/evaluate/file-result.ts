import { z } from 'zod';
import { gateSchema, outputKindSchema, refusalSchema, verdictShape } from './schemas.js';

/** What `model evaluate FILE --data rows.csv` measures. */
export const fileEvaluationSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  bytes: z.int(),
  digest: z.string(),
  precision: z.enum(['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed', 'none']),
  data: z.string(),
  dataDigest: z.string(),
  /** Whether rows were standardized with the mean and deviation that the file itself carries. */
  standardized: z.boolean(),
  runtime: z.enum(['litert', 'device']),
  /** What the outputs were taken for. */
  output: outputKindSchema,
  ...verdictShape,
  /** Rows (from 1) that the network is most wrong about, the worst first. */
  worst: z.array(
    z.object({
      row: z.int(),
      truth: z.string(),
      predicted: z.string(),
      /** Score of the true class, or the error of a value. */
      score: z.number(),
    }),
  ),
  /** The file of raw outputs, when one was asked for. */
  outputs: z.string().nullable(),
  arenaBytes: z.int().nullable(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: refusalSchema.nullable(),
});
export type FileEvaluation = z.output<typeof fileEvaluationSchema>;
