import { join } from 'node:path';
import * as z from 'zod';
import { unless } from '../../core/errors.js';
import { readJson, writeJsonAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import { outputKindSchema } from '../evaluate/result.js';
import { buildFiles } from '../files.js';

export const explanationSchema = z.object({
  /** Name of the model, or the file. */
  model: z.string(),
  /** Digest of the explained network. */
  digest: z.string(),
  output: outputKindSchema,
  /** Number of rows or windows used for the explanation. */
  n: z.int(),
  seed: z.int(),
  /** The metric in which importance is measured, and its value on the unmodified rows. */
  metric: z.enum(['macroF1', 'auc', 'mae']),
  base: z.number(),
  /** How much the metric worsens if a feature's values are permuted among the rows, largest first. */
  importance: z.array(
    z.object({
      feature: z.string(),
      /** Number of network inputs that belong to the feature. */
      inputs: z.int(),
      loss: z.number(),
      /** Standard deviation of the loss over the repetitions. */
      deviation: z.number(),
    }),
  ),
  /** Change in the prediction if a part of the input is replaced by its mean. */
  saliency: z.object({
    /** `time`: parts are segments of the window; `features`: parts are features. */
    over: z.enum(['time', 'features']),
    /** Rows of `values`: fields over time, or one row for features. */
    fields: z.array(z.string()),
    /** Columns of `values`: the start of a segment, or the feature. */
    parts: z.array(z.string()),
    /** One entry per class; a single entry for regression. */
    classes: z.array(
      z.object({
        class: z.string(),
        n: z.int(),
        /** Mean drop in the true class's probability (for a value: its mean change). */
        values: z.array(z.array(z.number())),
      }),
    ),
  }),
});

export type Explanation = z.output<typeof explanationSchema>;

const savedSchema = explanationSchema.extend({ spec: z.literal('aiot-explanation/1') });
const fileOf = (project: Project) => join(buildFiles(project).folder, 'explanation.json');

/** Writes the explanation to build/, for the report. */
export async function saveExplanation(project: Project, explanation: Explanation): Promise<void> {
  await writeJsonAtomic(fileOf(project), { spec: 'aiot-explanation/1', ...explanation });
}

/** Reads the explanation in build/; null if there is none, or if it was written by an incompatible version. */
export async function readExplanation(project: Project): Promise<Explanation | null> {
  const found = await unless('AIOT_FILE_NOT_FOUND', readJson(fileOf(project)));
  const read = savedSchema.safeParse(found);
  return read.success ? read.data : null;
}
