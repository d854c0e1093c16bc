import { join } from 'node:path';
import { digestOf, type Project } from '../core/index.js';
import type { Dataset, Part } from '../data/index.js';
import type { Graph } from '../formats/index.js';
import type { DataSource } from './dataset.js';
import { buildFiles, readNetwork, readQuantization, readTraining } from './files.js';
import { requireSameData, stale } from './fresh.js';
import { openMaterial, type Rows } from './material.js';
import { divisionOf, examplesOfPart, type PartPieces, piecesOfPart } from './train/examples/parts.js';
import type { Examples, TrainingFile } from './train/types.js';

/** A float network with what it was trained on. */
export interface Trained {
  training: TrainingFile;
  float: { bytes: Uint8Array; graph: Graph };
  /** Of a table: its digest and columns, without recordings. */
  dataset: Dataset;
  /** The table whose rows were trained on, null for recordings. */
  rows: Rows | null;
  /** Exactly the examples that training had in this part, computed anew on each call; inputs before standardization. */
  examples(part: Part): Examples;
  /** The same for whoever looks at one after another: a table may be longer than memory. */
  part(part: Part): PartPieces;
}

/** A float network and the quantized one that was made from it, with what they were trained on. */
export interface Built extends Trained {
  /** `file`: its name in build/, which has the mode in it. */
  int8: { file: string; bytes: Uint8Array; graph: Graph; digest: string };
}

/**
 * What train left in build/, with the data it was trained on, as one whole.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE
 */
export async function readTrained(project: Project, source: DataSource): Promise<Trained> {
  const training = await readTraining(project);
  const float = await readNetwork(buildFiles(project).float, 'train');
  const material = await openMaterial(project, source, training);
  requireSameData(project, training, material, digestOf(float.bytes));
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
 * What train and quantize left in build/, as one whole: all later steps begin with it, so that no figure and no lineage
 * is ever told of a network that it does not belong to.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE
 */
export async function readBuilt(project: Project, source: DataSource): Promise<Built> {
  const trained = await readTrained(project, source);
  const quantization = await readQuantization(project);
  const int8 = await readNetwork(join(buildFiles(project).folder, quantization.file), 'quantize');
  const digest = digestOf(int8.bytes);
  if (quantization.floatDigest !== trained.training.digest || quantization.digest !== digest) {
    throw stale('the quantized network was made from another training', 'aiot model quantize');
  }
  return { ...trained, int8: { ...int8, file: quantization.file, digest } };
}
