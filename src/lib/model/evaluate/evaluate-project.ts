import { z } from 'zod';
import { digestOf, type Project, writeJsonAtomic } from '../../core/index.js';
import { arenaBytes } from '../../runtime/index.js';
import { voteAll } from '../bundle/vote.js';
import { type DataSource, datasetOfSource } from '../dataset.js';
import { buildFiles, readNetwork, readQuantization, readTraining } from '../files.js';
import { requireSameData, stale } from '../fresh.js';
import { examplesOf, unfit } from '../train/examples.js';
import { standardizeAll } from '../train/standardize.js';
import type { Examples } from '../train/types.js';
import { gateError, gatesOf } from './gates.js';
import { classFigures, metricsOf, wilsonInterval } from './metrics.js';
import { predictInt8, predictLiteRt } from './predict.js';
import type { EvaluationFile } from './types.js';
import { warningsOf } from './warnings.js';

const metricsSchema = z.object({
  windows: z.int(),
  accuracy: z.number(),
  macroF1: z.number(),
  confusion: z.array(z.array(z.int())),
});

export const evaluateResultSchema = z.object({
  model: z.string(),
  digest: z.string(),
  datasetDigest: z.string(),
  classes: z.array(z.string()),
  float: metricsSchema,
  int8: metricsSchema,
  litert: metricsSchema,
  voted: metricsSchema,
  perClass: z.array(
    z.object({
      class: z.string(),
      support: z.int(),
      precision: z.number(),
      recall: z.number(),
      f1: z.number(),
    }),
  ),
  interval: z.tuple([z.number(), z.number()]),
  agreement: z.number(),
  arenaBytes: z.int(),
  gates: z.array(
    z.object({
      name: z.enum(['macroF1', 'drop', 'arena']),
      limit: z.number(),
      got: z.number(),
      passed: z.boolean(),
    }),
  ),
  passed: z.boolean(),
  /** What the figures cannot show. */
  warnings: z.array(z.string()),
  /** The refusal, when a gate says no. */
  error: z.object({ code: z.string(), message: z.string(), next: z.string(), exit: z.int() }).nullable(),
});
export type EvaluateResult = z.output<typeof evaluateResultSchema>;

export interface EvaluateOptions extends DataSource {
  project: Project;
  signal?: AbortSignal;
}

/**
 * Measures the float and the int8 network on the test recordings, which were never trained on, and writes
 * build/evaluation.json. It returns also when a gate says no: `gateError(result.gates)` is the refusal.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT (no test window)
 */
export async function evaluateProject(options: EvaluateOptions): Promise<EvaluateResult> {
  const { project, signal } = options;
  const training = await readTraining(project);
  const files = buildFiles(project);
  const float = await readNetwork(files.float, 'train');
  const int8 = await readNetwork(files.int8, 'quantize');
  const quantization = await readQuantization(project);
  const digest = digestOf(int8.bytes);
  if (quantization.floatDigest !== training.digest || quantization.digest !== digest) {
    throw stale('the int8 network was made from another training', 'aiot model quantize');
  }
  const dataset = await datasetOfSource(project, options);
  requireSameData(project, training, dataset, digestOf(float.bytes));
  const { classes, standardization } = training;
  const test = examplesOf(dataset, training.split.test, training.signal, project.config);
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
  const gates = gatesOf(project.config.model.accept, {
    floatMacroF1: floatMetrics.macroF1,
    int8MacroF1: int8Metrics.macroF1,
    arenaBytes: arena,
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
  await writeJsonAtomic(files.evaluation, file);
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

/**
 * The evaluation of the int8 network that lies in build/, with its gates let through under today's aiot.yaml.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_GATE_FAILED
 */
export function requireAccepted(evaluation: EvaluationFile, int8Digest: string, project: Project): void {
  const next = 'aiot model evaluate';
  if (evaluation.digest !== int8Digest)
    throw stale('the int8 network has changed since it was evaluated', next);
  if (evaluation.vote !== project.config.model.vote) {
    throw stale('model.vote in aiot.yaml has changed since the evaluation', next);
  }
  const gates = gatesOf(project.config.model.accept, {
    floatMacroF1: evaluation.float.macroF1,
    int8MacroF1: evaluation.int8.macroF1,
    arenaBytes: evaluation.arenaBytes,
  });
  const error = gateError(gates);
  if (error) throw error;
}
