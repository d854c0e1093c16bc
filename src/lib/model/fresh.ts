import { AiotError, canonicalJson, type Project } from '../core/index.js';
import type { Dataset } from '../data/index.js';
import { signalSpecOf } from '../signal/index.js';
import type { TrainingFile } from './train/types.js';

/**
 * The steps after training go on with what was trained: the same network file, recordings, signal part and labels. Limits,
 * the vote and training options may change in between.
 * @throws AIOT_MODEL_STALE
 */
export function requireSameData(
  project: Project,
  training: TrainingFile,
  dataset: Dataset,
  floatDigest: string,
): void {
  const { config } = project;
  if (floatDigest !== training.digest)
    throw stale('model.float.tflite is not the network that training.json tells of');
  if (dataset.digest !== training.lineage.dataset.digest) {
    throw stale(`the recordings have changed since training (now ${dataset.recordings.length} of them)`);
  }
  if (canonicalJson(config.model.labels) !== canonicalJson(training.labels)) {
    throw stale('model.labels in aiot.yaml has changed since training');
  }
  if (canonicalJson(signalSpecOf(config)) !== canonicalJson(training.signal)) {
    throw stale('the signal part of aiot.yaml has changed since training');
  }
}

export function stale(message: string, next?: string): AiotError {
  return new AiotError('AIOT_MODEL_STALE', message, next === undefined ? {} : { next });
}
