import { z } from 'zod';
import { foldsFiguresSchema } from '../../registry/index.js';
import {
  gateSchema,
  networkFiguresSchema,
  outputKindSchema,
  refusalSchema,
  verdictShape,
} from './schemas.js';

/** A window (or row) that the network is most wrong about. */
export const worstWindowSchema = z.object({
  /** Its recording; of a table its group or row. */
  recording: z.string(),
  /** Number of the window in its recording, from 0; null where the windows are not in their order. */
  window: z.int().nullable(),
  /** Seconds from the recording's start to the window's. */
  startS: z.number().nullable(),
  truth: z.string(),
  predicted: z.string(),
  /** Score of the true class, or the error of a value. */
  score: z.number(),
  /** Samples of each field over the window, thinned to be drawn; null of a table. */
  samples: z
    .object({ fields: z.array(z.string()), seconds: z.number(), values: z.array(z.array(z.number())) })
    .nullable(),
});
export type WorstWindow = z.output<typeof worstWindowSchema>;

/** What `model evaluate` measures of a project's networks on what they were never trained on. */
export const evaluateResultSchema = z.object({
  model: z.string(),
  /** The quantized network's file in build/. */
  network: z.string(),
  /** Of the quantized network, and of what it was measured on. */
  digest: z.string(),
  datasetDigest: z.string(),
  precision: z.string(),
  /** What is counted: windows of recordings, or rows of a table. */
  unit: z.enum(['window', 'row']),
  output: outputKindSchema,
  /** The figures below are the quantized network's on this runtime. */
  runtime: z.enum(['litert', 'device']),
  ...verdictShape,
  /** The float network on LiteRT; the quantized one on the device interpreter (where it runs there) and on LiteRT. */
  float: networkFiguresSchema,
  int8: networkFiguresSchema,
  litert: networkFiguresSchema,
  /** The quantized network's after the vote; null where nothing is voted on. */
  voted: networkFiguresSchema.nullable(),
  /** What a linear model that learned from the same examples reaches on these; null where none was trained. */
  baseline: z
    .object({ accuracy: z.number().nullable(), rmse: z.number().nullable() })
    .nullable()
    .default(null),
  /** By folds over all recordings, float; null where `model train --folds` has not measured this data with these settings. */
  folds: foldsFiguresSchema.nullable(),
  /** Share of windows in which both runtimes name the same class; null where none is named. */
  agreement: z.number().nullable(),
  worst: z.array(worstWindowSchema),
  bytes: z.int(),
  macs: z.int(),
  /** Null where TFLite Micro refuses it. */
  arenaBytes: z.int().nullable(),
  gates: z.array(gateSchema),
  passed: z.boolean(),
  /** What the figures cannot show. */
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: refusalSchema.nullable(),
});
export type EvaluateResult = z.output<typeof evaluateResultSchema>;
