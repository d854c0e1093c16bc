import { join } from 'node:path';
import { canonicalJson, digestOf } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import type { Project } from '../core/project.js';
import { shellWord } from '../core/text.js';
import type { Part } from '../data/parts.js';
import type { Dataset } from '../data/types.js';
import type { Graph } from '../formats/tflite/graph.js';
import { type SignalSpec, signalSpecOf } from '../signal/spec.js';
import { buildFiles, floatStep, readNetwork, readQuantization, readTraining } from './files.js';
import { type DataSource, type Material, openMaterial, type Rows } from './material.js';
import { classesFor } from './train/examples/examples.js';
import { divisionOf, examplesOfPart, type PartPieces, piecesOfPart } from './train/examples/parts.js';
import { labelsOfRows, signalOfRows } from './train/examples/rows.js';
import type { Examples, TrainingFile } from './train/types.js';

/** A float network and the data it was trained on. */
export interface Trained {
  training: TrainingFile;
  float: { bytes: Uint8Array; graph: Graph };
  /** The dataset. A table has no recordings, so only its digest and columns are set. */
  dataset: Dataset;
  /** The table whose rows were used for training; null for recordings. */
  rows: Rows | null;
  /**
   * Returns the examples of one part exactly as training used them. They are recomputed on each call, and inputs are not standardized yet.
   */
  examples(part: Part): Examples;
  /** Like `examples`, but for sequential access, because a table may not fit in memory. */
  part(part: Part): PartPieces;
}

/** A float network and the network quantized from it, with their training data. */
export interface Built extends Trained {
  /** The quantized network. `file` is its name in build/, which includes the mode. */
  int8: { file: string; bytes: Uint8Array; graph: Graph; digest: string };
}

/**
 * Reads the files that `model train` wrote to build/, and the training data.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE
 */
export async function readTrained(project: Project, source: DataSource): Promise<Trained> {
  const training = await readTraining(project);
  const float = await readNetwork(buildFiles(project).float, floatStep(project, training));
  const material = await openMaterial(project, source, training);
  requireSameData(project, training, material, { float: digestOf(float.bytes), data: source.data });
  const division = divisionOf(training);
  const { dataset, rows } = material;
  return {
    training,
    float,
    dataset,
    rows,
    examples: (part) => examplesOfPart(material, division, part),
    part: (part) => piecesOfPart(material, division, part),
  };
}

/**
 * Reads the output of train and quantize from build/ as one consistent unit. All later steps start here, so their metrics and lineage
 * always belong to this network.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE
 */
export async function readBuilt(project: Project, source: DataSource): Promise<Built> {
  const trained = await readTrained(project, source);
  const quantization = await readQuantization(project);
  const int8 = await readNetwork(join(buildFiles(project).folder, quantization.file), 'quantize');
  const digest = digestOf(int8.bytes);
  if (quantization.floatDigest !== trained.training.digest || quantization.digest !== digest) {
    throw stale('the quantized model was made from another training run', 'aiot model quantize');
  }
  return { ...trained, int8: { ...int8, file: quantization.file, digest } };
}

/**
 * Requires that the network file, the recordings or rows, the signal part and the labels are unchanged since training. Limits, smoothing
 * and training options may change in between.
 * @throws AIOT_MODEL_STALE
 */
function requireSameData(
  project: Project,
  training: TrainingFile,
  material: Material,
  given: { float: string; data: string | undefined },
): void {
  const { dataset, rows } = material;
  const outdated = (message: string) => stale(message, newNetwork(project, training));
  if (given.float !== training.digest)
    throw outdated('model.float.tflite is not the model described in training.json');
  if ((rows !== null) !== (training.source.kind === 'table')) {
    throw outdated(
      rows
        ? 'the model was trained on recordings, not on rows'
        : 'the model was trained on rows of a table, not on recordings',
    );
  }
  if (dataset.digest !== training.lineage.dataset.digest) {
    if (!rows && given.data !== undefined) throw otherRecordings(project, training, given.data);
    throw outdated(
      rows
        ? `${rows.file} is not the table used for training: its digest differs`
        : `the recordings have changed since training (there are now ${dataset.recordings.length})`,
    );
  }
  const { labels, signal } = wanted(project, training, material);
  if (canonicalJson(labels) !== canonicalJson(training.labels)) {
    const column =
      rows &&
      `the training labels differ from those in column ${rows.label} of ${rows.file} or in model.labels`;
    throw outdated(column ?? 'model.labels in aiot.yaml has changed since training');
  }
  if ((project.config.model.state ?? 'stream') !== (training.state ?? 'stream')) {
    throw outdated('model.state in aiot.yaml has changed since training');
  }
  if (canonicalJson(signal) !== canonicalJson(training.signal)) {
    throw outdated('the signal section of aiot.yaml has changed since training');
  }
}

/** A model can also be evaluated on recordings that it was not trained on, by their features. */
function otherRecordings(project: Project, { classes }: TrainingFile, data: string): AiotError {
  const [at, from] = [shellWord(project.dir), shellWord(data)];
  return stale(
    `the recordings in ${data} are not those that the model was trained and tested on`,
    `To evaluate the model on other recordings, compute their features first: \`aiot data features --project ${at} --data ${from} --out features.csv\`. Then run \`aiot model evaluate ${shellWord(buildFiles(project).int8)} --data features.csv${classes.length > 1 ? ` --classes ${shellWord(classes.join(','))}` : ''}\`.`,
  );
}

/** Labels and signal part in the current aiot.yaml. */
function wanted(
  project: Project,
  { network }: TrainingFile,
  { rows }: Material,
): { labels: Record<string, string[]>; signal: SignalSpec } {
  const { kind } = network.output;
  const given = project.config.model.labels;
  if (!rows) return { labels: classesFor(kind, given).labels, signal: signalSpecOf(project.config) };
  const { columns, kinds, rows: count } = rows.table;
  const found = kinds === null || kind === 'value' ? {} : labelsOfRows(kinds, count, given).labels;
  return { labels: classesFor(kind, found).labels, signal: signalOfRows(project, columns).signal };
}

/** The next step if the float network does not match the project; undefined = the one of AIOT_MODEL_STALE, which is to train again. */
export function newNetwork(project: Project, training: TrainingFile): string | undefined {
  const step = floatStep(project, training);
  if (step === 'train') return undefined;
  return `Import the model again, with the same flags as before: \`aiot model ${step}\`. Then run \`aiot model quantize\` and \`aiot model evaluate\`.`;
}

export function stale(message: string, next?: string): AiotError {
  return new AiotError('AIOT_MODEL_STALE', message, next === undefined ? {} : { next });
}
