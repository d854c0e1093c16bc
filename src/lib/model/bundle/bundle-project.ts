import { AiotError, digestOf, type Project, readBytes, writeFileAtomic } from '../../core/index.js';
import type { NetworkMode } from '../../formats/index.js';
import { type Built, readBuilt } from '../built.js';
import type { DataSource } from '../dataset.js';
import { gateFigures } from '../evaluate/evaluate-project.js';
import { type EvaluationFile, gatesFrom } from '../evaluate/gates.js';
import { buildFiles, modelName, readEvaluation } from '../files.js';
import { stale } from '../fresh.js';
import { answeringOf } from './answer-spec.js';
import { endOf, modeOf } from './ends.js';
import { checkGolden } from './golden.js';
import { goldenOf } from './golden-of.js';
import { packBundle, unpackBundle } from './pack.js';
import { provenanceOf } from './provenance.js';
import type { Provenance } from './provenance-schema.js';
import { requireFigures } from './recheck.js';
import type { Bundle, BundleInfo } from './types.js';

export interface BundleOptions extends DataSource {
  project: Project;
  /** Instead of the project's name for the model. */
  name?: string;
  /** Of a pipeline, whose step this is. */
  run?: Provenance['run'];
}

/**
 * Puts the evaluated network, its signal part, golden vectors from held-out data and its lineage into build/model.aiot. The
 * figures of the evaluation are counted again, and what was written down is unpacked and run before the file is made.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_MODEL_UNFIT, AIOT_GOLDEN_MISMATCH, AIOT_TFLITE_UNSUPPORTED
 */
export async function bundleProject(
  options: BundleOptions,
): Promise<{ file: string; bytes: Uint8Array; digest: string; bundle: Bundle }> {
  const { project } = options;
  const built = await readBuilt(project, options);
  const evaluation = await readEvaluation(project);
  if (evaluation.digest !== built.int8.digest || evaluation.datasetDigest !== built.dataset.digest) {
    throw stale(
      'the quantized network or its data has changed since it was evaluated',
      'aiot model evaluate',
    );
  }
  const evaluationDigest = digestOf(await readBytes(buildFiles(project).evaluation));
  const mode = modeOf(built.int8.graph);
  const info = infoOf(built, evaluation, {
    name: options.name ?? modelName(project),
    mode,
    evaluationDigest,
  });
  requireFigures(built, info);
  const evaluated = { digest: evaluationDigest, vote: evaluation.vote };
  const lineage = provenanceOf(built, mode, evaluated, options.run);
  const golden = goldenOf(built.int8.graph, info, built);
  const bytes = packBundle({ info, model: built.int8.bytes, golden, lineage });
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

interface Named {
  name: string;
  mode: NetworkMode;
  evaluationDigest: string;
}

function infoOf({ training, int8 }: Built, evaluation: EvaluationFile, named: Named): BundleInfo {
  const { float, int8: quantized, voted, vote, interval, intervals, groups, folds } = evaluation;
  // Counted anew from the figures, which are checked: what the file says of its gates is not looked at.
  const gates = gatesFrom(evaluation.gates, gateFigures(evaluation));
  return {
    spec: 'aiot-bundle/2',
    kind: 'model',
    name: named.name,
    signal: training.signal,
    standardization: training.standardization,
    ...answeringOf(training, vote),
    quantization: { mode: named.mode },
    arenaBytes: runnable(evaluation),
    input: endOf(int8.graph, 'inputs'),
    output: endOf(int8.graph, 'outputs'),
    metrics: { float, int8: { ...quantized, groups, interval, intervals }, voted, ...(folds && { folds }) },
    gates,
    evaluation: named.evaluationDigest,
    lineage: training.lineage,
  };
}

/** Bytes that it needs on a device. @throws AIOT_MODEL_UNFIT */
function runnable({ arenaBytes }: EvaluationFile): number {
  if (arenaBytes !== null) return arenaBytes;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    'TFLite Micro, and so a device, refuses float16 and dynamic range',
    {
      next: 'aiot model quantize --mode int8 && aiot model evaluate',
    },
  );
}
