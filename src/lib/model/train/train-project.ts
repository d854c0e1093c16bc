import { rm } from 'node:fs/promises';
import { canonicalJson, digestOf } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { requireWritable, writeFileAtomic, writeJsonAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import { checkBand } from '../../data/check/band.js';
import { writeTflite } from '../../formats/tflite/write.js';
import type { Backend } from '../engine/types.js';
import { proportionOf } from '../evaluate/intervals.js';
import { metadataOf } from '../file-metadata.js';
import { buildFiles, modelName } from '../files.js';
import { type DataSource, type Material, openMaterial } from '../material.js';
import type { NetworkKind } from '../network/layers.js';
import { metricsOfTraining, RunRecorder } from '../runs/recorder.js';
import { openBackbone } from './backbone.js';
import { divide, leaksOf } from './examples/divide.js';
import { type Division, lessonsOf, piecesOfPart } from './examples/parts.js';
import { fitStandardization, standardizeAll } from './examples/standardize.js';
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './fit/checkpoint.js';
import { targetScale, together } from './fit/fit-lesson.js';
import { linearLayer, linearOutputs } from './fit/fit-linear.js';
import { type Answers, answersOf } from './fit/loss.js';
import { classFactors, hasClasses } from './fit/part.js';
import { foldsOf } from './folds.js';
import { isSmall, type Learned, type learn, type TrainConfig } from './learn.js';
import { trainerOf } from './learn-forest.js';
import { lineageOf, sourceOf } from './lineage.js';
import { type Plan, planTraining } from './plan.js';
import { type FoldsAsked, resultOf, type TrainResult } from './result.js';
import type { EpochFigures, Lesson, TrainingFile } from './types.js';

export interface TrainOptions extends DataSource {
  project: Project;
  /** Explicitly requested kind, which is not replaced if it does not fit. */
  kind?: NetworkKind;
  /** Explicitly requested split, which is not replaced if it does not fit. */
  split?: 'recording' | 'device' | 'time' | 'window';
  /** Default: `auto`. */
  backend?: Backend;
  /** Trains even if the split has leaks; the result reports them. */
  force?: boolean;
  /** Resumes a stopped training run. */
  resume?: boolean;
  /** Runs a cross-validation before the network itself is trained. */
  folds?: FoldsAsked;
  /** Produces the network, instead of aiot's engines or model.train.command. */
  trainer?: typeof learn;
  /** Whether to record the training run in build/runs/. */
  record?: boolean;
  onEpoch?: (figures: EpochFigures) => void;
  /** Reports activities other than epochs, in a few words. */
  onStep?: (text: string) => void;
  signal?: AbortSignal;
}

/**
 * Trains the project's network on recordings or on the rows of a table, and writes build/model.float.tflite and build/training.json. On an
 * error, neither file is written. If training is stopped, the result so far is written before the error is thrown.
 * @throws AIOT_DATA_* (AIOT_DATA_LEAK: exit 6), AIOT_LABEL_UNKNOWN, AIOT_TRAINING_DATA_UNFIT, AIOT_MODEL_UNFIT, AIOT_TRAINING_DIVERGED,
 *   AIOT_BACKEND_MISSING, AIOT_MODEL_NOT_BUILT and AIOT_MODEL_STALE (resume), AIOT_INTERRUPTED
 */
export async function trainProject(options: TrainOptions): Promise<TrainResult> {
  const { project, backend = 'auto', signal } = options;
  const material = await openMaterial(project, options);
  const backbone = await openBackbone(project);
  const plan = planTraining(project, material, options.kind, backbone);
  const division = divide(project, material, plan, options.split);
  const leaks = leaksOf(material, division, options.force);
  const run = runDigest(project, material, division, backend, backbone?.digest);
  const from = options.resume ? await resumed(buildFiles(project).checkpoint, run) : undefined;
  signal?.throwIfAborted();
  const examples = lessonsOf(material, division, project.config.model.train);
  await requireWritable(buildFiles(project).float);
  const recorder = options.record
    ? await RunRecorder.begin({ project, material, division, plan, leaks })
    : null;
  const prepared = { material, plan, division, leaks, run, from, examples, recorder };
  try {
    return await trainPrepared(options, prepared);
  } catch (error) {
    await recorder?.fail(error, signal?.aborted === true);
    throw error;
  }
}

/** A training run whose data and settings have been checked. */
interface Prepared {
  material: Material;
  plan: Plan;
  division: Division;
  leaks: string[];
  /** See `runDigest`. */
  run: string;
  from: Checkpoint | undefined;
  examples: Record<'train' | 'validation', Lesson>;
  recorder: RunRecorder | null;
}

async function trainPrepared(options: TrainOptions, prepared: Prepared): Promise<TrainResult> {
  const { project, backend = 'auto', signal } = options;
  const { material, plan, division, leaks, run, from, examples, recorder } = prepared;
  const { train } = project.config.model;
  const started = performance.now();
  const files = buildFiles(project);
  const folds = options.folds
    ? await foldsOf(options.folds, { ...options, backend, material, plan, division })
    : null;
  const windows = { train: examples.train.classes.length, validation: examples.validation.classes.length };
  const baseline = baselineOf(material, division, plan, train.classWeights, examples);
  const learned = await (options.trainer ?? trainerOf(train, plan.network.kind))(examples, {
    plan,
    train,
    backend,
    description: modelName(project),
    folder: project.dir,
    from,
    onCheckpoint: (state) => writeCheckpoint(files.checkpoint, run, state),
    onEpoch: options.onEpoch,
    onStep: options.onStep,
    refit: true,
    signal,
  });
  const validation = learned.interrupted ? null : validationOf(material, division, learned);
  learned.dispose();
  const { standardization } = learned;
  const told = {
    model: modelName(project),
    classes: plan.classes.names,
    standardization,
    network: learned.network,
  };
  const bytes = writeTflite(learned.graph, { metadata: metadataOf(told) });
  const before = learned.refitted === null ? null : writeTflite(learned.chosen.graph);
  const chosen = before && {
    digest: digestOf(before),
    standardization: learned.chosen.standardization,
  };
  const training: TrainingFile = {
    spec: 'aiot-training/2',
    model: modelName(project),
    network: learned.network,
    classes: plan.classes.names,
    labels: plan.classes.labels,
    threshold: learned.threshold,
    ...(plan.state === 'window' && { state: plan.state }),
    temperature: learned.temperature ?? null,
    signal: plan.signal,
    standardization: learned.standardization,
    source: sourceOf(project, material, division),
    split: division.split,
    windows,
    lineage: lineageOf(project, material, division.split),
    history: learned.history,
    bestEpoch: learned.bestEpoch,
    refitted: learned.refitted,
    choice: learned.choice,
    chosen,
    baseline,
    interrupted: learned.interrupted,
    seconds: Math.round(performance.now() - started) / 1000,
    backend: learned.backend,
    leaks,
    notes: [...plan.notes, ...bandNotes(material, plan), ...calibrationNotes(learned.temperature)],
    digest: digestOf(bytes),
  };
  await writeFileAtomic(files.float, bytes);
  if (before) await writeFileAtomic(files.chosen, before);
  else await rm(files.chosen, { force: true });
  await writeJsonAtomic(files.training, training);
  const result = resultOf(files.float, training, bytes.length, learned.valRmse, validation, folds);
  const { interrupted } = learned;
  await recorder?.end({
    state: interrupted ? 'interrupted' : 'done',
    metrics: metricsOfTraining(result),
    backend: learned.backend,
    linear: learned.choice?.kept === 'linear',
    files: new Map<string, Uint8Array | string>([
      ['model.float.tflite', bytes],
      ['training.json', jsonText(training)],
      ...(folds ? [['folds.json', jsonText(folds)] as const] : []),
    ]),
  });
  if (interrupted) throw stopped(training);
  return { ...result, run: recorder?.run ?? null };
}

/** Warns if the features exclude the frequencies in which the classes differ. */
function bandNotes({ dataset, rows }: Material, { classes, signal, network }: Plan): string[] {
  if (rows !== null || network.output.kind !== 'classes') return [];
  const classOf = new Map(
    Object.entries(classes.labels).flatMap(([name, labels]) => labels.map((label) => [label, name])),
  );
  return checkBand(dataset, signal, classOf).map(({ message, advice }) => `${message}. ${advice}`);
}

function calibrationNotes(temperature: number | null | undefined): string[] {
  if (temperature === null || temperature === undefined) return [];
  return [
    `the shares of the classes are calibrated on the validation set: outputs are divided by ${temperature}`,
  ];
}

const jsonText = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;

/** A linear model's metrics on the same parts as the network's. Examples are not modified. */
function baselineOf(
  material: Material,
  division: Division,
  plan: Plan,
  classWeights: 'balanced' | 'none',
  { train, validation }: { train: Lesson; validation: Lesson },
): Baseline | null {
  const model = linearModel(train, plan, classWeights);
  if (model === null) return null;
  const small = isSmall(plan, train, validation);
  const last = small ? linearModel(together(train, validation), plan, classWeights)! : model;
  const val = figuresOf(model, plan, [validation]);
  const test = figuresOf(last, plan, piecesOfPart(material, division, 'test').pieces());
  return {
    ...{ valAccuracy: val.accuracy, valRmse: val.rmse },
    ...{ testAccuracy: test.accuracy, testRmse: test.rmse },
  };
}

/** The accuracy on the part that was used to choose the epoch, from `proportionOf`. */
function validationOf(material: Material, division: Division, learned: Learned) {
  const { history, bestEpoch, chosen } = learned;
  if ((history[bestEpoch - 1]?.valAccuracy ?? null) === null) return null;
  const right: boolean[] = [];
  const groups: string[] = [];
  for (const piece of piecesOfPart(material, division, 'validation').pieces()) {
    const { classes } = chosen.answers(piece);
    for (const [row, truth] of piece.classes.entries()) right.push(classes[row] === truth);
    groups.push(...piece.recordings);
  }
  return proportionOf(right.length, (row) => right[row]!, groups);
}

/** Digest of everything that determines how a training run continues. The number of epochs and the patience may change. */
function runDigest(
  { config }: Project,
  { dataset }: Material,
  { network, signal, split, parts }: Division,
  backend: Backend,
  backbone: string | undefined,
): string {
  const { epochs: _, patience: __, ...train } = config.model.train;
  const begins = backbone === undefined ? {} : { backbone };
  return digestOf(
    canonicalJson({ network, signal, split, parts, data: dataset.digest, train, backend, ...begins }),
  );
}

async function resumed(file: string, run: string): Promise<Checkpoint> {
  try {
    return await readCheckpoint(file, run);
  } catch (error) {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_MODEL_NOT_BUILT', `${file} does not exist, so training cannot be resumed`, {
      cause: error,
      next: 'Train from the start with `aiot model train`.',
    });
  }
}

