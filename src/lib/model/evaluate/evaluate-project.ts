import { type Project, writeJsonAtomic } from '../../core/index.js';
import { arenaBytes } from '../../runtime/index.js';
import { readBuilt } from '../built.js';
import { voteAll } from '../bundle/vote.js';
import type { DataSource } from '../dataset.js';
import { buildFiles } from '../files.js';
import { unfit } from '../train/examples.js';
import { standardizeAll } from '../train/standardize.js';
import type { Examples } from '../train/types.js';
import { gateError, gatesFrom, type Limit, limitsOf } from './gates.js';
import { classFigures, metricsOf, wilsonInterval } from './metrics.js';
import { predictInt8, predictLiteRt, type Runtime } from './predict.js';
import type { EvaluateResult } from './result.js';
import type { EvaluationFile } from './types.js';
import { warningsOf } from './warnings.js';

export interface EvaluateOptions extends DataSource {
  project: Project;
  /** Whose figures of the quantized network come first: `device` unless told. */
  runtime?: Runtime;
  /** Limits besides those of model.accept. */
  limits?: readonly Limit[];
  signal?: AbortSignal;
}

/**
 * Measures the float and the int8 network on the test recordings, which were never trained on, and writes
 * build/evaluation.json. It returns also when a gate says no: `gateError(result.gates)` is the refusal.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT (no test window)
 */
export async function evaluateProject(options: EvaluateOptions): Promise<EvaluateResult> {
  const { project, signal } = options;
  const { training, float, int8, dataset, examples } = await readBuilt(project, options);
  const { digest } = int8;
  const { classes, standardization } = training;
  const test = examples('test');
  if (test.classes.length === 0) throw unfit('the test recordings are all shorter than one window');
  const inputs = standardizeAll(test, standardization);
  const measure = (predicted: ArrayLike<number>) => metricsOf(test.classes, predicted, classes.length);
  const floatMetrics = measure(await predictLiteRt(float.bytes, inputs));
  signal?.throwIfAborted();
  const onDevice = predictInt8(int8.graph, test, standardization);
  const inLiteRt = await predictLiteRt(int8.bytes, inputs);
  signal?.throwIfAborted();
  const int8Metrics = measure(onDevice);
  const arena = arenaBytes(int8.graph);
  const gates = gatesFrom([...limitsOf(project.config.model.accept), ...(options.limits ?? [])], {
    macroF1: int8Metrics.macroF1,
    accuracy: int8Metrics.accuracy,
    drop: floatMetrics.macroF1 - int8Metrics.macroF1,
    arena,
    bytes: int8.bytes.length,
  });
  const result: EvaluateResult = {
    model: training.model,
    digest,
    datasetDigest: dataset.digest,
    classes,
    float: floatMetrics,
    int8: int8Metrics,
    litert: measure(inLiteRt),
    voted: measure(voteAll(onDevice, test.recordings, project.config.model.vote)),
    perClass: classFigures(int8Metrics.confusion, classes),
    interval: wilsonInterval(int8Metrics.accuracy, int8Metrics.windows),
    agreement: onDevice.filter((c, i) => c === inLiteRt[i]).length / onDevice.length,
    arenaBytes: arena,
    gates,
    passed: gates.every(({ passed }) => passed),
    warnings: warningsOf(classes, int8Metrics.confusion, recordingsPerClass(test)),
    error: gateError(gates)?.toJSON() ?? null,
  };
  const file: EvaluationFile = { spec: 'aiot-evaluation/1', vote: project.config.model.vote, ...result };
  await writeJsonAtomic(buildFiles(project).evaluation, file);
  return result;
}

function recordingsPerClass({ classes, recordings }: Examples): Map<number, number> {
  const seen = new Map<number, Set<string>>();
  recordings.forEach((id, i) => {
    const c = classes[i]!;
    seen.set(c, (seen.get(c) ?? new Set()).add(id));
  });
  return new Map([...seen].map(([c, ids]) => [c, ids.size]));
}
