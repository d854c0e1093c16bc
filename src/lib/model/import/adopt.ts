import type { Project } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import { type OtherOrder, orderWarning, otherOrder } from '../evaluate/labels.js';
import { confusionOf } from '../evaluate/metrics.js';
import type { learn } from '../train/learn.js';
import { measured, partOf } from '../train/outside/learn-outside.js';
import { checkEnds } from '../train/outside/take-network.js';
import { standardizationFor } from '../train/standardize.js';
import { trainProject } from '../train/train-project.js';
import { inOrderOf } from './class-order.js';
import type { ImportOptions, ImportResult } from './import-model.js';

export interface Adopted {
  file: string;
  validation: ImportResult['validation'];
  /** What should be looked at, in sentences. */
  notes: string[];
}

/**
 * Makes a network the project's own, as if `model train` had given it: the data are split and checked as for training, the network is
 * measured on the validation part, and build/ holds what quantize, evaluate and push need.
 * @throws AIOT_LABELS_UNFIT when `classes` are not the project's; AIOT_MODEL_UNFIT when its input or output is not of the project's sizes; what `trainProject` throws
 */
export async function adoptNetwork(
  graph: Graph,
  project: Project,
  { data, label, classes, inputs = 'raw', force, signal, from }: ImportOptions,
): Promise<Adopted> {
  let examplesMeasured = 0;
  const notes: string[] = [];
  const trainer: typeof learn = async ({ train, validation }, options) => {
    const { network, classes: known } = options.plan;
    checkEnds(graph, from, network);
    const { kind } = network.output;
    const named = classes ?? known.names;
    const own = classes === undefined ? graph : inOrderOf(graph, classes, known.names, kind);
    // Measuring standardizes in place, and the answers below are asked for once more.
    const asked = { ...validation, inputs: validation.inputs.slice() };
    const standardization =
      inputs === 'standardized' ? standardizationFor(train, options.plan) : untouched(train.inputSize);
    const parts = { train: partOf(train, standardization), validation: partOf(validation, standardization) };
    examplesMeasured = validation.classes.length;
    const learned = await measured(own, standardization, parts, options, 'import');
    if (kind === 'classes' || kind === 'probability') {
      const confusion = confusionOf(asked.classes, learned.answers(asked).classes, known.names.length);
      const other = otherOrder(known.names, confusion);
      if (other !== null) notes.push(orderWarning(asOutputs(other, known.names, named)));
    }
    return learned;
  };
  const { metrics, file } = await trainProject({ project, data, label, force, signal, trainer });
  const { valLoss, valAccuracy } = metrics;
  return { file, notes, validation: { examples: examplesMeasured, loss: valLoss, accuracy: valAccuracy } };
}

/** The order found is of the outputs as the project has them: the same in the order that the file has them in. */
function asOutputs(other: OtherOrder, names: readonly string[], named: readonly string[]): OtherOrder {
  return { ...other, classes: named.map((name) => other.classes[names.indexOf(name)]!) };
}

function untouched(inputs: number) {
  return { mean: new Array<number>(inputs).fill(0), deviation: new Array<number>(inputs).fill(1) };
}
