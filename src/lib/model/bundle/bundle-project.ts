import { AiotError, digestOf, type Project, writeFileAtomic } from '../../core/index.js';
import type { Dataset } from '../../data/index.js';
import type { Graph } from '../../formats/index.js';
import { readBuilt } from '../built.js';
import type { DataSource } from '../dataset.js';
import { buildFiles, modelName, readEvaluation } from '../files.js';
import { stale } from '../fresh.js';
import { unfit } from '../train/examples.js';
import type { TrainingFile } from '../train/types.js';
import { chooseGolden } from './choose-golden.js';
import { checkGolden, goldenVector } from './golden.js';
import { packBundle, unpackBundle } from './pack.js';
import type { Bundle, BundleInfo, GoldenVector } from './types.js';

export interface BundleOptions extends DataSource {
  project: Project;
  /** Instead of the project's name for the model. */
  name?: string;
}

/**
 * Puts the evaluated int8 network, its signal part and golden vectors from held-out recordings into build/model.aiot; what
 * was written down is unpacked and run before the file is made.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_GOLDEN_MISMATCH
 */
export async function bundleProject(
  options: BundleOptions,
): Promise<{ file: string; bytes: Uint8Array; digest: string; bundle: Bundle }> {
  const { project } = options;
  const built = await readBuilt(project, options);
  const { training, dataset } = built;
  const { bytes: model, graph } = built.int8;
  const evaluation = await readEvaluation(project);
  if (evaluation.digest !== built.int8.digest || evaluation.datasetDigest !== dataset.digest) {
    throw stale('the int8 network or its data has changed since it was evaluated', 'aiot model evaluate');
  }
  const { float, int8, voted, arenaBytes, vote } = evaluation;
  const { signal, standardization, classes, labels, lineage } = training;
  const info: BundleInfo = {
    spec: 'aiot-bundle/1',
    name: options.name ?? modelName(project),
    signal,
    standardization,
    classes,
    labels,
    vote,
    arenaBytes,
    input: endOf(graph, graph.inputs),
    output: endOf(graph, graph.outputs),
    metrics: { float, int8, voted },
    lineage,
  };
  const bytes = packBundle({ info, model, golden: goldenOf(graph, info, training, dataset) });
  const bundle = unpackBundle(bytes);
  const { failures } = checkGolden(bundle);
  if (failures[0]) {
    const { recording, reason } = failures[0];
    throw new AiotError('AIOT_GOLDEN_MISMATCH', `golden vector of ${recording}: ${reason}`);
  }
  const file = buildFiles(project).bundle;
  await writeFileAtomic(file, bytes);
  return { file, bytes, digest: digestOf(bytes), bundle };
}

function endOf(graph: Graph, indices: number[]): BundleInfo['input'] {
  const tensor = graph.tensors[indices[0] ?? -1];
  const { scale = [], zeroPoint = [] } = tensor?.quantization ?? {};
  if (!tensor || scale[0] === undefined || zeroPoint[0] === undefined) {
    throw stale('model.int8.tflite is not an int8 network', 'aiot model quantize');
  }
  return { scale: scale[0], zeroPoint: zeroPoint[0], shape: tensor.shape };
}

/** Test recordings first, then those that only chose the epoch: neither was trained on. */
function goldenOf(graph: Graph, info: BundleInfo, training: TrainingFile, dataset: Dataset): GoldenVector[] {
  const { test, validation } = training.split;
  const heldOut = [...test, ...validation].flatMap((id) => dataset.recordings.filter((r) => r.id === id));
  return info.classes.flatMap((name) => {
    const own = heldOut.filter(({ label }) => label !== null && info.labels[name]?.includes(label));
    const chosen = chooseGolden(own, info);
    if (chosen.length === 0) throw unfit(`class ${name} has no held-out recording as long as one window`);
    return chosen.map(({ recording, samples }) => goldenVector(graph, info, recording, samples));
  });
}
