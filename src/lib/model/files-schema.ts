import { z } from 'zod';
import { bundleInfoSchema } from './bundle/info-schema.js';
import { evaluateResultSchema } from './evaluate/result.js';
import type { EvaluationFile } from './evaluate/types.js';
import type { TrainingFile } from './train/types.js';

const { signal, standardization, lineage } = bundleInfoSchema.shape;
const ids = z.array(z.string());
/** JSON has no NaN: where a figure could not be measured it holds null. */
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

/** build/training.json. These files are this program's own, but people and other versions edit what lies in a project. */
export const trainingFileSchema = z.object({
  spec: z.literal('aiot-training/1'),
  model: z.string(),
  network: z.object({
    kind: z.enum(['mlp', 'cnn1d']),
    inputShape: z.array(z.int()),
    layers: z.array(z.int()),
    classes: z.int(),
  }),
  classes: z.array(z.string()).min(2),
  labels: z.record(z.string(), z.array(z.string())),
  signal,
  standardization,
  split: z.object({
    by: z.enum(['recording', 'device', 'time']),
    seed: z.int(),
    train: ids,
    validation: ids,
    test: ids,
  }),
  windows: z.object({ train: z.int(), validation: z.int() }),
  lineage,
  history: z.array(
    z.object({
      epoch: z.int(),
      epochs: z.int(),
      loss: figure,
      accuracy: figure,
      valLoss: figure,
      valAccuracy: figure,
    }),
  ),
  bestEpoch: z.int(),
  seconds: z.number(),
  digest: z.string(),
}) satisfies z.ZodType<TrainingFile>;

/** build/quantization.json: which float network became which int8 network. */
export const quantizationFileSchema = z.object({
  spec: z.literal('aiot-quantization/1'),
  floatDigest: z.string(),
  digest: z.string(),
});

/** build/evaluation.json */
export const evaluationFileSchema = evaluateResultSchema.extend({
  spec: z.literal('aiot-evaluation/1'),
  vote: z.string(),
}) satisfies z.ZodType<EvaluationFile>;
