import type { Project } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import type { learn } from '../train/learn.js';
import { measured, partOf } from '../train/outside/learn-outside.js';
import { checkEnds } from '../train/outside/take-network.js';
import { standardizationFor } from '../train/standardize.js';
import { trainProject } from '../train/train-project.js';
import type { ImportOptions, ImportResult } from './import-model.js';

export interface Adopted {
  file: string;
  validation: ImportResult['validation'];
}

/**
 * Makes a network the project's own, as if `model train` had given it: the data are split and checked as for training, the network is
 * measured on the validation part, and build/ holds what quantize, evaluate and push need.
 * @throws AIOT_MODEL_UNFIT when its input or output is not of the project's sizes; what `trainProject` throws
 */
export async function adoptNetwork(
  graph: Graph,
  project: Project,
  { data, label, inputs = 'raw', force, signal, from }: ImportOptions,
): Promise<Adopted> {
  let examplesMeasured = 0;
  const trainer: typeof learn = async ({ train, validation }, options) => {
    checkEnds(graph, from, options.plan.network);
    const standardization =
      inputs === 'standardized' ? standardizationFor(train, options.plan) : untouched(train.inputSize);
    const parts = { train: partOf(train, standardization), validation: partOf(validation, standardization) };
    examplesMeasured = validation.classes.length;
    return await measured(graph, standardization, parts, options, 'import');
  };
  const { metrics, file } = await trainProject({ project, data, label, force, signal, trainer });
  const { valLoss, valAccuracy } = metrics;
  return { file, validation: { examples: examplesMeasured, loss: valLoss, accuracy: valAccuracy } };
}

function untouched(inputs: number) {
  return { mean: new Array<number>(inputs).fill(0), deviation: new Array<number>(inputs).fill(1) };
}
