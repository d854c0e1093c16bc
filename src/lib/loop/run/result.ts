import * as z from 'zod';
import { type StageResult, stageNames } from '../har/layout.js';

const model = z.object({
  name: z.string(),
  /** Version in the registry; null for a local file. */
  version: z.int().nullable(),
  digest: z.string(),
  source: z.enum(['platform', 'cache', 'file', 'trained']),
  /** How often another model replaced it. */
  swaps: z.int(),
});

/** Summary of a loop. */
export const loopResultSchema = z.object({
  /** Samples received, before resampling; pictures, in a loop for pictures. */
  samples: z.int(),
  /** Samples known to be missing. */
  lost: z.int(),
  /** Measured sample rate, Hz; null if there were too few samples. */
  rateHz: z.number().nullable(),
  /** 99 of 100 intervals between samples deviated from the mean by at most this, ms. */
  jitterP99Ms: z.number().nullable(),
  /** Windows that the model predicted. */
  windows: z.int(),
  /** Windows with a smoothed result: all except ties. Every value, if the model returns values. */
  predictions: z.int(),
  /** Time from the arrival of a window's last sample until its prediction is passed to the outputs; null without any window. */
  latencyMs: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
  /** Memory of the process at the end, in 10⁶ bytes. */
  rssMb: z.number(),
  /** Breaks in the samples: no window spans them. */
  gaps: z.int(),
  /** How often the smoothed class changed, including the first. */
  changes: z.int(),
  /** How often each class was the smoothed result. */
  classes: z.record(z.string(), z.int()),
  /** The model in use at the end; null in a loop for pictures. */
  model: model.nullable(),
  outputs: z.array(
    z.object({
      endpoint: z.string(),
      sent: z.int(),
      /** Messages left on disk for the next run. */
      waiting: z.int(),
      dropped: z.int(),
    }),
  ),
  /** Recorded samples; null if recording was not requested. */
  recorded: z.object({ folder: z.string(), recordings: z.int(), samples: z.int() }).nullable(),
  ended: z.enum(['sensor', 'time', 'stopped']),
});

export type LoopResult = z.output<typeof loopResultSchema>;

/** Summary of one stage of the motion system. */
export const stageResultSchema = z.object({
  stage: z.enum(stageNames),
  /** Without credentials. */
  endpoint: z.string(),
  /** Samples published (sense) or read as complete rows (extract); messages read (predict, output). */
  taken: z.int(),
  /** Messages published. */
  published: z.int(),
  windows: z.int(),
  /** Samples that never became part of a row, or had expired when the server came back. */
  lost: z.int(),
  /** Malformed messages. */
  refused: z.int(),
}) satisfies z.ZodType<StageResult>;
