import { z } from 'zod';
import { type StageResult, stageNames } from '../har/types.js';

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
