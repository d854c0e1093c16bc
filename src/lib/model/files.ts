import { join } from 'node:path';
import { type ZodType, z } from 'zod';
import { AiotError, hasCode, unless } from '../core/errors.js';
import { readBytes, readJson } from '../core/files.js';
import { issueText } from '../core/issues.js';
import type { Project } from '../core/project.js';
import { layerSchema, quantizeModes } from '../core/project-schema.js';
import { shellWord } from '../core/text.js';
import type { Graph } from '../formats/tflite/graph.js';
import { readTflite } from '../formats/tflite/read.js';
import { bundleInfoSchema, rejectSchema } from './bundle/schema.js';
import type { EvaluationFile } from './evaluate/gates.js';
import { evaluateResultSchema } from './evaluate/result.js';
import { networkKinds } from './network/layers.js';
import { baselineSchema, choiceSchema, type FoldsFile, foldsFileSchema } from './train/result.js';
import type { TrainingFile } from './train/types.js';

export type QuantizationFile = z.output<typeof quantizationFileSchema>;

/** Files that the steps write to a project: train, quantize, evaluate, bundle. */
export function buildFiles(project: Project) {
  const build = join(project.dir, 'build');
  return {
    folder: build,
    float: join(build, 'model.float.tflite'),
    /** The network before the final training run, which includes the validation rows; present if `training.chosen` is. */
    chosen: join(build, 'model.validated.tflite'),
    training: join(build, 'training.json'),
    checkpoint: join(build, 'checkpoint.json'),
    folds: join(build, 'folds.json'),
    search: join(build, 'search.json'),
    int8: join(build, 'model.int8.tflite'),
    quantization: join(build, 'quantization.json'),
    evaluation: join(build, 'evaluation.json'),
    bundle: join(build, 'model.aiot'),
  };
}

/** The model's name: model.name, or the project's. */
export function modelName({ config }: Project): string {
  return config.model.name ?? config.name;
}

/**
 * The step of `aiot model` that writes build/model.float.tflite. An imported network has to be imported again, because `train` would
 * replace it with another network.
 */
export function floatStep({ dir }: Project, { backend }: Pick<TrainingFile, 'backend'>): string {
  return backend === 'import' ? `import FILE --project ${shellWord(dir)}` : 'train';
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_NOT_READABLE, AIOT_TFLITE_MALFORMED naming the file */
export async function readNetwork(file: string, step: string): Promise<{ bytes: Buffer; graph: Graph }> {
  const bytes = await made(readBytes(file), file, step);
  try {
    return { bytes, graph: readTflite(bytes) };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw error.reworded(`${file}: ${error.message}`, {
      cause: error,
      next: madeBy(step),
    });
  }
}

/**
 * Reads build/training.json. model.threshold may change without another training, so it replaces the threshold of a probability.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED
 */
export async function readTraining(project: Project): Promise<TrainingFile> {
  const training = await readChecked(buildFiles(project).training, trainingFileSchema, 'train');
  const { threshold } = project.config.model;
  if (threshold === undefined || training.network.output.kind !== 'probability') return training;
  return { ...training, threshold };
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export function readQuantization(project: Project): Promise<QuantizationFile> {
  return readChecked(buildFiles(project).quantization, quantizationFileSchema, 'quantize');
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export function readEvaluation(project: Project): Promise<EvaluationFile> {
  return readChecked(buildFiles(project).evaluation, evaluationFileSchema, 'evaluate');
}

/** Reads the cross-validation metrics; null if there are none for this data with these settings. @throws AIOT_FILE_MALFORMED */
export async function readFolds(
  project: Project,
  { lineage }: Pick<TrainingFile, 'lineage'>,
): Promise<FoldsFile | null> {
  const folds = await unless(
    'AIOT_MODEL_NOT_BUILT',
    readChecked(buildFiles(project).folds, foldsFileSchema, 'train --folds 5'),
  );
  const isOfThese =
    folds?.datasetDigest === lineage.dataset.digest && folds.configDigest === lineage.configDigest;
  return isOfThese ? folds : null;
}

async function readChecked<T>(file: string, schema: ZodType<T>, step: string): Promise<T> {
  const read = schema.safeParse(await made(readJson(file), file, step));
  if (read.success) return read.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(read.error, 'the file')}`, {
    next: madeBy(step),
  });
}

/** The next step to suggest if one of the project's files is missing or damaged. */
function madeBy(step: string): string {
  return `Create it with \`aiot model ${step}\`.`;
}

async function made<T>(read: Promise<T>, file: string, step: string): Promise<T> {
  return await read.catch((error: unknown) => {
    if (hasCode(error, 'AIOT_FILE_MALFORMED')) {
      throw new AiotError('AIOT_FILE_MALFORMED', error.message, { cause: error, next: madeBy(step) });
    }
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_MODEL_NOT_BUILT', `${file} does not exist yet`, {
      cause: error,
      next: madeBy(step),
    });
  });
}

const { signal, standardization, lineage } = bundleInfoSchema.shape;
const ids = z.array(z.string());

/** JSON has no NaN: a metric that could not be measured is null. */
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

const output = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('classes'), count: z.int() }),
  z.object({ kind: z.literal('probability') }),
  z.object({ kind: z.literal('value'), count: z.int() }),
  z.object({ kind: z.literal('reconstruction') }),
  z.object({ kind: z.literal('objects'), count: z.int(), grid: z.tuple([z.int(), z.int()]) }),
]);

/** build/training.json. Validated on reading, because people may edit the file and other versions of aiot may have written it. */
const trainingFileSchema = z.object({
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
  state: z.literal('window').optional(),
  temperature: z.number().nullable().optional(),
  signal,
  standardization,
  source: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('recordings') }),
    z.object({
      kind: z.literal('table'),
      file: z.string(),
      label: z.string(),
      columns: ids,
      parts: z.string().regex(/^[tve-]*$/, 'expected one of t, v, e and - per row'),
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

/** build/quantization.json: the float network and the network quantized from it. */
const quantizationFileSchema = z.object({
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
const evaluationFileSchema = evaluateResultSchema.extend({
  spec: z.literal('aiot-evaluation/2'),
  vote: z.string(),
  reject: z
    .object({
      asked: z.object({
        ...{ label: z.string(), share: z.number(), unknown: z.array(z.string()) },
        ...{ falseAlarms: z.number().optional(), background: z.string().optional() },
      }),
      rule: rejectSchema,
    })
    .nullish(),
  costs: z.array(z.number()).optional(),
}) satisfies z.ZodType<EvaluationFile>;
