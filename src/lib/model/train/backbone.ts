import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Project } from '../../core/project.js';
import { elementCount } from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { standardizationIn } from '../file-metadata.js';
import { readNetwork } from '../files.js';
import { readModelFile } from '../inspect/model-file.js';
import { type Backbone, featuresOf, gridFeaturesOf } from '../network/transfer.js';

/**
 * The network named in model.train.from, without its last layer; null if training starts from random weights.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_MODEL_NOT_BUILT (a project without a trained model), AIOT_TFLITE_*, AIOT_BUNDLE_MALFORMED,
 * AIOT_MODEL_UNFIT
 */
export async function openBackbone({ dir, config }: Project): Promise<Backbone | null> {
  const { kind, train } = config.model;
  const { from } = train;
  if (from === undefined) return null;
  if (kind === 'forest' || kind === 'autoencoder' || train.command || train.members > 1) {
    const what = train.command ? 'a training program' : train.members > 1 ? 'members' : `model.kind ${kind}`;
    throw new AiotError('AIOT_MODEL_UNFIT', `model.train.from cannot be used with ${what}`, {
      next: 'Remove model.train.from, or the other setting, from aiot.yaml.',
    });
  }
  const at = resolve(dir, from.model);
  const isFolder = (await stat(at).catch(() => null))?.isDirectory();
  const bytes = isFolder
    ? (await readNetwork(join(at, 'build', 'model.float.tflite'), 'train')).bytes
    : (await readModelFile(at)).network;
  const { graph, metadata } = importTflite(bytes);
  const features = kind === 'fomo' ? gridFeaturesOf(graph, from.model) : featuresOf(graph, from.model);
  const inputs = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return {
    graph: features,
    standardization: standardizationIn(metadata, inputs),
    file: from.model,
    digest: digestOf(bytes),
    trained: from.trained,
  };
}
