import { z } from 'zod';
import {
  aiotVersion,
  canonicalJson,
  digestOf,
  type Project,
  writeFileAtomic,
  writeJsonAtomic,
} from '../../core/index.js';
import { type Dataset, type Split, sampleCount, splitDataset } from '../../data/index.js';
import { writeTflite } from '../../formats/index.js';
import { inputShape, type SignalSpec, signalSpecOf } from '../../signal/index.js';
import type { Lineage } from '../bundle/types.js';
import { type DataSource, datasetOfSource } from '../dataset.js';
import { buildFiles, modelName } from '../files.js';
import { lowerNetwork } from '../lower/lower.js';
import { checkTrainable, classesOf, examplesOf, unfit } from './examples.js';
import { fitNetwork } from './fit.js';
import { defaultLayers } from './network.js';
import { fitStandardization, standardizeAll } from './standardize.js';
import type { EpochFigures, Examples, NetworkSpec, TrainingFile } from './types.js';

export const trainResultSchema = z.object({
  /** Name of the model. */
  model: z.string(),
  /** Of the epoch whose weights were kept. */
  metrics: z.object({
    bestEpoch: z.int(),
    loss: z.number(),
    accuracy: z.number(),
    valLoss: z.number(),
    valAccuracy: z.number(),
  }),
  epochs: z.int(),
  seconds: z.number(),
  /** The float network, a .tflite file. */
  file: z.string(),
  bytes: z.int(),
  windows: z.object({ train: z.int(), validation: z.int() }),
});
export type TrainResult = z.output<typeof trainResultSchema>;

export interface TrainOptions extends DataSource {
  project: Project;
  onEpoch?: (figures: EpochFigures) => void;
  signal?: AbortSignal;
}

/**
 * Trains the project's network and writes build/model.float.tflite and build/training.json; both or, on any error, none.
 * @throws AIOT_DATA_*, AIOT_LABEL_UNKNOWN, AIOT_TRAINING_DATA_UNFIT, AIOT_MODEL_UNFIT, AIOT_TRAINING_DIVERGED
 */
export async function trainProject(options: TrainOptions): Promise<TrainResult> {
  const { project, onEpoch, signal } = options;
  const { config } = project;
  const started = performance.now();
  const dataset = await datasetOfSource(project, options);
  checkTrainable(dataset);
  const split = splitDataset(dataset, config.model);
  const spec = signalSpecOf(config);
  const train = examplesOf(dataset, split.train, spec, config);
  const validation = examplesOf(dataset, split.validation, spec, config);
  checkParts({ train, validation }, classesOf(config), spec);
  const raw = spec.features === 'raw';
  const standardization = fitStandardization(train, raw ? spec.fields.length : undefined);
  const network: NetworkSpec = {
    kind: config.model.kind as 'mlp' | 'cnn1d',
    inputShape: config.model.kind === 'mlp' ? [train.inputSize] : inputShape(spec),
    layers: [...((config.model.layers as number[]) ?? defaultLayers[config.model.kind as 'mlp' | 'cnn1d'])],
    classes: classesOf(config).length,
  };
  const fitted = await fitNetwork({
    ...config.model.train,
    spec: network,
    train: { inputs: standardizeAll(train, standardization), classes: train.classes },
    validation: { inputs: standardizeAll(validation, standardization), classes: validation.classes },
    // Samples next to each other say the same thing: noise averages out over a window, and blurs features more.
    noise: raw ? 0.1 : 0.5,
    onEpoch,
    signal,
  });
  const bytes = writeTflite(lowerNetwork(fitted.network, modelName(project)));
  const file = buildFiles(project).float;
  const seconds = Math.round(performance.now() - started) / 1000;
  const windows = { train: train.classes.length, validation: validation.classes.length };
  const training: TrainingFile = {
    spec: 'aiot-training/1',
    model: modelName(project),
    network,
    classes: classesOf(config),
    labels: config.model.labels,
    signal: spec,
    standardization,
    split,
    windows,
    lineage: lineageOf(project, dataset, split),
    history: fitted.history,
    bestEpoch: fitted.bestEpoch,
    seconds,
    digest: digestOf(bytes),
  };
  await writeFileAtomic(file, bytes);
  await writeJsonAtomic(buildFiles(project).training, training);
  const { epoch: bestEpoch, loss, accuracy, valLoss, valAccuracy } = fitted.history[fitted.bestEpoch - 1]!;
  return {
    model: training.model,
    metrics: { bestEpoch, loss, accuracy, valLoss, valAccuracy },
    epochs: fitted.history.length,
    seconds,
    file,
    bytes: bytes.length,
    windows,
  };
}

function checkParts(
  parts: Record<'train' | 'validation', Examples>,
  classes: string[],
  spec: SignalSpec,
): void {
  for (const [part, { classes: found }] of Object.entries(parts)) {
    const missing = classes.filter((_, c) => !found.includes(c));
    if (missing.length > 0 && (part === 'train' || found.length === 0)) {
      throw unfit(
        `the ${part} part has no window of class ${missing.join(', ')}: its recordings are shorter than one window (${spec.windowSamples} samples at ${spec.resampleHz} Hz), or there are none`,
      );
    }
  }
}

function lineageOf(project: Project, dataset: Dataset, split: Split): Lineage {
  return {
    dataset: {
      name: dataset.name,
      digest: dataset.digest,
      recordings: dataset.recordings.length,
      samples: sampleCount(dataset.recordings),
    },
    split,
    configDigest: digestOf(canonicalJson(project.config)),
    aiot: aiotVersion(),
    created: Date.now(),
  };
}
