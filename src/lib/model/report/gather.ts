import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unless } from '../../core/index.js';
import type { EvaluationFile } from '../evaluate/types.js';
import { type Explanation, readExplanation } from '../explain/saved.js';
import { buildFiles, readEvaluation, readFolds, readQuantization, readTraining } from '../files.js';
import type { TrainingFile } from '../train/types.js';
import type { ReportOptions } from './types.js';

/** All that a report can tell; what has not been done yet, or belongs to an older training, is left out. */
export interface ReportData extends Omit<ReportOptions, 'file' | 'project'> {
  training: TrainingFile;
  evaluation: EvaluationFile | null;
  explanation: Explanation | null;
  bytes: { float: number; int8: number | null };
}

/** @throws AIOT_MODEL_NOT_BUILT when nothing has been trained */
export async function gatherReport({ project, file: _, ...told }: ReportOptions): Promise<ReportData> {
  const training = await readTraining(project);
  const files = buildFiles(project);
  const quantization = await unless('AIOT_MODEL_NOT_BUILT', readQuantization(project));
  const fresh = quantization?.floatDigest === training.digest ? quantization : null;
  const evaluation = fresh ? await unless('AIOT_MODEL_NOT_BUILT', readEvaluation(project)) : undefined;
  const explanation = await readExplanation(project);
  const folds = told.folds ?? (await readFolds(project, training));
  return {
    training,
    evaluation: evaluation && evaluation.digest === fresh?.digest ? evaluation : null,
    explanation: explanation && explanation.digest === fresh?.digest ? explanation : null,
    bytes: {
      float: (await stat(files.float)).size,
      int8: fresh ? (await stat(join(files.folder, fresh.file))).size : null,
    },
    ...told,
    folds,
  };
}
