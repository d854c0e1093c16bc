import { digestOf, type Project } from '../core/index.js';
import type { Dataset } from '../data/index.js';
import type { Graph } from '../formats/index.js';
import { type DataSource, datasetOfSource } from './dataset.js';
import { buildFiles, readNetwork, readQuantization, readTraining } from './files.js';
import { requireSameData, stale } from './fresh.js';
import type { TrainingFile } from './train/types.js';

/** A float network and the int8 one that was made from it, with what they were trained on. */
export interface Built {
  training: TrainingFile;
  float: { bytes: Uint8Array; graph: Graph };
  int8: { bytes: Uint8Array; graph: Graph; digest: string };
  dataset: Dataset;
}

/**
 * What train and quantize left in build/, as one whole: all later steps begin with it, so that no figure and no lineage
 * is ever told of a network that it does not belong to.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE
 */
export async function readBuilt(project: Project, source: DataSource): Promise<Built> {
  const training = await readTraining(project);
  const files = buildFiles(project);
  const float = await readNetwork(files.float, 'train');
  const int8 = await readNetwork(files.int8, 'quantize');
  const quantization = await readQuantization(project);
  const digest = digestOf(int8.bytes);
  if (quantization.floatDigest !== training.digest || quantization.digest !== digest) {
    throw stale('the int8 network was made from another training', 'aiot model quantize');
  }
  const dataset = await datasetOfSource(project, source);
  requireSameData(project, training, dataset, digestOf(float.bytes));
  return { training, float, int8: { ...int8, digest }, dataset };
}
