import { z } from 'zod';
import { layerSchema, quantizeModes } from '../core/index.js';
import { bundleInfoSchema } from './bundle/info-schema.js';
import type { EvaluationFile } from './evaluate/gates.js';
import { evaluateResultSchema } from './evaluate/result.js';
import { networkKinds } from './network/layers.js';
import { baselineSchema, choiceSchema } from './train/result.js';
import type { TrainingFile } from './train/types.js';

const { signal, standardization, lineage } = bundleInfoSchema.shape;
const ids = z.array(z.string());
/** JSON has no NaN: where a figure could not be measured it holds null. */
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

const output = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('classes'), count: z.int() }),
  z.object({ kind: z.literal('probability') }),
  z.object({ kind: z.literal('value'), count: z.int() }),
  z.object({ kind: z.literal('reconstruction') }),
]);

/** build/training.json. These files are this program's own, but people and other versions edit what lies in a project. */
export const trainingFileSchema = z.object({
  spec: z.literal('aiot-training/2'),
  model: z.string(),
  network: z.object({
    kind: z.enum(networkKinds),
    inputShape: z.array(z.int()),
    layers: z.array(layerSchema),
    output,
  }),
  classes: ids,
  labels: z.record(z.string(), ids),
  threshold: z.number().nullable(),
  signal,
  standardization,
  source: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('recordings') }),
    z.object({
      kind: z.literal('table'),
      file: z.string(),
      label: z.string(),
      columns: ids,
      parts: z.string().regex(/^[tve-]*$/, 'expected one of t, v, e and - a row'),
    }),
  ]),
  split: z.object({
    by: z.enum(['recording', 'device', 'time', 'window', 'row', 'group']),
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
      valLoss: figure,
      accuracy: z.number().nullable(),
      valAccuracy: z.number().nullable(),
    }),
  ),
  bestEpoch: z.int(),
  refitted: z.int().nullable().optional(),
  choice: choiceSchema.nullable().optional(),
  chosen: z.object({ digest: z.string(), standardization }).nullable().optional(),
  baseline: baselineSchema.nullable().optional(),
  interrupted: z.boolean(),
  seconds: z.number(),
  backend: z.string(),
  leaks: ids,
  notes: ids,
  digest: z.string(),
}) satisfies z.ZodType<TrainingFile>;

/** build/quantization.json: which float network became which quantized network. */
export const quantizationFileSchema = z.object({
  spec: z.literal('aiot-quantization/1'),
  floatDigest: z.string(),
  digest: z.string(),
  mode: z.enum(quantizeModes).default('int8'),
  /** Name of the file in build/. */
  file: z
    .string()
    .regex(/^[\w.-]+$/, 'a name without a folder')
    .default('model.int8.tflite'),
});

/** build/evaluation.json */
export const evaluationFileSchema = evaluateResultSchema.extend({
  spec: z.literal('aiot-evaluation/2'),
  vote: z.string(),
}) satisfies z.ZodType<EvaluationFile>;
