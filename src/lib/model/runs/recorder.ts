import { rmdir } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';
import type { Metric, Parameter } from '../../api/contract/training-runs.js';
import { canonicalJson, digestOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { identify } from '../../core/process.js';
import type { Project } from '../../core/project.js';
import { sampleCount } from '../../data/dataset/open.js';
import { modelName } from '../files.js';
import type { Material } from '../material.js';
import { defaultLayers } from '../network/layers.js';
import type { Division } from '../train/examples/parts.js';
import { configDigestOf, trainingConfig } from '../train/lineage.js';
import type { Plan } from '../train/plan.js';
import type { Candidate, TrainResult } from '../train/result.js';
import {
  nextTrainingRunId,
  removeTrainingRuns,
  runFolder,
  runsFolder,
  type TrainingRun,
  writeTrainingRun,
} from './record.js';

export interface RunStart {
  project: Project;
  material: Material;
  division: Division;
  /** null for a candidate that cannot be planned. */
  plan: Plan | null;
  leaks: string[];
  /** ID that all trials of one search share; absent for a training run. */
  search?: string;
}

interface RunEnd extends Partial<Pick<TrainingRun, 'refused' | 'error'>> {
  state: 'done' | 'interrupted' | 'failed';
  metrics: Record<string, Metric>;
  backend: string | null;
  /** Whether a linear model replaced the configured network. */
  linear?: boolean;
  /** Files to store with the run, by name. */
  files?: ReadonlyMap<string, Uint8Array | string>;
}

/**
 * Records a run from its beginning, so that even a killed process leaves a record, although without an end. The record is replaced
 * atomically, after the run's files are complete.
 */
export class RunRecorder {
  private constructor(
    private readonly dir: string,
    private record: TrainingRun,
  ) {}

  /** @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL */
  static async begin(start: RunStart): Promise<RunRecorder> {
    const { project } = start;
    const now = Date.now();
    const recorder = new RunRecorder(project.dir, {
      ...recordOf(start),
      run: await nextTrainingRunId(project.dir, now),
      started: now,
      process: await identify(process.pid),
    });
    await writeTrainingRun(project.dir, recorder.record);
    return recorder;
  }

  get run(): string {
    return this.record.run;
  }

  /** @throws AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL */
  async end({ state, metrics, backend, files, linear, refused, error }: RunEnd): Promise<void> {
    const folder = runFolder(this.dir, this.run);
    const kept: TrainingRun['files'] = [];
    for (const [name, content] of files ?? []) {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      await writeFileAtomic(join(folder, name), bytes);
      kept.push({ name, bytes: bytes.length, digest: digestOf(bytes) });
    }
    this.record = {
      ...this.record,
      ...{ state, metrics, files: kept, ended: Date.now() },
      params: linear ? { ...this.record.params, chosen: 'linear' } : this.record.params,
      environment: { ...this.record.environment, backend },
      refused: refused ?? [],
      error: error ?? null,
    };
    await writeTrainingRun(this.dir, this.record);
  }

  /** Ends a run with an error. Runs that were stopped or diverged are recorded; after any other error, the run is removed. */
  async fail(error: unknown, stopped: boolean): Promise<void> {
    if (this.record.state !== 'running') return;
    const common = { metrics: {}, backend: null };
    if (stopped) return await this.end({ ...common, state: 'interrupted' });
    if (!hasCode(error, 'AIOT_TRAINING_DIVERGED')) return await this.discard();
    await this.end({ ...common, state: 'failed', error: errorOf(error) });
  }

  private async discard(): Promise<void> {
    await removeTrainingRuns(this.dir, [this.run]);
    const folder = runsFolder(this.dir);
    // Intentionally fails for folders that contain other files.
    for (const each of [folder, dirname(folder)]) await rmdir(each).catch(() => {});
  }
}

function errorOf(error: unknown): TrainingRun['error'] {
  return error instanceof AiotError ? { code: error.code, message: error.message } : null;
}

type Begun = Omit<TrainingRun, 'run' | 'started' | 'process'>;

function recordOf({ project, material, division, plan, leaks, search }: RunStart): Begun {
  const { dataset, rows } = material;
  const { split, parts } = division;
  return {
    spec: 'aiot-training-run/1',
    kind: search === undefined ? 'training' : 'trial',
    state: 'running',
    model: modelName(project),
    search: search ?? null,
    ended: null,
    params: parametersOf(project, rows !== null, plan),
    configDigest: configDigestOf(project),
    seed: project.config.model.train.seed,
    data: {
      name: dataset.name,
      digest: dataset.digest,
      recordings: rows ? (rows.table.groups ?? 0) : dataset.recordings.length,
      samples: rows ? rows.table.rows : sampleCount(dataset.recordings),
    },
    split: { by: split.by, digest: digestOf(canonicalJson({ split, parts })) },
    metrics: {},
    files: [],
    environment: {
      aiot: aiotVersion(),
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      backend: null,
    },
    leaks,
    refused: [],
    error: null,
  };
}

/** Settings under `model` that do not affect the trained network. */
const without = new Set(['name', 'table', 'accept', 'vote', 'quantize']);

/**
 * The settings that determine the network, by their path in aiot.yaml. Defaults are included, so that runs from different versions of the
 * file can be compared. Training runs on a table have no `signal` settings.
 */
function parametersOf({ config }: Project, rows: boolean, plan: Plan | null): Record<string, Parameter> {
  const own = trainingConfig(config).model ?? {};
  const model = Object.fromEntries(Object.entries(own).filter(([name]) => !without.has(name)));
  const kind = plan?.network.kind ?? config.model.kind;
  const usual = kind === 'layers' || kind === 'forest' ? undefined : defaultLayers[kind];
  const layers = config.model.layers ?? usual;
  const found: Record<string, Parameter> = {};
  const add = (path: string, value: unknown): void => {
    if (value === undefined || value === null) return;
    if (Array.isArray(value)) found[path] = listText(value);
    else if (typeof value === 'object')
      for (const [name, each] of Object.entries(value)) add(`${path}.${name}`, each);
    else found[path] = value as Parameter;
  };
  if (!rows) add('signal', config.signal);
  add('model', { ...model, kind, layers });
  return found;
}

/** A list as one value: numbers in the form `32-16`, anything else as JSON. */
function listText(list: readonly unknown[]): string {
  return list.every((each) => typeof each === 'number') ? list.join('-') : JSON.stringify(list);
}

const single = (value: number): Metric => ({ value, interval: null, folds: null });

/** Omits metrics without a finite value, which were not measured. */
function measured(all: Record<string, Metric | number | null | undefined>): Record<string, Metric> {
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, metric]) => {
      if (metric === null || metric === undefined) return [];
      const full = typeof metric === 'number' ? single(metric) : metric;
      // NaN, the value of a loss that could not be measured, does not exist in JSON.
      return Number.isFinite(full.value) ? [[name, full]] : [];
    }),
  );
}

