import { join } from 'node:path';
import { AiotError, hasCode, type Project, readBytes, readJson } from '../core/index.js';
import { type Graph, readTflite } from '../formats/index.js';
import type { EvaluationFile } from './evaluate/types.js';
import type { TrainingFile } from './train/types.js';

/** build/quantization.json: which float network became which int8 network. */
export interface QuantizationFile {
  spec: 'aiot-quantization/1';
  floatDigest: string;
  digest: string;
}

/** What the steps leave in a project: train, quantize, evaluate, bundle. */
export function buildFiles(project: Project) {
  const build = join(project.dir, 'build');
  return {
    float: join(build, 'model.float.tflite'),
    training: join(build, 'training.json'),
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

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_TFLITE_MALFORMED */
export async function readNetwork(file: string, step: string): Promise<{ bytes: Buffer; graph: Graph }> {
  const bytes = await made(readBytes(file), file, step);
  return { bytes, graph: readTflite(bytes) };
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export async function readTraining(project: Project): Promise<TrainingFile> {
  const file = buildFiles(project).training;
  return checkSpec<TrainingFile>(await made(readJson(file), file, 'train'), 'aiot-training/1', file, 'train');
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export async function readQuantization(project: Project): Promise<QuantizationFile> {
  const file = buildFiles(project).quantization;
  const value = await made(readJson(file), file, 'quantize');
  return checkSpec<QuantizationFile>(value, 'aiot-quantization/1', file, 'quantize');
}

/** @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_MALFORMED */
export async function readEvaluation(project: Project): Promise<EvaluationFile> {
  const file = buildFiles(project).evaluation;
  const value = await made(readJson(file), file, 'evaluate');
  return checkSpec<EvaluationFile>(value, 'aiot-evaluation/1', file, 'evaluate');
}

async function made<T>(read: Promise<T>, file: string, step: string): Promise<T> {
  return await read.catch((error: unknown) => {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_MODEL_NOT_BUILT', `no ${file} yet`, {
      cause: error,
      next: `aiot model ${step}`,
    });
  });
}

/** These files are this program's own: their version stands for their form. */
function checkSpec<T extends { spec: string }>(
  value: unknown,
  spec: T['spec'],
  file: string,
  step: string,
): T {
  const got = value !== null && typeof value === 'object' && 'spec' in value ? value.spec : undefined;
  if (got === spec) return value as T;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: spec: expected ${spec}, got ${JSON.stringify(got)}`, {
    next: `aiot model ${step}`,
  });
}
