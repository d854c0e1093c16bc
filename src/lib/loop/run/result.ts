import * as z from 'zod';
import { type StageResult, stageNames } from '../har/layout.js';

const model = z.object({
  name: z.string(),
  /** Of the registry; null where it is a file of this machine. */
  version: z.int().nullable(),
  digest: z.string(),
  source: z.enum(['platform', 'cache', 'file', 'trained']),
  /** Times that another took its place. */
  swaps: z.int(),
});

/** What a loop has done. */
export const loopResultSchema = z.object({
  /** Samples that came, before resampling; pictures, where the loop is of pictures. */
  samples: z.int(),
  /** Samples known to be missing. */
  lost: z.int(),
  /** Measured, Hz; null where there were too few to measure. */
  rateHz: z.number().nullable(),
  /** 99 of 100 distances between samples were no further from the mean distance than this, ms. */
  jitterP99Ms: z.number().nullable(),
  /** Windows that the model answered. */
  windows: z.int(),
  /** Windows after which the vote said something: all but the ties. Every value, where the model gives values. */
  predictions: z.int(),
  /** From the arrival of a window's last sample to its answer in the hands of the outputs; null without any window. */
  latencyMs: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
  /** Memory of the process at the end, in 10⁶ bytes. */
  rssMb: z.number(),
  /** Breaks in the samples: what came before one and after it is in no window together. */
  gaps: z.int(),
  /** Times that the vote changed its mind, the first answer among them. */
  changes: z.int(),
  /** How often each class was voted for. */
  classes: z.record(z.string(), z.int()),
  /** The one in use at the end; null where the loop is of pictures. */
  model: model.nullable(),
  outputs: z.array(
    z.object({
      endpoint: z.string(),
      sent: z.int(),
      /** On disk, for the next time. */
      waiting: z.int(),
      dropped: z.int(),
    }),
  ),
  /** What was recorded; null where nobody asked for it. */
  recorded: z.object({ folder: z.string(), recordings: z.int(), samples: z.int() }).nullable(),
  ended: z.enum(['sensor', 'time', 'stopped']),
});

export type LoopResult = z.output<typeof loopResultSchema>;

/** What one stage of the motion system has done. */
export const stageResultSchema = z.object({
  stage: z.enum(stageNames),
  /** Without credentials. */
  endpoint: z.string(),
  /** Samples published (sense) or taken as whole rows (extract); messages taken (predict, output). */
  taken: z.int(),
  /** Messages published. */
  published: z.int(),
  windows: z.int(),
  /** Samples that never became part of a row, or were too old when the server came back. */
  lost: z.int(),
  /** Messages that were not what they should be. */
  refused: z.int(),
}) satisfies z.ZodType<StageResult>;
