import {
  aiotVersion,
  canonicalJson,
  digestOf,
  type Project,
  writeFileAtomic,
  writeJsonAtomic,
} from '../../core/index.js';
import { checkSplit, leakError, type Split, sampleCount } from '../../data/index.js';
import { writeTflite } from '../../formats/index.js';
import type { Lineage } from '../bundle/types.js';
import type { DataSource } from '../dataset.js';
import { buildFiles, modelName } from '../files.js';
import { lowerNetwork } from '../lower/lower.js';
import { type Material, openMaterial } from '../material.js';
import type { NetworkKind } from '../network/types.js';
import { unfit } from './examples.js';
import { fitNetwork } from './fit.js';
import { type Division, examplesOfPart } from './parts.js';
import { type Plan, planTraining } from './plan.js';
import type { TrainResult } from './result.js';
import { examplesOfRows } from './rows/examples.js';
import { splitRows } from './rows/split.js';
import { splitRecordings } from './split.js';
import { fitStandardization, standardizeAll } from './standardize.js';
import type { EpochFigures, Examples, TrainingFile } from './types.js';

export interface TrainOptions extends DataSource {
  project: Project;
  /** Column of a table with labels or values; `label` unless told. */
  label?: string;
  /** Kind that was asked for on the spot: no other takes its place where it does not fit. */
  kind?: NetworkKind;
  /** Train although the split leaks; the result says so. */
  force?: boolean;
  onEpoch?: (figures: EpochFigures) => void;
  signal?: AbortSignal;
}

/**
 * Trains the project's network on recordings or on the rows of a table, and writes build/model.float.tflite and
 * build/training.json; both or, on any error, none.
 * @throws AIOT_DATA_*, AIOT_LABEL_UNKNOWN, AIOT_TRAINING_DATA_UNFIT, AIOT_MODEL_UNFIT, AIOT_TRAINING_DIVERGED
 */
export async function trainProject(options: TrainOptions): Promise<TrainResult> {
  const { project, onEpoch, signal } = options;
  const { config } = project;
  const started = performance.now();
  const material = await openMaterial(project, options);
  const plan = planTraining(project, material, options.kind);
  const division = divide(project, material, plan);
  const leaks = leaksOf(material, division, options.force);
  const train = examplesOfPart(material, division, 'train');
  const validation = examplesOfPart(material, division, 'validation');
  checkParts({ train, validation }, plan);
  const { network } = plan;
  const standardization = fitStandardization(train, plan.windows ? plan.signal.fields.length : undefined);
  const fitted = await fitNetwork({
    ...config.model.train,
    spec: {
      kind: network.kind as 'mlp' | 'cnn1d',
      inputShape: network.inputShape,
      layers: (config.model.layers as number[]) ?? [32, 16],
      classes: plan.classes.names.length,
    },
    train: { inputs: standardizeAll(train, standardization), classes: train.classes },
    validation: { inputs: standardizeAll(validation, standardization), classes: validation.classes },
    // Samples next to each other say the same thing: noise averages out over a window, and blurs features more.
    noise: material.rows ? 0 : plan.windows ? 0.1 : 0.5,
    onEpoch,
    signal,
  });
  const bytes = writeTflite(lowerNetwork(fitted.network, modelName(project)));
  const training: TrainingFile = {
    spec: 'aiot-training/2',
    model: modelName(project),
    network,
    classes: plan.classes.names,
    labels: plan.classes.labels,
    threshold: null,
    signal: plan.signal,
    standardization,
    source: sourceOf(material, division),
    split: division.split,
    windows: { train: train.classes.length, validation: validation.classes.length },
    lineage: lineageOf(project, material, division.split),
    history: fitted.history,
    bestEpoch: fitted.bestEpoch,
    interrupted: false,
    seconds: Math.round(performance.now() - started) / 1000,
    backend: 'tfjs-wasm',
    leaks,
    notes: plan.notes,
    digest: digestOf(bytes),
  };
  await writeFileAtomic(buildFiles(project).float, bytes);
  await writeJsonAtomic(buildFiles(project).training, training);
  return resultOf(project, training, bytes.length);
}

/** Which examples are in which part. @throws AIOT_DATA_*, AIOT_LABEL_UNKNOWN */
export function divide({ config }: Project, material: Material, plan: Plan): Division {
  const { network, classes, signal } = plan;
  const base = { network, classes, signal };
  const { kind } = network.output;
  const { rows, dataset } = material;
  if (!rows) return { ...base, split: splitRecordings(dataset, config.model, kind, classes), parts: null };
  const all = examplesOfRows(rows, classes, kind === 'value');
  const { split, train } = config.model;
  const wanted = { names: classes.names, output: kind, wanted: split, seed: train.seed };
  return { ...base, ...splitRows(rows.table, { ...wanted, classes: all.classes }) };
}

/** Sentences about the leaks of a split that is used all the same. @throws AIOT_DATA_LEAK unless told to go on */
export function leaksOf({ dataset, rows }: Material, { split, signal }: Division, force?: boolean): string[] {
  if (rows) return [];
  const findings = checkSplit(dataset, split, signal);
  const error = leakError(findings);
  if (error && !force) throw error;
  return findings
    .filter(({ kind, severity }) => kind === 'leak' && severity === 'error')
    .map(({ message }) => message);
}

function checkParts(
  parts: Record<'train' | 'validation', Examples>,
  { network, classes, signal, windows }: Plan,
): void {
  const needed = network.output.kind === 'value' ? [] : classes.names;
  for (const [part, { classes: found }] of Object.entries(parts)) {
    const missing = needed.filter((_, c) => !found.includes(c));
    const normalOnly = network.output.kind === 'reconstruction';
    if (found.length === 0 || (missing.length > 0 && part === 'train' && !normalOnly)) {
      const of = missing.length > 0 && !normalOnly ? ` of class ${missing.join(', ')}` : '';
      const short = windows || signal.windowSamples > 1;
      throw unfit(
        short
          ? `the ${part} part has no window${of}: its recordings are shorter than one window (${signal.windowSamples} samples at ${signal.resampleHz} Hz), or there are none`
          : `the ${part} part has no row${of}`,
      );
    }
  }
}

function sourceOf({ rows }: Material, { parts }: Division): TrainingFile['source'] {
  if (!rows) return { kind: 'recordings' };
  const { table, file, label } = rows;
  return { kind: 'table', file, label, columns: table.columns, parts: parts ?? '' };
}

function lineageOf(project: Project, { dataset, rows }: Material, split: Split): Lineage {
  return {
    dataset: {
      name: dataset.name,
      digest: dataset.digest,
      recordings: rows ? new Set(rows.table.groups ?? []).size : dataset.recordings.length,
      samples: rows ? rows.table.rows : sampleCount(dataset.recordings),
    },
    split,
    configDigest: digestOf(canonicalJson(project.config)),
    aiot: aiotVersion(),
    created: Date.now(),
  };
}

export function resultOf(project: Project, training: TrainingFile, bytes: number): TrainResult {
  const best = training.history[training.bestEpoch - 1]!;
  const { loss, accuracy, valLoss, valAccuracy } = best;
  return {
    model: training.model,
    output: training.network.output.kind,
    classes: training.classes,
    metrics: { bestEpoch: training.bestEpoch, loss, accuracy, valLoss, valAccuracy },
    epochs: training.history.length,
    seconds: training.seconds,
    backend: training.backend,
    file: buildFiles(project).float,
    bytes,
    digest: training.digest,
    windows: training.windows,
    split: training.split.by,
    threshold: training.threshold,
    leaks: training.leaks,
    notes: training.notes,
  };
}
