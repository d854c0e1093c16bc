import * as z from 'zod';
import { type StageResult, stageNames } from '../har/layout.js';

const model = z.object({
  name: z.string(),
  /** Version in the registry; null for a local file. */
  version: z.int().nullable(),
  digest: z.string(),
  source: z.enum(['platform', 'cache', 'file', 'trained']),
  /** Backend that ran the model. */
  delegate: z.enum(['cpu', 'coral', 'ai-edge-litert']),
  /** Number of times that the model was replaced. */
  swaps: z.int(),
});

/** Summary of a loop. */
export const loopResultSchema = z.object({
  /** Number of samples received, before resampling; in a loop for pictures, number of frames. */
  samples: z.int(),
  /** Number of samples that are known to be missing. */
  lost: z.int(),
  /** Measured sample rate, Hz; null if there were too few samples. */
  rateHz: z.number().nullable(),
  /** 99 of 100 intervals between samples deviated from the mean by at most this, ms. */
  jitterP99Ms: z.number().nullable(),
  /** Number of windows that the model predicted. */
  windows: z.int(),
  /** Number of windows with a smoothed result, which excludes ties. If the model returns values, all windows count. */
  predictions: z.int(),
  /** Time from the arrival of a window's last sample until its prediction is passed to the outputs; null without any window. */
  latencyMs: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
  /** Memory of the process at the end, in 10⁶ bytes. */
  rssMb: z.number(),
  /** Number of breaks in the samples. No window includes a break. */
  gaps: z.int(),
  /** Number of times that the smoothed class changed, including the first class. */
  changes: z.int(),
  /** Number of windows in which each class was the smoothed result. */
  classes: z.record(z.string(), z.int()),
  /** The model in use at the end; null in a loop for pictures. */
  model: model.nullable(),
  outputs: z.array(
    z.object({
      endpoint: z.string(),
      sent: z.int(),
      /** Number of messages that remain on disk for the next run. */
      waiting: z.int(),
      dropped: z.int(),
    }),
  ),
  /** The recorded samples; null if recording was not requested. */
  recorded: z.object({ folder: z.string(), recordings: z.int(), samples: z.int() }).nullable(),
  ended: z.enum(['sensor', 'time', 'stopped']),
});

export type LoopResult = z.output<typeof loopResultSchema>;

/** Summary of one stage of the motion system. */
export const stageResultSchema = z.object({
  stage: z.enum(stageNames),
  /** Address of the server, without credentials. */
  endpoint: z.string(),
  /** Samples published (sense) or read as complete rows (extract); messages read (predict, output). */
  taken: z.int(),
  /** Number of messages published. */
  published: z.int(),
  windows: z.int(),
  /** Samples that never became part of a row, or had expired when the server became reachable again. */
  lost: z.int(),
  /** Number of malformed messages. */
  refused: z.int(),
}) satisfies z.ZodType<StageResult>;