function stopped({ history, bestEpoch }: TrainingFile): AiotError {
  const { epochs, valLoss } = history[bestEpoch - 1]!;
  return new AiotError(
    'AIOT_INTERRUPTED',
    `stopped after epoch ${history.length} of ${epochs}; the best epoch so far, ${bestEpoch} (validation loss ${valLoss.toPrecision(3)}), is in build/model.float.tflite`,
    {
      next: 'Continue with `aiot model train --resume`, or quantize the saved model with `aiot model quantize`.',
    },
  );
}

/** Metrics of a linear model on the same examples as the network; null if a metric does not apply. */
export interface Baseline {
  /** Accuracy on the validation set, after training on the training set. */
  valAccuracy: number | null;
  /** Root mean squared error on the validation set, in the unit of the values. */
  valRmse: number | null;
  /** Metrics on the test set, for a linear model trained on the same rows as the written model. */
  testAccuracy?: number | null;
  testRmse?: number | null;
}

/** Predicts with a linear model; the examples are not modified. */
type LinearModel = (asked: Lesson) => Answers;

/**
 * A linear model for comparison in every training run: `linearLayer` on standardized inputs. If the network is no better, it is too large
 * for the data, or there is too little data. Classes have the same weights as for the network.
 * @returns null for a reconstruction and objects, and if there are no examples
 */
