import { type Project, writeJsonAtomic } from '../../core/index.js';
import { type Built, readBuilt } from '../built.js';
import { voteAll } from '../bundle/vote.js';
import type { DataSource } from '../dataset.js';
import { buildFiles, readFolds } from '../files.js';
import { arenaOf } from '../inspect/arena-of.js';
import { multiplyAdds } from '../inspect/costs.js';
import { precisionOf } from '../inspect/precision.js';
import { refusalOfMicro } from '../inspect/refusal.js';
import { unfit } from '../train/examples.js';
import type { TrainingFile } from '../train/types.js';
import { gateFigures } from './accepted.js';
import { networkFigures } from './figures-of-network.js';
import { gateError, gatesFrom, type Limit, limitsOf } from './gates.js';
import { judge, type Verdict } from './judge.js';
import { metricsOf } from './metrics.js';
import type { Runtime } from './predict.js';
import type { EvaluateResult } from './result.js';
import { type BuiltOutputs, runBuilt, type Said } from './run-built.js';
import type { NetworkFigures } from './schemas.js';
import type { EvaluationFile } from './types.js';
import { warningsOf } from './warnings.js';
import { worstWindows } from './worst-windows.js';

export interface EvaluateOptions extends DataSource {
  project: Project;
  /** Whose figures of the quantized network stand first: `device` unless told, or where it does not run there. */
  runtime?: Runtime;
  /** Limits besides those of model.accept. */
  limits?: readonly Limit[];
  signal?: AbortSignal;
}

/**
 * Measures the float and the quantized network on the test part, which was never trained on, and writes
 * build/evaluation.json. It returns also when a gate says no: `gateError(result.gates)` is the refusal.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_MODEL_STALE, AIOT_TRAINING_DATA_UNFIT (no test window), AIOT_TFLITE_UNSUPPORTED
 */
export async function evaluateProject(options: EvaluateOptions): Promise<EvaluateResult> {
  const { project, signal, limits = [] } = options;
  const { vote, accept } = project.config.model;
  const built = await readBuilt(project, options);
  const { training, int8, dataset } = built;
  const test = built.part('test');
  if (test.count === 0) throw unfit('the test part is empty: its recordings are shorter than one window');
  const folds = await readFolds(project, training);
  const runs = refusalOfMicro(int8.graph) === null;
  const runtime = options.runtime ?? (runs ? 'device' : 'litert');
  const outputs = await runBuilt(built, test, runs || runtime === 'device', signal);
  const verdictOf = (of: Said, resample: boolean) =>
    judge({ ...rowsOf(built, outputs), outputs: of, resample });
  const onDevice = outputs.device ?? outputs.litert;
  const first = verdictOf(runtime === 'device' ? onDevice : outputs.litert, true);
  const [float, device, litert] = [outputs.float, onDevice, outputs.litert].map((of) => verdictOf(of, false));
  const { predicted, worst, ...figures } = first;
  const measured = {
    float: networkFigures(float!),
    int8: networkFigures(device!),
    arenaBytes: arenaOf(int8.graph),
    bytes: int8.bytes.length,
    macs: int8.graph.operators.reduce((sum, operator) => sum + multiplyAdds(int8.graph, operator), 0),
  };
  const gates = gatesFrom([...limitsOf(accept), ...limits], gateFigures(measured));
  const result: EvaluateResult = {
    model: training.model,
    network: int8.file,
    digest: int8.digest,
    datasetDigest: dataset.digest,
    precision: precisionOf(int8.graph),
    unit: training.source.kind === 'table' ? 'row' : 'window',
    output: training.network.output.kind,
    runtime,
    ...figures,
    ...measured,
    litert: networkFigures(litert!),
    voted:
      predicted && isVoted(outputs)
        ? votedFigures(outputs, device!.predicted ?? predicted, vote, figures.classes.length)
        : null,
    baseline: baselineOf(training),
    folds: folds && { ...folds.together, voted: folds.vote === vote ? folds.together.voted : null },
    agreement: agreementOf(device!.predicted, litert!.predicted),
    worst: worstWindows(worst, outputs.groups, built),
    gates,
    passed: gates.every(({ passed }) => passed),
    warnings: sentences(built, outputs, figures),
    error: gateError(gates)?.toJSON() ?? null,
  };
  const file: EvaluationFile = { spec: 'aiot-evaluation/2', vote, ...result };
  await writeJsonAtomic(buildFiles(project).evaluation, file);
  return result;
}

/** As training measured it: the test part is the same. */
function baselineOf({ baseline }: TrainingFile): EvaluateResult['baseline'] {
  const { testAccuracy = null, testRmse = null } = baseline ?? {};
  return testAccuracy === null && testRmse === null ? null : { accuracy: testAccuracy, rmse: testRmse };
}

/** What is true of the rows, in the terms of `judge`. */
function rowsOf({ training }: Built, { classes, values, groups, width }: BuiltOutputs) {
  return {
    kind: training.network.output.kind,
    truth: classes,
    values: values ?? undefined,
    classes: training.classes,
    threshold: training.threshold,
    groups,
    width,
    // The errors of reconstructions are known, and nothing else asks for inputs.
    inputs: null,
  };
}

function votedFigures(
  { classes: truth, groups }: BuiltOutputs,
  predicted: Int32Array,
  vote: string,
  classes: number,
): NetworkFigures {
  return metricsOf(truth, voteAll(predicted, groups ?? [], vote), classes);
}

/** Rows that stand for themselves, each its own recording, are not voted on. */
function isVoted({ groups }: BuiltOutputs): boolean {
  return groups !== null && new Set(groups).size < groups.length;
}

function agreementOf(a: Int32Array | null, b: Int32Array | null): number | null {
  if (!a || !b) return null;
  let same = 0;
  for (let row = 0; row < a.length; row++) if (a[row] === b[row]) same++;
  return same / a.length;
}

/** Leaks first: they make every figure a fiction. */
function sentences(
  { training, int8 }: Built,
  test: BuiltOutputs,
  { classes, confusion }: Pick<Verdict, 'classes' | 'confusion'>,
): string[] {
  const unit = training.source.kind === 'table' ? 'rows' : 'windows';
  const alone =
    refusalOfMicro(int8.graph) === null
      ? []
      : [`${precisionOf(int8.graph)}: devices cannot run it, so its figures are those on LiteRT alone`];
  return [
    ...training.leaks.map((leak) => `the split leaks: ${leak}`),
    ...alone,
    ...warningsOf(classes, confusion, groupsPerClass(test), unit),
  ];
}

function groupsPerClass({ classes, groups }: BuiltOutputs): Map<number, number> {
  if (groups === null) {
    const counts = new Map<number, number>();
    for (const c of classes) counts.set(c, (counts.get(c) ?? 0) + 1);
    return counts;
  }
  const seen = new Map<number, Set<string>>();
  groups.forEach((id, i) => {
    const c = classes[i]!;
    seen.set(c, (seen.get(c) ?? new Set()).add(id));
  });
  return new Map([...seen].map(([c, ids]) => [c, ids.size]));
}
