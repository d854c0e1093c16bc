import { z } from 'zod';
import { calibrationSchema, gateSchema, intervalSchema, perClassSchema, refusalSchema } from './schemas.js';

const figure = z.number().nullable();

/** What `model evaluate FILE --data rows.csv` measures. */
export const fileEvaluationSchema = z.object({
  file: z.string(),
  kind: z.enum(['tflite', 'aiot']),
  bytes: z.int(),
  digest: z.string(),
  precision: z.enum(['float32', 'float16', 'dynamic', 'int8', 'int16x8', 'mixed', 'none']),
  data: z.string(),
  dataDigest: z.string(),
  runtime: z.enum(['litert', 'device']),
  /** What the outputs were taken for. */
  output: z.enum(['classes', 'probability', 'value', 'reconstruction']),
  n: z.int(),
  accuracy: figure,
  macroF1: figure,
  /** One class against the rest, averaged; of one probability its own. */
  auc: figure,
  /** 95 %: of the accuracy (Wilson), or of the mean absolute error of a value. */
  interval: intervalSchema.nullable(),
  /** 95 %, by drawing rows again. */
  intervals: z.object({
    accuracy: intervalSchema.nullable(),
    macroF1: intervalSchema.nullable(),
    auc: intervalSchema.nullable(),
  }),
  calibrationError: figure,
  calibration: z.array(calibrationSchema),
  mae: figure,
  rmse: figure,
  r2: figure,
  /** Names in the order of the outputs; none of a value. */
  classes: z.array(z.string()),
  /** From which probability, or reconstruction error, on a row counts as the second class. */
  threshold: figure,
  perClass: z.array(perClassSchema),
  confusion: z.array(z.array(z.int())),
  /** Rows (from 1) that the network is most wrong about, the worst first. */
  worst: z.array(
    z.object({
      row: z.int(),
      truth: z.string(),
      predicted: z.string(),
      /** Probability of the true class, or the error of a value. */
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