export function linearModel(
  train: Lesson,
  { network }: Pick<Plan, 'network'>,
  classWeights: TrainConfig['classWeights'],
): LinearModel | null {
  const { kind } = network.output;
  if (kind === 'reconstruction' || kind === 'objects' || train.classes.length === 0) return null;
  const by = fitStandardization(train);
  const target = targetScale(train.values);
  const values = target && train.values!.map((value) => (value - target.mean) / target.deviation);
  const part = { ...train, inputs: standardizeAll(train, by), values };
  const layer = linearLayer(part, network.output, classFactors(train.classes, network, classWeights));
  return (asked) => {
    const inputs = standardizeAll(asked, by);
    const outputs = linearOutputs(layer, inputs);
    const scaled = target ? outputs.map((z) => z * target.deviation + target.mean) : outputs;
    // A sigmoid is one half at 0.
    return answersOf(scaled, inputs, network, 0);
  };
}

/** A model's share of correct predictions, or its root mean squared error; both null without examples. */
export function figuresOf(
  model: LinearModel,
  { network }: Pick<Plan, 'network'>,
  pieces: Iterable<Lesson>,
): { accuracy: number | null; rmse: number | null } {
  const classes = hasClasses(network.output.kind);
  let [count, right, squares] = [0, 0, 0];
  for (const piece of pieces) {
    const answers = model(piece);
    count += piece.classes.length;
    for (let row = 0; row < piece.classes.length; row++) {
      if (classes) right += answers.classes[row] === piece.classes[row] ? 1 : 0;
      else squares += (answers.values[row]! - piece.values![row]!) ** 2;
    }
  }
  if (count === 0) return { accuracy: null, rmse: null };
  return { accuracy: classes ? right / count : null, rmse: classes ? null : Math.sqrt(squares / count) };
}
