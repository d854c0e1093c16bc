import { join } from 'node:path';
import type { ZodType, z } from 'zod';
import { AiotError, hasCode, issueText, type Project, readBytes, readJson, unless } from '../core/index.js';
import { type Graph, readTflite } from '../formats/index.js';
import type { EvaluationFile } from './evaluate/gates.js';
import { evaluationFileSchema, quantizationFileSchema, trainingFileSchema } from './files-schema.js';
import { type FoldsFile, foldsFileSchema } from './train/result.js';
import type { TrainingFile } from './train/types.js';

export type QuantizationFile = z.output<typeof quantizationFileSchema>;

/** What the steps leave in a project: train, quantize, evaluate, bundle. */
export function buildFiles(project: Project) {
  const build = join(project.dir, 'build');
  return {
    folder: build,
    float: join(build, 'model.float.tflite'),
    /** The network before it learned from the validation rows, too; there where `training.chosen` is. */
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

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_NOT_READABLE, AIOT_TFLITE_MALFORMED naming the file */
export async function readNetwork(file: string, step: string): Promise<{ bytes: Buffer; graph: Graph }> {
  const bytes = await made(readBytes(file), file, step);
  try {
    return { bytes, graph: readTflite(bytes) };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw new AiotError(error.code, `${file}: ${error.message}`, {
      cause: error,
      next: `aiot model ${step}`,
    });
  }
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export function readTraining(project: Project): Promise<TrainingFile> {
  return readChecked(buildFiles(project).training, trainingFileSchema, 'train');
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export function readQuantization(project: Project): Promise<QuantizationFile> {
  return readChecked(buildFiles(project).quantization, quantizationFileSchema, 'quantize');
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export function readEvaluation(project: Project): Promise<EvaluationFile> {
  return readChecked(buildFiles(project).evaluation, evaluationFileSchema, 'evaluate');
}

/** What was measured by folds of this data with these settings; null where nothing was, or of others. @throws AIOT_FILE_MALFORMED */
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
    next: `aiot model ${step}`,
  });
}

async function made<T>(read: Promise<T>, file: string, step: string): Promise<T> {
  return await read.catch((error: unknown) => {
    if (hasCode(error, 'AIOT_FILE_MALFORMED')) {
      throw new AiotError('AIOT_FILE_MALFORMED', error.message, { cause: error, next: `aiot model ${step}` });
    }
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_MODEL_NOT_BUILT', `no ${file} yet`, {
      cause: error,
      next: `aiot model ${step}`,
    });
  });
}
