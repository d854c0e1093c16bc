import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { refuseInputs } from '../../core/files.js';
import { overrideProject, type Project } from '../../core/project.js';
import type { LayerConfig } from '../../core/project-schema.js';
import type { Backend } from '../engine/types.js';
import { openModelProject } from '../material.js';
import type { NetworkKind } from '../network/layers.js';
import { writeReport } from '../report/write-report.js';
import { type SearchFile, searchFileSchema, type TrainResult, trainResultSchema } from './result.js';
import { searchProject } from './search.js';
import { trainProject } from './train-project.js';
import type { EpochFigures } from './types.js';

/** Result of `model train`: a training run, or with --search the candidates. */
export const trainedSchema = z.union([trainResultSchema, searchFileSchema]);

/** Options of `model train`, as given on the command line. */
export interface TrainRequest {
  /** The project's folder. */
  project: string;
  data?: string;
  label?: string;
  epochs?: number;
  batch?: number;
  seed?: number;
  kind?: NetworkKind;
  /** Comma-separated numbers. */
  layers?: string;
  output?: 'classes' | 'probability' | 'value';
  split?: 'recording' | 'device' | 'time' | 'window';
  backend?: Backend;
  folds?: number;
  leaveOneOut?: 'recording' | 'device';
  search?: number;
  resume?: boolean;
  force?: boolean;
  report?: string;
  onEpoch?: (figures: EpochFigures) => void;
  onStep?: (text: string) => void;
  signal?: AbortSignal;
}

/**
 * Trains a model, or searches for one, as requested on the command line. Command-line options override aiot.yaml.
 * @throws AIOT_USAGE, AIOT_FILE_IS_INPUT, and any error of `trainProject` and `searchProject`
 */
export async function trainModel(request: TrainRequest): Promise<TrainResult | SearchFile> {
  const { data, label, kind, split, backend, force, resume, folds, leaveOneOut, search, report } = request;
  const { onEpoch, onStep, signal } = request;
  const project = asked(await openModelProject(request.project, data), request);
  await refuseInputs([report], [data, project.file]);
  const common = { project, data, label, kind, split, backend, force, onStep, signal };
  if (search !== undefined) return await searchProject({ ...common, count: search, record: true });
  const measured = folds !== undefined ? { folds } : leaveOneOut && { leaveOneOut };
  const result = await trainProject({ ...common, resume, folds: measured, onEpoch, record: true });
  const settings = project.config.model.train;
  if (report !== undefined)
    await writeReport({ file: report, project, settings, folds: result.folds, run: result.run });
  return result;
}

function asked(
  project: Project,
  { epochs, batch, seed, kind, layers, output, split }: TrainRequest,
): Project {
  const sizes = layers === undefined ? undefined : sizesOf(layers);
  return overrideProject(project, {
    model: { kind, layers: sizes as number[] | LayerConfig[] | undefined, output, split },
    train: { epochs, batch, seed },
  });
}

function sizesOf(text: string): number[] {
  const sizes = text.split(/[,-]/).map((part) => Number(part || 'none'));
  if (sizes.every((size) => Number.isInteger(size) && size > 0)) return sizes;
  throw new AiotError(
    'AIOT_USAGE',
    `--layers: expected comma-separated numbers such as 32,16, got "${text}"`,
  );
}