/** A training run's metrics: on the training and validation sets, for the linear baseline, and over folds if measured. */
export function metricsOfTraining({ metrics, baseline, folds, bytes }: TrainResult): Record<string, Metric> {
  const { loss, accuracy, valLoss, valAccuracy, valInterval, valRmse } = metrics;
  const over = (name: 'accuracy' | 'macroF1' | 'rmse'): Metric | null => {
    const mean = folds?.mean[name];
    if (!folds || !mean) return null;
    const each = folds.folds.flatMap((fold) => fold[name] ?? []);
    return { value: mean.mean, interval: mean.interval, folds: each };
  };
  return measured({
    ...{ foldsMacroF1: over('macroF1'), foldsAccuracy: over('accuracy'), foldsRmse: over('rmse') },
    valAccuracy: valAccuracy === null ? null : { value: valAccuracy, interval: valInterval, folds: null },
    ...{ valRmse, valLoss, accuracy, loss },
    linearValAccuracy: baseline?.valAccuracy,
    linearValRmse: baseline?.valRmse,
    floatBytes: bytes,
  });
}

/** Metrics for each of a candidate's inner folds. */
export interface InnerFolds {
  score: (number | null)[];
  accuracy: (number | null)[];
}

/** A search candidate's metrics: over its inner folds, which exclude the test set, and the costs of its int8 network. */
export function metricsOfTrial(
  { score, interval, accuracy, arenaBytes, bytes, macs, latencyUs }: Omit<Candidate, 'pareto'>,
  name: 'macroF1' | 'rmse',
  folds: InnerFolds | null,
): Record<string, Metric> {
  const of = (each: (number | null)[] | undefined) => each?.flatMap((value) => value ?? []) ?? null;
  return measured({
    [name === 'rmse' ? 'innerRmse' : 'innerMacroF1']:
      score === null ? null : { value: score, interval, folds: of(folds?.score) },
    innerAccuracy: accuracy === null ? null : { value: accuracy, interval: null, folds: of(folds?.accuracy) },
    ...{ arenaBytes, int8Bytes: bytes, macs, latencyUs },
  });
}
